//! "An author can take the template's participant, crash it in every way …, and each time find with two commands what
//! came in, what went wrong and what was done about it."
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, wait_until};
use serde_json::Value;
use std::fs;

/// What an author may do to a handler, one way for each value of the field `way`; put in the template's handle_wi.
const WAYS: &str = r#"
        import ctypes, os, signal, sys, threading, time
        way = wid.fields.way
        print("about to try", way)
        if way == "system_exit": raise SystemExit(3)
        if way == "interrupt": raise KeyboardInterrupt()
        if way == "sys_exit": sys.exit("no way")
        if way == "exception": self.deeper(wid.fields.number)
        if way == "unknown_field": len(wid.fields.nothing)
        if way == "not_json": wid.fields.found = {"names": [{1, 2}]}
        if way == "memory": bytearray(1 << 60)
        if way == "loop":
            while True: pass
        if way == "stuck": time.sleep(1000)
        if way == "exit_now": os._exit(5)
        if way == "segfault": ctypes.string_at(1)
        if way == "killed": os.kill(os.getpid(), signal.SIGKILL)
        if way == "fork" and os.fork() == 0: return
        if way == "threads": threading.Thread(target=time.sleep, args=(1000,)).start()
        if way == "close": os.close(1)
        if way == "chdir": os.chdir("/")
        if way == "signals": signal.signal(signal.SIGTERM, signal.SIG_IGN)
"#;

/// The template's participant with such a handler, running in a home.
fn participant(home: &Home) {
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    let file = home.folder.path().join("sizer/sizer.py");
    let template = fs::read_to_string(&file).unwrap();
    let (before, after) = template.split_once("        self.log.info(\"fields:").unwrap();
    let deeper = "\n    def deeper(self, number):\n        return 1 / (number - number)\n";
    fs::write(&file, format!("{before}{}        self.log.info(\"fields:{after}{deeper}", &WAYS[1..]))
        .unwrap();
    let config = home.folder.path().join("sizer/config.exo");
    let said = fs::read_to_string(&config).unwrap();
    let limits = "max_attempts = 2\nsoft_timeout = \"5s\"\nhard_timeout = \"60s\"\n\n[fields]\nnumber = { type = \"integer\" }\n";
    fs::write(&config, said + limits).unwrap();
    // It is to crash many times in a row, and nobody here is worn out by that.
    let service = home.folder.path().join("sizer/service.toml");
    let said = fs::read_to_string(&service).unwrap();
    fs::write(&service, said.replace("\"1m\"", "\"1s\"")).unwrap();
    home.good(&["enable", "./sizer"]);
}

/// Sends a workitem, and waits for what the engine gets.
fn send(home: &Home, way: &str, number: &str) -> Value {
    let fields = [format!("way={way}"), format!("number={number}")];
    let done = home.skynet(&[
        "send",
        "sizer",
        "--wfid",
        way,
        "-F",
        &fields[0],
        "-F",
        &fields[1],
        "--wait",
        "--timeout",
        "100s",
        "--json",
    ]);
    serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{way}: {e}: {done:?}"))
}

