//! The loop around the machine: performs what it decides on the link, the workers and the failed store.

mod control;

use crate::control::Control;
use crate::machine::{Action, Ask, Event, Id, Key, Machine};
use crate::workers::{Job, Order, Outcome, Report, Workers};
use air::{Delivery, Link};
use config::Settings;
use regex::Regex;
use sha2::{Digest, Sha256};
use state::failed::{About, FailedStore, Failure};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{error, info, warn};
use workitem::{ErrorInfo, Fei, Incoming, Unusable, fields, forget, parse, safe_name, with_error};

/// Where replies go.
const REPLIES: &str = "ruote_workitems";
/// How long to wait before a delivery that cannot be dealt with goes back.
const PATIENCE: Duration = Duration::from_secs(1);

/// A workitem in hand: what the machine does not need to know.
struct InHand {
    fei: Option<Fei>,
    begun: Instant,
    /// The message as it came, until there is a reply; then that.
    body: Vec<u8>,
    redelivered: bool,
    /// Which attempt this is, from 1.
    attempt: u32,
    confirmed: Option<std::sync::mpsc::Sender<()>>,
    outcome: &'static str,
}

/// One participant's session with its broker.
pub struct Session<W> {
    settings: Settings,
    workers: W,
    machine: Machine,
    link: Link,
    failed: FailedStore,
    rules: Vec<fields::Rule>,
    in_hand: HashMap<Id, InHand>,
    next: Id,
    born: Instant,
    announced: bool,
    control: Control,
    notes: control::Notes,
}

struct Signals {
    term: Signal,
    hup: Signal,
    usr1: Signal,
    int: Signal,
}

/// Runs a participant until it is told to stop. Must be called within a tokio runtime.
///
/// # Errors
/// When signals cannot be received.
pub async fn run<W: Workers>(
    settings: Settings,
    workers: W,
    mut reports: UnboundedReceiver<Report>,
) -> std::io::Result<()> {
    let mut signals = Signals {
        term: signal(SignalKind::terminate())?,
        hup: signal(SignalKind::hangup())?,
        usr1: signal(SignalKind::user_defined1())?,
        int: signal(SignalKind::interrupt())?,
    };
    let mut session = Session::new(settings, workers);
    while session.turn(&mut reports, &mut signals).await {}
    session.workers.order(Order::Stop);
    session.link.close().await;
    info!("{}: stopped", session.settings.name);
    Ok(())
}

impl<W: Workers> Session<W> {
    fn new(settings: Settings, workers: W) -> Self {
        let link = Link::open(air::Options {
            name: format!("exo {}", settings.name),
            urls: settings.amqp.iter().map(|url| url.secret().to_owned()).collect(),
            queue: settings.queue.clone(),
            quorum: settings.queue_type == "quorum",
            prefetch: settings.prefetch,
            reply_to: REPLIES.into(),
            tls: air::Tls {
                ca: settings.tls.ca.clone(),
                cert: settings.tls.cert.clone(),
                key: settings.tls.key.clone(),
            },
        });
        Self {
            machine: Machine::new(settings.concurrency as usize, settings.grace),
            failed: FailedStore::new(&settings.state, settings.failed.max as usize, settings.failed.size),
            rules: rules(&settings),
            link,
            workers,
            in_hand: HashMap::new(),
            next: 1,
            born: Instant::now(),
            announced: false,
            control: Control::new(&settings.name),
            notes: control::Notes::default(),
            settings,
        }
    }

