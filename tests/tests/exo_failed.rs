//! The failed store: "for each exception or crash, a folder with the incoming workitem, the traceback, the last log lines
//! of that workitem, versions and environment (no secrets), bounded in number and size (the oldest goes, a line says so)".
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use state::failed::{Entry, FailedStore, Kind};
use tests::{Participant, workitem};

const HANDLER: &str = "
import ctypes, logging, os, subprocess, sys, threading
class ParticipantHandler(object):
    def handle_wi(self, wid):
        print('begun with', wid.fields.do)
        self.log.warning('careful \\udc80')
        t = threading.Thread(target=lambda: print('a thread', file=sys.stderr)); t.start(); t.join()
        getattr(self, wid.fields.do)(wid)
    def boom(self, wid): raise ValueError('boom')
    def fine(self, wid): pass
    def segfault(self, wid): ctypes.string_at(1)
    def abort(self, wid): os.abort()
    def kill(self, wid): os.kill(os.getpid(), 9)
    def exit_now(self, wid): os._exit(7)
    def close_all(self, wid): os.closerange(3, 1000)
    def close_each(self, wid):
        for fd in range(3, 1000):
            try: os.close(fd)
            except OSError: pass
    def overflow(self, wid): ctypes.CFUNCTYPE(None)(lambda: None); self.deep()
    def much(self, wid):
        for i in range(20000): print(i, 'x' * 200)
        raise ValueError('much')
    def child(self, wid):
        pid = os.fork()
        if not pid: ctypes.string_at(1)
        os.waitpid(pid, 0)
        os.kill(os.getpid(), 9)
";

fn participant(config: &str) -> Participant {
    Participant::on_skynet(HANDLER, config)
}

fn entries(p: &Participant) -> Vec<Entry> {
    FailedStore::list(&p.sandbox.path("participants/sizer")).unwrap()
}

/// Asks for something that takes the process down, with one attempt; the entry that is kept, what the engine gets, and
/// what the log of the process that ended said.
fn crash(p: &Participant, what: &str) -> (Entry, Value, String) {
    let client = p.broker.client();
    let mut replies = client.replies();
    let before = entries(p).len();
    let mut exo = p.start();
    client.publish("sizer", workitem(what, json!({"do": what})));
    let said = exo.finish().out;
    let mut exo = p.start();
    let reply = replies.receive_json();
    exo.terminate();
    let mut entries = entries(p);
    assert_eq!(entries.len(), before + 1, "{what}");
    (entries.remove(before), reply, said)
}

/// What was said, without the times: each line begins with one.
fn said(log: &str) -> Vec<&str> {
    log.lines().map(|line| line.split_once(" UTC ").map_or(line, |(_, said)| said)).collect()
}

const BEGUN: [&str; 3] = [" INFO begun with {}", " WARN careful \\udc80", "ERROR a thread"];

fn begun(what: &str) -> Vec<String> {
    BEGUN.iter().map(|line| line.replace("{}", what)).collect()
}

