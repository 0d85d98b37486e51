//! What is known of a connection and its channels: changes with each frame that comes and each thing that is asked.
//! No I/O: what is to be sent is appended to `out`, and who waits for something is told.

use super::Error;
use super::Properties;
use super::channel::Message;
use super::frames::{Frame, put_heartbeat, put_message, put_method};
use super::handshake::Agreed;
use amq_protocol::frame::AMQPContentHeader;
use amq_protocol::protocol::{AMQPClass, basic, channel, connection};
use std::collections::{BTreeMap, HashMap, VecDeque};
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

#[derive(Debug, Default)]
struct Channel {
    /// Those who wait for an answer: it comes in the order of the questions.
    asking: VecDeque<Answer<AMQPClass>>,
    /// Messages that the broker has not confirmed, by their numbers.
    unconfirmed: BTreeMap<u64, Unconfirmed>,
    published: u64,
    consumers: HashMap<String, mpsc::UnboundedSender<Delivery>>,
    arriving: Option<Arriving>,
    /// Why the broker closed it.
    over: Option<Error>,
    /// We have closed it, and wait for the broker to know.
    leaving: bool,
}

#[derive(Debug)]
struct Unconfirmed {
    /// What a returned message is known by: the broker does not say which of them it is.
    key: String,
    body: Vec<u8>,
    returned: bool,
    tell: Answer<Taken>,
}

/// A message of which not everything has come.
#[derive(Debug)]
struct Arriving {
    what: Content,
    header: Option<Box<AMQPContentHeader>>,
    body: Vec<u8>,
}

#[derive(Debug)]
enum Content {
    Delivery(basic::Deliver),
    Return(basic::Return),
}

/// Room is made beforehand for so much of a message at the most: its length is only what the broker says.
const BEFOREHAND: usize = 1 << 20;

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
        self.ask(id, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})), tell)?;
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
    ///
    /// # Errors
    /// As [`State::ask`].
    pub fn publish(&mut self, id: u16, message: Message, tell: Answer<Taken>) -> Result<(), Error> {
        let frame_max = self.agreed.frame_max;
        let Message { exchange, key, mandatory, properties, body } = message;
        let publish = basic::Publish {
            exchange: exchange.as_str().into(),
            routing_key: key.as_str().into(),
            mandatory,
            immediate: false,
        };
        self.channel(id)?;
        put_message(&mut self.out, id, publish, properties, &body, frame_max);
        let channel = self.channel(id)?;
        channel.published += 1;
        channel.unconfirmed.insert(channel.published, Unconfirmed { key, body, returned: false, tell });
        Ok(())
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
                let close =
                    channel::Close { reply_code: 200, reply_text: "done".into(), class_id: 0, method_id: 0 };
                put_method(&mut self.out, id, AMQPClass::Channel(channel::AMQPMethod::Close(close)));
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
            Frame::Header(id, header) => {
                let Some(arriving) = self.arriving(id)? else { return Ok(()) };
                arriving.body.reserve(BEFOREHAND.min(header.body_size as usize));
                arriving.header = Some(header);
                self.arrived(id)
            }
            Frame::Body(id, piece) => {
                let Some(arriving) = self.arriving(id)? else { return Ok(()) };
                arriving.body.extend_from_slice(piece);
                self.arrived(id)
            }
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
        let Some(channel) = self.channels.get_mut(&id) else {
            return Err(Error::Garbled("a method of a channel that there is not"));
        };
        match method {
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                let done = AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}));
                put_method(&mut self.out, id, done);
                // One that we are leaving is there until the broker has heard of that, too.
                if !channel.leaving {
                    let text = close.reply_text.as_str().to_owned();
                    let why = Error::Refused { code: close.reply_code, text };
                    channel.fail(&why);
                    channel.over = Some(why);
                }
            }
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) if channel.leaving => {
                self.channels.remove(&id);
            }
            // What was on its way when we closed it.
            _ if channel.leaving || channel.over.is_some() => {}
            AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)) => {
                channel.begin(Content::Delivery(deliver))?;
            }
            AMQPClass::Basic(basic::AMQPMethod::Return(returned)) => {
                channel.begin(Content::Return(returned))?;
            }
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                channel.confirmed(ack.delivery_tag, ack.multiple, Taken::Yes);
            }
            AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => {
                channel.confirmed(nack.delivery_tag, nack.multiple, Taken::No);
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
                channel.consumers.remove(cancel.consumer_tag.as_str());
                if !cancel.nowait {
                    let done = basic::CancelOk { consumer_tag: cancel.consumer_tag };
                    put_method(&mut self.out, id, AMQPClass::Basic(basic::AMQPMethod::CancelOk(done)));
                }
            }
            answer => {
                if let AMQPClass::Basic(basic::AMQPMethod::CancelOk(done)) = &answer {
                    channel.consumers.remove(done.consumer_tag.as_str());
                }
                let unasked = Error::Garbled("an answer to nothing that was asked");
                // Whoever asked may have stopped waiting.
                let _ = channel.asking.pop_front().ok_or(unasked)?.send(Ok(answer));
            }
        }
        Ok(())
    }

    /// The message that a frame is part of; `None` = of a channel that we do not listen to any more.
    fn arriving(&mut self, id: u16) -> Result<Option<&mut Arriving>, Error> {
        match self.channels.get_mut(&id) {
            Some(channel) if channel.leaving || channel.over.is_some() => Ok(None),
            Some(Channel { arriving: Some(arriving), .. }) => Ok(Some(arriving)),
            _ => Err(Error::Garbled("a piece of no message")),
        }
    }

    fn arrived(&mut self, id: u16) -> Result<(), Error> {
        let Some(channel) = self.channels.get_mut(&id) else { return Ok(()) };
        let whole = |arriving: &Arriving| {
            let size = arriving.header.as_ref().map(|header| header.body_size);
            size.is_some_and(|size| arriving.body.len() as u64 >= size)
        };
        if !channel.arriving.as_ref().is_some_and(whole) {
            return Ok(());
        }
        if let Some(Arriving { what, header: Some(header), body }) = channel.arriving.take() {
            if body.len() as u64 > header.body_size {
                return Err(Error::Garbled("a message is longer than it was said to be"));
            }
            match what {
                Content::Delivery(deliver) => channel.deliver(deliver, header.properties, body),
                Content::Return(returned) => channel.returned(returned.routing_key.as_str(), &body),
            }
        }
        Ok(())
    }
}

