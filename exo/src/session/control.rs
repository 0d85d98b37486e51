//! Answers questions about the workitems in hand, and cancels them.

use super::ended::CANCELLED_UNWANTED;
use super::in_hand::InHand;
use super::{Event, Session};
use crate::control::{Answer, Question, Which};
use crate::machine::Id;
use crate::workers::{Order, Outcome, Workers};
use air::rpc::workitems::{Cancelled, ParticipantStatus, WorkitemStatus};
use air::rpc::{Fault, codes};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::info;
use workitem::{Fei, compose, forget, with_error};

/// How long a handler may take to say how it stands. The whole answer is due within a second: more than half of that is
/// for the ways there and back, on a machine that has much to do.
const HANDLER: Duration = Duration::from_millis(400);
const _: () = assert!(HANDLER.as_millis() < 500);

/// Who has cancelled a workitem.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    /// The engine, which does not wait for a reply any more.
    Engine,
    /// Somebody, for a reason; the engine waits for an answer.
    Somebody(String),
}

/// What there is to know of workitems in hand besides what the session needs.
#[derive(Default)]
pub struct Notes {
    cancelled: HashMap<Id, By>,
    /// Those whose handler has been asked how it stands, and has not said yet.
    asking: Arc<Mutex<HashSet<Id>>>,
}

impl Notes {
    /// It is not in hand any more.
    pub fn forget(&mut self, id: Id) {
        self.cancelled.remove(&id);
    }
}

/// A handler's own words, once they come.
type Words = oneshot::Receiver<Result<Value, String>>;

impl<W: Workers> Session<W> {
    /// Deals with a question. False = the session is over.
    pub(super) fn answer(&mut self, question: Question) -> bool {
        match question {
            Question::Status(which, answer) => {
                self.answer_status(&which, answer);
                true
            }
            Question::Cancel { which, force, reason, answer } => {
                self.answer_cancel(&which, force, &reason, answer)
            }
        }
    }

    /// The workitems in hand that a question is about, oldest first.
    fn asked_for(&self, which: &Which) -> Vec<(Id, Fei)> {
        let mut found: Vec<_> = self
            .in_hand
            .iter()
            .filter(|(id, _)| self.machine.state(**id).is_some())
            .filter_map(|(id, in_hand)| Some((*id, in_hand.fei.clone()?)))
            .filter(|(_, fei)| which.is(&fei.sid(), &fei.wfid))
            .collect();
        found.sort_by_key(|(id, _)| *id);
        found
    }

    /// Says at once what we know ourselves, and waits a moment for the handlers' own words.
    fn answer_status(&self, which: &Which, answer: Answer<ParticipantStatus>) {
        let found = self.asked_for(which);
        if found.is_empty() && which.is_narrow() {
            // A caller that has gone is not told.
            let _ = answer.send(Err(none_here()));
            return;
        }
        let (workitems, words): (Vec<_>, Vec<_>) =
            found.iter().map(|(id, fei)| (self.describe(*id, fei), self.ask(*id))).unzip();
        let me = &self.control.me;
        let status = ParticipantStatus {
            participant: me.participant.clone(),
            instance: me.instance.clone(),
            host: me.host.clone(),
            pid: std::process::id(),
            since: me.since.clone(),
            workitems,
        };
        tokio::spawn(async move {
            let _ = answer.send(Ok(with_words(status, words).await));
        });
    }

    fn describe(&self, id: Id, fei: &Fei) -> WorkitemStatus {
        let in_hand = self.in_hand.get(&id);
        let running = in_hand.map_or(Duration::ZERO, |in_hand: &InHand| in_hand.begun.elapsed());
        WorkitemStatus {
            sid: fei.sid(),
            wfid: fei.wfid.clone(),
            state: self.machine.state(id).unwrap_or("done").into(),
            since: compose::timestamp(SystemTime::now() - running),
            running_ms: u64::try_from(running.as_millis()).unwrap_or(u64::MAX),
            attempt: in_hand.map_or(1, |in_hand| in_hand.attempt),
            redelivered: in_hand.is_some_and(|in_hand| in_hand.redelivered),
            cancelled: self.notes.cancelled.contains_key(&id),
            progress: self.workers.progress(id),
            handler: Value::Null,
            handler_trouble: None,
        }
    }

    /// Asks the handler of a running workitem, unless it still has not answered an earlier question.
    fn ask(&self, id: Id) -> Option<Words> {
        if self.machine.state(id) != Some("running") {
            return None;
        }
        let (tell, words) = oneshot::channel();
        let asking = Arc::clone(&self.notes.asking);
        let set = |asking: &Mutex<HashSet<Id>>, id| {
            asking.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
        };
        if !set(&asking, id) {
            let _ = tell.send(Err("has not answered an earlier question yet".into()));
            return Some(words);
        }
        let (answer, said) = oneshot::channel();
        self.workers.order(Order::Ask { id, answer });
        tokio::spawn(async move {
            let said = said.await;
            asking.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Ok(said) = said {
                // Whoever asked may have stopped waiting.
                let _ = tell.send(said);
            }
        });
        Some(words)
    }

