//! What is kept in memory: of messages that are on disk no more than [`RESIDENT`] bytes, and when all that must
//! be in memory is more than [`ALARM`], who publishes has to wait.

use super::Broker;
use crate::queue::{ConnectionId, Entry};
use amq_protocol::protocol::{AMQPClass, connection};

/// Bytes of content kept in memory although they are on disk.
const RESIDENT: usize = 64 << 20;
/// Bytes of content above which publishers wait; the largest message still fits.
const ALARM: usize = 256 << 20;

/// A message that gives up its copy in memory when the batch is on disk, if it is still there.
pub(super) struct Leaving {
    batch: u64,
    place: Place,
}

/// Where such a message was last seen.
enum Place {
    /// Waiting in a queue, by its id.
    Ready(String, String, u64),
    /// In the hands of a consumer, by the tag of its delivery on that channel.
    Owed(ConnectionId, u16, u64),
}

impl Broker {
    /// A message that waits in a queue, and is more than should be in memory, leaves it when it is on disk.
    pub(super) fn consider_leaving(&mut self, vhost: &str, name: &str, id: u64) {
        if self.weight.bytes() > RESIDENT {
            let place = Place::Ready(vhost.into(), name.into(), id);
            self.leaving_memory.push_back(Leaving { batch: self.batch + 1, place });
        }
    }

    /// The same for one that was just delivered and is to be acknowledged: who has taken more than fits may have to publish
    /// before they acknowledge.
    pub(super) fn consider_leaving_in_hand(&mut self, id: ConnectionId, number: u16, tag: u64) {
        let batch = self.owed(id, number, tag).filter(|entry| entry.is_here()).and_then(|entry| entry.batch);
        if let Some(batch) = batch.filter(|_| self.weight.bytes() > RESIDENT) {
            self.leaving_memory.push_back(Leaving { batch, place: Place::Owed(id, number, tag) });
            self.leave_memory();
        }
    }

    /// Messages that are on disk now leave the memory, if they are still where they were.
    pub(super) fn leave_memory(&mut self) {
        let stored = self.stored;
        while self.leaving_memory.front().is_some_and(|leaving| leaving.batch <= stored) {
            let Some(Leaving { place, .. }) = self.leaving_memory.pop_front() else { return };
            let entry = match place {
                Place::Ready(vhost, name, id) => {
                    self.queue_mut(&vhost, &name).and_then(|queue| queue.find(id))
                }
                Place::Owed(id, number, tag) => self.owed(id, number, tag),
            };
            if let Some(entry) = entry {
                entry.page_out(stored);
            }
        }
    }

    fn owed(&mut self, id: ConnectionId, number: u16, tag: u64) -> Option<&mut Entry> {
        self.channel(id, number).ok()?.unacked.get_mut(&tag).map(|unacked| &mut unacked.entry)
    }

    /// Looks whether publishers have to wait, and tells them when that has changed. True = it has.
    pub fn look_at_memory(&mut self) -> bool {
        let limit = if self.blocked { ALARM / 2 } else { ALARM };
        let blocked = self.weight.bytes() > limit;
        if std::mem::replace(&mut self.blocked, blocked) == blocked {
            return false;
        }
        let publishers = self.connections.iter().filter(|(_, connection)| connection.publishes);
        let publishers: Vec<_> = publishers.map(|(id, _)| *id).collect();
        publishers.into_iter().for_each(|id| self.tell_whether_blocked(id));
        true
    }

    /// Whether publishers have to wait.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether this connection has to wait before it is read from.
    pub fn has_to_wait(&self, id: ConnectionId) -> bool {
        self.blocked && self.connections.get(&id).is_some_and(|connection| connection.publishes)
    }

    /// This connection publishes: from now on it may have to wait.
    pub(super) fn is_a_publisher(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !std::mem::replace(&mut connection.publishes, true) && self.blocked {
            self.tell_whether_blocked(id);
        }
    }

    fn tell_whether_blocked(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(|connection| connection.hears_blocked) {
            let method = match self.blocked {
                true => {
                    connection::AMQPMethod::Blocked(connection::Blocked { reason: "low on memory".into() })
                }
                false => connection::AMQPMethod::Unblocked(connection::Unblocked {}),
            };
            self.send(id, 0, AMQPClass::Connection(method));
        }
    }
}
