//! Handlers that do what a handler should not, each through the real exo.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use tests::{Participant, workitem};
use unix::process::Signal;

const HOSTILE: &str = r#"
import atexit, ctypes, faulthandler, logging, os, signal, sys, threading, time, warnings

atexit.register(lambda: print("exit work in", os.getpid()))

class ParticipantHandler(object):
    def handle_lifecycle_control(self, ctrl):
        self.log.info("lifecycle %s", ctrl.message)

    def handle_wi(self, wid):
        wid.fields.pid = os.getpid()
        what = wid.fields.do
        if not wid.redelivered:
            getattr(self, what)(wid)
        if what not in ("clear", "no_fields"):
            wid.fields.done = True

    def nothing(self, wid): pass
    def clear(self, wid): wid.to_h().clear()
    def no_fields(self, wid): wid.fields = [1]
    def deep(self, wid):
        place = wid.fields.as_dict()
        for _ in range(100000): place = place.setdefault("down", {})
    def system_exit(self, wid): raise SystemExit(3)
    def interrupt(self, wid): raise KeyboardInterrupt()
    def sys_exit(self, wid): sys.exit("words")
    def generator_exit(self, wid): raise GeneratorExit()
    def recursion(self, wid): self.recursion(wid)
    def memory(self, wid): bytearray(1 << 60)
    def fork(self, wid):
        if os.fork() == 0:
            print("the child returns")
            return
    def fork_and_exit(self, wid):
        if os.fork() == 0:
            sys.exit(0)
    def fork_and_raise(self, wid):
        if os.fork() == 0: raise ValueError("the child raises")
    def no_children(self, wid):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        os.system("true")
    def raise_in_a_thread(self, wid):
        def run(): raise ValueError("a thread raises")
        thread = threading.Thread(target=run)
        thread.start(); thread.join()
    def mute(self, wid):
        class Mute(Exception):
            def __str__(self): raise ValueError("no text")
        raise Mute()
    def threads(self, wid):
        threading.Thread(target=lambda: time.sleep(1000)).start()
        threading.Thread(target=lambda: time.sleep(1000), daemon=True).start()
    def close_outputs(self, wid):
        for fd in (0, 1, 2): os.close(fd)
        self.kept = [os.open("/dev/null", os.O_RDWR) for _ in range(3)]
        print("said after closing")
    def close_stream(self, wid):
        sys.stdout.close(); sys.stderr.close()
        print("said after closing the stream")
    def no_stream(self, wid):
        sys.stdout = None
    def chdir(self, wid):
        os.chdir("/proc/self"); os.umask(0o777)
        os.environ.clear()
    def signals(self, wid):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    def long_line(self, wid):
        print("x" * 1000000)
    def raw_bytes(self, wid):
        sys.stdout.buffer.write(b"raw \xff\xfe bytes\n")
        os.write(1, b"below python \xff\n")
        print("lone \udc80")
    def everything(self, wid):
        print("printed")
        print("to stderr", file=sys.stderr)
        self.log.error("logged")
        logging.getLogger("library").warning("of a library")
        warnings.warn("a warning")
        os.system("echo of a command; echo to its stderr >&2")
    def exit_now(self, wid):
        print("last words")
        os._exit(0)
    def segfault(self, wid):
        ctypes.string_at(1)
    def kill(self, wid):
        os.kill(os.getpid(), 9)
    def sleep(self, wid):
        print("sleeps")
        time.sleep(1000)
    def hold_the_interpreter(self, wid):
        print("sleeps")
        sum(range(10 ** 15))
    def swallow(self, wid):
        print("sleeps")
        while True:
            try: time.sleep(0.1)
            except BaseException: pass
            print("goes on")
"#;

fn hostile(config: &str) -> Participant {
    Participant::on_skynet(HOSTILE, config)
}