    fn answer_cancel(&mut self, which: &Which, force: bool, reason: &str, answer: Answer<Cancelled>) -> bool {
        if !which.is_narrow() {
            let what = "cancel: wfid or sid is needed where the request does not go to a wfid";
            let _ = answer.send(Err(Fault::new(codes::BAD_ARGUMENTS, what)));
            return true;
        }
        let (mut cancelled, mut events) = (vec![], vec![]);
        for (id, fei) in self.asked_for(which) {
            if self.machine.state(id) == Some("replying") {
                continue;
            }
            info!(
                wfid = fei.wfid,
                "{}: cancelled: {reason}{}",
                self.settings.name,
                if force { ", by force" } else { "" }
            );
            events.extend(self.cancel(id, By::Somebody(reason.to_owned()), force));
            cancelled.push(fei.sid());
        }
        let (participant, host) = (self.control.me.participant.clone(), self.control.me.host.clone());
        let told = Cancelled { participant, host, pid: std::process::id(), cancelled };
        let _ = answer.send(if told.cancelled.is_empty() { Err(none_here()) } else { Ok(told) });
        events.into_iter().all(|event| self.perform(event))
    }

    /// The engine has cancelled a workitem: acknowledged, never replied to.
    pub(super) fn cancelled_by_engine(&mut self, fei: Option<Fei>) {
        let name = self.settings.name.clone();
        let Some(fei) = fei else {
            info!("{name}: the engine cancels an unnamed workitem; acknowledged");
            return;
        };
        let which = self.in_hand.iter().find(|(id, in_hand)| {
            in_hand.fei.as_ref() == Some(&fei)
                && matches!(self.machine.state(**id), Some("waiting" | "running"))
        });
        let Some(id) = which.map(|(id, _)| *id) else {
            info!(wfid = fei.wfid, "{name}: the engine cancels {fei}, which is not in hand; acknowledged");
            return;
        };
        info!(wfid = fei.wfid, "{name}: the engine cancels {fei}");
        if let Some(event) = self.cancel(id, By::Engine, false) {
            // What waits is answered; that does not end the session.
            let _ = self.perform(event);
        }
    }

    fn cancel(&mut self, id: Id, by: By, force: bool) -> Option<Event> {
        let reason = match &by {
            By::Engine => "the engine cancelled it".to_owned(),
            By::Somebody(reason) => reason.clone(),
        };
        // The engine's word is the last: it does not wait any more.
        let by = match self.notes.cancelled.remove(&id) {
            Some(By::Engine) => By::Engine,
            _ => by,
        };
        self.notes.cancelled.insert(id, by);
        if self.machine.state(id) == Some("running") {
            self.workers.order(Order::Cancel { id, force, reason });
            return None;
        }
        let came = self.in_hand.get(&id)?.body.clone();
        let unwanted = forget(&came);
        let reply = self.as_cancelled(id, Outcome::Reply(came.clone()), &came);
        let in_hand = self.in_hand.get_mut(&id)?;
        if let Some(item) = &mut in_hand.item {
            item.end(state::history::Outcome::Cancelled, &reason);
        }
        if unwanted {
            (in_hand.body, in_hand.outcome) = (vec![], CANCELLED_UNWANTED);
            return Some(Event::Forgotten(id));
        }
        if let Outcome::Cancelled(reply) = reply {
            (in_hand.body, in_hand.outcome) = (reply, "answered as cancelled");
        }
        Some(Event::Cancelled(id))
    }

    /// What becomes of the outcome of a workitem that was cancelled: an error reply that says so. Where the engine
    /// cancelled it, the workitem as it is: the engine, which has forgotten it, drops that, while it would keep an
    /// error for ever. Nothing, where nobody waits.
    pub(super) fn as_cancelled(&self, id: Id, outcome: Outcome, came: &[u8]) -> Outcome {
        let Some(by) = self.notes.cancelled.get(&id) else { return outcome };
        let left = match outcome {
            Outcome::Forget => return Outcome::Forget,
            Outcome::Reply(left) | Outcome::Cancelled(left) => left,
            Outcome::Failed { left, forget: told, .. } => {
                let left = left.unwrap_or_else(|| came.to_owned());
                if told.unwrap_or_else(|| forget(&left)) {
                    return Outcome::Cancelled(vec![]);
                }
                left
            }
        };
        match by {
            By::Engine => Outcome::Cancelled(left),
            By::Somebody(reason) => {
                let error = self.error_info(format!("Cancelled: {reason}"));
                let reply = with_error(&left, &error).or_else(|_| with_error(came, &error));
                Outcome::Cancelled(reply.unwrap_or(left))
            }
        }
    }
}

fn none_here() -> Fault {
    Fault::new(codes::NO_SUCH_WORKITEM, "no such workitem is in hand here (any more)")
}

/// Adds what handlers say of themselves, as far as they do in time.
async fn with_words(mut status: ParticipantStatus, words: Vec<Option<Words>>) -> ParticipantStatus {
    let until = Instant::now() + HANDLER;
    for (workitem, words) in status.workitems.iter_mut().zip(words) {
        let Some(words) = words else { continue };
        match timeout_at(until, words).await {
            Ok(Ok(Ok(said))) => workitem.handler = said,
            Ok(Ok(Err(trouble))) => workitem.handler_trouble = Some(trouble),
            // Nobody to ask.
            Ok(Err(_)) => {}
            Err(_) => workitem.handler_trouble = Some(format!("no answer within {} ms", HANDLER.as_millis())),
        }
    }
    status
}
