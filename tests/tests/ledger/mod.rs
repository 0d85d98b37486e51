//! What happens to all workitems while things are killed: none is lost, no handler runs again once its reply was
//! stored, and each surplus reply is explained.
//!
//! Ten seconds, or as many as SKYNET_CHAOS_SECONDS says; SKYNET_CHAOS_SEED repeats a run.
#![allow(dead_code, reason = "each test program uses a part of it")]

use serde_json::{Value, json};
use state::Micros;
use state::journal::record::{Digest, Record};
use state::journal::segment::scan;
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::process::signal;
use tests::{Broker, Participant, Running, Sandbox, workitem};
use unix::process::Signal;

/// Writes a line for each run, with one write to a file that outlives it.
const HANDLER: &str = "
import os, time
RUNS = os.open(os.environ['RUNS'], os.O_WRONLY | os.O_APPEND)
class ParticipantHandler(object):
    def handle_wi(self, wid):
        os.write(RUNS, ('%s %d\\n' % (wid.wfid, time.time() * 1e6)).encode())
        wid.fields.done = True
";

/// How long nothing may be taken from a queue that has work.
const STILL: Duration = Duration::from_secs(90);

/// What happened to all workitems of a run.
pub struct Ledger {
    pub p: Participant,
    /// How many workitems.
    pub count: usize,
    published: usize,
    kills: usize,
    pub broker_kills: usize,
    /// When each reply was stored first, by wfid, as the journal's files said after each kill.
    stored: HashMap<String, Micros>,
    said: String,
    seed: u64,
}

