//! What is noted of a workitem in hand, for the journal, the failed store and the history.

use serde_json::Value;
use state::Micros;
use state::failed::{About, Kind};
use state::history::{Outcome, Row};
use state::journal::{Attempt, Digest, Handled, Taken};
use state::moment;
use workitem::{Header, Incoming, parse};

/// What is noted of a workitem in hand.
#[derive(Clone, Debug, Default)]
pub struct Item {
    /// SHA-256 of the message.
    pub digest: Digest,
    pub sid: String,
    pub wfid: String,
    pub workflow: String,
    dispatched: Option<Micros>,
    pub redelivered: bool,
    /// The processes that ended while they had it in hand.
    pub attempts: Vec<Attempt>,
    /// How often the broker says that it was delivered before (quorum queues).
    deliveries: u32,
    /// How many of these are known not to have ended a process.
    pub harmless: u32,
    /// It may have ended a process: it runs alone.
    pub suspect: bool,
    /// The journal knows of it.
    pub journalled: bool,
    /// When the handler was given it.
    pub started: Option<Micros>,
    ended: Micros,
    pub outcome: Option<Outcome>,
    error: String,
}

impl Item {
    /// A workitem that came.
    pub fn new(header: &Header, digest: Digest, redelivered: bool, deliveries: u32) -> Self {
        Self {
            digest,
            sid: header.fei.sid(),
            wfid: header.fei.wfid.clone(),
            workflow: header.wf_name.clone().unwrap_or_default(),
            dispatched: header.dispatched_at.as_deref().and_then(moment::parse_dispatched),
            redelivered,
            deliveries,
            ..Self::default()
        }
    }

    /// How often it has ended a process, as far as the journal or the broker knows. The broker counts each time that
    /// it had it back, also from those who were told to stop, or only lost their connection.
    pub fn crashes(&self) -> u32 {
        let count = |alone| {
            let counted = self.attempts.iter().filter(|attempt| attempt.alone == alone).count();
            u32::try_from(counted).unwrap_or(u32::MAX)
        };
        let harmless = self.harmless.saturating_add(count(false));
        count(true).max(self.deliveries.saturating_sub(harmless))
    }

    /// Which attempt this is, from 1; of one that was given up, which was the last.
    pub fn attempt(&self) -> u32 {
        self.crashes().saturating_add(u32::from(self.outcome != Some(Outcome::Crashed)))
    }

    /// Its first record.
    pub fn taken<'a>(&'a self, body: &'a [u8]) -> Taken<'a> {
        Taken {
            time: match self.outcome {
                // The history knows it by the same.
                Some(_) => self.begun().unwrap_or(self.ended),
                None => self.started.unwrap_or_else(moment::now),
            },
            digest: self.digest,
            running: true,
            suspect: self.suspect,
            attempts: self.attempts.clone(),
            sid: &self.sid,
            body,
        }
    }

    /// Its handler is done, or it is answered without one.
    pub fn end(&mut self, outcome: Outcome, error: &str) {
        self.ended = moment::now();
        self.outcome = Some(outcome);
        error.clone_into(&mut self.error);
    }

    /// A workitem that a process handled before it ended; `None` where that does not tell which.
    pub fn handled(handled: &Handled) -> Option<Self> {
        let Ok(Incoming::Workitem(header)) = parse(&handled.body) else { return None };
        let (attempts, started) = (handled.attempts.clone(), Some(handled.started));
        let mut item = Self { attempts, started, ..Self::new(&header, Digest::default(), false, 0) };
        item.end(handled.outcome, &error_of(&handled.reply));
        item.ended = handled.ended;
        Some(item)
    }

    /// When its handler was done.
    pub fn ended(&self) -> Micros {
        self.ended
    }

    /// When it ended, where that was before we knew of it.
    pub fn ended_at(&mut self, ended: Option<Micros>) {
        self.ended = ended.unwrap_or(self.ended);
    }

    /// When it was begun; of one that is not begun any more: when the last process was given it.
    fn begun(&self) -> Option<Micros> {
        self.started.or_else(|| self.attempts.last().map(|attempt| attempt.started))
    }

    /// Its row in the history; `None` = it has not ended.
    pub fn row(&self, participant: &str) -> Option<Row> {
        let outcome = self.outcome?;
        let started = self.begun().unwrap_or(self.ended);
        Some(Row {
            participant: participant.to_owned(),
            sid: self.sid.clone(),
            wfid: self.wfid.clone(),
            workflow: self.workflow.clone(),
            started,
            ended: self.ended.max(started),
            // Clocks of two machines need not agree.
            wait: self.dispatched.map(|sent| (started - sent).max(0)),
            outcome,
            attempt: self.attempt(),
            error: self.error.clone(),
        })
    }

    /// What the failed store is told of it.
    pub fn about(&self, kind: Kind, reason: &str, answered: bool) -> About {
        About {
            kind,
            reason: reason.lines().next().unwrap_or_default().to_owned(),
            sid: self.sid.clone(),
            wfid: self.wfid.clone(),
            workflow: self.workflow.clone(),
            started: self.begun(),
            attempt: self.attempt(),
            attempts: self.attempts.clone(),
            redelivered: self.redelivered,
            answered,
            ..About::default()
        }
    }

    /// The attempts, in a line each, for the engine.
    pub fn attempt_history(&self) -> Vec<String> {
        let line = |(n, a): (usize, &Attempt)| {
            let company = if a.alone { "" } else { ", among others" };
            let when = workitem::compose::timestamp(moment::time(a.started));
            format!(
                "attempt {}: process {} was given it at {when} and ended while it ran{company}",
                n + 1,
                a.pid
            )
        };
        self.attempts.iter().enumerate().map(line).collect()
    }
}

/// The error that a reply tells of; empty where there is none.
fn error_of(reply: &[u8]) -> String {
    let reply: Value = serde_json::from_slice(reply).unwrap_or_default();
    reply["error"]["message"].as_str().unwrap_or_default().to_owned()
}
