//! The link: a task that is connected as often as it can be.

use crate::backoff::Backoff;
use crate::broker::{Broker, CONSUMER, NotSent, reason};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How often a connection that is not used is looked at (lapin says nothing of an idle publisher's end).
const LOOK: Duration = Duration::from_secs(1);

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
    /// The message.
    pub body: Vec<u8>,
}

/// What happens on the link.
#[derive(Debug)]
pub enum Event {
    /// Connected and consuming.
    Connected {
        /// The broker, without password.
        place: String,
    },
    /// Not connected any more, or not yet. Comes once for every change of the reason.
    Lost {
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
    Publish { id: u64, body: Vec<u8> },
    Ack(Tag),
    GiveBack(Tag),
    StopConsuming,
    Close,
}

/// A connection that survives its broker.
pub struct Link {
    orders: mpsc::UnboundedSender<Order>,
    events: mpsc::UnboundedReceiver<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    /// Begins to connect. Must be called within a tokio runtime.
    pub fn open(options: Options) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (outbox, events) = mpsc::unbounded_channel();
        let task = Task { options, inbox, outbox, epoch: 0, consuming: true, last_reason: String::new() };
        Self { orders, events, task: tokio::spawn(task.run()) }
    }

    /// The next event.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Publishes to the reply queue; answered by [`Event::Confirmed`] or [`Event::Refused`], or by neither
    /// when the link is lost meanwhile.
    pub fn publish(&self, id: u64, body: Vec<u8>) {
        self.order(Order::Publish { id, body });
    }

    /// Acknowledges a delivery.
    pub fn ack(&self, tag: Tag) {
        self.order(Order::Ack(tag));
    }

    /// Gives a delivery back to its queue.
    pub fn give_back(&self, tag: Tag) {
        self.order(Order::GiveBack(tag));
    }

    /// Takes no more from the queue, now and after every reconnection.
    pub fn stop_consuming(&self) {
        self.order(Order::StopConsuming);
    }

    /// Carries out what was ordered, then closes.
    pub async fn close(self) {
        self.order(Order::Close);
        // The task ends by itself; if it was cancelled there is nothing left to close.
        let _ = self.task.await;
    }

    fn order(&self, order: Order) {
        // The task lives as long as the link: it ends only by Close.
        let _ = self.orders.send(order);
    }
}

struct Task {
    options: Options,
    inbox: mpsc::UnboundedReceiver<Order>,
    outbox: mpsc::UnboundedSender<Event>,
    epoch: u32,
    consuming: bool,
    last_reason: String,
}

/// Why a connected time ended.
enum End {
    Lost(String),
    Closed,
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        for turn in 0.. {
            let url = self.options.urls[turn % self.options.urls.len()].clone();
            let reason = match self.connect(&url).await {
                None => return,
                Some(Ok(broker)) => {
                    backoff = Backoff::default();
                    match self.serve(broker).await {
                        End::Closed => return,
                        End::Lost(reason) => reason,
                    }
                }
                Some(Err(reason)) => reason,
            };
            if self.lost(reason, backoff.next(random())).await {
                return;
            }
        }
    }

    /// `None` = told to close meanwhile.
    async fn connect(&mut self, url: &str) -> Option<Result<Broker, String>> {
        let options = self.options.clone();
        let mut connecting = Box::pin(Broker::connect(url, &options));
        loop {
            tokio::select! {
                broker = &mut connecting => return Some(broker),
                order = self.inbox.recv() => {
                    if self.idle_order(order) {
                        return None;
                    }
                }
            }
        }
    }

    /// Says once why there is no connection, then waits. True = told to close.
    async fn lost(&mut self, reason: String, wait: Duration) -> bool {
        if reason != self.last_reason {
            self.last_reason.clone_from(&reason);
            self.emit(Event::Lost { reason });
        }
        let mut waiting = Box::pin(sleep(wait));
        loop {
            tokio::select! {
                () = &mut waiting => return false,
                order = self.inbox.recv() => {
                    if self.idle_order(order) {
                        return true;
                    }
                }
            }
        }
    }

    /// An order while there is no connection. Deliveries are the broker's again, and what was to be published
    /// is ordered again after the next [`Event::Connected`]. True = close.
    fn idle_order(&mut self, order: Option<Order>) -> bool {
        match order {
            Some(Order::StopConsuming) => self.consuming = false,
            Some(Order::Close) | None => return true,
            Some(Order::Publish { .. } | Order::Ack(_) | Order::GiveBack(_)) => {}
        }
        false
    }

    async fn serve(&mut self, mut broker: Broker) -> End {
        self.epoch += 1;
        self.last_reason.clear();
        if !self.consuming {
            let _ = broker.work.basic_cancel(CONSUMER.into(), BasicCancelOptions::default()).await;
        }
        self.emit(Event::Connected { place: broker.place.clone() });
        let mut sending: FuturesUnordered<BoxFuture<'static, (u64, Result<(), NotSent>)>> =
            FuturesUnordered::new();
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                delivery = broker.consumer.next(), if self.consuming => match delivery {
                    Some(Ok(mut message)) => {
                        let tag = Tag { epoch: self.epoch, number: message.delivery_tag };
                        let body = std::mem::take(&mut message.data);
                        self.emit(Event::Delivered(Delivery { tag, redelivered: message.redelivered, body }));
                    }
                    Some(Err(e)) => return self.leave(broker, reason(&e)).await,
                    None => return self.leave(broker, "the broker ended our consumer".into()).await,
                },
                Some((id, sent)) = sending.next() => match sent {
                    Ok(()) => self.emit(Event::Confirmed { id }),
                    Err(NotSent::Refused(reason)) => self.emit(Event::Refused { id, reason }),
                    Err(NotSent::Lost(reason)) => return self.leave(broker, reason).await,
                },
                order = self.inbox.recv() => match order {
                    Some(Order::Publish { id, body }) => {
                        let (channel, queue) = (broker.replies.clone(), self.options.reply_to.clone());
                        sending.push(Broker::publish(channel, queue, body).map(move |sent| (id, sent)).boxed());
                    }
                    Some(Order::Close) | None => {
                        broker.close().await;
                        return End::Closed;
                    }
                    Some(other) => {
                        if let Err(e) = self.settle(&broker, other).await {
                            return self.leave(broker, reason(&e)).await;
                        }
                    }
                },
                _ = look.tick() => {
                    if !broker.is_connected() {
                        return self.leave(broker, "the broker closed the connection".into()).await;
                    }
                }
            }
        }
    }

    async fn settle(&mut self, broker: &Broker, order: Order) -> lapin::Result<()> {
        match order {
            Order::Ack(tag) if tag.epoch == self.epoch => {
                broker.work.basic_ack(tag.number, BasicAckOptions::default()).await
            }
            Order::GiveBack(tag) if tag.epoch == self.epoch => {
                let options = BasicNackOptions { requeue: true, ..Default::default() };
                broker.work.basic_nack(tag.number, options).await
            }
            Order::StopConsuming => {
                self.consuming = false;
                broker.work.basic_cancel(CONSUMER.into(), BasicCancelOptions::default()).await
            }
            // A delivery of an earlier connection: the broker has it back.
            _ => Ok(()),
        }
    }

    async fn leave(&self, broker: Broker, reason: String) -> End {
        // A broker that hangs must not hold us up: both connections go when they are dropped.
        let _ = tokio::time::timeout(LOOK, broker.close()).await;
        End::Lost(reason)
    }

    fn emit(&self, event: Event) {
        // Nobody listens any more when the link is being closed.
        let _ = self.outbox.send(event);
    }
}

fn random() -> u32 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos())
}
