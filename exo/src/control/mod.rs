//! Status and cancel over AIR: which keys this process serves, and what comes by them.
//!
//! | module | idea |
//! |---|---|
//! | [`queues`] | which processes have a queue of their own: a pure machine |
//!
//! The process itself listens to `participant.NAME`, `instance.ID` and `all`; each process (wfid) with a workitem in
//! hand has a channel and a queue of its own for `wfid.WFID`. Questions come to the session as [`Question`]s, so
//! that they are answered whatever the handlers do. Nothing here delays a workitem or its reply.

pub mod queues;

use crate::machine::{Id, Moment};
use air::amqp::carrier::Air;
use air::rpc::workitems::{Cancel, CancelArgs, Cancelled, ParticipantStatus, Status, StatusArgs};
use air::rpc::{Asked, Broken, Carrier, Exchange, Failure, Fault, Service, Target};
use queues::{Action, Event, Queues, Turn};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tracing::warn;
use workitem::{compose, safe_name};

/// A reason of more characters is cut.
const REASON: usize = 1000;

/// Where an answer goes.
pub type Answer<T> = oneshot::Sender<Result<T, Fault>>;

/// What somebody asks.
pub enum Question {
    /// For the workitems in hand.
    Status(Which, Answer<ParticipantStatus>),
    /// For workitems to be cancelled.
    Cancel {
        /// Which ones.
        which: Which,
        /// Whether by force.
        force: bool,
        /// Who and why.
        reason: String,
        /// Where to.
        answer: Answer<Cancelled>,
    },
}

/// Which workitems a question is about; no condition = all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    wfid: Option<String>,
    /// As it is in the key.
    safe_wfid: Option<String>,
    sid: Option<String>,
}

impl Which {
    fn new(key: &str, wfid: Option<String>, sid: Option<String>) -> Self {
        Self { wfid, sid, safe_wfid: key.strip_prefix("wfid.").map(str::to_owned) }
    }

    /// Whether it names workitems, and does not just mean all.
    pub fn is_narrow(&self) -> bool {
        self.wfid.is_some() || self.safe_wfid.is_some() || self.sid.is_some()
    }

    /// Whether it is about this workitem.
    pub fn is(&self, sid: &str, wfid: &str) -> bool {
        self.wfid.as_deref().is_none_or(|wanted| wanted == wfid)
            && self.sid.as_deref().is_none_or(|wanted| wanted == sid)
            && self.safe_wfid.as_deref().is_none_or(|wanted| wanted == safe_name(wfid))
    }
}

/// Who we are, as callers are told.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The participant.
    pub participant: String,
    /// This process among all.
    pub instance: String,
    /// The host.
    pub host: String,
    /// When we started, in UTC.
    pub since: String,
}

impl Identity {
    /// Of this process.
    pub fn new(participant: &str) -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let host = host.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".into());
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '!' | '-'));
        let instance = format!("{participant}-{host}-{}", std::process::id()).replace(odd, "-");
        let (participant, since) = (participant.to_owned(), compose::timestamp(SystemTime::now()));
        Self { participant, instance, host, since }
    }
}

/// News of a queue.
enum News {
    Opened(Turn),
    Failed(Turn, Broken),
    /// The process's own.
    Deaf(Broken),
}

/// The keys that are served now. Must live within a tokio runtime.
pub struct Control {
    /// Who we are.
    pub me: Identity,
    queues: Queues,
    service: Arc<Service>,
    questions: UnboundedReceiver<Question>,
    news: UnboundedReceiver<News>,
    tell: UnboundedSender<News>,
    air: Option<Air>,
    own: Option<oneshot::Sender<()>>,
    open: HashMap<Turn, oneshot::Sender<()>>,
    /// Whether it was said that status and cancel do not work here.
    said: bool,
}

impl Control {
    /// Nothing is served yet.
    pub fn new(participant: &str) -> Self {
        let me = Identity::new(participant);
        let (ask, questions) = unbounded_channel();
        let (tell, news) = unbounded_channel();
        let service = Arc::new(service(&me, &ask));
        let (queues, open) = (Queues::default(), HashMap::new());
        Self { me, queues, service, questions, news, tell, air: None, own: None, open, said: false }
    }

    /// The next question. News of queues are dealt with on the way.
    pub async fn question(&mut self, born: std::time::Instant) -> Question {
        loop {
            tokio::select! {
                Some(question) = self.questions.recv() => return question,
                Some(news) = self.news.recv() => self.heard(born.elapsed(), news),
            }
        }
    }

    /// When [`Control::due`] is to be called.
    pub fn deadline(&self) -> Option<Moment> {
        self.queues.deadline()
    }

    /// Time has passed.
    pub fn due(&mut self, now: Moment) {
        self.step(now, Event::Due);
    }

    /// A workitem is in hand.
    pub fn held(&mut self, now: Moment, id: Id, wfid: &str) {
        self.step(now, Event::Held(id, wfid.to_owned()));
    }

    /// It runs.
    pub fn started(&mut self, now: Moment, id: Id) {
        self.step(now, Event::Started(id));
    }

    /// It is not in hand any more.
    pub fn released(&mut self, now: Moment, id: Id) {
        self.step(now, Event::Released(id));
    }

