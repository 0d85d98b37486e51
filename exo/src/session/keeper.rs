//! Keeps what must not be lost and what people look at: journal, failed store, history, live status.

use super::about::{self, LastWords};
use super::item::Item;
use config::Settings;
use state::failed::{About, FailedStore, Failure, Kind};
use state::history::{Outcome, Writer};
use state::journal::{Attempt, Digest, Found, Journal};
use state::lines::Lines;
use state::live::{InFlight, Live, LiveFile};
use state::machine_id::Process;
use state::{Micros, moment};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};
use workitem::safe_name;

/// Why nothing is taken from the queue by a process that ends.
pub const STOPPING: &str = "told to stop, finishing what runs";
/// The same, of one that makes room for another.
pub const RENEWING: &str = "finishing what runs, to be started anew";
/// The live status is written at most so often.
const LIVE: Duration = Duration::from_secs(1);

/// Whether we take work, in words too, and since when it is so.
#[derive(Clone)]
struct State {
    consuming: bool,
    since: Micros,
    words: String,
}

/// A participant's state folder, as its exo uses it.
pub struct Keeper {
    name: String,
    folder: PathBuf,
    queue: String,
    journal: Journal,
    failed: FailedStore,
    lines: Arc<Lines>,
    /// Of what this process consists, and its environment: the same in every failure.
    versions: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    history: Option<Writer>,
    live: Option<LiveFile>,
    written: Option<Instant>,
    changed: bool,
    since: Micros,
    host: String,
    state: State,
    /// Why the journal cannot be written.
    trouble: Option<String>,
    done: u64,
    problems: u64,
}

impl Keeper {
    /// What cannot be kept is said, and keeps nobody from working; only the journal does. `workers`: what they run on.
    pub fn new(settings: &Settings, lines: Arc<Lines>, workers: BTreeMap<String, String>) -> Self {
        let (name, folder) = (settings.name.clone(), &settings.state);
        let sayer = name.clone();
        let say = Box::new(move |line: String| warn!("{sayer}: {line}"));
        let history = Writer::start(folder, settings.history_keep, say);
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        let (host, since) = (host.unwrap_or_default(), moment::now());
        let words = "not consuming: not connected yet".to_owned();
        let state = State { consuming: false, since, words };
        let own = Live {
            participant: name.clone(),
            host: host.clone(),
            process: Process::own(),
            since,
            written: since,
            queue: settings.queue.clone(),
            state: state.words.clone(),
            consuming_since: since,
            ..Live::default()
        };
        let live = LiveFile::open(folder, &own);
        if let Err(e) = history.as_ref().map(drop).and(live.as_ref().map(drop)) {
            warn!("{name}: cannot write status and history in {}: {e}; work goes on", folder.display());
        }
        let mut keeper = Self {
            queue: settings.queue.clone(),
            journal: Journal::new(folder, settings.journal_sync),
            failed: FailedStore::new(folder, settings.failed.max as usize, settings.failed.size),
            lines,
            versions: about::versions(settings, workers),
            environment: about::variables(),
            history: history.ok(),
            live: live.ok(),
            written: None,
            changed: true,
            since,
            host,
            state,
            trouble: None,
            done: 0,
            problems: 0,
            folder: folder.clone(),
            name,
        };
        keeper.fill_history();
        keeper
    }

    /// A process that was killed has not written its last rows, which its journal knows.
    fn fill_history(&mut self) {
        // What is wrong with the journal is said when it is needed.
        let handled = self.journal.take_handled().unwrap_or_default();
        let items = handled.iter().filter_map(Item::handled);
        let rows: Vec<_> = items.filter_map(|item| item.row(&self.name)).collect();
        // Before anything is taken from the queue: that may end this process too.
        if let Err(e) = state::history::fill(&self.folder, &rows) {
            warn!("{}: cannot write the last rows of the history of processes before: {e}", self.name);
        }
    }

    /// What the journal knows of a message that is delivered again.
    pub fn recall(&mut self, item: &Item) -> Option<Found> {
        self.journal.find(&item.digest).unwrap_or_else(|e| {
            // What cannot be read cannot be written either: then nothing is started.
            warn!("{}: cannot read the journal: {e}", self.name);
            None
        })
    }

    /// A handler is about to be given it. False = it must not start.
    pub fn take(&mut self, item: &mut Item, body: &[u8]) -> bool {
        let taken = self.journal.taken(&item.taken(body));
        item.journalled = taken.is_ok();
        if let Err(e) = &taken {
            warn!(
                wfid = item.wfid,
                "{}: cannot write the journal: {e}; not started, nothing is taken from {} until it can be written",
                self.name,
                self.queue
            );
            let trouble = format!("cannot write the journal: {e}");
            self.state(false, format!("not consuming: {trouble}"));
            self.trouble = Some(trouble);
        }
        taken.is_ok()
    }

    /// A message was delivered and is not begun. Whether the journal knows that.
    pub fn passed(&mut self, digest: Digest, wfid: &str) -> bool {
        let passed = self.journal.passed(digest);
        if let Err(e) = &passed {
            warn!(wfid, "{}: cannot write into the journal that it is not begun: {e}", self.name);
        }
        passed.is_ok()
    }

    /// Its reply is about to be published.
    pub fn keep_reply(&mut self, item: &mut Item, body: &[u8]) {
        let outcome = item.outcome.unwrap_or_default();
        match self.journal.reply(item.ended(), item.digest, outcome, body) {
            Ok(()) => item.journalled = true,
            Err(e) => warn!(
                wfid = item.wfid,
                "{}: cannot write its reply into the journal: {e}; it is sent all the same", self.name
            ),
        }
    }

