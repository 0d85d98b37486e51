//! The loop around the machine: performs what it decides on the link, the workers and the state folder.

mod item;
mod keeper;
mod limits;

mod control;

use crate::control::Control;
use crate::machine::{Action, Ask, Event, Id, Key, Machine};
use crate::workers::{Job, Order, Outcome, Report, Workers};
use air::{Delivery, Link};
use config::Settings;
use item::Item;
use keeper::Keeper;
use limits::Limits;
use regex::Regex;
use sha2::{Digest, Sha256};
use state::failed::{About, Kind};
use state::history;
use state::journal::ReplyKind;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{error, info, warn};
use workitem::{ErrorInfo, Fei, Incoming, Unusable, fields, forget, parse, with_error};

/// Where replies go.
const REPLIES: &str = "ruote_workitems";

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
    /// `None` for what is no workitem.
    item: Option<Item>,
    /// Why it is to be parked, where that did not succeed yet.
    park: Option<(&'static str, String)>,
}

impl InHand {
    fn new(body: Vec<u8>, redelivered: bool) -> Self {
        Self {
            fei: None,
            begun: Instant::now(),
            body,
            redelivered,
            attempt: 1,
            confirmed: None,
            outcome: "",
            item: None,
            park: None,
        }
    }
}

/// One participant's session with its broker.
pub struct Session<W> {
    settings: Settings,
    workers: W,
    machine: Machine,
    link: Link,
    keeper: Keeper,
    limits: Limits,
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
    session.limits.warn(&session.settings);
    while session.turn(&mut reports, &mut signals).await {}
    session.workers.order(Order::Stop);
    let connected = session.machine.is_connected();
    session.link.close().await;
    session.keeper.close(connected);
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
            keeper: Keeper::new(&settings),
            limits: Limits::new(&settings),
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
        let own = self.machine.deadline().into_iter().chain(self.control.deadline());
        let deadline = own
            .map(|at| self.born + at)
            .chain(self.keeper.due())
            .chain(self.limits.due())
            .min()
            .map(tokio::time::Instant::from_std);
        let event = tokio::select! {
            event = self.link.event() => match event {
                Some(event) => self.heard(event).await,
                None => Some(Event::Stop),
            },
            Some(report) = reports.recv() => self.reported(report),
            question = self.control.question(self.born) => return self.answer(question),
            () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => {
                self.control.due(self.born.elapsed());
                self.tend()
            }
            _ = signals.term.recv() => self.told_to_stop("TERM"),
            _ = signals.hup.recv() => self.told_to_stop("HUP"),
            _ = signals.int.recv() => self.told_to_stop("INT"),
            _ = signals.usr1.recv() => {
                self.tell_what_is_in_hand();
                None
            }
        };
        event.is_none_or(|event| self.perform(event)) && self.within_limits()
    }

    /// Deals with an event and with those that follow from it at once. False = over.
    fn perform(&mut self, event: Event) -> bool {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if event == Event::Stop {
                self.keeper.stopping();
            }
            for action in self.machine.step(self.born.elapsed(), event) {
                if action == Action::Finish {
                    return false;
                }
                events.extend(self.act(action));
            }
        }
        true
    }

    /// Performs an action; what comes of it at once is returned.
    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Take(id) => return Some(self.take(id)),
            Action::Probe => {
                return Some(if self.keeper.probe() { Event::Writable } else { Event::NotWritable });
            }
            Action::Park(id) => return Some(self.park_again(id)),
            Action::Keep(id) => self.keep_reply(id),
            Action::Settled(id) => {
                if let Some(item) = self.in_hand.get(&id).and_then(|in_hand| in_hand.item.as_ref()) {
                    self.keeper.settled(item);
                }
            }
            Action::Start(id) => self.start(id),
            Action::Publish(id) => self.publish(id),
            Action::Ack(tag) => self.link.ack(tag),
            Action::GiveBack(tag) => self.link.give_back(tag),
            Action::Drop(id) => self.drop(id),
            Action::StopConsuming => self.link.stop_consuming(),
            Action::Consume => self.link.consume(),
            Action::Die => self.workers.order(Order::Die),
            Action::Finish => {}
        }
        None
    }

    /// What is due: the machine's deadlines, the live status, a workitem that takes too long.
    fn tend(&mut self) -> Option<Event> {
        if self.keeper.due().is_some_and(|at| at <= Instant::now()) {
            let running = self.machine.running().filter_map(|id| self.in_hand.get(&id)?.item.as_ref());
            self.keeper.write_live(running);
        }
        for (id, after) in self.limits.take_soft() {
            let wfid = self.wfid(id);
            let reason = format!("longer than soft_timeout ({} s)", after.as_secs());
            self.workers.order(Order::Cancel { id, force: true, reason });
            warn!(
                "{}{wfid}: has been running for {} s, more than soft_timeout",
                self.settings.name,
                after.as_secs()
            );
        }
        match self.limits.take_hard() {
            Some((id, after)) => self.timed_out(id, after),
            None => Some(Event::Due),
        }
    }

    /// A program is killed. A handler cannot be made to stop: its workitem is answered, and the process makes room
    /// for another.
    fn timed_out(&mut self, id: Id, after: Duration) -> Option<Event> {
        let message = format!("the handler took longer than hard_timeout ({} s)", after.as_secs());
        let error = self.error_info(message.clone());
        if self.settings.exec.is_empty() {
            self.limits.restart(format!("{} is beyond hard_timeout", self.wfid(id).trim_start()));
        } else {
            let reason = message.clone();
            self.workers.order(Order::Cancel { id, force: true, reason });
        }
        self.done(id, Outcome::Failed { left: None, error, details: String::new() }, Kind::Timeout)
    }

    /// Ends the process in order where a limit asks for a new one. False = over.
    fn within_limits(&mut self) -> bool {
        match self.limits.take_restart(self.keeper.count()) {
            Some(reason) => {
                info!("{}: {reason}: finishing what runs, to be started anew", self.settings.name);
                self.perform(Event::Stop)
            }
            None => true,
        }
    }

    fn take(&mut self, id: Id) -> Event {
        let Some(InHand { item: Some(item), body, .. }) = self.in_hand.get_mut(&id) else {
            return Event::NotTaken(id);
        };
        item.started = Some(state::moment::now());
        if self.keeper.take(item, body) { Event::Taken(id) } else { Event::NotTaken(id) }
    }

    fn keep_reply(&mut self, id: Id) {
        if let Some(InHand { item: Some(item), body, .. }) = self.in_hand.get_mut(&id) {
            self.keeper.keep_reply(item, body);
        }
    }

    async fn heard(&mut self, event: air::Event) -> Option<Event> {
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
            air::Event::Delivered(delivery) => Some(self.delivered(delivery)),
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

    fn delivered(&mut self, delivery: Delivery) -> Event {
        let Delivery { tag, redelivered, deliveries, body } = delivery;
        let id = self.next;
        self.next += 1;
        let mut in_hand = InHand::new(body, redelivered);
        let ask = self.judge(&mut in_hand, deliveries);
        if let (Ask::Handle(_) | Ask::Alone(_), Some(fei)) = (&ask, &in_hand.fei) {
            self.control.held(self.born.elapsed(), id, &fei.wfid);
        }
        self.in_hand.insert(id, in_hand);
        Event::Delivered { id, tag, ask }
    }

    /// What a message asks for. What cannot be used is parked in the failed store, or goes back.
    fn judge(&mut self, in_hand: &mut InHand, deliveries: u32) -> Ask {
        if in_hand.body.len() as u64 > self.settings.max_body {
            let reason = format!("{} bytes, more than max_body", in_hand.body.len());
            return self.park("unusable", in_hand, &reason);
        }
        match parse(&in_hand.body) {
            Ok(Incoming::Workitem(header)) => {
                let digest = Sha256::digest(&in_hand.body).into();
                in_hand.item = Some(Item::new(&header, digest, in_hand.redelivered, deliveries));
                let broken = fields::violations(&self.rules, &in_hand.body);
                if !broken.is_empty() {
                    let reason = format!("the fields are not as they must be: {}", broken.join("; "));
                    return if header.forget {
                        self.park("refused", in_hand, &reason)
                    } else {
                        self.refuse(in_hand, header.fei, &reason)
                    };
                }
                let key = (header.fei.sid(), digest);
                in_hand.fei = Some(header.fei);
                self.judge_again(in_hand, key, header.forget)
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

    /// A workitem that may have been in hand before: its reply may be known, or it may have ended a process.
    fn judge_again(&mut self, in_hand: &mut InHand, key: Key, forget: bool) -> Ask {
        let Some(item) = in_hand.item.as_mut().filter(|item| item.redelivered) else {
            return Ask::Handle(key);
        };
        if let Some(found) = self.keeper.recall(item) {
            (item.attempts, item.suspect) = (found.attempts, found.suspect);
            in_hand.attempt = item.attempt();
            if let Some((kind, reply)) = found.reply {
                item.journalled = true;
                info!("{} {}: was done before: answered from the journal", self.settings.name, item.wfid);
                if kind == ReplyKind::Forgotten {
                    return Ask::Settle;
                }
                in_hand.body = reply;
                return Ask::Answer(key);
            }
        }
        in_hand.attempt = item.attempt();
        if item.crashes() >= self.settings.max_attempts {
            return self.give_up(in_hand, key, forget);
        }
        if item.suspect { Ask::Alone(key) } else { Ask::Handle(key) }
    }

    /// It has ended the process too often: answered with an error, and kept with its history.
    fn give_up(&mut self, in_hand: &mut InHand, key: Key, forget: bool) -> Ask {
        let Some(item) = &mut in_hand.item else { return Ask::Handle(key) };
        let message = format!(
            "the participant ended {} times while it worked on this workitem: given up",
            item.crashes()
        );
        let trace = item.attempt_history();
        item.end(history::Outcome::Crashed, &message);
        let about = item.about(Kind::Crash, &message, !forget);
        let (sid, wfid) = (item.sid.clone(), item.wfid.clone());
        let name = self.settings.name.clone();
        match self.keeper.keep_failure(about, &sid, &in_hand.body, &trace.join("\n")) {
            Ok(place) => error!("{name} {wfid}: {message}; kept in {place}"),
            Err(e) => error!("{name} {wfid}: {message}; cannot keep it: {e}"),
        }
        let error = ErrorInfo { class: self.settings.error_class.clone(), message, trace };
        if forget {
            return Ask::Settle;
        }
        match with_error(&in_hand.body, &error) {
            Ok(reply) => {
                in_hand.body = reply;
                in_hand.outcome = "given up, replied with an error";
                Ask::Answer(key)
            }
            Err(e) => self.park("unusable", in_hand, &e.to_string()),
        }
    }

    /// Answers with an error what cannot be worked on.
    fn refuse(&mut self, in_hand: &mut InHand, fei: Fei, reason: &str) -> Ask {
        let key = key(&fei, &in_hand.body);
        warn!("{} {}: {reason}; answered with an error", self.settings.name, fei.wfid);
        in_hand.fei = Some(fei);
        if let Some(item) = &mut in_hand.item {
            item.end(history::Outcome::Invalid, reason);
        }
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

    /// Parks what cannot be worked on nor answered; where that fails it is tried again, and not acknowledged.
    fn park(&mut self, what: &'static str, in_hand: &mut InHand, reason: &str) -> Ask {
        if self.try_to_park(what, in_hand, reason) {
            return Ask::Settle;
        }
        in_hand.park = Some((what, reason.to_owned()));
        Ask::Park
    }

    fn try_to_park(&mut self, what: &str, in_hand: &InHand, reason: &str) -> bool {
        let name = self.settings.name.clone();
        let about = match &in_hand.item {
            Some(item) => item.about(Kind::Invalid, reason, false),
            None => About { kind: Kind::Unusable, reason: reason.to_owned(), ..About::default() },
        };
        let kept = self.keeper.keep_failure(about, what, &in_hand.body, "");
        match &kept {
            Ok(place) => warn!("{name}: {what} message: {reason}; kept in {place} and acknowledged"),
            Err(e) => error!(
                "{name}: {what} message: {reason}; cannot keep it: {e}; not acknowledged, trying again"
            ),
        }
        kept.is_ok()
    }

    fn park_again(&mut self, id: Id) -> Event {
        let Some(in_hand) = self.in_hand.remove(&id) else { return Event::Parked(id) };
        let parked = match &in_hand.park {
            Some((what, reason)) => self.try_to_park(what, &in_hand, reason),
            None => true,
        };
        self.in_hand.insert(id, in_hand);
        if parked { Event::Parked(id) } else { Event::NotParked(id) }
    }

    fn start(&mut self, id: Id) {
        let Some(in_hand) = self.in_hand.get_mut(&id) else { return };
        let Some(fei) = in_hand.fei.clone() else { return };
        in_hand.begun = Instant::now();
        self.control.started(self.born.elapsed(), id);
        self.limits.started(id);
        self.keeper.changed();
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
        self.limits.ended(id);
        let Some(in_hand) = self.in_hand.remove(&id) else { return };
        if let Some(item) = &in_hand.item {
            self.keeper.remember(item);
        }
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
            Report::Done { id, outcome } => self.done(id, outcome, Kind::Exception),
            Report::Extra { body, confirmed } => {
                let id = self.next;
                self.next += 1;
                let extra = InHand { confirmed: Some(confirmed), ..InHand::new(body, false) };
                self.in_hand.insert(id, extra);
                Some(Event::Extra(id))
            }
        }
    }

    fn done(&mut self, id: Id, outcome: Outcome, kind: Kind) -> Option<Event> {
        self.limits.ended(id);
        if self.in_hand.get(&id)?.item.as_ref().is_some_and(|item| item.outcome.is_some()) {
            // It was answered without waiting for its handler.
            return None;
        }
        let came = self.in_hand.get(&id)?.body.clone();
        let (mut ended, mut problem) = (history::Outcome::Replied, String::new());
        let (body, outcome, event) = match self.as_cancelled(id, outcome, &came) {
            Outcome::Cancelled(reply) => {
                ended = history::Outcome::Cancelled;
                (reply, "answered as cancelled", Event::Replied(id))
            }
            Outcome::Reply(reply) => (reply, "replied", Event::Replied(id)),
            Outcome::Forget => {
                ended = history::Outcome::Forgotten;
                (vec![], "no reply wanted", Event::Forgotten(id))
            }
            Outcome::Failed { left, error, details } => {
                let reply = left.and_then(|left| with_error(&left, &error).ok());
                let reply = reply.or_else(|| with_error(&came, &error).ok()).unwrap_or_default();
                let timeout = kind == Kind::Timeout;
                ended = if timeout { history::Outcome::Timeout } else { history::Outcome::Failed };
                problem.clone_from(&error.message);
                let wanted = !forget(&reply);
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
        in_hand.body = body;
        in_hand.outcome = outcome;
        Some(event)
    }

    fn keep_failure(
        &mut self,
        id: Id,
        kind: Kind,
        came: &[u8],
        error: &ErrorInfo,
        details: &str,
        answered: bool,
    ) {
        let (name, wfid) = (self.settings.name.clone(), self.wfid(id));
        for line in details.lines() {
            error!("{name}{wfid}: {line}");
        }
        let Some(item) = self.in_hand.get(&id).and_then(|in_hand| in_hand.item.as_ref()) else { return };
        let about = item.about(kind, &error.message, answered);
        let sid = item.sid.clone();
        match self.keeper.keep_failure(about, &sid, came, details) {
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