#[test]
fn an_author_finds_with_two_commands_what_came_in_what_went_wrong_and_what_was_done() {
    let home = Home::new();
    participant(&home);
    let answered = "done       the engine was sent the error";
    let given_up =
        "done       given up after 2 attempts, so that others are worked on; the engine was sent the error";
    for (way, wrong, done) in [
        ("system_exit", &["SystemExit: 3", "raise SystemExit(3)"][..], answered),
        ("interrupt", &["KeyboardInterrupt:", "raise KeyboardInterrupt()"], answered),
        ("sys_exit", &["SystemExit: no way", "sys.exit(\"no way\")"], answered),
        ("exception", &["ZeroDivisionError: ", "in deeper", "number - number"], answered),
        (
            "unknown_field",
            &["TypeError: object of type 'NoneType' has no len()", "wid.fields.nothing"],
            answered,
        ),
        (
            "not_json",
            &["fields.found.names[0] is not JSON: Object of type set is not JSON serializable"],
            answered,
        ),
        ("memory", &["MemoryError:", "bytearray(1 << 60)"], answered),
        ("loop", &["Cancelled: longer than soft_timeout (5 s)", "while True: pass"], answered),
        ("stuck", &["Cancelled: longer than soft_timeout (5 s)", "time.sleep(1000)"], answered),
        ("exit_now", &["(by os._exit(5))", "os._exit(5) was called", "attempt 2: process "], given_up),
        ("segfault", &["(Segmentation fault)", "Fatal Python error", "attempt 2: process "], given_up),
        ("killed", &["(without a word: killed, or out of memory)", "attempt 2: process "], given_up),
    ] {
        let reply = send(&home, way, "7");
        assert!(reply["error"]["message"].is_string(), "{way}: {reply}");
        let list = home.good(&["failed", "sizer"]);
        let line = list.lines().find(|line| line.split_whitespace().nth(3) == Some(way));
        let line = line.unwrap_or_else(|| panic!("{way} is not in {list}"));
        assert!(line.contains(wrong[0].trim_end()), "{way}: {line}");
        let shown = home.good(&["failed", "sizer", way]);
        for part in wrong {
            assert!(shown.contains(part), "{way}: what went wrong: no {part:?} in {shown}");
        }
        for part in [format!("\"way\": \"{way}\""), "\"number\": 7".into()] {
            assert!(shown.contains(&part), "{way}: what came in: no {part:?} in {shown}");
        }
        for part in [done, &format!("about to try {way}"), "version    python 3", "sizer.py, changed 20"] {
            assert!(shown.contains(part), "{way}: what was done about it: no {part:?} in {shown}");
        }
    }

    // It broke the rules of its own: never given to the handler.
    let reply = send(&home, "rules", "\"x\"");
    assert!(reply["error"]["message"].as_str().unwrap().contains("number must be an integer"), "{reply}");
    assert!(home.good(&["failed", "sizer"]).contains("number must be an integer"));
    let shown = home.good(&["failed", "sizer", "rules"]);
    assert!(shown.contains("\"number\": \"x\"") && shown.contains(answered), "{shown}");

    // What is no failure is dealt with: answered, and the participant lives on.
    for way in ["fork", "threads", "close", "chdir", "signals"] {
        let reply = send(&home, way, "7");
        assert_eq!(
            (reply.get("error"), &reply["fields"]["__result__"]),
            (None, &true.into()),
            "{way}: {reply}"
        );
        wait_until("the log has it", || {
            let trace = home.good(&["trace", way]);
            ["started", "replied", &format!("about to try {way}")].iter().all(|part| trace.contains(part))
        });
    }
    let reply = send(&home, "last", "7");
    assert_eq!(reply.get("error"), None, "{reply}");
    wait_until("the log has it", || home.good(&["log", "sizer"]).contains("signal handlers for TERM"));
    home.good(&["stop", "sizer"]);

    // The author has mended it: what failed is put back, and goes well.
    let file = home.folder.path().join("sizer/sizer.py");
    let mended = fs::read_to_string(&file).unwrap().replace("number - number", "number");
    fs::write(&file, mended).unwrap();
    home.good(&["start", "sizer"]);
    let again = home.skynet(&["failed", "sizer", "exception", "--retry"]);
    assert!(again.code == Some(0) && again.err.contains("may ignore"), "{again:?}");
    wait_until("it is replied to", || {
        let rows: Value =
            serde_json::from_str(&home.good(&["history", "sizer", "--wfid", "exception", "--json"])).unwrap();
        rows.as_array().unwrap().iter().any(|row| row["outcome"] == "replied")
    });
    assert!(home.good(&["failed", "sizer", "exception"]).contains("retried    "));
}