/// How long the chaos lasts.
pub fn seconds() -> Duration {
    let seconds = std::env::var("SKYNET_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

impl Ledger {
    /// A participant on this broker, not started yet.
    pub fn new(broker: impl FnOnce(&Sandbox) -> Broker, config: &str) -> Self {
        let sandbox = Sandbox::new();
        let broker = broker(&sandbox);
        let runs = sandbox.write("runs", "");
        fs::set_permissions(&runs, fs::Permissions::from_mode(0o666)).unwrap();
        sandbox.set("RUNS", runs.to_str().unwrap());
        let p = Participant::new(sandbox, broker, HANDLER, config);
        let seed = std::env::var("SKYNET_CHAOS_SEED").ok().and_then(|text| text.parse().ok());
        let now = || Instant::now().elapsed().subsec_nanos();
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(now()));
        println!("seed: SKYNET_CHAOS_SEED={seed}");
        // So many that there is work left when the last kill comes.
        let count = 300 * seconds().as_secs() as usize;
        Self {
            p,
            count,
            published: 0,
            kills: 0,
            broker_kills: 0,
            stored: HashMap::new(),
            said: String::new(),
            seed,
        }
    }

    /// The next number of a simple sequence (xorshift).
    pub fn random(&mut self, below: u64) -> u64 {
        self.seed |= 1;
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    /// Puts all workitems on the queue, persistent and confirmed.
    pub fn publish_all(&mut self) {
        self.p.broker.client().declare("sizer");
        self.publish();
    }

    /// The same, on a quorum queue.
    pub fn publish_all_to_a_quorum(&mut self) {
        self.p.broker.client().declare_quorum("sizer");
        self.publish();
    }

    fn publish(&mut self) {
        let client = self.p.broker.client();
        client.declare("ruote_workitems");
        let body = |n: usize| workitem(&format!("w{n}"), json!({"n": n, "dispatched_at": n.to_string()}));
        client.publish_all("sizer", (0..self.count).map(body));
        self.published = self.count;
    }

    /// The participant's state folder.
    pub fn state(&self) -> PathBuf {
        self.p.sandbox.path("participants/sizer")
    }

    /// Notes which replies are stored.
    pub fn read_journal(&mut self, folder: &Path) {
        let mut names: HashMap<Digest, String> = HashMap::new();
        let mut replies = vec![];
        let mut files: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        files.sort();
        for file in files {
            let Ok(file) = File::open(file) else { continue };
            let _ = scan(&file, 0, |_, record| match record {
                Record::Taken(taken) => drop(names.insert(taken.digest, taken.sid.to_owned())),
                Record::Reply { digest, time, .. } => replies.push((digest, time)),
                _ => {}
            });
        }
        for (digest, time) in replies {
            let Some(sid) = names.get(&digest) else { continue };
            let wfid = sid.rsplit('!').next().unwrap().to_owned();
            let first = self.stored.entry(wfid).or_insert(time);
            *first = time.min(*first);
        }
    }

    /// Kills exo, and starts another.
    pub fn kill(&mut self, exo: &mut Running) -> Running {
        signal(exo.pid(), Signal::SIGKILL);
        self.kills += 1;
        let done = exo.finish();
        self.said += &done.out;
        let folder = self.state().join("journal");
        self.read_journal(&folder);
        self.p.launch("config.exo")
    }

    /// Waits until nothing is left to do, ends exo, and counts.
    pub fn settle(mut self, what: &str, mut exo: Running) {
        let client = self.p.broker.client();
        let (mut quiet, mut moved) = (None, (u32::MAX, Instant::now()));
        while quiet.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(1)) {
            let left = client.depth("sizer");
            quiet = if left == 0 { quiet.or(Some(Instant::now())) } else { None };
            if left != moved.0 {
                moved = (left, Instant::now());
            }
            // Many workitems may take long on a slow machine; standing still, with work on the queue, may not.
            let stands = left > 0 && moved.1.elapsed() > STILL;
            assert!(!stands, "{what}: {left} are left on the queue{}", exo.told());
            std::thread::sleep(Duration::from_millis(100));
        }
        let folder = self.state().join("journal");
        self.read_journal(&folder);
        let done = exo.terminate();
        assert_eq!(done.code, Some(0), "{done:?}");
        self.said += &done.out;
        assert_eq!(client.depth("sizer"), 0, "all are acknowledged");
        let mut replies: HashMap<String, usize> = HashMap::new();
        while let Some(reply) = client.take("ruote_workitems") {
            let reply: Value = serde_json::from_slice(&reply).unwrap();
            assert_eq!((&reply["fields"]["done"], reply.get("error")), (&json!(true), None), "{reply}");
            *replies.entry(reply["fei"]["wfid"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        self.count_up(what, &replies);
    }

    fn count_up(&self, what: &str, replies: &HashMap<String, usize>) {
        let mut runs: HashMap<&str, Vec<Micros>> = HashMap::new();
        let text = self.p.sandbox.read("runs");
        for line in text.lines() {
            let (wfid, time) = line.split_once(' ').unwrap();
            runs.entry(wfid).or_default().push(time.parse().unwrap());
        }
        let lost = (0..self.published).filter(|n| !replies.contains_key(&format!("w{n}"))).count();
        assert_eq!(lost, 0, "{what}: lost workitems");
        let mut again = 0;
        for (wfid, times) in &runs {
            again += times.len() - 1;
            if let Some(stored) = self.stored.get(*wfid) {
                let late = times.iter().filter(|time| *time > stored).count();
                assert_eq!(late, 0, "{what}: the handler of {wfid} ran again after its reply was stored");
            }
        }
        let from_journal = self.said.matches("answered from the journal").count();
        let total: usize = replies.values().sum();
        let surplus = total - replies.len();
        println!(
            "{what}: {} workitems, {} kills of exo, {} of the broker: 0 lost, {again} runs again, {} replies seen stored, \
             {surplus} surplus replies ({from_journal} answered from the journal)",
            self.published,
            self.kills,
            self.broker_kills,
            self.stored.len()
        );
        // One in hand: a kill makes at the most one run again or one reply again; so does the loss of a broker, which
        // leaves a reply unconfirmed that is then published again.
        assert!(again <= self.kills, "{what}: more runs again than kills");
        let explained = again + from_journal + self.broker_kills;
        assert!(surplus <= explained, "{what}: {surplus} surplus replies, {explained} explained");
    }
}
