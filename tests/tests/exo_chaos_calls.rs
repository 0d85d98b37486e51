//! Chaos at every system call: exo is killed at the first, the second, … call that others can see, and started again.
//!
//! A scenario of four workitems each time: one good, one that fails, one that wants no reply, one that sends another
//! workitem. `make test` takes some of the calls, `make chaos` all; SKYNET_CHAOS_SEED repeats the choice.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use state::failed::FailedStore;
use state::history::{Filter, History, Order};
use state::journal::record::{Digest, Record};
use state::journal::segment::scan;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tests::amqp::Client;
use tests::chaos::{self, Chance};
use tests::{Broker, Participant, Sandbox, workitem};

/// Counts its runs per workitem in a file that outlives it, with one write.
const HANDLER: &str = "
import os
from SkyNET import Workitem
class ParticipantHandler(object):
    def handle_wi(self, wid):
        runs = os.open(os.path.join(os.environ['RUNS'], wid.wfid), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(runs, b'run\\n')
        os.close(runs)
        what = wid.fields.what
        if what == 'fails':
            raise ValueError('on purpose')
        if what == 'forgets':
            wid.forget = True
        if what == 'sends':
            self.send_to_engine(Workitem(wid.fields.other))
        wid.fields.done = True
";

const WORK: [&str; 4] = ["good", "fails", "forgets", "sends"];
/// What is sent after the kill: once it is answered, all that came before it is.
const LAST: &str = "last";
/// As many kills as fit into a test that others wait for.
const SOME: u64 = 10;

/// A participant that is killed at one call.
struct Trial<'a> {
    p: &'a Participant,
    client: &'a Client,
    /// Its name, and that of its queue.
    name: String,
    /// What was said at which call, for messages.
    what: String,
}

impl<'a> Trial<'a> {
    fn new(p: &'a Participant, client: &'a Client, n: u64) -> Self {
        let name = format!("p{n}");
        let config = format!("name = \"{name}\"\ncode = \"sizer.py\"\nmax_attempts = 9\n");
        p.sandbox.write(format!("sizer/{name}.exo"), &config);
        p.sandbox.write(format!("sizer/{name}-4.exo"), format!("{config}max_workitems = 4\n"));
        client.declare(&name);
        let trial = Self { p, client, name, what: String::new() };
        client.publish_all(&trial.name, WORK.iter().map(|what| trial.workitem(what)));
        trial
    }

    fn wfid(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    fn workitem(&self, what: &str) -> String {
        let other = workitem(&self.wfid("other"), json!({}));
        workitem(
            &self.wfid(what),
            json!({"what": what, "other": other, "dispatched_at": "2026-11-20 19:53:41 UTC"}),
        )
    }

    fn state(&self) -> PathBuf {
        self.p.sandbox.path(format!("participants/{}", self.name))
    }

    fn runs(&self, what: &str) -> usize {
        self.p.sandbox.read(format!("runs/{}", self.wfid(what))).lines().count()
    }

    fn journal(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state().join("journal")).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.sort();
        files
    }

    /// Runs it until its Nth call, or its end: whether it was killed. `u64::MAX` never comes; the calls are counted.
    fn run(&mut self, at: u64) -> Option<u64> {
        let reaper = env!("CARGO_BIN_EXE_reaper");
        let (at, config) = (at.to_string(), format!("{}-4.exo", self.name));
        let folder = self.p.sandbox.path("participants");
        let script = "cd sizer && exec \"$1\" \"$2\" \"$3\" exo \"$4\"";
        let arguments = ["-c", script, "sh", reaper, &at, folder.to_str().unwrap(), &config];
        let done = self.p.sandbox.start("sh", &arguments).finish();
        self.what = format!("{}{}", done.err, done.out);
        if done.code == Some(137) {
            return None;
        }
        assert_eq!(done.code, Some(0), "{}", self.what);
        let count =
            done.err.lines().find_map(|line| line.strip_prefix("reaper: ")?.split(' ').next()?.parse().ok());
        Some(count.unwrap())
    }

    /// Which workitems have a reply in the journal, by their wfid.
    fn stored(&self) -> BTreeSet<String> {
        let mut names: HashMap<Digest, String> = HashMap::new();
        let mut stored = BTreeSet::new();
        for file in self.journal() {
            let file = File::open(file).unwrap();
            scan(&file, 0, |_, record| match record {
                Record::Taken(taken) => drop(names.insert(taken.digest, taken.sid.to_owned())),
                Record::Reply { digest, .. } => {
                    stored.extend(names[&digest].rsplit('!').next().map(str::to_owned));
                }
                _ => {}
            })
            .unwrap();
        }
        stored
    }