/// "A handler that raises SystemExit or KeyboardInterrupt, calls sys.exit or os.fork, starts threads that never end,
/// closes fd 1, changes directory, installs signal handlers … is dealt with": answered, and the next is worked on by
/// the same process, which ends in order when it is told to.
#[test]
fn the_participant_outlives_what_the_handler_does_to_its_process_and_still_ends_in_order() {
    let p = hostile("");
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    let mut ask = |what: &str| {
        client.publish("sizer", workitem(what, json!({"do": what})));
        replies.receive_json()
    };
    for (what, message) in [
        ("system_exit", Some("SystemExit: 3")),
        ("interrupt", Some("KeyboardInterrupt: ")),
        ("sys_exit", Some("SystemExit: words")),
        ("generator_exit", Some("GeneratorExit: ")),
        ("recursion", Some("RecursionError: maximum recursion depth exceeded")),
        ("memory", Some("MemoryError: ")),
        ("clear", Some("TypeError: there are no fields any more")),
        ("no_fields", Some("TypeError: fields is a list")),
        (
            "deep",
            Some(
                "ValueError: fields.down.down.down.down.down.down.down… is not JSON: it is nested too deeply",
            ),
        ),
        ("mute", Some("Mute: (its text raises ValueError)")),
        ("fork", None),
        ("fork_and_raise", None),
        ("no_children", None),
        ("raise_in_a_thread", None),
        ("fork_and_exit", None),
        ("threads", None),
        ("chdir", None),
        ("signals", None),
        ("long_line", None),
        ("raw_bytes", None),
        ("close_outputs", None),
        ("close_stream", None),
        ("no_stream", None),
        ("nothing", None),
    ] {
        let reply = ask(what);
        assert_eq!(reply["fei"]["wfid"], what, "{reply}");
        if what == "long_line" {
            // Another one has no room beside it before it is on its way.
            exo.wait_until_it_says("sizer long_line: x");
        }
        match message {
            Some(message) => {
                assert!(reply["error"]["message"].as_str().unwrap().starts_with(message), "{reply}")
            }
            None => assert_eq!(
                (&reply["fields"]["done"], &reply["error"]),
                (&json!(true), &Value::Null),
                "{what}"
            ),
        }
        // Where nothing is left that could be sent, the workitem goes back as it came.
        if !["clear", "no_fields", "deep"].contains(&what) {
            assert_eq!(reply["fields"]["pid"], exo.pid(), "{what}");
        }
    }
    p.sandbox.wait_until("nothing is in hand", || {
        exo.signal(Signal::SIGUSR1);
        exo.out().contains("0 in hand")
    });
    // A child that was forked goes on in its own time.
    exo.wait_until_it_says("sizer fork: the child returns");
    exo.wait_until_it_says("sizer fork_and_raise: ValueError: the child raises");
    exo.signal(Signal::SIGTERM);
    let done = exo.finish();
    assert_eq!(done.code, Some(0), "{}", done.out);
    for (said, times) in [
        ("lifecycle start", 1),
        ("lifecycle stop", 1),
        ("sizer close_outputs: said after closing", 1),
        ("sizer close_stream: said after closing the stream", 1),
        ("sizer fork: the child returns", 1),
        ("sizer fork_and_raise: ValueError: the child raises", 1),
        ("sizer raise_in_a_thread: ValueError: a thread raises", 1),
        ("INFO sizer raw_bytes: raw \\xff\\xfe bytes", 1),
        ("INFO sizer raw_bytes: lone \\udc80", 1),
        ("the handler's own signal handlers for TERM, HUP, USR1 or INT are not used", 1),
    ] {
        assert_eq!(done.out.matches(said).count(), times, "{said}: {}", done.out);
    }
    let longest = done.out.lines().map(str::len).max().unwrap();
    assert_eq!(longest, " INFO sizer long_line: ".len() + 1_000_000);
    // Threads that never end are ended with the process; what was registered for the exit is only for one of them.
    assert!(done.out.matches("exit work in").count() <= 1, "{}", done.out);
    p.sandbox.wait_until("no child of the handler's is left", || {
        p.sandbox.leftovers().iter().all(|process| process.program == "skynet-broker")
    });
}

/// "… calls os._exit, or segfaults (ctypes)": the process is gone, the workitem is not; "the traceback of a dying
/// process reaches multilog".
#[test]
fn a_handler_that_takes_the_process_down_loses_no_workitem_and_tells_where_it_was() {
    for (what, code, signal, says) in [
        ("exit_now", Some(0), None, "INFO sizer exit_now: last words"),
        ("segfault", None, Some(Signal::SIGSEGV), "Fatal Python error: Segmentation fault"),
        ("kill", None, Some(Signal::SIGKILL), ""),
    ] {
        let p = hostile("");
        let client = p.broker.client();
        let mut exo = p.start();
        client.publish("sizer", workitem(what, json!({"do": what})));
        let done = exo.finish();
        assert_eq!((done.code, done.signal), (code, signal.map(|signal| signal as i32)), "{}", done.out);
        assert!(done.out.contains(says), "{}", done.out);
        if what == "segfault" {
            assert!(
                done.out.contains("sizer.py\", line") && done.out.contains("in segfault"),
                "{}",
                done.out
            );
        }
        let mut next = p.start();
        let reply = client.replies().receive_json();
        assert_eq!((&reply["fields"]["done"], &reply["error"]), (&json!(true), &Value::Null), "{reply}");
        next.terminate();
    }
}

