//! What AIR needs of a broker: to send by a key, and to listen to keys on a queue of one's own.

use crate::rpc::message::Message;
use futures_util::Stream;
use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The two exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// Topic; requests.
    Request,
    /// Direct; responses.
    Response,
}

impl Exchange {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "air.request",
            Self::Response => "air.response",
        }
    }
}

/// The carrier does not carry: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// A way to send and to receive. Clones share it.
pub trait Carrier: Clone + Send + Sync + 'static {
    /// Sends a message by its key. `Ok(false)`: nobody listens to that key.
    fn send(&self, exchange: Exchange, message: Message)
    -> impl Future<Output = Result<bool, Broken>> + Send;

    /// Listens on an exclusive queue of this name, which is bound to these keys and goes when the inbox is dropped.
    fn listen(
        &self,
        exchange: Exchange,
        queue: String,
        keys: Vec<String>,
    ) -> impl Future<Output = Result<Inbox, Broken>> + Send;
}

/// Messages as they come; ends when the carrier breaks. Dropping it closes its channel and deletes its queue.
pub struct Inbox {
    messages: Pin<Box<dyn Stream<Item = Message> + Send>>,
    // Dropped after the stream.
    _keep: Box<dyn Any + Send>,
}

impl Inbox {
    /// An inbox of these messages, which keeps something alive.
    pub fn new(
        messages: impl Stream<Item = Message> + Send + 'static,
        keep: impl Any + Send + 'static,
    ) -> Self {
        Self { messages: Box::pin(messages), _keep: Box::new(keep) }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl Stream for Inbox {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.as_mut().poll_next(cx)
    }
}
