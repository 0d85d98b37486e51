//! The loop around the machine: performs what it decides on the link, the workers and the state folder.
//!
//! | module | idea |
//! |---|---|
//! | `link` | what is made of the link's news |
//! | `judge` | what a message asks for |
//! | `ended` | what becomes of a workitem whose handler is done |
//! | `beyond` | what becomes of messages that are too large for the broker |
//! | `control` | questions about workitems in hand, and cancelling them |
//! | `keeper` | journal, failed store, history, live status |
//! | `limits` | how long a handler may take, how large a process may become |
//! | `about` | what is told of a failure besides the workitem |
//! | `returns` | deliveries that came to nothing |
//! | `in_hand`, `item` | a workitem in hand, and what is noted of it |
//! | `alarm` | the timer of what is due |

mod about;
mod alarm;
mod beyond;
mod control;
mod ended;
mod in_hand;
mod item;
mod judge;
mod keeper;
mod limits;
mod link;
mod returns;

use crate::control::Control;
use crate::machine::{Action, Ask, Event, Id, Machine, Phase};
use crate::workers::{Job, Order, Outcome, Report, Workers};
use air::Link;
use alarm::Alarm;
use config::Settings;
use in_hand::InHand;
use keeper::{Keeper, RENEWING, STOPPING};
use limits::Limits;
use returns::Returns;
use sha2::{Digest, Sha256};
use state::failed::Kind;
use state::lines::Lines;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing::{info, warn};
use workitem::{ErrorInfo, Fei, fields};

/// Where replies go.
const REPLIES: &str = "ruote_workitems";

/// The names of the signals that come.
type Signals = UnboundedReceiver<&'static str>;

/// One participant's session with its broker.
pub struct Session<W> {
    settings: Settings,
    workers: W,
    machine: Machine,
    link: Link,
    keeper: Keeper,
    limits: Limits,
    returns: Returns,
    rules: Vec<fields::Rule>,
    in_hand: HashMap<Id, InHand>,
    next: Id,
    born: Instant,
    alarm: Alarm,
    announced: bool,
    control: Control,
    notes: control::Notes,
}

/// Runs a participant until it is told to stop. What its workers say of a workitem is in `lines`. Must be called within
/// a tokio runtime.
///
/// # Errors
/// When signals cannot be received.
pub async fn run<W: Workers + Send + 'static>(
    settings: Settings,
    lines: Arc<Lines>,
    workers: W,
    reports: UnboundedReceiver<Report>,
) -> std::io::Result<()> {
    let signals = signals()?;
    let session = Session::new(settings, lines, workers);
    // A task like the link's: what a runtime itself waits for costs it two system calls each time that it is woken.
    match tokio::spawn(session.work(reports, signals)).await {
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        _ => Ok(()),
    }
}

/// With a handler of ours a file that may not grow (`RLIMIT_FSIZE`) is an error of what writes
/// to it, and not the end of the process without a word. Programs that are executed have none.
const MAY_NOT_GROW: i32 = nix::libc::SIGXFSZ;

/// Signals are waited for elsewhere, as each of them costs the session something in each of its turns.
fn signals() -> std::io::Result<Signals> {
    drop(signal(SignalKind::from_raw(MAY_NOT_GROW))?);
    let (tell, told) = unbounded_channel();
    for (kind, name) in [
        (SignalKind::terminate(), "TERM"),
        (SignalKind::hangup(), "HUP"),
        (SignalKind::user_defined1(), "USR1"),
        (SignalKind::interrupt(), "INT"),
    ] {
        let (mut signal, tell) = (signal(kind)?, tell.clone());
        tokio::spawn(async move { while signal.recv().await.is_some() && tell.send(name).is_ok() {} });
    }
    Ok(told)
}

