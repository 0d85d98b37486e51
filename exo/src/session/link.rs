//! What is made of the link's news.

use super::Session;
use super::keeper::{RENEWING, STOPPING};
use crate::machine::{Event, Phase};
use crate::workers::Workers;
use tracing::{info, warn};

impl<W: Workers> Session<W> {
    pub(super) async fn heard(&mut self, event: air::Event) -> Option<Event> {
        let name = &self.settings.name;
        match event {
            air::Event::Connected { place, product } => {
                if let Some(why) = self.idle() {
                    info!("{name}: connected to {place}, and takes nothing from the queue: {why}");
                    self.keeper.state(false, format!("not consuming: {why}"));
                } else {
                    let words = format!("consuming from {} at {place}", self.settings.queue);
                    info!("{name}: {words}");
                    self.keeper.state(true, words);
                    self.announce();
                    self.limits.warn(&product, &self.settings);
                }
                Some(Event::Connected)
            }
            air::Event::Lost { reason } => {
                warn!("{name}: {reason}; trying again until it works");
                self.keeper.state(false, format!("not consuming: {reason}"));
                self.control.lost(self.born.elapsed());
                self.shrink(&reason);
                Some(Event::Lost)
            }
            air::Event::Reopened { reason } => {
                warn!("{name}: {reason}; consuming from {} again", self.settings.queue);
                self.keeper.state(true, format!("consuming from {}", self.settings.queue));
                Some(Event::Reopened)
            }
            air::Event::Blocked { reason } => {
                warn!("{name}: the broker takes no messages: {reason}; replies wait");
                let waits = format!("replies wait: the broker takes no messages: {reason}");
                self.connected(&format!(", {waits}"));
                None
            }
            air::Event::Unblocked => {
                info!("{name}: the broker takes messages again");
                self.connected("");
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
                if let Some(in_hand) = self.in_hand.get_mut(&id) {
                    in_hand.confirmed = true;
                }
                Some(Event::Confirmed(id))
            }
            air::Event::Refused { id, reason } => {
                let wfid = self.wfid(id);
                warn!(wfid, "{name}: the reply was not taken: {reason}; trying again");
                Some(Event::Refused(id))
            }
        }
    }

    /// Notes that the link is up, and what else there is to say of it.
    fn connected(&mut self, besides: &str) {
        match self.idle() {
            Some(why) => self.keeper.state(false, format!("not consuming: {why}{besides}")),
            None => self.keeper.state(true, format!("consuming from {}{besides}", self.settings.queue)),
        }
    }

    /// Why nothing is taken from the queue though the link is up.
    fn idle(&self) -> Option<String> {
        match self.machine.phase() {
            Phase::Draining { ordered: true, .. } => Some(STOPPING.to_owned()),
            Phase::Draining { ordered: false, .. } => Some(RENEWING.to_owned()),
            _ => self.keeper.trouble().map(str::to_owned),
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