    /// Waits for one thing to happen and deals with it. False = over.
    async fn turn(&mut self, reports: &mut UnboundedReceiver<Report>, signals: &mut Signals) -> bool {
        let deadline = self
            .machine
            .deadline()
            .into_iter()
            .chain(self.control.deadline())
            .min()
            .map(|at| tokio::time::Instant::from_std(self.born + at));
        let event = tokio::select! {
            event = self.link.event() => match event {
                Some(event) => self.heard(event).await,
                None => Some(Event::Stop),
            },
            Some(report) = reports.recv() => self.reported(report),
            question = self.control.question(self.born) => return self.answer(question),
            () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => {
                self.control.due(self.born.elapsed());
                Some(Event::Due)
            }
            _ = signals.term.recv() => self.told_to_stop("TERM"),
            _ = signals.hup.recv() => self.told_to_stop("HUP"),
            _ = signals.int.recv() => self.told_to_stop("INT"),
            _ = signals.usr1.recv() => {
                self.tell_what_is_in_hand();
                None
            }
        };
        match event {
            Some(event) => self.perform(event),
            None => true,
        }
    }

    fn perform(&mut self, event: Event) -> bool {
        for action in self.machine.step(self.born.elapsed(), event) {
            match action {
                Action::Start(id) => self.start(id),
                Action::Publish(id) => self.publish(id),
                Action::Ack(tag) => self.link.ack(tag),
                Action::GiveBack(tag) => self.link.give_back(tag),
                Action::Drop(id) => self.drop(id),
                Action::StopConsuming => self.link.stop_consuming(),
                Action::Die => self.workers.order(Order::Die),
                Action::Finish => return false,
            }
        }
        true
    }

