//! Hostile workitems through the real exo: each is answered or parked with its reason, nothing is lost, and the
//! participant lives on.
//!
//! SKYNET_HOSTILE_SEED repeats a run of the generator, SKYNET_HOSTILE_COUNT makes it longer.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod hostile;

use hostile::{Body, Expect, Generator, Tree, cases};
use state::failed::{FailedStore, Kind};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use tests::amqp::Client;
use tests::{Broker, Participant, Running, Sandbox, workitem};

/// Does nothing: what comes back is what came, through a Python object.
const NOTHING: &str = "
class ParticipantHandler(object):
    def handle_wi(self, wid): pass
";

/// Which work is done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    /// A handler that does nothing.
    Python,
    /// A program that answers with what it was given.
    Program,
}

impl Work {
    fn config(self) -> &'static str {
        match self {
            Self::Python => "max_body = \"1M\"\n",
            Self::Program => "max_body = \"1M\"\nexec = [\"cat\"]\n",
        }
    }
}

/// What became of a workitem.
#[derive(Debug, PartialEq)]
enum Fate {
    Answered(Vec<u8>),
    Parked(String),
}

/// All answers to workitems of a run, with the numbers of those, and all that was parked.
struct Seen {
    answers: Vec<(Option<u64>, Vec<u8>)>,
    parked: HashMap<Vec<u8>, String>,
}

fn state(p: &Participant) -> PathBuf {
    p.sandbox.path("participants/sizer")
}

/// Sends these, then a harmless one; returns what came back until that is answered.
fn send(p: &Participant, client: &Client, exo: &mut Running, bodies: &[Body]) -> Seen {
    let mut replies = client.replies();
    for body in bodies {
        client.publish("sizer", &body.bytes);
    }
    client.publish("sizer", workitem("harmless", serde_json::json!({})));
    let mut answers = vec![];
    loop {
        let reply = replies.receive();
        if String::from_utf8_lossy(&reply).contains("\"wfid\":\"harmless\"") {
            break;
        }
        answers.push((hostile::number(&reply), reply));
        assert!(exo.runs(), "{}", exo.told());
    }
    let kept = FailedStore::list(&state(p)).unwrap();
    // What a handler raised is kept there too.
    let kept = kept.into_iter().filter(|entry| matches!(entry.about.kind, Kind::Unusable | Kind::Invalid));
    let parked = kept.map(|entry| (entry.workitem().unwrap(), entry.about.reason)).collect();
    Seen { answers, parked }
}

impl Seen {
    /// What became of a workitem: its number is in its answer.
    fn fate(&self, body: &Body) -> Vec<Fate> {
        let answers = self.answers.iter().filter(|(number, _)| *number == Some(body.number));
        let mut fates: Vec<_> = answers.map(|(_, answer)| Fate::Answered(answer.clone())).collect();
        fates.extend(self.parked.get(&body.bytes).map(|reason| Fate::Parked(reason.clone())));
        fates
    }
}

/// All names below a folder.
fn names(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(names(&path));
        }
        found.insert(path);
    }
    found
}

/// What lies in the sandbox and is not the participant's state: nothing of that may change.
fn elsewhere(p: &Participant) -> BTreeSet<PathBuf> {
    let own =
        [state(p), p.sandbox.path("broker"), p.sandbox.path(".output"), p.sandbox.path("sizer/__pycache__")];
    names(p.sandbox.dir()).into_iter().filter(|path| !own.iter().any(|own| path.starts_with(own))).collect()
}

/// The largest resident memory of a process so far, in KiB.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn participants(work: Work) -> [Participant; 2] {
    let on = |broker: fn(&Sandbox) -> Broker| {
        let sandbox = Sandbox::new();
        let broker = broker(&sandbox);
        Participant::new(sandbox, broker, NOTHING, work.config())
    };
    [on(Broker::skynet), on(|_| Broker::rabbitmq())]
}

/// "Each is answered or parked, unknown keys survive in order …; nothing is written outside of the state folder."
fn each_case_ends_as_it_must(work: Work) {
    for p in participants(work) {
        let client = p.broker.client();
        let mut exo = p.start();
        let before = elsewhere(&p);
        let (bodies, expected): (Vec<_>, Vec<_>) = cases().into_iter().unzip();
        let seen = send(&p, &client, &mut exo, &bodies);
        for (body, expect) in bodies.iter().zip(expected) {
            let fates = seen.fate(body);
            let about = format!("{work:?}: {}: {fates:.600?}", body.what);
            match (expect[work as usize], fates.as_slice()) {
                (Expect::Same, [Fate::Answered(reply)]) => unchanged(work, body, reply, &about),
                (Expect::Error(says), [Fate::Answered(reply)]) => failed(body, reply, says, &about),
                (Expect::Parked(says), [Fate::Parked(reason)]) => assert!(reason.contains(says), "{about}"),
                (Expect::Both(says), [Fate::Answered(reply), Fate::Parked(reason)]) => {
                    failed(body, reply, says, &about);
                    assert!(reason.contains(says), "{about}");
                }
                (Expect::Nothing, []) => {}
                (expected, _) => panic!("{expected:?} is not what became of {about}"),
            }
        }
        assert_eq!(elsewhere(&p), before);
        for path in names(&state(&p)) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let harmless = |c: char| c.is_ascii_alphanumeric() || "._!-".contains(c);
            assert!(name.len() <= 255 && name.chars().all(harmless), "{path:?}");
        }
        let done = exo.terminate();
        assert_eq!(done.code, Some(0), "{}", done.out);
        assert!(!done.out.contains("internal error") && !done.out.contains("panicked"), "{}", done.out);
        assert_eq!(client.depth("sizer"), 0);
    }
}

