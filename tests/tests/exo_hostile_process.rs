//! Handlers that change what belongs to their whole process, or make others of it: signals, umask, limits, children.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tests::process::{self, Process};
use tests::{Participant, workitem};
use unix::process::Signal;

const HANDLER: &str = "
import asyncio, multiprocessing, os, resource, signal, time

class ParticipantHandler(object):
    def handle_lifecycle_control(self, ctrl):
        print('lifecycle', ctrl.message)

    def handle_wi(self, wid):
        getattr(self, wid.fields.do)(wid)

    def child(self, wid):
        wid.fields.child = os.fork()
        if not wid.fields.child:
            print('the child stays')
            while True: time.sleep(1000)

    def terminate(self, wid):
        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(1000,))
        child.start()
        child.terminate()
        child.join(20)
        wid.fields.code = child.exitcode
        child.kill()

    def loop(self, wid):
        async def main():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
                loop.add_signal_handler(number, print)
                loop.remove_signal_handler(number)
        asyncio.run(main())

    def nothing(self, wid): pass

    def no_files(self, wid):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def fail(self, wid):
        os.umask(0o777)
        print('said before')
        raise ValueError('failed')

    def die(self, wid):
        os.umask(0o777)
        print('last words')
        os.kill(os.getpid(), 9)
";

fn ask(p: &Participant, what: &str) -> Value {
    let client = p.broker.client();
    client.publish("sizer", workitem(what, json!({"do": what})));
    let reply = client.replies().receive_json();
    assert_eq!((&reply["fei"]["wfid"], reply.get("error")), (&json!(what), None));
    reply
}

/// The TCP connections that a process holds.
fn connections(pid: i32) -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let tcp: BTreeSet<_> = table.lines().filter_map(|line| line.split_whitespace().nth(9)).collect();
    let descriptors = Process::find(pid).unwrap().descriptors();
    let sockets = descriptors.iter().filter_map(|(_, path)| {
        path.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
    });
    sockets.filter(|inode| tcp.contains(inode.as_str())).collect()
}

/// A child that stays does not keep the broker from noticing that exo has ended.
#[test]
fn a_child_that_is_forked_holds_no_connection_of_exos() {
    let p = Participant::on_skynet(HANDLER, "");
    let mut exo = p.start();
    let child = i32::try_from(ask(&p, "child")["fields"]["child"].as_i64().unwrap()).unwrap();
    exo.wait_until_it_says("the child stays");
    // The system's table is read piece by piece, while others' connections come and go.
    p.sandbox.wait_until("its own connections are seen", || connections(exo.pid()).len() == 2);
    assert_eq!(connections(child), BTreeSet::new());
    assert_eq!(exo.terminate().code, Some(0));
    assert!(process::lives(child));
    process::signal(child, Signal::SIGKILL);
}

/// exo's own way with TERM is not that of a child, which would never end by it.
#[test]
fn a_child_that_is_forked_is_ended_by_term() {
    let p = Participant::on_skynet(HANDLER, "");
    let mut exo = p.start();
    assert_eq!(ask(&p, "terminate")["fields"]["code"], -15);
    assert_eq!(exo.terminate().code, Some(0));
}

/// "exo owns TERM, HUP and USR1": also after a handler's loop has left there what the system does by default.
#[test]
fn an_exo_that_is_idle_after_a_handlers_loop_ends_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let p = Participant::on_skynet(HANDLER, "");
        let mut exo = p.start();
        ask(&p, "loop");
        ask(&p, "loop");
        p.sandbox.wait_until("nothing is in hand", || {
            exo.signal(Signal::SIGUSR1);
            exo.out().contains("0 in hand")
        });
        exo.signal(signal);
        let done = exo.finish();
        assert_eq!((done.code, done.out.matches("lifecycle stop").count()), (Some(0), 1), "{}", done.out);
        assert_eq!(done.out.matches("the handler's own signal handlers").count(), 1, "{}", done.out);
    }
}

/// What its owner cannot use of these files and folders.
fn closed(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, mode) = (entry.path(), entry.metadata().unwrap().permissions().mode());
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        if mode & wanted != wanted {
            found.push(format!("{} {mode:o}", path.display()));
        }
        if path.is_dir() {
            closed(&path, found);
        }
    }
}

/// "Handlers may … set umask": the next process can read what this one leaves behind, and people what failed.
#[test]
fn the_handlers_umask_is_not_that_of_exos_own_files() {
    if std::thread::spawn(|| unix::apart::with_umask(0o022)).join().unwrap().is_err() {
        return; // a container that forbids it
    }
    let handler = format!("import os\nos.umask(0o777)\n{HANDLER}");
    let p = Participant::on_skynet(&handler, "max_attempts = 1\n");
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    client.publish("sizer", workitem("fail", json!({"do": "fail"})));
    assert_eq!(replies.receive_json()["error"]["message"], "ValueError: failed");
    client.publish("sizer", workitem("die", json!({"do": "die"})));
    exo.finish();
    let mut found = vec![];
    closed(&p.sandbox.path("participants/sizer"), &mut found);
    assert_eq!(found, [""; 0]);
    let mut next = p.start();
    let message = replies.receive_json()["error"]["message"].to_string();
    assert!(message.contains("given up"), "{message}");
    let failed = p.sandbox.path("participants/sizer/failed");
    let logs = fs::read_dir(failed).unwrap().flatten().map(|entry| entry.path().join("log.txt"));
    let logs: String = logs.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    assert!(logs.contains("said before") && logs.contains("last words"), "{logs}");
    next.terminate();
}

/// A limit of files' sizes, of a handler's or of who starts exo, is like a full disk: what cannot be journalled is not begun,
/// and that is said.
#[test]
fn files_that_may_not_grow_are_said_and_end_nothing() {
    for (config, limit) in [("", ""), ("exec = [\"./work\"]\n", "ulimit -f 0;")] {
        let p = Participant::on_skynet(HANDLER, config);
        p.sandbox.script("sizer/work", "");
        let client = p.broker.client();
        // A pipe, as under supervise: a file could not be written to either.
        let mut exo = p.sandbox.start("sh", &["-c", &format!("cd sizer; ({limit} exec exo 2>&1) | cat")]);
        exo.wait_until_it_says("consuming from sizer");
        if limit.is_empty() {
            ask(&p, "no_files");
        }
        client.publish("sizer", workitem("next", json!({"do": "nothing"})));
        exo.wait_until_it_says("next: cannot write the journal: File too large");
        exo.wait_until_it_says("nothing is taken from sizer until it can be written");
        p.sandbox.wait_until("it is back in its queue", || client.depth("sizer") == 1);
    }
}