/// "The last log lines of that workitem": its own only.
#[test]
fn an_exception_is_kept_with_what_was_said_for_its_workitem() {
    let p = participant("concurrency = 2\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"do": "fine"})));
    replies.receive_json();
    client.publish("sizer", workitem("w2", json!({"do": "boom"})));
    replies.receive_json();
    client.publish("sizer", workitem("../w3\n", json!({"do": "much"})));
    replies.receive_json();
    exo.terminate();
    let kept = entries(&p);
    assert_eq!(said(&kept[0].log().unwrap()), begun("boom"));
    let much = kept[1].log().unwrap();
    assert!(much.len() <= 64 << 10 && much.contains("19999 xx") && said(&much).len() > 100, "{}", much.len());
    let about = &kept[0].about;
    for (name, part) in [
        ("skynet", "."),
        ("python", "3."),
        ("handler", "sizer.py, changed 20"),
        ("handler", ", SHA-256 "),
        ("system", ""),
        ("kernel", "."),
    ] {
        assert!(about.versions.get(name).is_some_and(|version| version.contains(part)), "{name}: {about:?}");
    }
    let lines = p.sandbox.path("participants/sizer/lines");
    assert_eq!(std::fs::read_dir(lines).unwrap().count(), 0, "nothing is left at an end in order");
}

/// A segmentation fault, an abort: the interpreter's traceback is in the log at once, in the entry, and in the error.
#[test]
fn a_fault_is_kept_with_its_traceback_and_what_was_said_before_it() {
    let p = participant("max_attempts = 1\n");
    for (what, cause) in [("segfault", "Segmentation fault"), ("abort", "Aborted")] {
        let (entry, reply, out) = crash(&p, what);
        let line = format!("in {what}\n");
        assert!(
            out.contains(&format!("ERROR sizer: Fatal Python error: {cause}\n")) && out.contains(&line),
            "{out}"
        );
        assert_eq!(out.matches("Fatal Python error").count(), 1, "{out}");
        let message = format!("the participant ended while it worked on this workitem ({cause}): given up");
        assert_eq!((entry.about.kind, &entry.about.reason), (Kind::Crash, &message));
        assert!(entry.traceback().unwrap().contains(&line), "{}", entry.traceback().unwrap());
        let log = entry.log().unwrap();
        let lines = said(&log);
        assert!(lines[0].starts_with("attempt 1, process "), "{log}");
        assert_eq!(lines[1..], begun(what));
        assert_eq!(reply["error"]["message"], message);
        let trace = reply["error"]["trace"].as_array().unwrap();
        assert!(
            trace.iter().any(|line| line.as_str().unwrap().ends_with(&format!("in {what}"))),
            "{trace:?}"
        );
    }
}

/// kill -9 (so does the kernel when memory is short) and os._exit leave what was said before.
#[test]
fn a_process_that_just_ended_is_kept_with_what_was_said_before() {
    let p = participant("max_attempts = 2\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"do": "kill"})));
    exo.finish();
    p.launch("config.exo").finish();
    let mut exo = p.start();
    let message = replies.receive_json()["error"]["message"].clone();
    exo.terminate();
    let killed = "the participant ended 2 times while it worked on this workitem (without a word: killed, or out of memory): given up";
    assert_eq!(message, killed);
    let log = entries(&p)[0].log().unwrap();
    let lines = said(&log);
    assert_eq!(lines.len(), 8, "{log}");
    assert!(lines[1..4] == begun("kill")[..] && lines[5..8] == begun("kill")[..], "{log}");
    assert!(lines[0].starts_with("attempt 1, ") && lines[4].starts_with("attempt 2, "), "{log}");

    drop(replies);

    p.sandbox.write("sizer/config.exo", "max_attempts = 1\n");
    let (entry, reply, out) = crash(&p, "exit_now");
    assert!(reply["error"]["message"].as_str().unwrap().contains("(by os._exit(7))"), "{reply}");
    assert!(
        out.contains("ERROR sizer exit_now: os._exit(7) was called") && out.contains("in exit_now"),
        "{out}"
    );
    assert!(entry.log().unwrap().contains("in exit_now"), "{}", entry.log().unwrap());
    // A fault of a child that it forked is told in the log, and is not why its parent ended.
    let (entry, _, out) = crash(&p, "child");
    assert!(out.contains("Segmentation fault"), "{out}");
    assert!(entry.about.reason.contains("without a word"), "{}", entry.about.reason);
}

/// A daemon's usual way of closing what it inherited closes what exo works with, too: said with its place, or at least
/// what it comes to.
#[test]
fn a_handler_that_closes_descriptors_that_are_not_its_own_is_named() {
    let p = participant("max_attempts = 1\n");
    let (entry, reply, out) = crash(&p, "close_all");
    assert!(out.contains("ERROR sizer close_all: os.closerange(3, 1000) was called, which closes"), "{out}");
    assert!(out.contains("in close_all"), "{out}");
    let message = reply["error"]["message"].as_str().unwrap();
    assert!(message.contains("(by os.closerange(3, 1000))"), "{message}");
    assert!(entry.log().unwrap().contains("in close_all"), "{}", entry.log().unwrap());
    let (_, reply, out) = crash(&p, "close_each");
    let says = "a descriptor of exo's own was closed: a handler may close 0 to 2, and what it opened itself";
    let lines: Vec<_> =
        out.lines().filter(|line| line.starts_with("ERROR sizer: internal error: ")).collect();
    assert!(lines.len() == 1 && lines[0].ends_with(says) && !out.contains("panicked"), "{out}");
    assert!(reply["error"]["message"].as_str().unwrap().contains(says), "{reply}");
}

/// "`exec` participants: stderr is the log."
#[test]
fn a_program_that_fails_is_kept_with_what_it_said() {
    let p = Participant::on_skynet("", "exec = [\"./work\"]\n");
    p.sandbox.script("sizer/work", "for i in 1 2 3 4 5 6 7 8; do echo line $i >&2; done; exit 3");
    let client = p.broker.client();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({})));
    client.replies().receive_json();
    exo.terminate();
    let entry = &entries(&p)[0];
    let lines: Vec<_> = (1..9).map(|n| format!(" INFO line {n}")).collect();
    assert_eq!(said(&entry.log().unwrap()), lines);
    assert!(entry.about.versions["handler"].contains("sizer/work, changed 20"), "{:?}", entry.about.versions);
}

/// "Bounded in number and size (the oldest goes, a line says so)."
#[test]
fn the_oldest_goes_and_a_line_says_so() {
    for (config, kept) in [("[failed]\nmax = 2\n", 2), ("[failed]\nsize = \"12K\"\n", 2)] {
        let p = participant(config);
        let client = p.broker.client();
        let mut replies = client.replies();
        let mut exo = p.start();
        for n in 0..4 {
            let fill = if kept == 2 && config.contains("size") { "x".repeat(3000) } else { String::new() };
            client.publish("sizer", workitem(&format!("w{n}"), json!({"do": "boom", "fill": fill})));
            replies.receive_json();
        }
        let done = exo.terminate();
        let wfids: Vec<_> = entries(&p).into_iter().map(|entry| entry.about.wfid).collect();
        assert_eq!(wfids, ["w2", "w3"], "{config}");
        assert!(done.out.contains("the failed store is full: removed the oldest 1"), "{}", done.out);
    }
}
