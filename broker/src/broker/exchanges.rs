//! Exchanges: declared, deleted.

use super::{Broker, Done};
use crate::exchange::{Exchange, Kind};
use crate::fault::Fault;
use crate::queue::ConnectionId;
use crate::store::Change;
use amq_protocol::protocol::{AMQPClass, exchange};

impl Broker {
    pub(super) fn exchange_method(
        &mut self,
        id: ConnectionId,
        number: u16,
        vhost: &str,
        method: exchange::AMQPMethod,
    ) -> Done {
        match method {
            exchange::AMQPMethod::Declare(declare) => {
                self.declare_exchange(vhost, &declare)?;
                let ok = AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}));
                self.answer_unless(declare.nowait, id, number, ok)
            }
            exchange::AMQPMethod::Delete(delete) => {
                self.delete_exchange(vhost, &delete)?;
                let ok = AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {}));
                self.answer_unless(delete.nowait, id, number, ok)
            }
            _ => Err(Fault::not_implemented("bindings between exchanges")),
        }
    }

    fn declare_exchange(&mut self, vhost: &str, declare: &exchange::Declare) -> Done {
        let name = declare.exchange.as_str();
        if name.is_empty() {
            return Err(Fault::access_refused("operation not permitted on the default exchange"));
        }
        let Some(host) = self.vhosts.get_mut(vhost) else { return Ok(()) };
        let kind = Kind::parse(declare.kind.as_str());
        match (host.exchanges.get(name), kind) {
            (None, _) if declare.passive => return Err(Fault::not_found("exchange", name, vhost)),
            (Some(_), _) if declare.passive => return Ok(()),
            (_, None) => {
                return Err(Fault::invalid(&format!("unknown exchange type '{}'", declare.kind.as_str())));
            }
            (Some(known), Some(kind)) => return is_the_same(known, declare, kind, vhost),
            (None, Some(kind)) => {
                if name.starts_with("amq.") {
                    let what = format!("exchange name '{name}' contains reserved prefix 'amq.*'");
                    return Err(Fault::access_refused(&what));
                }
                let (durable, auto_delete) = (declare.durable, declare.auto_delete);
                host.exchanges.insert(name.into(), Exchange { kind, durable, auto_delete, bindings: vec![] });
                if durable {
                    let (vhost, name, kind) = (vhost.into(), name.into(), kind.name());
                    self.changes.push(Change::Exchange { vhost, name, kind, auto_delete });
                }
            }
        }
        Ok(())
    }

    fn delete_exchange(&mut self, vhost: &str, delete: &exchange::Delete) -> Done {
        let name = delete.exchange.as_str();
        if name.is_empty() {
            return Err(Fault::access_refused("operation not permitted on the default exchange"));
        }
        if name.starts_with("amq.") {
            return Err(Fault::access_refused(&format!(
                "deletion of system exchange '{name}' in vhost '{vhost}' not allowed"
            )));
        }
        let known = self.vhosts.get(vhost).and_then(|v| v.exchanges.get(name));
        if delete.if_unused && known.is_some_and(|e| !e.bindings.is_empty()) {
            return Err(Fault::precondition(&format!("exchange '{name}' in vhost '{vhost}' in use")));
        }
        self.remove_exchange(vhost, name);
        Ok(())
    }

    fn remove_exchange(&mut self, vhost: &str, name: &str) {
        let gone = self.vhosts.get_mut(vhost).and_then(|host| host.exchanges.remove(name));
        if gone.is_some_and(|exchange| exchange.durable) {
            self.changes.push(Change::NoExchange { vhost: vhost.into(), name: name.into() });
        }
    }

    /// An auto-delete exchange goes with its last binding.
    pub(super) fn remove_if_unbound(&mut self, vhost: &str, name: &str) {
        let known = self.vhosts.get(vhost).and_then(|v| v.exchanges.get(name));
        if known.is_some_and(|e| e.auto_delete && e.bindings.is_empty()) {
            self.remove_exchange(vhost, name);
        }
    }
}

fn is_the_same(known: &Exchange, declare: &exchange::Declare, kind: Kind, vhost: &str) -> Done {
    let name = declare.exchange.as_str();
    let differs =
        |what: &str, asked: &str, is: &str| Fault::inequivalent(what, "exchange", name, vhost, asked, is);
    if kind != known.kind {
        return Err(differs("type", kind.name(), known.kind.name()));
    }
    for (what, asked, is) in
        [("durable", declare.durable, known.durable), ("auto_delete", declare.auto_delete, known.auto_delete)]
    {
        if asked != is {
            return Err(differs(what, &asked.to_string(), &is.to_string()));
        }
    }
    Ok(())
}
