//! The task of a link: connected as often as it can be, it carries out orders and tells what happens.

use super::served::{Rare, Served, look_after};
use super::{Event, Options, Order, Tag};
use crate::amqp::broker::{Broker, NotSent, Unwell, Work};
use crate::amqp::client;
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
    ) -> Self {
        Self { options, inbox, outbox, epoch: 0, consuming: true, said: HashSet::new() }
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
        self.emit(Event::Connected {
            place: broker.place.clone(),
            product: broker.publishing.product.clone(),
        });
        let mut served = Served::new(broker, work, &self.options);
        if !self.consuming
            && let Some(work) = &served.work
        {
            // Told to stop while it was being opened.
            let _ = timeout(SOON, work.cancel()).await;
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

    fn sent(&self, id: u64, sent: Result<(), NotSent>) -> Option<End> {
        match sent {
            Ok(()) => self.emit(Event::Confirmed { id }),
            Err(NotSent::Refused(reason)) => self.emit(Event::Refused { id, reason }),
            Err(NotSent::Lost(reason)) => return Some(End::Lost(reason)),
        }
        None
    }

    async fn obey(&mut self, served: &mut Served, order: Option<Order>) -> Option<End> {
        match order {
            None | Some(Order::Close) => return Some(End::Closed),
            Some(Order::Publish { id, body }) => {
                let (channel, queue) = (served.broker.replies.clone(), self.options.reply_to.clone());
                let sending = Broker::publish(channel, queue, body).map(move |sent| (id, sent));
                served.sending.push(sending.boxed());
            }
            Some(Order::Ack(tag)) => {
                if let Some(channel) = served.channel(self.epoch, tag) {
                    channel.ack(tag.number);
                }
            }
            Some(Order::GiveBack(tag)) => {
                if let Some(channel) = served.channel(self.epoch, tag) {
                    channel.give_back(tag.number);
                }
            }
            Some(Order::Consume) => {
                self.consuming = true;
                return served.reopen("was not consuming for a while".into(), &self.options);
            }
            Some(Order::StopConsuming) => {
                self.consuming = false;
                let work = served.work.as_ref()?;
                return match timeout(SOON, work.cancel()).await {
                    Ok(Ok(())) => None,
                    Ok(Err(e)) => served.reopen(e.to_string(), &self.options),
                    Err(_) => Some(End::Lost("the broker does not answer".into())),
                };
            }
        }
        None
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
                let reason = served.reopened(work);
                self.emit(Event::Reopened { reason });
            }
            Rare::Reopened(Err(why)) => {
                let reason = served.reopening.take().unwrap_or_default();
                return Some(End::Lost(format!("{reason}; {why}")));
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
