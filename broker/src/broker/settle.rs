//! Settling deliveries: acknowledged, given back, thrown away.

use super::channel::Unacked;
use super::dead::Cause;
use super::{Broker, Done};
use crate::fault::Fault;
use crate::queue::{ConnectionId, Moment};
use amq_protocol::protocol::{AMQPClass, basic};

/// What becomes of a delivery.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Gone.
    Acknowledged,
    /// To its place in the queue.
    Back,
    /// To the dead letters, where there are any.
    Away,
}

impl Fate {
    /// What a peer that did not want it asks for.
    pub fn given_back(requeue: bool) -> Self {
        if requeue { Self::Back } else { Self::Away }
    }
}

impl Broker {
    /// Gives back all that was delivered on a channel and is not settled.
    pub(super) fn recover(&mut self, id: ConnectionId, number: u16, vhost: &str, now: Moment) -> Done {
        self.settle(id, number, vhost, (0, true), Fate::Back, now)?;
        let ok = basic::AMQPMethod::RecoverOk(basic::RecoverOk {});
        self.answer(id, number, AMQPClass::Basic(ok))
    }

    /// Settles one delivery, or all up to it (0 = all).
    pub(super) fn settle(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        (tag, multiple): (u64, bool),
        fate: Fate,
        now: Moment,
    ) -> Done {
        let channel = self.channel(id, number)?;
        let tags: Vec<u64> = match (tag, multiple) {
            (0, true) => channel.unacked.keys().copied().collect(),
            (tag, true) => channel.unacked.range(..=tag).map(|(tag, _)| *tag).collect(),
            (tag, false) => channel.unacked.contains_key(&tag).then_some(tag).into_iter().collect(),
        };
        if tags.is_empty() && (tag, multiple) != (0, true) {
            return Err(Fault::precondition(&format!("unknown delivery tag {tag}")));
        }
        let settled: Vec<_> = tags.iter().filter_map(|tag| channel.unacked.remove(tag)).collect();
        let limit_of_all = channel.prefetch_of_all > 0;
        let mut touched: Vec<String> =
            if limit_of_all { channel.consumers.values().cloned().collect() } else { vec![] };
        for Unacked { queue: name, consumer, entry } in settled {
            let Some(queue) = self.queue_mut(vhost, &name) else { continue };
            if let Some(tag) = &consumer {
                queue.settled(id, number, tag);
            }
            match fate {
                Fate::Back => queue.put_back(entry),
                Fate::Acknowledged => self.drop_entries(&[entry]),
                Fate::Away => self.bury(vhost, &name, entry, Cause::Rejected, now),
            }
            if !touched.contains(&name) {
                touched.push(name);
            }
        }
        touched.iter().for_each(|name| self.pump(vhost, name, now));
        Ok(())
    }
}