/// The reply is the workitem: byte for byte from a program; from Python with all keys in their order, and with numbers as
/// they were spelled where a double would change them.
fn unchanged(work: Work, body: &Body, reply: &[u8], about: &str) {
    if work == Work::Program {
        assert_eq!(String::from_utf8_lossy(reply), String::from_utf8_lossy(&body.bytes), "{about}");
        return;
    }
    let read = |json: &[u8]| Tree::read(std::str::from_utf8(json).unwrap());
    assert_eq!(read(&body.bytes).with_params(), read(reply), "{about}");
}

/// The reply is the workitem with an error.
fn failed(body: &Body, reply: &[u8], says: &str, about: &str) {
    let message = hostile::error(reply).unwrap_or_default();
    assert!(message.contains(says), "{about}");
    let keys = |json: &[u8]| -> Vec<String> {
        let keys = hostile::entries(json).unwrap().into_iter().map(|(key, _)| key);
        keys.filter(|key| key != "error").collect()
    };
    assert_eq!(keys(&body.bytes), keys(reply), "{about}");
}

#[test]
fn hostile_workitems_are_answered_or_parked_where_a_handler_works() {
    each_case_ends_as_it_must(Work::Python);
}

#[test]
fn hostile_workitems_are_answered_or_parked_where_a_program_works() {
    each_case_ends_as_it_must(Work::Program);
}

/// A generator of them: each is answered or parked, whatever it is, and memory does not grow with their number.
#[test]
fn whatever_is_sent_is_answered_or_parked_and_memory_stays_bounded() {
    for work in [Work::Python, Work::Program] {
        let p = Participant::on_skynet(NOTHING, work.config());
        p.sandbox
            .write("boss.conf", format!("[amqp]\nurl = \"{}\"\n[failed]\nmax = 100000\n", p.broker.url()));
        let client = p.broker.client();
        let mut exo = p.start();
        let before = elsewhere(&p);
        let mut generator = Generator::new();
        let count = std::env::var("SKYNET_HOSTILE_COUNT").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
        let mut peaks = vec![];
        for _ in 0..3 {
            let bodies: Vec<_> = (0..count).map(|_| generator.next()).collect();
            let seen = send(&p, &client, &mut exo, &bodies);
            for body in &bodies {
                let fates = seen.fate(body);
                let text = String::from_utf8_lossy(&body.bytes);
                let answers = fates.iter().filter(|fate| matches!(fate, Fate::Answered(_))).count();
                let said =
                    !fates.iter().any(|fate| matches!(fate, Fate::Parked(reason) if reason.is_empty()));
                let dealt_with = !fates.is_empty() && answers <= 1 && said;
                assert!(body.is_cancel || dealt_with, "{work:?}: {fates:.500?}: {text:.2000}");
            }
            peaks.push(peak(exo.pid()));
        }
        println!("{work:?}: seed SKYNET_HOSTILE_SEED={}, peaks of memory {peaks:?} KiB", generator.seed);
        assert!(peaks[2] < peaks[0] + 32 * 1024, "{work:?}: memory grows: {peaks:?} KiB");
        assert_eq!(elsewhere(&p), before);
        assert_eq!(exo.terminate().code, Some(0));
    }
}

/// "64 MiB and more": what fits is worked on, what does not is parked and answered; memory stays bounded.
#[test]
fn large_workitems_are_worked_on_up_to_max_body_and_parked_beyond() {
    for (config, times) in [("", 12), ("exec = [\"cat\"]\n", 9)] {
        let p = Participant::on_skynet(NOTHING, config);
        // A slow machine has no time for signs of life meanwhile, and what is delivered again is answered again.
        p.sandbox.write("boss.conf", format!("[amqp]\nurl = \"{}?heartbeat=0\"\n", p.broker.url()));
        let client = p.broker.client();
        let mut exo = p.start();
        let limit = 64 << 20;
        let sized = |number, size: usize| {
            let empty = hostile::body(number, "large", r#""fields":{"x":""}"#);
            let filler = "x".repeat(size - empty.bytes.len());
            hostile::body(number, "large", &format!(r#""fields":{{"x":"{filler}"}}"#))
        };
        let bodies = [sized(1, limit), sized(2, limit + 1), sized(3, limit + (20 << 20))];
        let seen = send(&p, &client, &mut exo, &bodies);
        for (body, fits) in bodies.iter().zip([true, false, false]) {
            match (fits, seen.fate(body).as_slice()) {
                (true, [Fate::Answered(reply)]) => assert!(hostile::error(reply).is_none()),
                (false, [Fate::Answered(reply), Fate::Parked(reason)]) => {
                    assert!(
                        hostile::error(reply).is_some() && reason.contains("more than max_body"),
                        "{reason}"
                    );
                }
                (_, other) => panic!("{fits}: {} answers or reasons{}", other.len(), exo.told()),
            }
        }
        let peak = peak(exo.pid());
        println!("{config:?}: {} MiB at the most", peak >> 10);
        assert!(peak < times * (limit as u64 >> 10), "{config:?}: {} MiB", peak >> 10);
        assert_eq!(exo.terminate().code, Some(0));
    }
}
