//! Queues: declared, bound, emptied, deleted.

use super::replies::REPLY_TO;
use super::{Broker, Done};
use crate::arguments::Arguments;
use crate::exchange::Binding;
use crate::fault::Fault;
use crate::queue::{ConnectionId, Moment, Queue};
use crate::store::Change;
use amq_protocol::protocol::{AMQPClass, basic, queue};

impl Broker {
    pub(super) fn queue_mut(&mut self, vhost: &str, name: &str) -> Option<&mut Queue> {
        self.vhosts.get_mut(vhost)?.queues.get_mut(name)
    }

    /// A queue that this connection may use.
    pub(super) fn queue(&mut self, id: ConnectionId, vhost: &str, name: &str) -> Result<&mut Queue, Fault> {
        match self.queue_mut(vhost, name) {
            None => Err(Fault::not_found("queue", name, vhost)),
            Some(queue) if queue.owner.is_some_and(|owner| owner != id) => Err(Fault::locked(name, vhost)),
            Some(queue) => Ok(queue),
        }
    }

    /// The queue that is meant: the last one declared on the channel where none is named.
    pub(super) fn meant(&mut self, id: ConnectionId, number: u16, name: &str) -> Result<String, Fault> {
        if !name.is_empty() {
            return Ok(name.to_owned());
        }
        match self.channel(id, number)?.last_queue.clone() {
            none if none.is_empty() => {
                Err(Fault { code: 404, text: "NOT_FOUND - no previously declared queue".into() })
            }
            last => Ok(last),
        }
    }