/// "stdout, stderr, logging, warnings and the traceback of a dying process all reach multilog line by line, each line
/// with time, level, participant, wfid where there is one."
#[test]
fn everything_that_is_said_reaches_multilog_line_by_line() {
    let p = hostile("");
    let client = p.broker.client();
    let mut exo = p.sandbox.start("sh", &["-c", "cd sizer; exo 2>&1 | multilog t s16777215 ../log"]);
    let mut replies = client.replies();
    let log = || p.sandbox.read("log/current");
    p.sandbox.wait_until("it consumes", || log().contains("consuming"));
    client.publish("sizer", workitem("w1", json!({"do": "everything"})));
    replies.receive();
    client.publish("sizer", workitem("w2", json!({"do": "long_line"})));
    replies.receive();
    client.publish("sizer", workitem("w3", json!({"do": "segfault"})));
    exo.finish();
    let log = log();
    for line in log.lines() {
        let label = line.split_once(' ').map_or("", |(label, _)| label);
        assert!(label.len() == 25 && label.starts_with("@4"), "a line without a time: {:.200}", line);
    }
    for said in [
        " INFO sizer w1: printed",
        "ERROR sizer w1: to stderr",
        "ERROR sizer w1: logged",
        " WARN sizer w1: of a library",
        " WARN sizer w1: ",
        " of a command",
        " to its stderr",
        " INFO sizer w2: xxxxx",
        " Fatal Python error: Segmentation fault",
        " in segfault",
    ] {
        assert!(log.contains(said), "{said:?} is not in {:.3000}", log.replace(&"x".repeat(100), ""));
    }
    assert!(log.matches("UserWarning: a warning").count() == 1);
    assert!(log.matches('x').count() >= 1_000_000, "nothing of the long line is lost");
}

/// "`log_format = "json"`": every line of exo's and of the handler's is an object with time, level, participant,
/// message, and wfid where there is one.
#[test]
fn the_log_may_be_json_line_by_line() {
    let p = hostile("log_format = \"json\"\n");
    let client = p.broker.client();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"do": "interrupt"})));
    client.replies().receive();
    exo.wait_until_it_says("done in");
    exo.signal(Signal::SIGTERM);
    let out = exo.finish().out;
    let mut levels = vec![];
    for line in out.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(entry["participant"], "sizer", "{line}");
        assert!(entry["time"].as_str().unwrap().ends_with('Z'), "{line}");
        levels.push(entry["level"].as_str().unwrap().to_owned());
        let message = entry["message"].as_str().unwrap();
        if ["Traceback", "done in", "KeyboardInterrupt"].iter().any(|about| message.contains(about)) {
            assert_eq!(entry["wfid"], "w1", "{line}");
        }
    }
    assert!(levels.contains(&"INFO".to_owned()) && levels.contains(&"ERROR".to_owned()), "{out}");
}

/// Names from outside are in exo's and the handler's lines: none of them begins a line of its own.
#[test]
fn what_comes_from_outside_forges_no_line() {
    for config in ["", "log_format = \"json\"\n"] {
        let p = hostile(config);
        let client = p.broker.client();
        let mut exo = p.start();
        let mut replies = client.replies();
        for what in ["everything", "interrupt"] {
            let wfid = format!("w\n ERROR sizer forged by {what}\r\u{1b}[31m");
            client.publish("sizer", workitem(&wfid, json!({"do": what})));
            assert_eq!(replies.receive_json()["fei"]["wfid"], wfid.as_str());
        }
        exo.signal(Signal::SIGTERM);
        let out = exo.finish().out;
        assert!(out.contains("forged by everything") && out.contains("forged by interrupt"), "{out}");
        for line in out.lines() {
            assert!(!line.starts_with(" ERROR sizer forged") && !line.contains(['\r', '\u{1b}']), "{line:?}");
        }
    }
}

/// "At the end the unfinished workitems go back to the queue, exit": also when the handler can be reached by nothing, and
/// before another one has them for long.
#[test]
fn a_handler_that_never_ends_is_ended_after_the_grace_and_its_workitem_goes_back() {
    let mut ending = vec![];
    for what in ["sleep", "hold_the_interpreter", "swallow"] {
        let p = hostile("grace = \"1s\"\n");
        let client = p.broker.client();
        client.declare("ruote_workitems");
        let mut exo = p.start();
        client.publish("sizer", workitem("w1", json!({"do": what})));
        exo.wait_until_it_says("sleeps");
        exo.signal(Signal::SIGTERM);
        ending.push((what, client, exo, p));
    }
    for (what, client, exo, _p) in &mut ending {
        let done = exo.finish();
        assert_eq!(done.code, Some(0), "{what}: {}", done.out);
        tests::wait_until("its workitem is back", || client.depth("sizer") == 1);
        let after = done.out.split_once("sizer: stopped").map_or("", |(_, after)| after);
        // Ten a second.
        assert!(after.matches("goes on").count() < 100, "{what}: {}", done.out);
    }
}
