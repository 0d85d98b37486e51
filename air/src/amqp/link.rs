//! The link: a connection that survives its broker. Its work is done by a [task](task) of its own, but for what goes to the
//! broker [at once](direct).

mod direct;
mod served;
mod task;

use crate::amqp::carrier::Air;
use crate::amqp::client::{Error, Tls};
use direct::Direct;
use futures_util::future::BoxFuture;
use task::Task;
use tokio::sync::mpsc;

/// What to be linked to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The connection's name, as the broker's operator sees it.
    pub name: String,
    /// The brokers' URLs, to be tried in this order.
    pub urls: Vec<String>,
    /// The work queue.
    pub queue: String,
    /// Whether it is a quorum queue.
    pub quorum: bool,
    /// Deliveries that may be outstanding.
    pub prefetch: u16,
    /// The queue that replies go to.
    pub reply_to: String,
    /// Certificates for `amqps://`.
    pub tls: Tls,
}

/// Names a delivery: its connection and its number on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// Which connection.
    pub epoch: u32,
    /// The delivery tag.
    pub number: u64,
}

/// A message from the work queue.
#[derive(Debug)]
pub struct Delivery {
    /// What to settle it by.
    pub tag: Tag,
    /// Whether the broker has delivered it before.
    pub redelivered: bool,
    /// How often it was delivered before, where the broker counts that (quorum queues).
    pub deliveries: u32,
    /// The message.
    pub body: Vec<u8>,
}

/// What happens on the link.
pub enum Event {
    /// Connected and consuming.
    Connected {
        /// The broker, without password.
        place: String,
        /// What it calls itself.
        product: String,
    },
    /// Not connected any more, or not yet. Comes once for every reason that an absence of the broker has.
    Lost {
        /// Why.
        reason: String,
    },
    /// The broker had ended our consumer, and we consume again: what was delivered and not settled is the broker's
    /// again, what is being published is not touched.
    Reopened {
        /// Why it had ended.
        reason: String,
    },
    /// The broker takes no messages for now, as it is short of memory or disk.
    Blocked {
        /// What the broker says.
        reason: String,
    },
    /// The broker takes messages again.
    Unblocked,
    /// AIR can be carried, as long as the link is not lost.
    Air(Air),
    /// AIR cannot be carried here.
    NoAir {
        /// Why.
        reason: String,
    },
    /// A message came.
    Delivered(Delivery),
    /// The broker has the published message with this id.
    Confirmed {
        /// The id given to [`Link::publish`].
        id: u64,
    },
    /// The broker did not take the published message with this id.
    Refused {
        /// The id given to [`Link::publish`].
        id: u64,
        /// Why.
        reason: String,
    },
}

enum Order {
    /// What was said to the broker already is to be waited for.
    StopConsuming(Option<BoxFuture<'static, Result<(), Error>>>),
    Consume,
    Close,
}

/// A connection that survives its broker.
pub struct Link {
    orders: mpsc::UnboundedSender<Order>,
    events: mpsc::UnboundedReceiver<Event>,
    direct: Direct,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    /// Begins to connect. Must be called within a tokio runtime.
    pub fn open(options: Options) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (outbox, events) = mpsc::unbounded_channel();
        let direct = Direct::default();
        let task = tokio::spawn(Task::new(options, inbox, outbox, direct.clone()).run());
        Self { orders, events, direct, task }
    }

    /// The next event.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Publishes to the reply queue; answered by [`Event::Confirmed`] or [`Event::Refused`], or by neither
    /// when the link is lost meanwhile.
    pub fn publish(&self, id: u64, body: Vec<u8>) {
        self.direct.publish(id, body);
    }

    /// Acknowledges a delivery.
    pub fn ack(&self, tag: Tag) {
        self.direct.settle(tag, |channel| channel.ack(tag.number));
    }

    /// Gives a delivery back to its queue.
    pub fn give_back(&self, tag: Tag) {
        self.direct.settle(tag, |channel| channel.give_back(tag.number));
    }

    /// Takes no more from the queue, now and after every reconnection. What is acknowledged later brings no other delivery.
    pub fn stop_consuming(&self) {
        self.order(Order::StopConsuming(self.direct.stop_consuming()));
    }

    /// Takes from the queue again after [`Link::stop_consuming`].
    pub fn consume(&self) {
        self.order(Order::Consume);
    }

    /// Carries out what was ordered, then closes. Returns what was delivered and nobody has seen: it goes back.
    pub async fn close(mut self) -> Vec<Delivery> {
        self.order(Order::Close);
        // The task ends by itself; if it was cancelled there is nothing left to close.
        let _ = self.task.await;
        let events = std::iter::from_fn(|| self.events.try_recv().ok());
        events
            .filter_map(|event| match event {
                Event::Delivered(delivery) => Some(delivery),
                _ => None,
            })
            .collect()
    }

    fn order(&self, order: Order) {
        // The task lives as long as the link: it ends only by Close.
        let _ = self.orders.send(order);
    }
}
