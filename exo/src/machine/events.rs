//! What the machine hears and what it answers.

use super::{Id, Moment};
use air::Tag;
use std::time::Duration;

/// What makes two deliveries the same: fei and the digest of the whole message.
pub type Key = (String, [u8; 32]);

/// What a delivery asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// A workitem to be handled.
    Handle(Key),
    /// A workitem that cannot be handled, but answered: its reply is ready.
    Answer(Key),
    /// Nothing but to be acknowledged.
    Settle,
    /// A workitem to be handled when nothing else is: it may have ended a process before.
    Alone(Key),
    /// It could not be parked in the failed store: to be tried again, and not acknowledged before.
    Park,
}

/// What happens to the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The link is up.
    Connected,
    /// The link is down.
    Lost,
    /// The broker has taken all deliveries back, while the link stays up.
    Reopened,
    /// A delivery came; `id` is new.
    Delivered {
        /// What to call it.
        id: Id,
        /// What to settle it by.
        tag: Tag,
        /// What it asks for.
        ask: Ask,
    },
    /// The handler is done; its reply is ready.
    Replied(Id),
    /// The handler is done, or it is cancelled while it waits for a worker, and no reply is wanted.
    Forgotten(Id),
    /// It is cancelled while it waits for a worker; its reply is ready.
    Cancelled(Id),
    /// The handler asks for a message of its own to be sent; `id` is new.
    Extra(Id),
    /// The journal has it: its handler may start.
    Taken(Id),
    /// The journal could not take it.
    NotTaken(Id),
    /// The journal can be written.
    Writable,
    /// The journal can still not be written.
    NotWritable,
    /// It is parked in the failed store.
    Parked(Id),
    /// It could not be parked.
    NotParked(Id),
    /// The broker has the message.
    Confirmed(Id),
    /// The broker did not take the message.
    Refused(Id),
    /// Told to stop.
    Stop,
    /// There is to be a new process: what runs may take so long before the grace begins.
    Renew(Duration),
    /// The moment of [`Machine::deadline`] has come.
    Due,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Give the workitem to a free worker.
    Start(Id),
    /// Write into the journal that it is taken; answered by [`Event::Taken`] or [`Event::NotTaken`].
    Take(Id),
    /// Write its reply, or that there is none, into the journal. Where that fails it is published all the same.
    Keep(Id),
    /// Write into the journal that its delivery is acknowledged.
    Settled(Id),
    /// See whether the journal can be written; answered by [`Event::Writable`] or [`Event::NotWritable`].
    Probe,
    /// Park it in the failed store; answered by [`Event::Parked`] or [`Event::NotParked`].
    Park(Id),
    /// Take from the queue again.
    Consume,
    /// Publish its reply.
    Publish(Id),
    /// Acknowledge the delivery.
    Ack(Tag),
    /// Give the delivery back to its queue.
    GiveBack(Tag),
    /// Its message is confirmed or it was given up: forget all about it.
    Drop(Id),
    /// Take no more from the queue.
    StopConsuming,
    /// Tell the handler that the process is about to be terminated.
    Die,
    /// All is done: end the process.
    Finish,
}

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not connected.
    Connecting,
    /// Connected and consuming.
    Working,
    /// About to end; what runs may finish until then.
    Draining {
        /// Whether we were told to stop, or end for a new process.
        ordered: bool,
        /// When it is over.
        until: Moment,
        /// Whether the handler knows that it is about to die.
        told: bool,
    },
    /// Over.
    Stopped,
}
