//! The answers of all who heard a request, as they come, and then who kept silent.

use crate::rpc::caller::{Answers, open};
use crate::rpc::command::Fault;
use crate::rpc::message::Message;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// One instance's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<Out> {
    /// Which instance.
    pub from: String,
    /// What it said.
    pub result: Result<Out, Fault>,
}

/// Answers as they come. Dropping it ends the wait.
///
/// Over when the deadline has come, or earlier with [`Gather::settle`]; an instance that is known, because it was
/// [expected](Gather::expect) or because it said that it has the request, and has not answered by then is
/// [silent](Gather::silent).
pub struct Gather<Out> {
    command: &'static str,
    answers: Answers,
    deadline: Instant,
    settle: Option<Duration>,
    lost: bool,
    /// Whether each instance that is known has answered.
    known: BTreeMap<String, bool>,
    out: PhantomData<fn() -> Out>,
}

impl<Out: DeserializeOwned> Gather<Out> {
    pub(crate) fn new(command: &'static str, answers: Answers, deadline: Instant) -> Self {
        let (known, out) = (BTreeMap::new(), PhantomData);
        Self { command, answers, deadline, settle: None, lost: false, known, out }
    }

    /// Names an instance that must answer.
    #[must_use]
    pub fn expect(mut self, instance: impl Into<String>) -> Self {
        self.known.entry(instance.into()).or_insert(false);
        self
    }

    /// Ends before the deadline: once all who are known have answered and nothing has come for this long. An
    /// instance that stands still, so that it could not even say that it has the request, goes unnoticed then
    /// unless it is expected.
    #[must_use]
    pub fn settle(mut self, quiet: Duration) -> Self {
        self.settle = Some(quiet);
        self
    }

    /// The next answer; `None` when it is over. An answer that cannot be read is a fault of its sender.
    pub async fn next(&mut self) -> Option<Answer<Out>> {
        loop {
            let message = timeout_at(self.until(), self.answers.next()).await.ok()?;
            let Some(message) = message else {
                self.lost = true;
                return None;
            };
            if let Some(answer) = self.take(message) {
                return Some(answer);
            }
        }
    }

    /// Those who are known and have not answered (yet).
    pub fn silent(&self) -> Vec<String> {
        self.known.iter().filter(|(_, answered)| !**answered).map(|(name, _)| name.clone()).collect()
    }

    /// Whether it ended because the connection to the broker is gone.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    fn until(&self) -> Instant {
        match self.settle {
            Some(quiet) if !self.known.is_empty() && self.known.values().all(|answered| *answered) => {
                self.deadline.min(Instant::now() + quiet)
            }
            _ => self.deadline,
        }
    }

    fn take(&mut self, message: Message) -> Option<Answer<Out>> {
        let from = message.from.clone().unwrap_or_default();
        let answer = match open::<Out>(self.command, message) {
            Ok(None) => {
                self.known.entry(from).or_insert(false);
                return None;
            }
            Ok(Some((from, result))) => Answer { from, result },
            Err(e) => Answer { from, result: Err(Fault::new(e.code(), e.to_string())) },
        };
        self.known.insert(answer.from.clone(), true);
        Some(answer)
    }
}
