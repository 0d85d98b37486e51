//! A queue: messages in order, and consumers that take turns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Names a connection.
pub type ConnectionId = u64;
/// A point of the monotonic clock.
pub type Moment = Duration;

/// A message as it was published.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub exchange: String,
    /// Its routing key.
    pub key: String,
    /// The payload of its content header, as it came.
    pub header: Vec<u8>,
    /// The message.
    pub body: Vec<u8>,
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place: smaller goes first. Also its name on disk.
    pub id: u64,
    /// The message.
    pub message: Arc<Message>,
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// When it is too old to be delivered.
    pub expires: Option<Moment>,
}

/// Who takes messages from a queue.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its channel.
    pub channel: u16,
    /// Its tag on that channel.
    pub tag: String,
    /// It never acknowledges.
    pub no_ack: bool,
    /// Nobody else may consume.
    pub exclusive: bool,
    /// Deliveries it may have outstanding; 0 = any number.
    pub prefetch: u32,
    /// Deliveries it has outstanding.
    pub outstanding: u32,
}

impl Consumer {
    fn has_credit(&self) -> bool {
        self.no_ack || self.prefetch == 0 || self.outstanding < self.prefetch
    }
}

/// A queue.
#[derive(Debug, Default)]
pub struct Queue {
    /// Whether it survives a restart.
    pub durable: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
    /// The connection it belongs to, with which it goes.
    pub owner: Option<ConnectionId>,
    /// Messages that are ready, in order of their ids.
    pub ready: VecDeque<Entry>,
    /// Its consumers; the first is next.
    pub consumers: VecDeque<Consumer>,
}

impl Queue {
    /// Takes the next message and the consumer whose turn it is; `None` when there is no such pair. Messages
    /// that are too old go to `expired`.
    pub fn next(&mut self, now: Moment, expired: &mut Vec<Entry>) -> Option<(Entry, Consumer)> {
        let turn = self.consumers.iter().position(Consumer::has_credit)?;
        let entry = self.take(now, expired)?;
        let mut consumer = self.consumers.remove(turn)?;
        if !consumer.no_ack {
            consumer.outstanding += 1;
        }
        self.consumers.push_back(consumer.clone());
        Some((entry, consumer))
    }

    /// Takes the next message that is not too old.
    pub fn take(&mut self, now: Moment, expired: &mut Vec<Entry>) -> Option<Entry> {
        loop {
            let entry = self.ready.pop_front()?;
            match entry.expires {
                Some(at) if at <= now => expired.push(entry),
                _ => return Some(entry),
            }
        }
    }

    /// Puts a message back to its place.
    pub fn put_back(&mut self, mut entry: Entry) {
        entry.redelivered = true;
        let at = self.ready.partition_point(|other| other.id < entry.id);
        self.ready.insert(at, entry);
    }

    /// Takes note that a consumer has one delivery less outstanding.
    pub fn settled(&mut self, connection: ConnectionId, channel: u16, tag: &str) {
        let of = |c: &&mut Consumer| c.connection == connection && c.channel == channel && c.tag == tag;
        if let Some(consumer) = self.consumers.iter_mut().find(of) {
            consumer.outstanding = consumer.outstanding.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64) -> Entry {
        let message = Message { exchange: String::new(), key: "q".into(), header: vec![], body: vec![] };
        Entry { id, message: Arc::new(message), redelivered: false, expires: None }
    }

    fn consumer(tag: &str, prefetch: u32) -> Consumer {
        let tag = tag.into();
        Consumer { connection: 1, channel: 1, tag, no_ack: false, exclusive: false, prefetch, outstanding: 0 }
    }

    #[test]
    fn consumers_with_credit_take_turns() {
        let mut queue = Queue { ready: (1..=6).map(entry).collect(), ..Queue::default() };
        queue.consumers.extend([consumer("a", 1), consumer("b", 3)]);
        let mut turns = vec![];
        while let Some((entry, consumer)) = queue.next(Moment::ZERO, &mut vec![]) {
            turns.push((entry.id, consumer.tag));
        }
        let expected = [(1, "a"), (2, "b"), (3, "b"), (4, "b")].map(|(id, tag)| (id, tag.to_owned()));
        assert_eq!(turns, expected);
        queue.settled(1, 1, "a");
        assert_eq!(queue.next(Moment::ZERO, &mut vec![]).map(|(e, c)| (e.id, c.tag)), Some((5, "a".into())));
    }

    #[test]
    fn what_is_put_back_keeps_its_place_and_is_marked() {
        let mut queue = Queue { ready: [1, 4].map(entry).into(), ..Queue::default() };
        queue.put_back(entry(3));
        queue.put_back(entry(2));
        let order: Vec<_> = queue.ready.iter().map(|e| (e.id, e.redelivered)).collect();
        assert_eq!(order, [(1, false), (2, true), (3, true), (4, false)]);
    }

    #[test]
    fn a_message_that_is_too_old_is_not_delivered() {
        let old = Entry { expires: Some(Moment::from_secs(1)), ..entry(1) };
        let mut queue = Queue { ready: [old, entry(2)].into(), ..Queue::default() };
        let mut expired = vec![];
        assert_eq!(queue.take(Moment::from_secs(1), &mut expired).map(|e| e.id), Some(2));
        assert_eq!(expired.len(), 1);
    }
}
