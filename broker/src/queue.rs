//! A queue: messages in order, and consumers that take turns.

use crate::arguments::Arguments;
use crate::message::Message;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Names a connection.
pub type ConnectionId = u64;
/// A point of the monotonic clock.
pub type Moment = Duration;

/// Where the content of a message in a queue is.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Here(Arc<Message>),
    /// On disk only.
    Stored,
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place: smaller goes first. Also its name on disk.
    pub id: u64,
    /// The message.
    pub content: Content,
    /// The batch that brings it to disk; `None` = it stays in memory only.
    pub batch: Option<u64>,
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// When it is too old to be delivered.
    pub expires: Option<Moment>,
}

impl Entry {
    /// Whether there is a copy in memory.
    pub fn is_here(&self) -> bool {
        matches!(self.content, Content::Here(_))
    }

    /// Gives up the copy in memory where one is on disk, given the last batch that is.
    pub fn page_out(&mut self, stored: u64) {
        if self.batch.is_some_and(|batch| batch <= stored) {
            self.content = Content::Stored;
        }
    }
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
    /// It has had a consumer: only then an auto-delete queue can lose its last one.
    pub was_consumed: bool,
    /// The connection it belongs to, with which it goes.
    pub owner: Option<ConnectionId>,
    /// What it was declared with.
    pub arguments: Arguments,
    /// Since when nobody has used it, as `x-expires` counts.
    pub idle_since: Moment,
    /// Messages that are ready, in order of their ids.
    pub ready: VecDeque<Entry>,
    /// Its consumers; the first is next.
    pub consumers: VecDeque<Consumer>,
}

impl Queue {
    /// Whether its messages lie on disk: an auto-delete or exclusive queue has nobody to come back to.
    pub fn is_stored(&self) -> bool {
        self.durable && !self.auto_delete && self.owner.is_none()
    }

    /// Takes the next message and the consumer whose turn it is; `None` when there is no such pair. Consumers
    /// that `may_take` denies are passed over. Messages that are too old go to `expired`.
    pub fn next(
        &mut self,
        now: Moment,
        may_take: impl Fn(&Consumer) -> bool,
        expired: &mut Vec<Entry>,
    ) -> Option<(Entry, Consumer)> {
        let turn = self.consumers.iter().position(|c| c.has_credit() && may_take(c))?;
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
        self.expire(now, expired);
        self.ready.pop_front()
    }

    /// Takes away the messages at the front that are too old.
    pub fn expire(&mut self, now: Moment, expired: &mut Vec<Entry>) {
        while self.ready.front().is_some_and(|entry| entry.expires.is_some_and(|at| at <= now)) {
            expired.extend(self.ready.pop_front());
        }
    }

    /// Puts a message back to its place, as one that was delivered.
    pub fn put_back(&mut self, mut entry: Entry) {
        entry.redelivered = true;
        let at = self.ready.partition_point(|other| other.id < entry.id);
        self.ready.insert(at, entry);
    }

    /// A message that is ready.
    pub fn find(&mut self, id: u64) -> Option<&mut Entry> {
        let at = self.ready.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.ready.get_mut(at)
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
        Entry { id, content: Content::Stored, batch: Some(1), redelivered: false, expires: None }
    }

    fn consumer(tag: &str, prefetch: u32) -> Consumer {
        let tag = tag.into();
        Consumer { connection: 1, channel: 1, tag, no_ack: false, exclusive: false, prefetch, outstanding: 0 }
    }

    fn next(queue: &mut Queue) -> Option<(u64, String)> {
        let taken = queue.next(Moment::ZERO, |_| true, &mut vec![]);
        taken.map(|(entry, consumer)| (entry.id, consumer.tag))
    }

    #[test]
    fn consumers_with_credit_take_turns() {
        let mut queue = Queue { ready: (1..=6).map(entry).collect(), ..Queue::default() };
        queue.consumers.extend([consumer("a", 1), consumer("b", 3)]);
        let mut turns = vec![];
        while let Some(turn) = next(&mut queue) {
            turns.push(turn);
        }
        let expected = [(1, "a"), (2, "b"), (3, "b"), (4, "b")].map(|(id, tag)| (id, tag.to_owned()));
        assert_eq!(turns, expected);
        queue.settled(1, 1, "a");
        assert_eq!(next(&mut queue), Some((5, "a".into())));
    }

    #[test]
    fn who_may_not_take_is_passed_over() {
        let mut queue = Queue { ready: (1..=2).map(entry).collect(), ..Queue::default() };
        queue.consumers.extend([consumer("a", 0), consumer("b", 0)]);
        let taken = queue.next(Moment::ZERO, |c| c.tag != "a", &mut vec![]);
        assert_eq!(taken.map(|(_, consumer)| consumer.tag), Some("b".into()));
        assert!(queue.next(Moment::ZERO, |_| false, &mut vec![]).is_none());
        assert_eq!(queue.ready.len(), 1, "and the message stays");
    }

    #[test]
    fn what_is_put_back_keeps_its_place_and_is_marked() {
        let mut queue = Queue { ready: [1, 4].map(entry).into(), ..Queue::default() };
        queue.put_back(entry(3));
        queue.put_back(entry(2));
        let order: Vec<_> = queue.ready.iter().map(|e| (e.id, e.redelivered)).collect();
        assert_eq!(order, [(1, false), (2, true), (3, true), (4, false)]);
        assert_eq!(queue.find(3).map(|e| e.id), Some(3));
        assert!(queue.find(5).is_none());
    }

    #[test]
    fn a_message_that_is_too_old_is_not_delivered() {
        let old = Entry { expires: Some(Moment::from_secs(1)), ..entry(1) };
        let mut queue = Queue { ready: [old, entry(2)].into(), ..Queue::default() };
        let mut expired = vec![];
        assert_eq!(queue.take(Moment::from_secs(1), &mut expired).map(|e| e.id), Some(2));
        assert_eq!(expired.len(), 1);
    }

    #[test]
    fn only_what_is_on_disk_gives_up_its_copy_in_memory() {
        let message = || Content::Here(Arc::new(Message::for_test("q", b"x")));
        for (batch, stored, paged) in [(None, 9, false), (Some(3), 2, false), (Some(3), 3, true)] {
            let mut entry = Entry { content: message(), batch, ..entry(1) };
            entry.page_out(stored);
            assert_eq!(matches!(entry.content, Content::Stored), paged, "{batch:?} {stored}");
        }
    }
}
