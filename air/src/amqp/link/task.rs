//! The task of a link: connected as often as it can be, it carries out orders and tells what happens.

use super::direct::{Direct, Unsent};
use super::served::{Rare, Served, look_after};
use super::{Event, Options, Order, Tag};
use crate::amqp::broker::{Broker, Unwell, Work, cancel, declare_replies};
use crate::amqp::client::{self, Taken};
use crate::backoff::Backoff;
use crate::rpc::Broken;
use futures_util::StreamExt;
use futures_util::future::FutureExt;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long a broker may take to stop delivering, or to close a connection that is broken.
const SOON: Duration = Duration::from_secs(1);
/// How long a broker may take to close a connection.
const CLOSING: Duration = Duration::from_secs(5);
/// After so long a time the next absence of the broker is a new one, with short waits at first.
const STABLE: Duration = Duration::from_secs(10);
/// How many reasons of one absence are told.
const REASONS: usize = 20;

/// A link's task.
pub struct Task {
    options: Options,
    inbox: mpsc::UnboundedReceiver<Order>,
    outbox: mpsc::UnboundedSender<Event>,
    direct: Direct,
    epoch: u32,
    consuming: bool,
    /// The reasons of this absence that were told.
    said: HashSet<String>,
}

/// Why a connected time ended.
pub enum End {
    /// It broke: why.
    Lost(String),
    /// We were told to close.
    Closed,
}

impl Task {
    /// Not connected yet.
    pub fn new(
        options: Options,
        inbox: mpsc::UnboundedReceiver<Order>,
        outbox: mpsc::UnboundedSender<Event>,
        direct: Direct,
    ) -> Self {
        Self { options, inbox, outbox, direct, epoch: 0, consuming: true, said: HashSet::new() }
    }