impl Channel {
    fn begin(&mut self, what: Content) -> Result<(), Error> {
        match self.arriving.replace(Arriving { what, header: None, body: vec![] }) {
            None => Ok(()),
            Some(_) => Err(Error::Garbled("a message within another")),
        }
    }

    fn deliver(&mut self, deliver: basic::Deliver, properties: Properties, body: Vec<u8>) {
        let Some(messages) = self.consumers.get(deliver.consumer_tag.as_str()) else { return };
        // Nobody may listen any more: it goes back with its channel.
        let _ = messages.send(Delivery {
            tag: deliver.delivery_tag,
            redelivered: deliver.redelivered,
            key: deliver.routing_key.as_str().to_owned(),
            properties,
            body,
        });
    }

    fn returned(&mut self, key: &str, body: &[u8]) {
        let same =
            |message: &&mut Unconfirmed| !message.returned && message.key == key && message.body == body;
        if let Some(message) = self.unconfirmed.values_mut().find(same) {
            message.returned = true;
        }
    }

    fn confirmed(&mut self, number: u64, multiple: bool, taken: Taken) {
        let confirmed = if multiple {
            let rest = self.unconfirmed.split_off(&number.saturating_add(1));
            std::mem::replace(&mut self.unconfirmed, rest)
        } else {
            self.unconfirmed.remove(&number).map(|message| (number, message)).into_iter().collect()
        };
        for message in confirmed.into_values() {
            let taken = if message.returned && taken == Taken::Yes { Taken::Returned } else { taken };
            // Whoever published it may have stopped waiting.
            let _ = message.tell.send(Ok(taken));
        }
    }

    /// It is over: whoever waits is told, consumers end.
    fn fail(&mut self, why: &Error) {
        for asking in self.asking.drain(..) {
            let _ = asking.send(Err(why.clone()));
        }
        for message in std::mem::take(&mut self.unconfirmed).into_values() {
            let _ = message.tell.send(Err(why.clone()));
        }
        self.consumers.clear();
        self.arriving = None;
    }
}

#[cfg(test)]
mod tests;
