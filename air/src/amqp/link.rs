//! The link: a task that is connected as often as it can be.

use crate::amqp::broker::{Broker, NotSent, Unwell, Work, reason, watch};
use crate::amqp::carrier::Air;
use crate::amqp::connection::Tls;
use crate::backoff::Backoff;
use crate::rpc::Broken;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{BoxStream, FuturesUnordered};
use lapin::options::{BasicAckOptions, BasicNackOptions};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How often a connection that is not used is looked at (lapin says nothing of an idle publisher's end).
const LOOK: Duration = Duration::from_secs(1);
/// How long a broker may take to close a connection.
const CLOSING: Duration = Duration::from_secs(5);
/// After so long a time the next absence of the broker is a new one, with short waits at first.
const STABLE: Duration = Duration::from_secs(10);
/// How many reasons of one absence are told.
const REASONS: usize = 20;

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
    Publish { id: u64, body: Vec<u8> },
    Ack(Tag),
    GiveBack(Tag),
    StopConsuming,
    Consume,
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
        let task = Task { options, inbox, outbox, epoch: 0, consuming: true, said: HashSet::new() };
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

    /// Takes from the queue again after [`Link::stop_consuming`].
    pub fn consume(&self) {
        self.order(Order::Consume);
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
    /// The reasons of this absence that were told.
    said: HashSet<String>,
}

/// Why a connected time ended.
enum End {
    Lost(String),
    Closed,
}

/// A connected time.
struct Served {
    broker: Broker,
    work: Option<Work>,
    sending: FuturesUnordered<BoxFuture<'static, (u64, Result<(), NotSent>)>>,
    rare: FuturesUnordered<BoxFuture<'static, Rare>>,
    /// When our consumer was opened.
    opened: Instant,
    /// Why it is being opened again.
    reopening: Option<String>,
    /// It was cancelled, and all that was on its way has come.
    ended: bool,
}

/// What seldom happens.
enum Rare {
    /// Time to look whether the connections are there.
    Look,
    /// The broker is not well, or our consumer is not.
    Unwell(Unwell),
    /// The work queue is consumed from again, on a new channel, or cannot be.
    Reopened(Result<Work, String>),
    /// AIR can be carried, or cannot.
    Air(Result<Air, Broken>),
    /// The broker said something of the publishing connection.
    Said(Option<lapin::Event>, BoxStream<'static, lapin::Event>),
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        for turn in 0.. {
            let url = self.options.urls[turn % self.options.urls.len()].clone();
            let reason = match self.connect(&url).await {
                None => return,
                Some(Ok((broker, work))) => {
                    let since = Instant::now();
                    let end = self.serve(broker, work).await;
                    if since.elapsed() > STABLE {
                        backoff = Backoff::default();
                    }
                    match end {
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
    async fn connect(&mut self, url: &str) -> Option<Result<(Broker, Option<Work>), String>> {
        let (options, consuming) = (self.options.clone(), self.consuming);
        let mut connecting = Box::pin(async {
            let broker = Broker::connect(url, &options).await?;
            let work = match consuming {
                true => Some(Work::open(Arc::clone(&broker.consuming), options.clone()).await?),
                false => None,
            };
            Ok((broker, work))
        });
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
        if self.said.len() < REASONS && self.said.insert(reason.clone()) {
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
            Some(Order::Consume) => self.consuming = true,
            Some(Order::Close) | None => return true,
            Some(Order::Publish { .. } | Order::Ack(_) | Order::GiveBack(_)) => {}
        }
        false
    }

    async fn serve(&mut self, broker: Broker, work: Option<Work>) -> End {
        self.epoch += 1;
        self.said.clear();
        self.emit(Event::Connected { place: broker.place.clone() });
        let mut served = Served::new(broker, work, &self.options);
        if !self.consuming
            && let Some(work) = &served.work
        {
            // Told to stop while it was being opened.
            let _ = timeout(LOOK, work.cancel()).await;
        }
        let end = loop {
            let end = tokio::select! {
                // After its cancellation too: what was on its way goes back.
                delivery = next(&mut served.work), if !served.ended => self.delivered(&mut served, delivery),
                Some((id, sent)) = served.sending.next() => self.sent(id, sent),
                order = self.inbox.recv() => self.obey(&mut served, order).await,
                Some(rare) = served.rare.next() => self.rare(&mut served, rare),
            };
            if let Some(end) = end {
                break end;
            }
        };
        // A broker that hangs must not hold us up.
        let within = if matches!(end, End::Closed) { CLOSING } else { LOOK };
        served.broker.close(within).await;
        end
    }

    fn delivered(
        &self,
        served: &mut Served,
        delivery: Option<lapin::Result<lapin::message::Delivery>>,
    ) -> Option<End> {
        match delivery {
            Some(Ok(mut message)) => {
                let tag = Tag { epoch: self.epoch, number: message.delivery_tag };
                let body = std::mem::take(&mut message.data);
                let (redelivered, deliveries) = (message.redelivered, deliveries(&message.properties));
                self.emit(Event::Delivered(Delivery { tag, redelivered, deliveries, body }));
                None
            }
            Some(Err(e)) => served.reopen(reason(&e), &self.options),
            None if self.consuming => served.reopen("the broker ended our consumer".into(), &self.options),
            None => {
                served.ended = true;
                None
            }
        }
    }

    fn sent(&self, id: u64, sent: Result<(), NotSent>) -> Option<End> {
        match sent {
            Ok(()) => self.emit(Event::Confirmed { id }),
            Err(NotSent::Refused(reason)) => self.emit(Event::Refused { id, reason }),
            Err(NotSent::Lost(reason)) => return Some(End::Lost(reason)),
        }
        None
    }

    async fn obey(&mut self, served: &mut Served, order: Option<Order>) -> Option<End> {
        let settled = match order {
            None | Some(Order::Close) => return Some(End::Closed),
            Some(Order::Publish { id, body }) => {
                let (channel, queue) = (served.broker.replies.clone(), self.options.reply_to.clone());
                let sending = Broker::publish(channel, queue, body).map(move |sent| (id, sent));
                served.sending.push(sending.boxed());
                return None;
            }
            Some(Order::Consume) => {
                self.consuming = true;
                return served.reopen("was not consuming for a while".into(), &self.options);
            }
            Some(Order::StopConsuming) => {
                self.consuming = false;
                let Some(work) = &served.work else { return None };
                timeout(LOOK, work.cancel()).await
            }
            Some(Order::Ack(tag)) => {
                let channel = served.channel(self.epoch, tag)?;
                timeout(CLOSING, channel.basic_ack(tag.number, BasicAckOptions::default())).await
            }
            Some(Order::GiveBack(tag)) => {
                let channel = served.channel(self.epoch, tag)?;
                let options = BasicNackOptions { requeue: true, ..Default::default() };
                timeout(CLOSING, channel.basic_nack(tag.number, options)).await
            }
        };
        match settled {
            Ok(Ok(())) => None,
            Ok(Err(e)) => served.reopen(reason(&e), &self.options),
            Err(_) => Some(End::Lost("the broker does not read what is sent to it".into())),
        }
    }

    fn rare(&mut self, served: &mut Served, rare: Rare) -> Option<End> {
        match rare {
            Rare::Look if served.broker.is_connected() => served.rare.push(look()),
            Rare::Look => return Some(End::Lost("the broker closed the connection".into())),
            Rare::Unwell(Unwell::Broken(reason)) => return Some(End::Lost(reason)),
            Rare::Unwell(Unwell::Idle) => {
                served.rare.push(watching(&served.broker, &self.options));
                if self.consuming && served.reopening.is_none() {
                    return served.reopen("nobody consumed from the queue any more".into(), &self.options);
                }
            }
            Rare::Reopened(Ok(work)) => {
                self.epoch += 1;
                served.work = Some(work);
                served.ended = false;
                served.opened = Instant::now();
                let reason = served.reopening.take().unwrap_or_default();
                self.emit(Event::Reopened { reason });
            }
            Rare::Reopened(Err(why)) => {
                let reason = served.reopening.take().unwrap_or_default();
                return Some(End::Lost(format!("{reason}; {why}")));
            }
            Rare::Air(Ok(air)) => self.emit(Event::Air(air)),
            Rare::Air(Err(Broken(reason))) => self.emit(Event::NoAir { reason }),
            Rare::Said(Some(said), stream) => {
                match said {
                    lapin::Event::ConnectionBlocked(reason) => self.emit(Event::Blocked { reason }),
                    lapin::Event::ConnectionUnblocked => self.emit(Event::Unblocked),
                    _ => {}
                }
                served.rare.push(listening(stream));
            }
            Rare::Said(None, _) => {}
        }
        None
    }

    fn emit(&self, event: Event) {
        // Nobody listens any more when the link is being closed.
        let _ = self.outbox.send(event);
    }
}

impl Served {
    fn new(broker: Broker, work: Option<Work>, options: &Options) -> Self {
        let rare = FuturesUnordered::new();
        rare.push(look());
        rare.push(watching(&broker, options));
        rare.push(listening(broker.publishing.inner().events_listener().boxed()));
        let (listening, sender) = (Arc::clone(&broker.consuming), Arc::clone(&broker.publishing));
        rare.push(async { Rare::Air(Air::between(listening, sender).await) }.boxed());
        let (sending, opened, reopening) = (FuturesUnordered::new(), Instant::now(), None);
        Self { broker, work, sending, rare, opened, reopening, ended: false }
    }

    /// The channel to settle a delivery on; `None` for one of an earlier channel, which the broker has back.
    fn channel(&self, epoch: u32, tag: Tag) -> Option<&lapin::Channel> {
        self.work.as_ref().filter(|_| tag.epoch == epoch).map(|work| &work.channel)
    }

    /// Begins to consume again, on a new channel, where the connection is still there.
    fn reopen(&mut self, reason: String, options: &Options) -> Option<End> {
        if !self.broker.consuming.is_connected() || self.reopening.is_some() {
            return Some(End::Lost(reason));
        }
        self.work = None;
        self.reopening = Some(reason);
        // One that does not last is not opened again and again at full speed.
        let wait = LOOK.saturating_sub(self.opened.elapsed());
        let opening = Work::open(Arc::clone(&self.broker.consuming), options.clone());
        let reopened = async move {
            sleep(wait).await;
            Rare::Reopened(opening.await)
        };
        self.rare.push(reopened.boxed());
        None
    }
}

/// The next delivery; waits for ever while there is no consumer.
async fn next(work: &mut Option<Work>) -> Option<lapin::Result<lapin::message::Delivery>> {
    match work {
        Some(work) => work.consumer.next().await,
        None => std::future::pending().await,
    }
}

fn look() -> BoxFuture<'static, Rare> {
    sleep(LOOK).map(|()| Rare::Look).boxed()
}

fn watching(broker: &Broker, options: &Options) -> BoxFuture<'static, Rare> {
    let (consuming, publishing) = (Arc::clone(&broker.consuming), Arc::clone(&broker.publishing));
    watch(consuming, publishing, options.clone()).map(Rare::Unwell).boxed()
}

fn listening(stream: BoxStream<'static, lapin::Event>) -> BoxFuture<'static, Rare> {
    stream.into_future().map(|(said, stream)| Rare::Said(said, stream)).boxed()
}

/// The header `x-delivery-count` of quorum queues.
fn deliveries(properties: &lapin::BasicProperties) -> u32 {
    use lapin::types::AMQPValue;
    let headers = properties.headers().as_ref();
    let count = match headers.and_then(|headers| headers.inner().get("x-delivery-count")) {
        Some(AMQPValue::LongLongInt(count)) => *count,
        Some(AMQPValue::LongInt(count)) => i64::from(*count),
        Some(AMQPValue::LongUInt(count)) => i64::from(*count),
        Some(AMQPValue::ShortInt(count)) => i64::from(*count),
        Some(AMQPValue::ShortShortInt(count)) => i64::from(*count),
        _ => 0,
    };
    u32::try_from(count).unwrap_or(0)
}

fn random() -> u32 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos())
}
