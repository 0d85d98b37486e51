//! The stories of who writes processes, each told to the real programs in a home.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::Home;
use serde_json::Value;

fn json(home: &Home, words: &[&str]) -> Value {
    serde_json::from_str(&home.good(&[words, &["--json"]].concat())).unwrap()
}

/// "I want to manage the names of participants (without having to change the code)."
#[test]
fn i_want_to_manage_the_names_of_participants_without_changing_the_code() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    let item = json(&home, &["register", "./sizer", "--as", "^size.*"]);
    assert_eq!(
        (&item["fields"]["name"], &item["fields"]["queue"]),
        (&"^size.*".into(), &"sizer".into()),
        "{item}"
    );
    assert!(item["definition"].as_str().unwrap().contains("boss_register"), "{item}");
    let item = json(&home, &["unregister", "./sizer", "--as", "^size.*"]);
    assert!(item["definition"].as_str().unwrap().contains(":action => \"unregister\""), "{item}");
    json(&home, &["launch", "--definition", "Ruote.process_definition do sizer end", "-F", "a.b=1"]);
    let queues = json(&home, &["queues"]);
    let replies =
        queues.as_array().unwrap().iter().find(|queue| queue["queue"] == "ruote_workitems").unwrap();
    assert_eq!(replies["ready"], 3, "the engine finds all three when it comes: {queues}");
    let bad = home.skynet(&["register", "./sizer", "--as", "size["]);
    assert!(bad.code == Some(100) && bad.err.lines().count() == 1, "{bad:?}");
}

/// "I want to filter output by process (wfid) and only see some participant logs."
#[test]
fn i_want_to_filter_output_by_process_and_see_only_some_logs() {
    let home = Home::new();
    home.good(&["local", "up"]);
    for name in ["sizer", "checker"] {
        home.good(&["new", name]);
        home.good(&["enable", &format!("./{name}")]);
        for wfid in ["first", "second"] {
            home.good(&["send", name, "--wfid", wfid, "--wait"]);
        }
    }
    let lines = |words: &[&str]| {
        let out = home.good(&[&["log"][..], words, &["--json"]].concat());
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let both = lines(&["--wfid", "first", "--since", "1h"]);
    assert!(both.iter().any(|line| line["participant"] == "sizer"), "{both:?}");
    assert!(both.iter().any(|line| line["participant"] == "checker"), "{both:?}");
    assert!(both.iter().all(|line| line["text"].as_str().unwrap().contains("first")), "{both:?}");
    let one = lines(&["size*", "--grep", "replied$"]);
    assert!(one.len() == 2 && one.iter().all(|line| line["participant"] == "sizer"), "{one:?}");
    assert_eq!(lines(&["sizer", "-n", "1", "--wfid", "second"]).len(), 1);
}
