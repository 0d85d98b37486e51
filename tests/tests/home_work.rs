//! From nothing to answered workitems: `skynet new`, `enable`, `send`, `log`, on the embedded broker.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::{Home, finish};

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
    home::wait_until("it is in the log", || {
        let log = home.good(&["log", "--wfid", "20261121-0900-round1-7"]);
        log.contains("fields: ") && log.contains("replied")
    });
    home.good(&["local", "down"]);
    assert_eq!(home.processes().len(), 0);
}
