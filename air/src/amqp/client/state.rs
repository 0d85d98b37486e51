//! What is known of a connection and its channels: changes with each frame that comes and each thing that is asked.
//! No I/O: what is to be sent is appended to `out`, and who waits for something is told.

mod channel;

use super::channel::Message;
use super::frames::{Frame, put_heartbeat, put_message, put_method};
use super::handshake::Agreed;
use super::{Error, Properties};
use amq_protocol::protocol::channel::{AMQPMethod as OfChannel, Close, Open};
use amq_protocol::protocol::{AMQPClass, basic, connection};
use channel::Channel;
use std::collections::BTreeMap;
use std::fmt;
use tokio::sync::{mpsc, oneshot, watch};

/// A message that came.
#[derive(Debug)]
pub struct Delivery {
    /// What to settle it by, on its channel.
    pub tag: u64,
    /// Whether the broker has delivered it before.
    pub redelivered: bool,
    /// The routing key that it was sent with.
    pub key: String,
    /// Its properties.
    pub properties: Properties,
    /// The message.
    pub body: Vec<u8>,
}

/// What became of a message that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The broker has it.
    Yes,
    /// It came back: nobody is there to get it.
    Returned,
    /// The broker refused it.
    No,
}

/// Where the answer to a method goes.
pub type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// Who is told what became of a message.
pub struct Tell(Box<dyn FnOnce(Result<Taken, Error>) + Send>);

impl Tell {
    /// It is told by a call, under the state's lock.
    pub fn new(tell: impl FnOnce(Result<Taken, Error>) + Send + 'static) -> Self {
        Self(Box::new(tell))
    }

    fn tell(self, taken: Result<Taken, Error>) {
        (self.0)(taken);
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tell")
    }
}

/// A connection's state.
#[derive(Debug)]
pub struct State {
    /// What is to be sent.
    pub out: Vec<u8>,
    /// What was agreed upon.
    pub agreed: Agreed,
    channels: BTreeMap<u16, Channel>,
    /// Why the broker takes no messages for now.
    blocked: watch::Sender<Option<String>>,
    /// Why the connection is over.
    over: watch::Sender<Option<Error>>,
}

impl State {
    /// A connection that was just opened.
    pub fn new(agreed: Agreed) -> Self {
        Self {
            out: vec![],
            agreed,
            channels: BTreeMap::new(),
            blocked: watch::Sender::new(None),
            over: watch::Sender::new(None),
        }
    }

    /// To look at, and to wait for: why the broker takes no messages for now.
    pub fn blocked(&self) -> watch::Receiver<Option<String>> {
        self.blocked.subscribe()
    }

    /// To look at, and to wait for: why the connection is over.
    pub fn over(&self) -> watch::Receiver<Option<Error>> {
        self.over.subscribe()
    }

    // What is asked of it.

    /// Asks for a new channel; returns its number, and tells once it is open.
    ///
    /// # Errors
    /// When the connection is over, or has as many as there may be.
    pub fn open(&mut self, tell: Answer<AMQPClass>) -> Result<u16, Error> {
        self.alive()?;
        let free = |id: &u16| !self.channels.contains_key(id);
        let full = || Error::Socket("there are as many channels as the broker allows".into());
        let id = (1..=self.agreed.channel_max).find(free).ok_or_else(full)?;
        self.channels.insert(id, Channel::default());
        self.ask(id, AMQPClass::Channel(OfChannel::Open(Open {})), tell)?;
        Ok(id)
    }

    /// Sends a method on a channel, and tells what is answered.
    ///
    /// # Errors
    /// When the channel or the connection is over.
    pub fn ask(&mut self, id: u16, method: AMQPClass, tell: Answer<AMQPClass>) -> Result<(), Error> {
        self.channel(id)?.asking.push_back(tell);
        put_method(&mut self.out, id, method);
        Ok(())
    }

