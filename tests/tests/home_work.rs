//! From nothing to answered workitems: `skynet new`, `enable`, `send`, `log`, on the embedded broker.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, finish, wait_until};
use std::fs;

/// Each waiting send also consumes from a queue that goes with its last consumer; one that went between another
/// send's declaring it and consuming from it made that send fail.
#[test]
fn many_sends_that_wait_at_the_same_time_all_get_their_own_reply() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    home.good(&["enable", "./sizer"]);
    for round in 0..3 {
        let sends: Vec<_> = (0..20)
            .map(|n| {
                let (field, wfid) = (format!("n={n}"), format!("20261121-0900-round{round}-{n}"));
                home.start(&["send", "sizer", "--field", &field, "--wfid", &wfid, "--wait", "--json"])
            })
            .collect();
        for (n, send) in sends.into_iter().enumerate() {
            let done = finish(send);
            assert_eq!(done.code, Some(0), "{done:?}\n{}", home.good(&["log"]));
            assert!(done.out.contains(&format!("20261121-0900-round{round}-{n}\"")), "{done:?}");
            assert!(done.out.contains("\"__result__\":true"), "{done:?}");
        }
    }
    wait_until("it is in the log", || {
        let log = home.good(&["log", "--wfid", "20261121-0900-round1-7"]);
        log.contains("fields: ") && log.contains("replied")
    });
    home.good(&["local", "down"]);
    assert_eq!(home.processes().len(), 0);
}

/// What a handler says in several lines, or with what a terminal would obey, is told in one line.
const WORDS: &str = r#"
class ParticipantHandler(object):
    def handle_wi(self, wid):
        if wid.fields.fail:
            raise ValueError("one\ntwo\x1b[31m")
        if wid.fields.wait:
            wid.progress(0.5, "half\ndone\x1b[31m")
            while not self.cancelled: time.sleep(0.01)
        wid.fields.next = wid.fields.number + 1
    cancelled = False
    def handle_wi_control(self, ctrl):
        self.cancelled = ctrl.message == "cancel"
        return "at\nwork"
"#;

/// Numbers may have more digits than a double: they come as they were sent, and are shown as they came.
#[test]
fn numbers_keep_their_digits_and_words_are_one_line() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    fs::write(home.folder.path().join("sizer/sizer.py"), format!("import time\n{WORDS}")).unwrap();
    home.good(&["enable", "./sizer"]);
    let number = "number=12345678901234567890123";
    let shown = home.good(&["send", "sizer", "--wait", "--wfid", "w1", "-F", number]);
    assert!(shown.contains("\nnext = 12345678901234567890124\n"), "{shown}");
    fs::write(home.folder.path().join("sizer/sample.json"), "{\"number\": 12345678901234567890123}").unwrap();
    fs::remove_file(home.folder.path().join("sizer/test_sizer.py")).unwrap();
    let reply = home.good(&["test", "./sizer", "--json"]);
    assert!(reply.contains("12345678901234567890124"), "{reply}");
    let sent = home.good(&["launch", "--definition", "sizer :x => 1", "-F", number, "-V", number, "--json"]);
    assert_eq!(sent.matches("12345678901234567890123").count(), 2, "{sent}");

    let failed = home.skynet(&["send", "sizer", "--wait", "--wfid", "w10", "-F", "fail=true"]);
    assert!(
        failed.err.starts_with("skynet: the participant failed: ValueError: one two [31m\n"),
        "{failed:?}"
    );
    home.good(&["send", "sizer", "--wfid", "w2", "-F", "wait=true", "-F", "number=1"]);
    wait_until("it is at work", || {
        home.skynet(&["wi", "status", "w2"]).out.contains("half done [31m; at work\n")
    });
    assert_eq!(home.good(&["wi", "status", "w2"]).lines().count(), 2);
    home.good(&["wi", "cancel", "w2"]);

    // What is of another process is of no interest.
    wait_until("all is known", || home.good(&["trace", "w10"]).contains("failed"));
    for words in [&["trace", "w1"][..], &["log", "--wfid", "w1"]] {
        let mut told = String::new();
        wait_until("it is in the log", || {
            told = home.good(words);
            told.contains("w1: done")
        });
        assert!(!told.contains("w10"), "{words:?}: {told}");
    }

    // What waits for it is not forgotten when it goes.
    home.good(&["stop", "sizer"]);
    home.good(&["send", "sizer"]);
    let removed = home.good(&["remove", "sizer"]);
    assert!(removed.contains("its queue    sizer (1 workitem in it)"), "{removed}");
}