    async fn heard(&mut self, event: air::Event) -> Option<Event> {
        let name = &self.settings.name;
        match event {
            air::Event::Connected { place } => {
                info!("{name}: consuming from {} at {place}", self.settings.queue);
                self.announce();
                Some(Event::Connected)
            }
            air::Event::Lost { reason } => {
                warn!("{name}: {reason}; trying again until it works");
                self.control.lost(self.born.elapsed());
                Some(Event::Lost)
            }
            air::Event::Reopened { reason } => {
                warn!("{name}: {reason}; consuming from {} again", self.settings.queue);
                Some(Event::Reopened)
            }
            air::Event::Blocked { reason } => {
                warn!("{name}: the broker takes no messages: {reason}; replies wait");
                None
            }
            air::Event::Unblocked => {
                info!("{name}: the broker takes messages again");
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
            air::Event::Delivered(delivery) => Some(self.delivered(delivery).await),
            air::Event::Confirmed { id } => {
                self.control.released(self.born.elapsed(), id);
                Some(Event::Confirmed(id))
            }
            air::Event::Refused { id, reason } => {
                let wfid = self.wfid(id);
                warn!("{name}{wfid}: the reply was not taken: {reason}; trying again");
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

    async fn delivered(&mut self, delivery: Delivery) -> Event {
        let Delivery { tag, redelivered, body } = delivery;
        let id = self.next;
        self.next += 1;
        let mut in_hand = InHand {
            fei: None,
            begun: Instant::now(),
            body,
            redelivered,
            attempt: 1,
            confirmed: None,
            outcome: "",
        };
        let ask = self.judge(&mut in_hand);
        if ask == Ask::Return {
            // Not at once: a message that nobody can deal with must not go round in circles at full speed.
            tokio::time::sleep(PATIENCE).await;
        }
        if let (Ask::Handle(_), Some(fei)) = (&ask, &in_hand.fei) {
            self.control.held(self.born.elapsed(), id, &fei.wfid);
        }
        self.in_hand.insert(id, in_hand);
        Event::Delivered { id, tag, ask }
    }

    /// What a message asks for. What cannot be used is parked in the failed store, or goes back.
    fn judge(&mut self, in_hand: &mut InHand) -> Ask {
        if in_hand.body.len() as u64 > self.settings.max_body {
            let reason = format!("{} bytes, more than max_body", in_hand.body.len());
            return self.park("unusable", in_hand, &reason);
        }
        match parse(&in_hand.body) {
            Ok(Incoming::Workitem(header)) => {
                let broken = fields::violations(&self.rules, &in_hand.body);
                if !broken.is_empty() {
                    let reason = format!("the fields are not as they must be: {}", broken.join("; "));
                    return if header.forget {
                        self.park("refused", in_hand, &reason)
                    } else {
                        self.refuse(in_hand, header.fei, &reason)
                    };
                }
                let key = key(&header.fei, &in_hand.body);
                in_hand.fei = Some(header.fei);
                Ask::Handle(key)
            }
            Ok(Incoming::Cancel(cancel)) => {
                self.cancelled_by_engine(cancel.fei);
                Ask::Settle
            }
            Err(Unusable::Malformed { fei, reason }) => {
                self.refuse(in_hand, *fei, &format!("unusable workitem: {reason}"))
            }
            Err(unusable) => self.park("unusable", in_hand, &unusable.to_string()),
        }
    }

    /// Answers with an error what cannot be worked on.
    fn refuse(&mut self, in_hand: &mut InHand, fei: Fei, reason: &str) -> Ask {
        let key = key(&fei, &in_hand.body);
        warn!("{} {}: {reason}; answered with an error", self.settings.name, fei.wfid);
        in_hand.fei = Some(fei);
        match with_error(&in_hand.body, &self.error_info(reason.to_owned())) {
            Ok(reply) => {
                in_hand.body = reply;
                Ask::Answer(key)
            }
            Err(e) => self.park("unusable", in_hand, &e.to_string()),
        }
    }

    fn error_info(&self, message: String) -> ErrorInfo {
        ErrorInfo { class: self.settings.error_class.clone(), message, trace: vec![] }
    }

    fn park(&mut self, what: &str, in_hand: &InHand, reason: &str) -> Ask {
        let name = self.settings.name.clone();
        match self.keep(what, &in_hand.body, reason, "") {
            Ok(place) => {
                warn!("{name}: {what} message: {reason}; kept in {place} and acknowledged");
                Ask::Settle
            }
            Err(e) => {
                error!("{name}: {what} message: {reason}; cannot keep it: {e}; it goes back to the queue");
                Ask::Return
            }
        }
    }

    fn keep(&mut self, name: &str, body: &[u8], reason: &str, traceback: &str) -> std::io::Result<String> {
        let participant = self.settings.name.clone();
        let (when, reason, queue) = (state::moment::now(), reason.to_owned(), self.settings.queue.clone());
        let about = About { when, reason, participant, queue, ..About::default() };
        let failure = Failure { about: &about, name: &safe_name(name), body, traceback, log: "" };
        let kept = self.failed.keep(&failure)?;
        if kept.removed > 0 {
            info!("{}: the failed store is full: removed the oldest {}", self.settings.name, kept.removed);
        }
        Ok(kept.place.display().to_string())
    }

    fn start(&mut self, id: Id) {
        let Some(in_hand) = self.in_hand.get_mut(&id) else { return };
        let Some(fei) = in_hand.fei.clone() else { return };
        in_hand.begun = Instant::now();
        self.control.started(self.born.elapsed(), id);
        let job = Job {
            id,
            fei,
            body: in_hand.body.clone(),
            redelivered: in_hand.redelivered,
            attempt: in_hand.attempt,
        };
        self.workers.order(Order::Handle(job));
    }

    fn publish(&self, id: Id) {
        if let Some(in_hand) = self.in_hand.get(&id) {
            self.link.publish(id, in_hand.body.clone());
        }
    }

    fn drop(&mut self, id: Id) {
        self.control.released(self.born.elapsed(), id);
        self.notes.forget(id);
        let Some(in_hand) = self.in_hand.remove(&id) else { return };
        if let Some(confirmed) = in_hand.confirmed {
            // A handler that does not wait any more is not told.
            let _ = confirmed.send(());
        }
        if let Some(fei) = in_hand.fei
            && !in_hand.outcome.is_empty()
        {
            let ms = in_hand.begun.elapsed().as_millis();
            info!("{} {}: done in {ms} ms, {}", self.settings.name, fei.wfid, in_hand.outcome);
        }
    }

    fn reported(&mut self, report: Report) -> Option<Event> {
        match report {
            Report::Done { id, outcome } => self.done(id, outcome),
            Report::Extra { body, confirmed } => {
                let id = self.next;
                self.next += 1;
                let (begun, confirmed) = (Instant::now(), Some(confirmed));
                self.in_hand.insert(
                    id,
                    InHand { fei: None, begun, body, redelivered: false, attempt: 1, confirmed, outcome: "" },
                );
                Some(Event::Extra(id))
            }
        }
    }

    fn done(&mut self, id: Id, outcome: Outcome) -> Option<Event> {
        let came = self.in_hand.get(&id)?.body.clone();
        let (body, outcome, event) = match self.as_cancelled(id, outcome, &came) {
            Outcome::Cancelled(reply) => (reply, "answered as cancelled", Event::Replied(id)),
            Outcome::Reply(reply) => (reply, "replied", Event::Replied(id)),
            Outcome::Forget => (vec![], "no reply wanted", Event::Forgotten(id)),
            Outcome::Failed { left, error, details } => {
                let reply = left.and_then(|left| with_error(&left, &error).ok());
                let reply = reply.or_else(|| with_error(&came, &error).ok()).unwrap_or_default();
                self.keep_failure(id, &came, &error, &details);
                if forget(&reply) {
                    (vec![], "failed, no reply wanted", Event::Forgotten(id))
                } else {
                    (reply, "replied with an error", Event::Replied(id))
                }
            }
        };
        let in_hand = self.in_hand.get_mut(&id)?;
        in_hand.body = body;
        in_hand.outcome = outcome;
        Some(event)
    }

    fn keep_failure(&mut self, id: Id, came: &[u8], error: &ErrorInfo, details: &str) {
        let (name, wfid) = (self.settings.name.clone(), self.wfid(id));
        let sid = self.in_hand.get(&id).and_then(|i| i.fei.as_ref()).map(Fei::sid).unwrap_or_default();
        for line in details.lines() {
            error!("{name}{wfid}: {line}");
        }
        match self.keep(&sid, came, &error.message, details) {
            Ok(place) => error!("{name}{wfid}: {}; kept in {place}", error.message),
            Err(e) => error!("{name}{wfid}: {}; cannot keep it: {e}", error.message),
        }
    }

    /// ` WFID`, for a log line; empty where there is none.
    fn wfid(&self, id: Id) -> String {
        let fei = self.in_hand.get(&id).and_then(|in_hand| in_hand.fei.as_ref());
        fei.map_or_else(String::new, |fei| format!(" {}", fei.wfid))
    }

    fn told_to_stop(&self, signal: &str) -> Option<Event> {
        let (name, running) = (&self.settings.name, self.machine.running().count());
        info!("{name}: {signal}: taking no more work, {running} in hand");
        Some(Event::Stop)
    }

    fn tell_what_is_in_hand(&self) {
        let name = &self.settings.name;
        info!("{name}: {} in hand", self.machine.running().count());
        for id in self.machine.running() {
            if let Some(InHand { fei: Some(fei), begun, .. }) = self.in_hand.get(&id) {
                info!("{name} {}: {fei} running for {} s", fei.wfid, begun.elapsed().as_secs());
            }
        }
    }
}

/// What `[fields]` asks for. A pattern that is none was refused when the settings were read.
fn rules(settings: &Settings) -> Vec<fields::Rule> {
    let rule = |(name, field): (&String, &config::settings::Field)| fields::Rule {
        name: name.clone(),
        kind: field.kind.clone(),
        required: field.required,
        pattern: field.pattern.as_deref().and_then(|pattern| Regex::new(pattern).ok()),
    };
    settings.fields.iter().map(rule).collect()
}

fn key(fei: &Fei, body: &[u8]) -> Key {
    (fei.sid(), Sha256::digest(body).into())
}
