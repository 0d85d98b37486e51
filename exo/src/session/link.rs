//! What is made of the link's news.

use super::Session;
use crate::machine::Event;
use crate::workers::Workers;
use tracing::{info, warn};

impl<W: Workers> Session<W> {
    pub(super) async fn heard(&mut self, event: air::Event) -> Option<Event> {
        let name = &self.settings.name;
        match event {
            air::Event::Connected { place } => {
                info!("{name}: consuming from {} at {place}", self.settings.queue);
                let words = format!("consuming from {} at {place}", self.settings.queue);
                self.keeper.state(true, words);
                self.announce();
                Some(Event::Connected)
            }
            air::Event::Lost { reason } => {
                warn!("{name}: {reason}; trying again until it works");
                self.keeper.state(false, format!("not consuming: {reason}"));
                self.control.lost(self.born.elapsed());
                Some(Event::Lost)
            }
            air::Event::Reopened { reason } => {
                warn!("{name}: {reason}; consuming from {} again", self.settings.queue);
                self.keeper.state(true, format!("consuming from {}", self.settings.queue));
                Some(Event::Reopened)
            }
            air::Event::Blocked { reason } => {
                warn!("{name}: the broker takes no messages: {reason}; replies wait");
                let queue = &self.settings.queue;
                let words =
                    format!("consuming from {queue}, replies wait: the broker takes no messages: {reason}");
                self.keeper.state(true, words);
                None
            }
            air::Event::Unblocked => {
                info!("{name}: the broker takes messages again");
                self.keeper.state(true, format!("consuming from {}", self.settings.queue));
                None
            }
            air::Event::Air(air) => {
                self.control.carried(self.born.elapsed(), air);
                None
            }
            air::Event::NoAir { reason } => {
                self.control.refused(&reason);
                None
            }
            air::Event::Delivered(delivery) => Some(self.delivered(delivery)),
            air::Event::Confirmed { id } => {
                self.control.released(self.born.elapsed(), id);
                Some(Event::Confirmed(id))
            }
            air::Event::Refused { id, reason } => {
                let wfid = self.wfid(id);
                warn!(wfid, "{name}: the reply was not taken: {reason}; trying again");
                Some(Event::Refused(id))
            }
        }
    }

    /// Says once, on the descriptor that SKYNET_NOTIFY_FD names, that we work.
    fn announce(&mut self) {
        if std::mem::replace(&mut self.announced, true) {
            return;
        }
        let Ok(fd) = std::env::var("SKYNET_NOTIFY_FD") else { return };
        if let Ok(fd) = fd.parse() {
            unix::inherited::tell(fd, b"\n");
        }
    }
}
