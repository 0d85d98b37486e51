//! What becomes of a workitem whose handler is done with it.

use super::Session;
use super::in_hand::InHand;
use crate::machine::{Event, Id};
use crate::workers::{Outcome, Report, Workers};
use state::failed::Kind;
use state::history;
use tracing::error;
use workitem::{ErrorInfo, forget, with_error};

/// What is said of a workitem that was cancelled and that nobody waits for.
pub(super) const CANCELLED_UNWANTED: &str = "cancelled, no reply wanted";

impl<W: Workers> Session<W> {
    pub(super) fn reported(&mut self, report: Report) -> Option<Event> {
        match report {
            Report::Done { id, outcome } => self.done(id, outcome, Kind::Exception),
            Report::Extra { body, confirmed } => {
                let id = self.next;
                self.next += 1;
                let extra = InHand { waits: Some(confirmed), ..InHand::new(body, false) };
                self.in_hand.insert(id, extra);
                Some(Event::Extra(id))
            }
        }
    }

    pub(super) fn done(&mut self, id: Id, outcome: Outcome, kind: Kind) -> Option<Event> {
        self.limits.ended(id);
        if self.in_hand.get(&id)?.item.as_ref().is_some_and(|item| item.outcome.is_some()) {
            // It was answered without waiting for its handler.
            return None;
        }
        self.limits.done();
        let came = self.in_hand.get(&id)?.body.clone();
        let (mut ended, mut problem) = (history::Outcome::Replied, String::new());
        let (body, outcome, event) = match self.as_cancelled(id, outcome, &came) {
            Outcome::Cancelled(reply) => {
                ended = history::Outcome::Cancelled;
                if reply.is_empty() {
                    (reply, CANCELLED_UNWANTED, Event::Forgotten(id))
                } else {
                    (reply, "answered as cancelled", Event::Replied(id))
                }
            }
            Outcome::Reply(reply) => (reply, "replied", Event::Replied(id)),
            Outcome::Forget => {
                ended = history::Outcome::Forgotten;
                (vec![], "no reply wanted", Event::Forgotten(id))
            }
            Outcome::Failed { left, error, details, forget: told } => {
                let reply = left.and_then(|left| with_error(&left, &error).ok());
                let reply = reply.or_else(|| with_error(&came, &error).ok()).unwrap_or_default();
                let timeout = kind == Kind::Timeout;
                ended = if timeout { history::Outcome::Timeout } else { history::Outcome::Failed };
                problem.clone_from(&error.message);
                let wanted = !told.unwrap_or_else(|| forget(&reply));
                self.keep_failure(id, kind, &came, &error, &details, wanted);
                if !wanted {
                    (vec![], "failed, no reply wanted", Event::Forgotten(id))
                } else {
                    (reply, "replied with an error", Event::Replied(id))
                }
            }
        };
        let in_hand = self.in_hand.get_mut(&id)?;
        if let Some(item) = &mut in_hand.item {
            item.end(ended, &problem);
        }
        in_hand.answer(body);
        in_hand.outcome = outcome;
        Some(event)
    }

    pub(super) fn keep_failure(
        &mut self,
        id: Id,
        kind: Kind,
        came: &[u8],
        error: &ErrorInfo,
        details: &str,
        answered: bool,
    ) {
        let (name, wfid) = (self.settings.name.clone(), self.wfid(id).to_owned());
        for line in details.lines() {
            error!(wfid, "{name}: {line}");
        }
        let Some(item) = self.in_hand.get(&id).and_then(|in_hand| in_hand.item.as_ref()) else { return };
        let about = item.about(kind, &error.message, answered);
        let (sid, log) = (item.sid.clone(), self.keeper.said(item));
        match self.keeper.keep_failure(about, &sid, came, details, &log) {
            Ok(place) => error!(wfid, "{name}: {}; kept in {place}", error.message),
            Err(e) => error!(wfid, "{name}: {}; cannot keep it: {e}", error.message),
        }
    }
}
