//! Messages beyond what the broker takes (`max_message_size`, 16 MiB of itself since RabbitMQ 4): it closes the channel of one,
//! each time that it is sent. A reply of that kind becomes an error; who sends another one is told.

use super::Session;
use super::in_hand::InHand;
use crate::machine::Id;
use crate::workers::Workers;
use serde_json::json;
use state::failed::Kind;
use state::history;
use workitem::with_error;

/// The largest message that the broker takes, where that is why it closed a channel.
fn largest(reason: &str) -> Option<usize> {
    let (_, size) = reason.split_once("message size ")?;
    let (_, size) = size.split_once("max size ")?;
    let end = size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len());
    size[..end].parse().ok()
}

impl<W: Workers> Session<W> {
    /// The broker closed a channel for this reason: what it will never take is not sent again.
    pub(super) fn shrink(&mut self, reason: &str) {
        let Some(largest) = largest(reason) else { return };
        let beyond = |(id, in_hand): &(&Id, &InHand)| {
            in_hand.body.len() > largest && self.machine.state(**id) == Some("replying")
        };
        let ids: Vec<_> = self.in_hand.iter().filter(beyond).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.shrink_one(id, largest));
    }

    fn shrink_one(&mut self, id: Id, largest: usize) {
        let Some(in_hand) = self.in_hand.get_mut(&id) else { return };
        let size = in_hand.body.len();
        let Some(fei) = in_hand.fei.clone() else {
            // A message of the handler's own, which waits for it. Without a body it is not sent any more.
            (in_hand.waits, in_hand.body) = (None, vec![]);
            return;
        };
        let came = std::mem::take(&mut in_hand.came);
        let message = format!("the reply has {size} bytes, more than the {largest} that the broker takes");
        let error = self.error_info(message);
        let reply = with_error(&came, &error).ok().filter(|reply| reply.len() <= largest);
        let reply =
            reply.unwrap_or_else(|| json!({"fei": fei, "fields": {}, "error": error}).to_string().into());
        self.keep_failure(id, Kind::Exception, &came, &error, "", true);
        if let Some(in_hand) = self.in_hand.get_mut(&id) {
            if let Some(item) = &mut in_hand.item {
                item.end(history::Outcome::Failed, &error.message);
            }
            (in_hand.body, in_hand.outcome) = (reply, "replied with an error");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_takes_is_in_its_words() {
        for (reason, size) in [
            ("PRECONDITION_FAILED - message size 70 is larger than configured max size 64", Some(64)),
            (
                "PRECONDITION_FAILED - message size 536870913 is larger than max size 536870912; x",
                Some(536_870_912),
            ),
            ("PRECONDITION_FAILED - message size 70 is larger than max size", None),
            ("PRECONDITION_FAILED - fast reply consumer does not exist", None),
            ("", None),
        ] {
            assert_eq!(largest(reason), size, "{reason}");
        }
    }
}
