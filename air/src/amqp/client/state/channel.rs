//! One channel: who waits for an answer or a confirm, who listens, and the message that is coming in.

use super::{Answer, Delivery, Taken, Tell};
use crate::amqp::client::frames::put_method;
use crate::amqp::client::{Error, Properties};
use amq_protocol::frame::AMQPContentHeader;
use amq_protocol::protocol::{AMQPClass, basic, channel};
use std::collections::{BTreeMap, HashMap, VecDeque};
use tokio::sync::mpsc;

/// A channel.
#[derive(Debug, Default)]
pub struct Channel {
    /// Those who wait for an answer: it comes in the order of the questions.
    pub asking: VecDeque<Answer<AMQPClass>>,
    /// Who listens, by consumer tag.
    pub consumers: HashMap<String, mpsc::UnboundedSender<Delivery>>,
    /// Messages that the broker has not confirmed, by their numbers.
    unconfirmed: BTreeMap<u64, Unconfirmed>,
    published: u64,
    arriving: Option<Arriving>,
    /// Why the broker closed it.
    pub over: Option<Error>,
    /// We have closed it, and wait for the broker to know.
    pub leaving: bool,
}

#[derive(Debug)]
struct Unconfirmed {
    /// What a returned message is known by: the broker does not say which of them it is.
    key: String,
    body: Vec<u8>,
    returned: bool,
    tell: Tell,
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

impl Channel {
    /// Whether nobody listens to it any more: what still comes was on its way when it was closed.
    pub fn is_over(&self) -> bool {
        self.leaving || self.over.is_some()
    }

    /// A message is sent; who is told what becomes of it.
    pub fn published(&mut self, key: String, body: Vec<u8>, tell: Tell) {
        self.published += 1;
        self.unconfirmed.insert(self.published, Unconfirmed { key, body, returned: false, tell });
    }

    /// A method came; what it asks for is appended to `out`. True = the broker knows that we have left it.
    ///
    /// # Errors
    /// Why the connection is over.
    pub fn said(&mut self, id: u16, method: AMQPClass, out: &mut Vec<u8>) -> Result<bool, Error> {
        match method {
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                let done = AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}));
                put_method(out, id, done);
                // One that we are leaving is there until the broker has heard of that, too.
                if !self.leaving {
                    let text = close.reply_text.as_str().to_owned();
                    let why = Error::Refused { code: close.reply_code, text };
                    self.fail(&why);
                    self.over = Some(why);
                }
            }
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) if self.leaving => return Ok(true),
            _ if self.is_over() => {}
            AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)) => {
                self.begin(Content::Delivery(deliver))?
            }
            AMQPClass::Basic(basic::AMQPMethod::Return(returned)) => self.begin(Content::Return(returned))?,
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                self.confirmed(ack.delivery_tag, ack.multiple, Taken::Yes);
            }
            AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => {
                self.confirmed(nack.delivery_tag, nack.multiple, Taken::No);
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
                self.consumers.remove(cancel.consumer_tag.as_str());
                if !cancel.nowait {
                    let done = basic::CancelOk { consumer_tag: cancel.consumer_tag };
                    put_method(out, id, AMQPClass::Basic(basic::AMQPMethod::CancelOk(done)));
                }
            }
            answer => {
                if let AMQPClass::Basic(basic::AMQPMethod::CancelOk(done)) = &answer {
                    self.consumers.remove(done.consumer_tag.as_str());
                }
                let unasked = Error::Garbled("an answer to nothing that was asked");
                // Whoever asked may have stopped waiting.
                let _ = self.asking.pop_front().ok_or(unasked)?.send(Ok(answer));
            }
        }
        Ok(false)
    }

    fn begin(&mut self, what: Content) -> Result<(), Error> {
        match self.arriving.replace(Arriving { what, header: None, body: vec![] }) {
            None => Ok(()),
            Some(_) => Err(Error::Garbled("a message within another")),
        }
    }

    /// What goes before a message came.
    ///
    /// # Errors
    /// Why the connection is over.
    pub fn header(&mut self, header: Box<AMQPContentHeader>) -> Result<(), Error> {
        let arriving = self.arriving()?;
        arriving.body.reserve(BEFOREHAND.min(header.body_size as usize));
        arriving.header = Some(header);
        self.arrived()
    }

    /// A piece of a message came.
    ///
    /// # Errors
    /// Why the connection is over.
    pub fn piece(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.arriving()?.body.extend_from_slice(piece);
        self.arrived()
    }

    fn arriving(&mut self) -> Result<&mut Arriving, Error> {
        self.arriving.as_mut().ok_or(Error::Garbled("a piece of no message"))
    }

    /// Passes a message on that is whole.
    fn arrived(&mut self) -> Result<(), Error> {
        let size = |arriving: &Arriving| arriving.header.as_ref().map(|header| header.body_size);
        let whole =
            |arriving: &mut Arriving| size(arriving).is_some_and(|size| arriving.body.len() as u64 >= size);
        let Some(Arriving { what, header: Some(header), body }) = self.arriving.take_if(whole) else {
            return Ok(());
        };
        if body.len() as u64 > header.body_size {
            return Err(Error::Garbled("a message is longer than it was said to be"));
        }
        match what {
            Content::Delivery(deliver) => self.deliver(deliver, header.properties, body),
            Content::Return(returned) => self.returned(returned.routing_key.as_str(), &body),
        }
        Ok(())
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
            message.tell.tell(Ok(taken));
        }
    }

    /// It is over: whoever waits is told, consumers end.
    pub fn fail(&mut self, why: &Error) {
        for asking in self.asking.drain(..) {
            let _ = asking.send(Err(why.clone()));
        }
        for message in std::mem::take(&mut self.unconfirmed).into_values() {
            message.tell.tell(Err(why.clone()));
        }
        self.consumers.clear();
        self.arriving = None;
    }
}
