//! A carrier without a broker: what tests of callers and services run on.

use crate::rpc::carrier::{Broken, Carrier, Exchange, Inbox};
use crate::rpc::message::Message;
use futures_util::stream::unfold;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Queues in this process. Keys are matched as they stand: AIR binds no patterns.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    queues: HashMap<(Exchange, String), Queue>,
    broken: Option<Broken>,
}

struct Queue {
    keys: Vec<String>,
    outlet: UnboundedSender<Message>,
}

impl Hub {
    /// As when the broker goes away: all inboxes end, and nothing can be sent.
    pub fn break_down(&self, why: &str) {
        let mut state = self.lock();
        state.queues.clear();
        state.broken = Some(Broken(why.into()));
    }

    /// How many queues there are.
    pub fn queues(&self) -> usize {
        self.lock().queues.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier for Hub {
    async fn send(&self, exchange: Exchange, message: Message) -> Result<bool, Broken> {
        let state = self.lock();
        if let Some(broken) = &state.broken {
            return Err(broken.clone());
        }
        let mut routed = false;
        for ((place, _), queue) in &state.queues {
            if *place == exchange && queue.keys.contains(&message.key) {
                routed |= queue.outlet.send(message.clone()).is_ok();
            }
        }
        Ok(routed)
    }

    async fn listen(&self, exchange: Exchange, queue: String, keys: Vec<String>) -> Result<Inbox, Broken> {
        let mut state = self.lock();
        if let Some(broken) = &state.broken {
            return Err(broken.clone());
        }
        let (outlet, inlet) = unbounded_channel();
        state.queues.insert((exchange, queue.clone()), Queue { keys, outlet });
        let messages = unfold(inlet, async |mut inlet| inlet.recv().await.map(|message| (message, inlet)));
        let (hub, name) = (self.clone(), (exchange, queue));
        Ok(Inbox::new(messages, Remove { hub, name }))
    }
}

struct Remove {
    hub: Hub,
    name: (Exchange, String),
}

impl Drop for Remove {
    fn drop(&mut self) {
        self.hub.lock().queues.remove(&self.name);
    }
}