impl<W: Workers> Session<W> {
    fn new(settings: Settings, lines: Arc<Lines>, workers: W) -> Self {
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
            keeper: Keeper::new(&settings, lines, workers.versions()),
            limits: Limits::new(&settings),
            returns: Returns::new(settings.queue_type == "quorum"),
            rules: judge::rules(&settings),
            link,
            workers,
            in_hand: HashMap::new(),
            next: 1,
            born: Instant::now(),
            alarm: Alarm::default(),
            announced: false,
            control: Control::new(&settings.name),
            notes: control::Notes::default(),
            settings,
        }
    }

    /// Works until it is told to stop.
    async fn work(mut self, mut reports: UnboundedReceiver<Report>, mut signals: Signals) {
        while self.turn(&mut reports, &mut signals).await {}
        self.workers.order(Order::Stop);
        let connected = self.machine.is_connected();
        for delivery in self.link.close().await {
            if self.returns.counted() {
                self.keeper.passed(Sha256::digest(&delivery.body).into(), "");
            }
        }
        self.keeper.close(connected);
        info!("{}: stopped", self.settings.name);
    }

    /// Waits for one thing to happen and deals with it. False = over.
    async fn turn(&mut self, reports: &mut UnboundedReceiver<Report>, signals: &mut Signals) -> bool {
        let own = self.machine.deadline().into_iter().chain(self.control.deadline());
        let deadline = own.map(|at| self.born + at).chain(self.keeper.due()).chain(self.limits.due()).min();
        let event = tokio::select! {
            event = self.link.event() => match event {
                Some(event) => self.heard(event).await,
                None => Some(Event::Stop),
            },
            Some(report) = reports.recv() => self.reported(report),
            question = self.control.question(self.born) => return self.answer(question),
            () = self.alarm.ring(deadline) => {
                self.control.due(self.born.elapsed());
                self.tend()
            }
            Some(signal) = signals.recv() => match signal {
                "USR1" => {
                    self.tell_what_is_in_hand();
                    None
                }
                _ => self.told_to_stop(signal),
            },
        };
        // Before anything is acknowledged, which would bring another delivery to a process that ends.
        self.within_limits() && event.is_none_or(|event| self.perform(event))
    }

    /// Deals with an event and with those that follow from it at once. False = over.
    fn perform(&mut self, event: Event) -> bool {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            match event {
                Event::Stop => {
                    self.keeper.state(false, format!("not consuming: {STOPPING}"));
                    self.keeper.no_crash();
                }
                Event::Renew(_) => self.keeper.state(false, format!("not consuming: {RENEWING}")),
                _ => {}
            }
            let came = match &event {
                Event::Delivered { id, ask: Ask::Handle(_) | Ask::Alone(_), .. } => Some(*id),
                _ => None,
            };
            let actions = self.machine.step(self.born.elapsed(), event);
            if let Some(id) = came.filter(|id| !actions.contains(&Action::Take(*id))) {
                self.passed(id);
            }
            for action in actions {
                if action == Action::Finish {
                    self.keeper.no_crash();
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
                    self.returns.settled(&item.digest);
                }
            }
            Action::Start(id) => self.start(id),
            Action::Publish(id) => return self.publish(id),
            Action::Ack(tag) => self.link.ack(tag),
            Action::GiveBack(tag) => self.link.give_back(tag),
            Action::Drop(id) => self.drop(id),
            Action::StopConsuming => self.link.stop_consuming(),
            Action::Consume => self.link.consume(),
            Action::Die => {
                self.keeper.no_crash();
                self.workers.order(Order::Die);
            }
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
        for id in self.limits.take_soft() {
            let reason = self.limits.soft();
            warn!(wfid = self.wfid(id), "{}: has been running {reason}: told to stop", self.settings.name);
            self.workers.order(Order::Cancel { id, force: true, reason });
        }
        match self.limits.take_hard() {
            Some(id) => self.timed_out(id),
            None => Some(Event::Due),
        }
    }

    /// A program is killed. A handler cannot be made to stop: its workitem is answered, and the process makes room
    /// for another.
    fn timed_out(&mut self, id: Id) -> Option<Event> {
        let reason = self.limits.hard();
        let error = self.error_info(format!("the handler took {reason}"));
        if self.settings.exec.is_empty() {
            self.limits.restart(format!("the handler is still at work on {}", self.wfid(id)));
        } else {
            self.workers.order(Order::Cancel { id, force: true, reason });
        }
        let outcome = Outcome::Failed { left: None, error, details: String::new(), forget: None };
        self.done(id, outcome, Kind::Timeout)
    }

    /// Ends the process in order where a limit asks for a new one. False = over.
    fn within_limits(&mut self) -> bool {
        if matches!(self.machine.phase(), Phase::Draining { .. }) {
            // It ends anyway; to be told again would shorten the grace.
            return true;
        }
        match self.limits.take_restart() {
            Some(reason) => {
                info!("{}: {reason}: finishing what runs, to be started anew", self.settings.name);
                self.perform(Event::Renew(self.limits.patience()))
            }
            None => true,
        }
    }

    /// What is delivered and not begun must not look as if it had ended this process, where the broker counts deliveries.
    fn passed(&mut self, id: Id) {
        if self.returns.counted()
            && let Some(InHand { item: Some(item), .. }) = self.in_hand.get_mut(&id)
        {
            item.journalled |= self.keeper.passed(item.digest, &item.wfid);
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

    fn error_info(&self, message: String) -> ErrorInfo {
        ErrorInfo { class: self.settings.error_class.clone(), message, trace: vec![] }
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

    fn publish(&self, id: Id) -> Option<Event> {
        let in_hand = self.in_hand.get(&id)?;
        if in_hand.body.is_empty() {
            return Some(Event::Confirmed(id)); // it was given up
        }
        self.link.publish(id, in_hand.body.clone());
        None
    }

    fn drop(&mut self, id: Id) {
        self.control.released(self.born.elapsed(), id);
        self.notes.forget(id);
        self.limits.ended(id);
        let Some(in_hand) = self.in_hand.remove(&id) else { return };
        if let Some(item) = &in_hand.item {
            self.keeper.remember(item);
        }
        if let Some(handler) = in_hand.waits
            && in_hand.confirmed
        {
            // A handler that does not wait any more is not told.
            let _ = handler.send(());
        }
        let (Some(fei), false) = (in_hand.fei, in_hand.outcome.is_empty()) else { return };
        let (name, ms) = (&self.settings.name, in_hand.begun.elapsed().as_millis());
        if in_hand.confirmed || in_hand.body.is_empty() {
            info!(wfid = fei.wfid, "{name}: done in {ms} ms, {}", in_hand.outcome);
        } else {
            warn!(
                wfid = fei.wfid,
                "{name}: done in {ms} ms, and the broker has not confirmed the reply: it is sent when the workitem comes again"
            );
        }
    }

    /// The wfid of a workitem in hand; empty where there is none.
    fn wfid(&self, id: Id) -> &str {
        let fei = self.in_hand.get(&id).and_then(|in_hand| in_hand.fei.as_ref());
        fei.map_or("", |fei| &fei.wfid)
    }

    /// The workitems in hand, oldest first: since when, and what is being done about each.
    fn stages(&self) -> Vec<(&Fei, Instant, &'static str)> {
        let mut ids: Vec<_> = self.in_hand.keys().copied().collect();
        ids.sort_unstable();
        let stage = |id| {
            let in_hand = self.in_hand.get(&id)?;
            Some((in_hand.fei.as_ref()?, in_hand.begun, self.machine.state(id)?))
        };
        ids.into_iter().filter_map(stage).collect()
    }

    fn told_to_stop(&self, signal: &str) -> Option<Event> {
        let name = &self.settings.name;
        // What waits for a worker goes back.
        let begun = self.stages().iter().filter(|(.., stage)| *stage != "waiting").count();
        info!("{name}: {signal}: taking no more work, {begun} in hand");
        Some(Event::Stop)
    }

    fn tell_what_is_in_hand(&self) {
        let name = &self.settings.name;
        let stages = self.stages();
        info!("{name}: {} in hand", stages.len());
        for (fei, begun, stage) in stages {
            let how = match stage {
                "waiting" => "waits for a worker".to_owned(),
                "replying" => "is done, its reply waits for the broker".to_owned(),
                _ => format!("running for {} s", begun.elapsed().as_secs()),
            };
            info!(wfid = fei.wfid, "{name}: {fei} {how}");
        }
    }
}
