//! The class basic: which method is dealt with where.

use super::settle::Fate;
use super::{Broker, Done};
use crate::fault::Fault;
use crate::queue::{ConnectionId, Moment};
use amq_protocol::protocol::basic::AMQPMethod;

impl Broker {
    pub(super) fn basic_method(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        method: AMQPMethod,
        now: Moment,
    ) -> Done {
        match method {
            AMQPMethod::Publish(method) => self.begin(id, number, vhost, method),
            AMQPMethod::Qos(qos) => self.qos(id, number, vhost, &qos, now),
            AMQPMethod::Consume(consume) => self.consume(id, number, vhost, &consume, now),
            AMQPMethod::Cancel(cancel) => self.cancel(id, number, vhost, cancel, now),
            AMQPMethod::Get(get) => self.get(id, number, vhost, &get, now),
            AMQPMethod::Ack(ack) => {
                self.settle(id, number, vhost, (ack.delivery_tag, ack.multiple), Fate::Acknowledged, now)
            }
            AMQPMethod::Nack(nack) => {
                let fate = Fate::given_back(nack.requeue);
                self.settle(id, number, vhost, (nack.delivery_tag, nack.multiple), fate, now)
            }
            AMQPMethod::Reject(reject) => {
                let fate = Fate::given_back(reject.requeue);
                self.settle(id, number, vhost, (reject.delivery_tag, false), fate, now)
            }
            AMQPMethod::Recover(recover) if recover.requeue => self.recover(id, number, vhost, now),
            AMQPMethod::Recover(_) => Err(Fault::not_implemented("requeue=false")),
            _ => Err(Fault::invalid("not a method for a broker")),
        }
    }
}