    /// Asks for the messages of a queue, which go to `messages`.
    ///
    /// # Errors
    /// As [`State::ask`].
    pub fn consume(
        &mut self,
        id: u16,
        consume: basic::Consume,
        messages: mpsc::UnboundedSender<Delivery>,
        tell: Answer<AMQPClass>,
    ) -> Result<(), Error> {
        let tag = consume.consumer_tag.as_str().to_owned();
        self.channel(id)?.consumers.insert(tag, messages);
        self.ask(id, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)), tell)
    }

    /// Sends a message on a channel that confirms, and tells what became of it.
    pub fn publish(&mut self, id: u16, message: Message, tell: Tell) {
        if let Err(why) = self.channel(id) {
            return tell.tell(Err(why));
        }
        let frame_max = self.agreed.frame_max;
        let Message { exchange, key, mandatory, properties, body } = message;
        let publish = basic::Publish {
            exchange: exchange.as_str().into(),
            routing_key: key.as_str().into(),
            mandatory,
            immediate: false,
        };
        put_message(&mut self.out, id, publish, properties, &body, frame_max);
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.published(key, body, tell);
        }
    }

    /// Sends a method that is not answered; on a channel that is over there is nothing to be said.
    pub fn say(&mut self, id: u16, method: basic::AMQPMethod) {
        if self.channel(id).is_ok() {
            put_method(&mut self.out, id, AMQPClass::Basic(method));
        }
    }

    /// Why a channel is over.
    pub fn why_over(&self, id: u16) -> Option<Error> {
        let of_all = || self.over.borrow().clone();
        of_all().or_else(|| self.channels.get(&id)?.over.clone())
    }

    /// Nobody uses a channel any more.
    pub fn leave(&mut self, id: u16) {
        if self.over.borrow().is_some() {
            return;
        }
        match self.channels.get_mut(&id) {
            Some(channel) if channel.over.is_none() => {
                channel.fail(&Error::Closed);
                channel.leaving = true;
                let close = Close { reply_code: 200, reply_text: "done".into(), class_id: 0, method_id: 0 };
                put_method(&mut self.out, id, AMQPClass::Channel(OfChannel::Close(close)));
            }
            _ => drop(self.channels.remove(&id)),
        }
    }

    /// Asks the broker to close the connection, after what was asked before.
    pub fn close(&mut self) {
        let close =
            connection::Close { reply_code: 200, reply_text: "done".into(), class_id: 0, method_id: 0 };
        put_method(&mut self.out, 0, AMQPClass::Connection(connection::AMQPMethod::Close(close)));
    }

    /// A sign of life.
    pub fn beat(&mut self) {
        put_heartbeat(&mut self.out);
    }

    /// The connection is over: everybody who waits for something is told.
    pub fn end(&mut self, why: &Error) {
        if self.over.borrow().is_none() {
            self.over.send_replace(Some(why.clone()));
        }
        self.channels.values_mut().for_each(|channel| channel.fail(why));
    }

    fn alive(&self) -> Result<(), Error> {
        self.over.borrow().clone().map_or(Ok(()), Err)
    }

    fn channel(&mut self, id: u16) -> Result<&mut Channel, Error> {
        self.alive()?;
        match self.channels.get_mut(&id) {
            Some(Channel { over: Some(why), .. }) => Err(why.clone()),
            Some(channel) if !channel.leaving => Ok(channel),
            _ => Err(Error::Closed),
        }
    }

    // What comes from the broker.

    /// Takes in a frame.
    ///
    /// # Errors
    /// Why the connection is over.
    pub fn heard(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        match frame {
            Frame::Heartbeat => Ok(()),
            Frame::Method(0, AMQPClass::Connection(method)) => self.connection_said(method),
            Frame::Method(id, method) => self.channel_said(id, method),
            Frame::Header(id, header) => self.listening(id)?.map_or(Ok(()), |channel| channel.header(header)),
            Frame::Body(id, piece) => self.listening(id)?.map_or(Ok(()), |channel| channel.piece(piece)),
        }
    }

    fn connection_said(&mut self, method: connection::AMQPMethod) -> Result<(), Error> {
        match method {
            connection::AMQPMethod::Close(close) => {
                let done = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                put_method(&mut self.out, 0, AMQPClass::Connection(done));
                Err(Error::Refused { code: close.reply_code, text: close.reply_text.as_str().to_owned() })
            }
            connection::AMQPMethod::CloseOk(_) => Err(Error::Closed),
            connection::AMQPMethod::Blocked(why) => {
                self.blocked.send_replace(Some(why.reason.as_str().to_owned()));
                Ok(())
            }
            connection::AMQPMethod::Unblocked(_) => {
                self.blocked.send_replace(None);
                Ok(())
            }
            _ => Err(Error::Garbled("a method of the connection that does not belong here")),
        }
    }

    fn channel_said(&mut self, id: u16, method: AMQPClass) -> Result<(), Error> {
        let unknown = Error::Garbled("a method of a channel that there is not");
        let gone = self.channels.get_mut(&id).ok_or(unknown)?.said(id, method, &mut self.out)?;
        if gone {
            self.channels.remove(&id);
        }
        Ok(())
    }

    /// The channel that a piece of a message is for; `None` where we do not listen to it any more.
    fn listening(&mut self, id: u16) -> Result<Option<&mut Channel>, Error> {
        let unknown = Error::Garbled("a piece of no message");
        let channel = self.channels.get_mut(&id).ok_or(unknown)?;
        Ok(Some(channel).filter(|channel| !channel.is_over()))
    }
}

#[cfg(test)]
mod tests;