    /// Starts it again after a kill, lets it do what is left and end, and looks at all that there is to see.
    fn recover(&self) {
        let what = &self.what;
        let gone = || self.client.queue(&self.name).unwrap().consumers == 0;
        self.p.sandbox.wait_until("the broker has what was in hand back", gone);
        let stored = self.stored();
        let before: BTreeMap<_, _> = WORK.iter().map(|what| (*what, self.runs(what))).collect();
        let mut exo = self.p.start_with(&format!("{}.exo", self.name), &self.name);
        self.client.publish(&self.name, self.workitem(LAST));
        exo.wait_until_it_says(&format!("{}: done in", self.wfid(LAST)));
        let done = exo.terminate();
        assert_eq!(done.code, Some(0), "{what}\n{}", done.out);
        for (item, before) in before {
            let again = self.runs(item) > before;
            assert!(!(again && stored.contains(&self.wfid(item))), "{item} ran again: {what}\n{}", done.out);
        }
        let replies = self.replies();
        let said = |item: &str, text: &str| {
            let wfid = self.wfid(item);
            done.out.lines().filter(|line| line.contains(&wfid) && line.contains(text)).count()
        };
        for item in WORK.iter().chain([&LAST]) {
            let (count, failed) = replies.get(&self.wfid(item)).copied().unwrap_or_default();
            let (runs, from_journal) = (self.runs(item), said(item, "answered from the journal"));
            let told = format!(
                "{item}: {runs} runs, {count} replies, {from_journal} from the journal: {what}\n{}",
                done.out
            );
            assert!(runs >= 1, "{told}");
            match *item {
                "forgets" => assert_eq!(count, 0, "{told}"),
                _ => assert!(count >= 1 && count <= runs + from_journal, "{told}"),
            }
            assert_eq!(failed, if *item == "fails" { count } else { 0 }, "{told}");
        }
        let (others, _) = replies.get(&self.wfid("other")).copied().unwrap_or_default();
        assert!(others >= 1 && others <= self.runs("sends"), "{others} others: {what}");
        self.nothing_is_left();
    }

    /// How many replies came for each wfid, and how many of them with an error.
    fn replies(&self) -> BTreeMap<String, (usize, usize)> {
        let mut replies: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        while let Some(reply) = self.client.take("ruote_workitems") {
            let reply: Value = serde_json::from_slice(&reply).unwrap();
            let (count, failed) =
                replies.entry(reply["fei"]["wfid"].as_str().unwrap().to_owned()).or_default();
            (*count, *failed) = (*count + 1, *failed + usize::from(reply.get("error").is_some()));
        }
        replies
    }

    fn nothing_is_left(&self) {
        let what = &self.what;
        self.p.sandbox.wait_until("all is acknowledged, and nobody consumes", || {
            let queue = self.client.queue(&self.name).unwrap();
            (queue.ready, queue.consumers) == (0, 0)
        });
        assert_eq!(self.journal(), Vec::<PathBuf>::new(), "nothing live, no file: {what}");
        self.failed_store_is_whole();
        self.history_is_whole();
        self.counts_are_true();
        self.client.delete(&self.name);
    }

    fn failed_store_is_whole(&self) {
        let what = &self.what;
        let kept = FailedStore::list(&self.state()).unwrap();
        assert!(!kept.is_empty() && kept.len() <= self.runs("fails"), "{} failures: {what}", kept.len());
        for entry in kept {
            assert_eq!(entry.about.wfid, self.wfid("fails"), "{what}");
            assert_eq!(entry.workitem().unwrap(), self.workitem("fails").as_bytes(), "{what}");
            assert!(entry.traceback().unwrap().contains("ValueError: on purpose"), "{what}");
        }
        let folders = fs::read_dir(self.state().join("failed")).unwrap().flatten();
        let names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| !name.starts_with('.')), "half a folder is left: {names:?} {what}");
    }

    fn history_is_whole(&self) {
        let what = &self.what;
        let history = History::open(&self.state()).unwrap().unwrap();
        let rows = history.rows(&Filter::default(), Order::Newest, 100).unwrap();
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        rows.iter().for_each(|row| *count.entry(row.wfid.clone()).or_default() += 1);
        for item in WORK.iter().chain([&LAST]) {
            assert_eq!(count.remove(&self.wfid(item)), Some(1), "{item} {rows:#?}: {what}");
        }
        assert_eq!(count, BTreeMap::new(), "{rows:#?}: {what}");
    }

    fn counts_are_true(&self) {
        let what = &self.what;
        let mut files = fs::read_dir(self.state().join("live")).unwrap().flatten();
        let file = files.next().unwrap().path();
        assert_eq!(files.count(), 0, "{what}");
        let live: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let (done, failed) = (live["done"].as_u64().unwrap(), live["failed"].as_u64().unwrap());
        assert!((1..=4).contains(&done) && failed <= 1, "{done} done, {failed} failed: {what}");
    }
}

fn killed_at_every_call(broker: impl FnOnce(&Sandbox) -> Broker) {
    let sandbox = Sandbox::new();
    let broker = broker(&sandbox);
    let runs = sandbox.folder("runs");
    fs::set_permissions(&runs, fs::Permissions::from_mode(0o777)).unwrap();
    sandbox.set("RUNS", runs.to_str().unwrap());
    let p = Participant::new(sandbox, broker, HANDLER, "");
    let client = p.broker.client();
    client.declare("ruote_workitems");
    let mut whole = Trial::new(&p, &client, 0);
    let calls = whole.run(u64::MAX).unwrap();
    assert!(calls > 50, "{calls} calls: {}", whole.what);
    whole.recover();
    let seed = chaos::seed();
    println!("seed: SKYNET_CHAOS_SEED={seed}");
    let mut chance = Chance::new(seed);
    let step = if std::env::var_os("SKYNET_CHAOS_SECONDS").is_some() { 1 } else { calls.div_ceil(SOME) };
    let (mut at, mut killed) = (1 + chance.below(step), 0);
    while at <= calls {
        let mut trial = Trial::new(&p, &client, at);
        // Not every run makes as many calls.
        killed += u64::from(trial.run(at).is_none());
        trial.recover();
        at += step;
    }
    println!(
        "killed at {killed} of {calls} calls: nothing lost, nothing done again once its reply was stored"
    );
}

#[test]
fn nothing_is_lost_when_exo_is_killed_at_any_call_on_skynet_broker() {
    killed_at_every_call(Broker::skynet);
}

#[test]
fn nothing_is_lost_when_exo_is_killed_at_any_call_on_rabbitmq() {
    killed_at_every_call(|_| Broker::rabbitmq());
}