    pub(super) fn queue_method(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        method: queue::AMQPMethod,
        now: Moment,
    ) -> Done {
        let reply = AMQPClass::Queue;
        match method {
            queue::AMQPMethod::Declare(declare) => self.declare(id, number, vhost, &declare, now),
            queue::AMQPMethod::Bind(bind) => {
                let name = self.meant(id, number, bind.queue.as_str())?;
                let key = self.key(id, number, bind.queue.as_str(), bind.routing_key.as_str())?;
                let binding = Binding { queue: name, key, arguments: bind.arguments };
                self.bind(id, vhost, bind.exchange.as_str(), binding)?;
                self.answer_unless(
                    bind.nowait,
                    id,
                    number,
                    reply(queue::AMQPMethod::BindOk(queue::BindOk {})),
                )
            }
            queue::AMQPMethod::Unbind(unbind) => {
                let name = self.meant(id, number, unbind.queue.as_str())?;
                let key = self.key(id, number, unbind.queue.as_str(), unbind.routing_key.as_str())?;
                let binding = Binding { queue: name, key, arguments: unbind.arguments };
                self.unbind(id, vhost, unbind.exchange.as_str(), &binding)?;
                self.answer(id, number, reply(queue::AMQPMethod::UnbindOk(queue::UnbindOk {})))
            }
            queue::AMQPMethod::Purge(purge) => {
                let name = self.meant(id, number, purge.queue.as_str())?;
                let gone: Vec<_> = self.queue(id, vhost, &name)?.ready.drain(..).collect();
                self.drop_entries(&gone);
                let message_count = gone.len() as u32; // more than four billion do not fit into memory
                let ok = reply(queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count }));
                self.answer_unless(purge.nowait, id, number, ok)
            }
            queue::AMQPMethod::Delete(delete) => {
                let message_count = self.delete(id, number, vhost, &delete)?;
                let ok = reply(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count }));
                self.answer_unless(delete.nowait, id, number, ok)
            }
            _ => Err(Fault::invalid("not a method for a broker")),
        }
    }

    /// The binding key: where neither queue nor key is named, the name of the queue that is meant.
    fn key(&mut self, id: ConnectionId, number: u16, queue: &str, key: &str) -> Result<String, Fault> {
        match (queue, key) {
            ("", "") => Ok(self.channel(id, number)?.last_queue.clone()),
            _ => Ok(key.to_owned()),
        }
    }

    fn declare(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        declare: &queue::Declare,
        now: Moment,
    ) -> Done {
        let name = match declare.queue.as_str() {
            "" if !declare.passive => self.names.next("amq.gen-"),
            name => name.to_owned(),
        };
        if name.starts_with(REPLY_TO) {
            return self.declare_replies(id, number, vhost, &name);
        }
        let known = self.vhosts.get(vhost).is_some_and(|v| v.queues.contains_key(&name));
        if known {
            let queue = self.queue(id, vhost, &name)?;
            if !declare.passive {
                is_the_same(queue, declare, &name, vhost)?;
            }
            queue.idle_since = now;
        } else if declare.passive {
            return Err(Fault::not_found("queue", &name, vhost));
        } else if declare.queue.as_str().starts_with("amq.") {
            let what = format!("queue name '{name}' contains reserved prefix 'amq.*'");
            return Err(Fault::access_refused(&what));
        } else {
            self.make_queue(id, vhost, declare, &name, now)?;
        }
        self.channel(id, number)?.last_queue.clone_from(&name);
        let mut expired = vec![];
        let queue = self.queue(id, vhost, &name)?;
        queue.expire(now, &mut expired);
        let ok = queue::DeclareOk {
            queue: name.as_str().into(),
            message_count: queue.ready.len() as u32,
            consumer_count: queue.consumers.len() as u32,
        };
        self.expired(vhost, &name, expired, now);
        self.answer_unless(declare.nowait, id, number, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)))
    }

    fn make_queue(
        &mut self,
        id: ConnectionId,
        vhost: &str,
        declare: &queue::Declare,
        name: &str,
        now: Moment,
    ) -> Done {
        let arguments = Arguments::new(&declare.arguments, name, vhost)?;
        self.ticking |= arguments.have_deadlines();
        let queue = Queue {
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            owner: declare.exclusive.then_some(id),
            arguments,
            idle_since: now,
            ..Queue::default()
        };
        if queue.is_stored() {
            let arguments = queue.arguments.to_bytes();
            self.changes.push(Change::Queue { vhost: vhost.into(), name: name.into(), arguments });
        }
        if let Some(host) = self.vhosts.get_mut(vhost) {
            host.queues.insert(name.into(), queue);
        }
        Ok(())
    }

    fn bind(&mut self, id: ConnectionId, vhost: &str, source: &str, binding: Binding) -> Done {
        if source.is_empty() {
            return Err(Fault::access_refused("operation not permitted on the default exchange"));
        }
        let no_exchange = || Fault::not_found("exchange", source, vhost);
        if !self.vhosts.get(vhost).is_some_and(|v| v.exchanges.contains_key(source)) {
            return Err(no_exchange());
        }
        let queue_is_stored = self.queue(id, vhost, &binding.queue)?.is_stored();
        let exchange = self.vhosts.get_mut(vhost).and_then(|v| v.exchanges.get_mut(source));
        let exchange = exchange.ok_or_else(no_exchange)?;
        if !exchange.bindings.contains(&binding) {
            exchange.bindings.push(binding.clone());
            if exchange.durable && queue_is_stored {
                self.changes.push(Change::Bind { vhost: vhost.into(), exchange: source.into(), binding });
            }
        }
        Ok(())
    }

    fn unbind(&mut self, id: ConnectionId, vhost: &str, source: &str, binding: &Binding) -> Done {
        if source.is_empty() {
            return Err(Fault::access_refused("operation not permitted on the default exchange"));
        }
        match self.queue(id, vhost, &binding.queue) {
            Err(fault) if fault.code != 404 => return Err(fault),
            _ => {}
        }
        let exchange = self.vhosts.get_mut(vhost).and_then(|v| v.exchanges.get_mut(source));
        if let Some(exchange) = exchange
            && let Some(at) = exchange.bindings.iter().position(|known| known == binding)
        {
            exchange.bindings.remove(at);
            let binding = binding.clone();
            self.changes.push(Change::Unbind { vhost: vhost.into(), exchange: source.into(), binding });
            self.remove_if_unbound(vhost, source);
        }
        Ok(())
    }

    fn delete(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        delete: &queue::Delete,
    ) -> Result<u32, Fault> {
        let name = self.meant(id, number, delete.queue.as_str())?;
        let count = match self.queue(id, vhost, &name) {
            Ok(queue) if delete.if_unused && !queue.consumers.is_empty() => {
                return Err(Fault::precondition(&format!("queue '{name}' in vhost '{vhost}' in use")));
            }
            Ok(queue) if delete.if_empty && !queue.ready.is_empty() => {
                return Err(Fault::precondition(&format!("queue '{name}' in vhost '{vhost}' not empty")));
            }
            Ok(queue) => queue.ready.len() as u32,
            Err(fault) if fault.code == 404 => 0,
            Err(fault) => return Err(fault),
        };
        self.remove_queue(vhost, &name);
        Ok(count)
    }

    /// Takes a queue away and tells its consumers, if their connections care, that it is gone.
    pub(super) fn remove_queue(&mut self, vhost: &str, name: &str) {
        let Some(host) = self.vhosts.get_mut(vhost) else { return };
        let Some(queue) = host.queues.remove(name) else { return };
        let mut touched = vec![];
        for (source, exchange) in &mut host.exchanges {
            let before = exchange.bindings.len();
            exchange.bindings.retain(|binding| binding.queue != name);
            if exchange.bindings.len() < before {
                touched.push(source.clone());
            }
        }
        touched.iter().for_each(|source| self.remove_if_unbound(vhost, source));
        if queue.is_stored() {
            self.changes.push(Change::NoQueue { vhost: vhost.into(), name: name.into() });
        }
        for consumer in queue.consumers {
            if let Ok(channel) = self.channel(consumer.connection, consumer.channel) {
                channel.consumers.remove(&consumer.tag);
            }
            let cancel = basic::Cancel { consumer_tag: consumer.tag.as_str().into(), nowait: true };
            let cancel = AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel));
            self.send(consumer.connection, consumer.channel, cancel);
        }
    }

    pub(super) fn remove_if_deserted(&mut self, vhost: &str, name: &str) {
        let deserted = |q: &mut Queue| q.auto_delete && q.was_consumed && q.consumers.is_empty();
        if self.queue_mut(vhost, name).is_some_and(deserted) {
            self.remove_queue(vhost, name);
        }
    }

    /// Whether [`Broker::tick`] has something to do as time passes.
    pub fn is_ticking(&self) -> bool {
        self.ticking
    }

    /// Time has passed: queues that nobody has used for as long as they may wait are gone, and messages that
    /// are too old.
    pub fn tick(&mut self, now: Moment) {
        let mut unused = vec![];
        let mut too_old = vec![];
        for (vhost, host) in &mut self.vhosts {
            for (name, queue) in &mut host.queues {
                let mut expired = vec![];
                queue.expire(now, &mut expired);
                if !expired.is_empty() {
                    too_old.push((vhost.clone(), name.clone(), expired));
                }
                let idle = |limit| queue.consumers.is_empty() && now >= queue.idle_since + limit;
                if queue.arguments.expires.is_some_and(idle) {
                    unused.push((vhost.clone(), name.clone()));
                }
            }
        }
        too_old.into_iter().for_each(|(vhost, name, expired)| self.expired(&vhost, &name, expired, now));
        unused.iter().for_each(|(vhost, name)| self.remove_queue(vhost, name));
    }
}

fn is_the_same(queue: &Queue, declare: &queue::Declare, name: &str, vhost: &str) -> Done {
    if declare.exclusive != queue.owner.is_some() {
        return Err(Fault::locked(name, vhost));
    }
    let asked = [
        ("durable", declare.durable, queue.durable),
        ("auto_delete", declare.auto_delete, queue.auto_delete),
    ];
    if let Some((what, asked, is)) = asked.iter().find(|(_, asked, is)| asked != is) {
        return Err(Fault::inequivalent(what, "queue", name, vhost, &asked.to_string(), &is.to_string()));
    }
    queue.arguments.accept(&Arguments::new(&declare.arguments, name, vhost)?, name, vhost)
}
