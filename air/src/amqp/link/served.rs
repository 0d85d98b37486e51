//! A connected time: the broker, what is being sent, and what seldom happens.

use super::direct::{Direct, Open, Unsent};
use super::task::End;
use super::{Event, Options};
use crate::amqp::broker::{Broker, Unwell, Work, watch};
use crate::amqp::carrier::Air;
use crate::amqp::client::Connection;
use crate::rpc::Broken;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// A consumer that does not last so long is not opened again and again at full speed.
const LASTING: Duration = Duration::from_secs(1);

/// A connected time.
pub struct Served {
    pub broker: Broker,
    pub work: Option<Work>,
    /// Messages that were not taken.
    pub unsent: mpsc::UnboundedReceiver<Unsent>,
    direct: Direct,
    pub rare: FuturesUnordered<BoxFuture<'static, Rare>>,
    /// Why our consumer is being opened again.
    pub reopening: Option<String>,
    /// It was cancelled, and all that was on its way has come.
    pub ended: bool,
    /// When it was opened.
    opened: Instant,
}

/// What seldom happens.
pub enum Rare {
    /// A connection is not there any more.
    Gone(String),
    /// The broker is not well, or our consumer is not.
    Unwell(Unwell),
    /// The work queue is consumed from again, on a new channel, or cannot be.
    Reopened(Result<Work, String>),
    /// The reply queue was not there for a message, and has been looked after.
    Declared(u64),
    /// AIR can be carried, or cannot.
    Air(Result<Air, Broken>),
    /// The broker takes no messages, and why; or takes them again.
    Blocked(Option<String>, watch::Receiver<Option<String>>),
}

impl Served {
    /// Connected just now. Who hears of confirms: `outbox`.
    pub fn new(
        broker: Broker,
        work: Option<Work>,
        epoch: u32,
        options: &Options,
        direct: Direct,
        outbox: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let (tell, unsent) = mpsc::unbounded_channel();
        direct.set(Some(Open {
            replies: broker.replies.clone(),
            reply_to: options.reply_to.clone(),
            work: work.as_ref().map(|work| (epoch, work.channel().clone())),
            outbox,
            unsent: tell,
        }));
        let (consuming, publishing) = (Arc::clone(&broker.consuming), Arc::clone(&broker.publishing));
        let rare = FuturesUnordered::new();
        rare.push(gone(&consuming));
        rare.push(gone(&publishing));
        rare.push(look_after(&broker, options));
        let blocked = publishing.blocked();
        rare.push(async { Rare::Air(Air::between(consuming, publishing).await) }.boxed());
        let served = Self {
            broker,
            work,
            unsent,
            direct,
            rare,
            reopening: None,
            ended: false,
            opened: Instant::now(),
        };
        served.hear_of_blocking(blocked);
        served
    }

    /// Begins to consume again, on a new channel, where the connection is still there.
    pub fn reopen(&mut self, reason: String, options: &Options) -> Option<End> {
        if !self.broker.consuming.is_connected() || self.reopening.is_some() {
            return Some(End::Lost(reason));
        }
        self.work = None;
        self.direct.set_work(None);
        self.reopening = Some(reason);
        let wait = LASTING.saturating_sub(self.opened.elapsed());
        let opening = Work::open(Arc::clone(&self.broker.consuming), options.clone());
        let reopened = async move {
            sleep(wait).await;
            Rare::Reopened(opening.await)
        };
        self.rare.push(reopened.boxed());
        None
    }

    /// It is consumed from again; returns why that had ended.
    pub fn reopened(&mut self, work: Work, epoch: u32) -> String {
        self.direct.set_work(Some((epoch, work.channel().clone())));
        self.work = Some(work);
        self.ended = false;
        self.opened = Instant::now();
        self.reopening.take().unwrap_or_default()
    }

    /// Waits for the broker to take no messages, or to take them again: for what this receiver has not seen yet.
    pub fn hear_of_blocking(&self, mut blocked: watch::Receiver<Option<String>>) {
        let heard = async move {
            match blocked.changed().await {
                Ok(()) => {
                    let reason = blocked.borrow_and_update().clone();
                    Rare::Blocked(reason, blocked)
                }
                // The connection is gone, which is heard of otherwise.
                Err(_) => std::future::pending().await,
            }
        };
        self.rare.push(heard.boxed());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.direct.set(None);
    }
}

fn gone(connection: &Connection) -> BoxFuture<'static, Rare> {
    connection.ended().map(|why| Rare::Gone(why.to_string())).boxed()
}

/// Looks whether all is well, again and again.
pub fn look_after(broker: &Broker, options: &Options) -> BoxFuture<'static, Rare> {
    let (consuming, publishing) = (Arc::clone(&broker.consuming), Arc::clone(&broker.publishing));
    watch(consuming, publishing, options.clone()).map(Rare::Unwell).boxed()
}