    /// AIR can be carried.
    pub fn carried(&mut self, now: Moment, air: Air) {
        let keys = [
            Target::Participant(self.me.participant.clone()),
            Target::Instance(self.me.instance.clone()),
            Target::All,
        ];
        let keys = keys.iter().map(Target::key).collect();
        self.air = Some(air);
        let tell = self.tell.clone();
        self.own = self.serve("instance", keys, move |opened| {
            if let Err(broken) = opened {
                // The session is over where nobody hears it.
                let _ = tell.send(News::Deaf(broken));
            }
        });
        self.step(now, Event::Carried);
    }

    /// It cannot be carried any more.
    pub fn lost(&mut self, now: Moment) {
        (self.air, self.own, self.said) = (None, None, false);
        self.open.clear();
        self.step(now, Event::Lost);
    }

    /// It cannot be carried at this broker.
    pub fn refused(&mut self, why: &str) {
        if !std::mem::replace(&mut self.said, true) {
            warn!("{}: cannot serve status and cancel: {why}; the work goes on without", self.me.participant);
        }
    }

    fn heard(&mut self, now: Moment, news: News) {
        match news {
            News::Opened(turn) => self.step(now, Event::Opened(turn)),
            News::Deaf(Broken(why)) if self.air.is_some() => self.refused(&why),
            News::Deaf(_) => {}
            News::Failed(turn, Broken(why)) => {
                // Those of a lost connection have been closed, and their failing means nothing.
                if self.open.remove(&turn).is_some() {
                    self.refused(&why);
                    self.step(now, Event::Failed(turn));
                }
            }
        }
    }

    fn step(&mut self, now: Moment, event: Event) {
        for action in self.queues.step(now, event) {
            match action {
                Action::Open(turn, wfid) => self.open(turn, &Target::Wfid(wfid).key()),
                Action::Close(turn) => drop(self.open.remove(&turn)),
            }
        }
    }

    fn open(&mut self, turn: Turn, key: &str) {
        let tell = self.tell.clone();
        let stop = self.serve(key, vec![key.to_owned()], move |opened| {
            // The session is over where nobody hears it.
            let _ = tell.send(match opened {
                Ok(()) => News::Opened(turn),
                Err(broken) => News::Failed(turn, broken),
            });
        });
        self.open.extend(stop.map(|stop| (turn, stop)));
    }

    /// Begins to serve keys on a queue of its own, until what is returned is dropped. One that is dropped before the
    /// queue is there closes it once it is: a queue that never had a consumer would stay.
    fn serve(
        &self,
        what: &str,
        keys: Vec<String>,
        opened: impl FnOnce(Result<(), Broken>) + Send + 'static,
    ) -> Option<oneshot::Sender<()>> {
        let (air, service) = (self.air.clone()?, Arc::clone(&self.service));
        // A new name each time: the broker may not have noticed yet that the last connection is gone.
        let queue = format!("air.{what}.{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            match air.listen(Exchange::Request, queue, keys).await {
                Ok(inbox) => {
                    opened(Ok(()));
                    let stopped = async { drop(stopped.await) };
                    service.serve_until(air, inbox, stopped).await;
                }
                Err(broken) => opened(Err(broken)),
            }
        });
        Some(stop)
    }
}

/// A reason as it is told: who asks may be anybody.
fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// The commands, each of which becomes a question to the session.
fn service(me: &Identity, ask: &UnboundedSender<Question>) -> Service {
    let (ask_status, ask_cancel) = (ask.clone(), ask.clone());
    Service::new(me.instance.clone(), &me.host)
        .with::<Status, _, _>(move |StatusArgs { wfid, sid }, asked: Asked| {
            let (answer, wait) = oneshot::channel();
            // If the session is over, so is the wait.
            let _ = ask_status.send(Question::Status(Which::new(&asked.key, wfid, sid), answer));
            async move { wait.await?.map_err(Failure::Declared) }
        })
        .with::<Cancel, _, _>(move |args: CancelArgs, asked: Asked| {
            let (answer, wait) = oneshot::channel();
            let reason = args.reason.map_or_else(|| "no reason given".into(), |reason| shortened(&reason));
            let which = Which::new(&asked.key, args.wfid, args.sid);
            let _ = ask_cancel.send(Question::Cancel { which, force: args.force, reason, answer });
            async move { wait.await?.map_err(Failure::Declared) }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_by_a_processs_key_is_about_its_workitems_only() {
        let which = Which::new("wfid.w1", None, None);
        assert!(which.is("0!s!w1", "w1") && !which.is("0!s!w2", "w2") && which.is_narrow());
        let hostile = Target::Wfid("#".into()).key();
        let which = Which::new(&hostile, None, None);
        assert!(which.is("0!s!#", "#") && !which.is("0!s!w1", "w1"));
        let which = Which::new("participant.sizer", None, Some("0!s!w1".into()));
        assert!(which.is("0!s!w1", "w1") && !which.is("1!s!w1", "w1") && which.is_narrow());
        assert!(!Which::new("all", None, None).is_narrow());
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = "ü".repeat(REASON);
        assert_eq!(
            (shortened(&long), shortened("by me"), shortened("")),
            (long.clone(), "by me".into(), "".into())
        );
        assert_eq!(shortened(&format!("{long}ü")), format!("{long}…"));
    }

    #[test]
    fn the_name_of_an_instance_goes_into_a_key_as_it_is() {
        let me = Identity::new("si.zer");
        assert_eq!(Target::Instance(me.instance.clone()).key(), format!("instance.{}", me.instance));
    }
}