    /// Ends when it is told to close.
    pub async fn run(mut self) {
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

    /// An order while there is no connection. True = close.
    fn idle_order(&mut self, order: Option<Order>) -> bool {
        match order {
            Some(Order::StopConsuming(_)) => self.consuming = false,
            Some(Order::Consume) => self.consuming = true,
            Some(Order::Close) | None => return true,
        }
        false
    }

    async fn serve(&mut self, broker: Broker, work: Option<Work>) -> End {
        self.epoch += 1;
        self.said.clear();
        let (place, product) = (broker.place.clone(), broker.publishing.product.clone());
        let (direct, outbox) = (self.direct.clone(), self.outbox.clone());
        let mut served = Served::new(broker, work, self.epoch, &self.options, direct, outbox);
        self.emit(Event::Connected { place, product });
        if !self.consuming
            && let Some(work) = &served.work
        {
            // Told to stop while it was being opened.
            let _ = timeout(SOON, cancel(work.channel())).await;
        }
        let end = loop {
            let end = tokio::select! {
                // After its cancellation too: what was on its way goes back.
                delivery = next(&mut served.work), if !served.ended => self.delivered(&mut served, delivery),
                Some(unsent) = served.unsent.recv() => self.unsent(&mut served, unsent),
                order = self.inbox.recv() => self.obey(&mut served, order).await,
                Some(rare) = served.rare.next() => self.rare(&mut served, rare),
            };
            if let Some(end) = end {
                break end;
            }
        };
        // A broker that hangs must not hold us up.
        let within = if matches!(end, End::Closed) { CLOSING } else { SOON };
        served.broker.close(within).await;
        end
    }

    fn delivered(&self, served: &mut Served, delivery: Option<client::Delivery>) -> Option<End> {
        match delivery {
            Some(client::Delivery { tag, redelivered, properties, body, .. }) => {
                let tag = Tag { epoch: self.epoch, number: tag };
                let deliveries = deliveries(&properties);
                self.emit(Event::Delivered(super::Delivery { tag, redelivered, deliveries, body }));
                None
            }
            None if self.consuming => {
                let why = served.work.as_ref().and_then(|work| work.channel().why_over());
                let why = why.map_or_else(|| "the broker ended our consumer".into(), |why| why.to_string());
                served.reopen(why, &self.options)
            }
            None => {
                served.ended = true;
                None
            }
        }
    }

    fn unsent(&self, served: &mut Served, (id, why): Unsent) -> Option<End> {
        match why {
            Ok(Taken::Yes) => self.emit(Event::Confirmed { id }),
            Ok(Taken::No) => self.emit(Event::Refused { id, reason: "the broker refused it".into() }),
            Ok(Taken::Returned) => {
                let (channel, queue) = (served.broker.replies.clone(), self.options.reply_to.clone());
                let declared = async move { declare_replies(&channel, &queue).await };
                served.rare.push(declared.map(move |_| Rare::Declared(id)).boxed());
            }
            Err(e) => return Some(End::Lost(e.to_string())),
        }
        None
    }

    async fn obey(&mut self, served: &mut Served, order: Option<Order>) -> Option<End> {
        match order {
            None | Some(Order::Close) => Some(End::Closed),
            Some(Order::Consume) => {
                self.consuming = true;
                served.reopen("was not consuming for a while".into(), &self.options)
            }
            Some(Order::StopConsuming(said)) => {
                self.consuming = false;
                let work = served.work.as_ref()?;
                let said = said.unwrap_or_else(|| cancel(work.channel()).boxed());
                match timeout(SOON, said).await {
                    Ok(Ok(())) => {
                        // What was on its way has come: it is told of before we are closed.
                        while let Some(delivery) =
                            served.work.as_mut().and_then(|work| work.consumer.try_next())
                        {
                            let _ = self.delivered(served, Some(delivery));
                        }
                        None
                    }
                    Ok(Err(e)) => served.reopen(e.to_string(), &self.options),
                    Err(_) => Some(End::Lost("the broker does not answer".into())),
                }
            }
        }
    }

    fn rare(&mut self, served: &mut Served, rare: Rare) -> Option<End> {
        match rare {
            Rare::Gone(why) => return Some(End::Lost(why)),
            Rare::Unwell(Unwell::Broken(reason)) => return Some(End::Lost(reason)),
            Rare::Unwell(Unwell::Idle) => {
                served.rare.push(look_after(&served.broker, &self.options));
                if self.consuming && served.reopening.is_none() {
                    return served.reopen("nobody consumed from the queue any more".into(), &self.options);
                }
            }
            Rare::Reopened(Ok(work)) => {
                self.epoch += 1;
                let reason = served.reopened(work, self.epoch);
                self.emit(Event::Reopened { reason });
            }
            Rare::Reopened(Err(why)) => {
                let reason = served.reopening.take().unwrap_or_default();
                return Some(End::Lost(format!("{reason}; {why}")));
            }
            Rare::Declared(id) => {
                let reason = format!("there was no queue {}", self.options.reply_to);
                self.emit(Event::Refused { id, reason });
            }
            Rare::Air(Ok(air)) => self.emit(Event::Air(air)),
            Rare::Air(Err(Broken(reason))) => self.emit(Event::NoAir { reason }),
            Rare::Blocked(reason, blocked) => {
                self.emit(match reason {
                    Some(reason) => Event::Blocked { reason },
                    None => Event::Unblocked,
                });
                served.hear_of_blocking(blocked);
            }
        }
        None
    }

    fn emit(&self, event: Event) {
        // Nobody listens any more when the link is being closed.
        let _ = self.outbox.send(event);
    }
}

/// The next delivery; waits for ever while there is no consumer.
async fn next(work: &mut Option<Work>) -> Option<client::Delivery> {
    match work {
        Some(work) => work.consumer.next().await,
        None => std::future::pending().await,
    }
}

/// The header `x-delivery-count` of quorum queues.
fn deliveries(properties: &client::Properties) -> u32 {
    use client::AMQPValue;
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
