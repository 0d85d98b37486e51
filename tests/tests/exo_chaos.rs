//! Chaos with counting: processes are killed, the broker is killed, the disk fills; no workitem is lost, no handler
//! runs again once its reply was stored, and each surplus reply is explained.
//!
//! Ten seconds each, or as many as SKYNET_CHAOS_SECONDS says; SKYNET_CHAOS_SEED repeats a run.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

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

/// What happened to all workitems of a run.
struct Ledger {
    p: Participant,
    count: usize,
    published: usize,
    kills: usize,
    broker_kills: usize,
    /// When each reply was stored first, by wfid, as the journal's files said after each kill.
    stored: HashMap<String, Micros>,
    said: String,
    seed: u64,
}

fn seconds() -> Duration {
    let seconds = std::env::var("SKYNET_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

impl Ledger {
    fn new(broker: impl FnOnce(&Sandbox) -> Broker, config: &str) -> Self {
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
    fn random(&mut self, below: u64) -> u64 {
        self.seed |= 1;
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    fn publish_all(&mut self) {
        let client = self.p.broker.client();
        client.declare("sizer");
        client.declare("ruote_workitems");
        for n in 0..self.count {
            client.publish_persistent(
                "sizer",
                workitem(&format!("w{n}"), json!({"n": n, "dispatched_at": n.to_string()})),
            );
        }
        self.published = self.count;
    }

    fn state(&self) -> PathBuf {
        self.p.sandbox.path("participants/sizer")
    }

    /// Notes which replies are stored.
    fn read_journal(&mut self, folder: &Path) {
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
    fn kill(&mut self, exo: &mut Running) -> Running {
        signal(exo.pid(), Signal::SIGKILL);
        self.kills += 1;
        let done = exo.finish();
        self.said += &done.out;
        let folder = self.state().join("journal");
        self.read_journal(&folder);
        self.p.launch("config.exo")
    }

    /// Waits until nothing is left to do, ends exo, and counts.
    fn settle(mut self, what: &str, mut exo: Running) {
        let client = self.p.broker.client();
        let mut quiet = None;
        let end = Instant::now() + Duration::from_secs(180);
        while quiet.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(1)) {
            let idle = client.depth("sizer") == 0;
            quiet = if idle { quiet.or(Some(Instant::now())) } else { None };
            assert!(
                Instant::now() < end,
                "{what}: {} are left on the queue{}",
                client.depth("sizer"),
                exo.told()
            );
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

fn exo_is_killed_every_second(mut ledger: Ledger, what: &str) {
    ledger.publish_all();
    let mut exo = ledger.p.launch("config.exo");
    let end = Instant::now() + seconds();
    while Instant::now() < end {
        // At any instant: somewhere in the second.
        std::thread::sleep(Duration::from_millis(500 + ledger.random(1000)));
        exo = ledger.kill(&mut exo);
    }
    ledger.settle(what, exo);
}

#[test]
fn nothing_is_lost_while_exo_is_killed_every_second_on_rabbitmq() {
    exo_is_killed_every_second(Ledger::new(|_| Broker::rabbitmq(), ""), "exo killed, RabbitMQ");
}

#[test]
fn nothing_is_lost_while_exo_is_killed_every_second_on_skynet_broker() {
    exo_is_killed_every_second(Ledger::new(Broker::skynet, ""), "exo killed, skynet-broker");
}

#[test]
fn nothing_is_lost_while_the_broker_is_killed_and_restarted() {
    let mut ledger = Ledger::new(Broker::skynet, "");
    ledger.publish_all();
    let exo = ledger.p.launch("config.exo");
    let end = Instant::now() + seconds();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(500 + ledger.random(1500)));
        let how = if ledger.random(3) == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        ledger.p.broker.process().signal(how);
        ledger.p.broker.process().finish();
        ledger.broker_kills += 1;
        ledger.p.broker.start_again(&ledger.p.sandbox);
    }
    ledger.settle("skynet-broker killed", exo);
}

/// The journal lies on a small disk of its own, in a mount namespace of exo's, which is filled and emptied.
#[test]
fn nothing_is_lost_while_the_disk_of_the_journal_is_full() {
    if !unix::privileges::is_root() {
        return; // only root can mount
    }
    let mut ledger = Ledger::new(Broker::skynet, "user = \"root\"\n");
    ledger.publish_all();
    let journal = ledger.state().join("journal");
    fs::create_dir_all(&journal).unwrap();
    let script =
        format!("mount -t tmpfs -o size=2m tmpfs {} && cd sizer && exec exo 2>&1", journal.display());
    let exo = ledger.p.sandbox.start("unshare", &["-m", "sh", "-c", &script]);
    ledger.p.sandbox.wait_until("it consumes", || exo.out().contains("consuming from sizer"));
    let inside = |name: &str| PathBuf::from(format!("/proc/{}/root{}/{name}", exo.pid(), journal.display()));
    let end = Instant::now() + seconds();
    let mut full = 0;
    while Instant::now() < end {
        let mut filler = File::create(inside("filler")).unwrap();
        // Until there is no room left.
        while std::io::Write::write_all(&mut filler, &[0; 4096]).is_ok() {}
        full += 1;
        std::thread::sleep(Duration::from_millis(500 + ledger.random(1000)));
        fs::remove_file(inside("filler")).unwrap();
        std::thread::sleep(Duration::from_millis(500 + ledger.random(1500)));
    }
    assert!(exo.out().contains("cannot write the journal"), "the disk was never full{}", exo.told());
    let inside = inside("");
    ledger.read_journal(&inside);
    println!("the disk was full {full} times");
    ledger.settle("journal's disk full", exo);
}