    /// It is given up without having run: what comes next may end this process before the history is written.
    pub fn keep_given_up(&mut self, item: &mut Item, came: &[u8], reply: &[u8]) {
        // The reply says what is wrong where neither can be written.
        item.journalled |= self.journal.taken(&item.taken(came)).is_ok();
        self.keep_reply(item, reply);
    }

    /// Its delivery is acknowledged.
    pub fn settled(&mut self, item: &Item) {
        if item.journalled
            && let Err(e) = self.journal.acked(item.digest)
        {
            warn!(wfid = item.wfid, "{}: cannot write into the journal that it is done: {e}", self.name);
        }
    }

    /// Whether the journal can be written.
    pub fn probe(&mut self) -> bool {
        let probed = self.journal.probe();
        if probed.is_ok() {
            info!("{}: the journal can be written again", self.name);
            self.trouble = None;
        }
        probed.is_ok()
    }

    /// Why the journal cannot be written, as far as is known: then nothing is taken from the queue.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// That this process ends with work in hand is no crash from now on.
    pub fn no_crash(&mut self) {
        if let Err(e) = self.journal.stopping() {
            warn!("{}: cannot write into the journal that we stop: {e}", self.name);
        }
    }

    /// Keeps a failure, with what was said for it in this process; returns where.
    pub fn keep_failure(
        &mut self,
        about: About,
        name: &str,
        body: &[u8],
        traceback: &str,
        log: &str,
    ) -> io::Result<String> {
        let about = About {
            when: moment::now(),
            participant: self.name.clone(),
            queue: self.queue.clone(),
            host: self.host.clone(),
            pid: std::process::id(),
            versions: self.versions.clone(),
            environment: self.environment.clone(),
            ..about
        };
        let failure = Failure { about: &about, name: &safe_name(name), body, traceback, log };
        let kept = self.failed.keep(&failure)?;
        if about.kind == Kind::Unusable {
            // It has no row in the history that would count it.
            (self.problems, self.changed) = (self.problems + 1, true);
        }
        if kept.removed > 0 {
            info!("{}: the failed store is full: removed the oldest {}", self.name, kept.removed);
        }
        Ok(kept.place.display().to_string())
    }

    /// What was said for a workitem that this process has in hand.
    pub fn said(&self, item: &Item) -> String {
        let given = item.started.unwrap_or(Micros::MAX);
        about::log(&self.lines.of(std::process::id(), given, &safe_name(&item.sid)))
    }

    /// How the processes ended that had a workitem in hand before, as far as they could say.
    pub fn last_words(&self, item: &Item) -> LastWords {
        let key = safe_name(&item.sid);
        LastWords::of(&item.attempts, |attempt: &Attempt| {
            let (pid, given) = (attempt.pid, attempt.started);
            (self.lines.of(pid, given, &key), self.lines.fault(pid, given))
        })
    }

    /// When the last process that had it in hand ended: as it said, else, as far as is known, before this one began.
    pub fn last_end(&self, item: &Item) -> Option<Micros> {
        let last = item.attempts.last()?;
        let began = Some(self.since).filter(|since| *since > last.started);
        self.lines.ended(last.pid, last.started).or(began)
    }

    /// It is over: its row goes into the history.
    pub fn remember(&mut self, item: &Item) {
        let (Some(row), Some(history)) = (item.row(&self.name), &mut self.history) else { return };
        self.changed = true;
        // Who cancels a workitem has no trouble with it.
        if row.outcome.is_problem() && row.outcome != Outcome::Cancelled {
            self.problems += 1;
        } else {
            self.done += 1;
        }
        history.write(row);
        let dropped = history.take_dropped();
        if dropped > 0 {
            warn!("{}: the history cannot be written fast enough: {dropped} rows are lost", self.name);
        }
    }

    /// Whether we take work, and why not.
    pub fn state(&mut self, consuming: bool, words: String) {
        if consuming != self.state.consuming {
            (self.state.consuming, self.state.since) = (consuming, moment::now());
        }
        self.state.words = words;
        (self.changed, self.written) = (true, None);
    }

    /// Something else has changed.
    pub fn changed(&mut self) {
        self.changed = true;
    }

    /// When [`Keeper::write_live`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        let written = self.written.map_or_else(Instant::now, |at| at + LIVE);
        (self.changed && self.live.is_some()).then_some(written)
    }

    /// Writes what we do now.
    pub fn write_live<'a>(&mut self, in_hand: impl Iterator<Item = &'a Item>) {
        self.written = Some(Instant::now());
        let in_flight = in_hand.map(|item| InFlight {
            sid: item.sid.clone(),
            wfid: item.wfid.clone(),
            since: item.started.unwrap_or_default(),
            attempt: item.attempt(),
        });
        // What cannot be written is tried again; a full disk has more important things to say.
        self.changed = self.write(in_flight.collect(), false).is_err();
    }

    fn write(&self, in_flight: Vec<InFlight>, ended: bool) -> io::Result<()> {
        let Some(file) = &self.live else { return Ok(()) };
        let State { consuming, since: consuming_since, words: state } = self.state.clone();
        file.write(&Live {
            participant: self.name.clone(),
            host: self.host.clone(),
            process: Process::own(),
            since: self.since,
            written: moment::now(),
            queue: self.queue.clone(),
            state,
            consuming,
            consuming_since,
            in_flight,
            done: file.before.0 + self.done,
            failed: file.before.1 + self.problems,
            ended,
            took: vec![],
        })
    }

    /// The end in order; `settled` = the broker has all that we acknowledged.
    pub fn close(self, settled: bool) {
        // Who reads it sees that the process is gone.
        let _ = self.write(vec![], true);
        self.lines.remove();
        // Before the journal goes, which could tell the next process of its last rows.
        drop(self.history);
        if settled {
            self.journal.close();
        }
    }
}
