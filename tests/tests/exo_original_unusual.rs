//! More participants of the original SkyNET's kind, which use what they may rely on in unusual but legal ways.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod installed;

use installed::{Asking, Installed};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn writable(installed: &Installed, folder: &str) -> String {
    let path = installed.sandbox.folder(folder);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    path.display().to_string()
}

#[test]
fn a_participant_of_mixins_decorators_and_a_package_of_its_own_that_waits_with_an_alarm() {
    let installed = Installed::new();
    let beside =
        |name: &str, text: &str| drop(installed.sandbox.write(format!("share/boss-skynet/{name}"), text));
    beside("marking/__init__.py", include_str!("original/marking/__init__.py"));
    beside("marking/locked.py", include_str!("original/marking/locked.py"));
    let own = "[obs]\ndefault = http://default\n[obs:core]\napi = http://core\n[skynet]\nlog_level = DEBUG\n";
    installed.sandbox.write("skynet/mark_published.conf", own);
    let mut exo = installed.start("mark_published", include_str!("original/mark_published.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    let action =
        |kind: &str, package: &str| json!({"type": kind, "targetproject": "Core", "targetpackage": package});
    let actions = [action("submit", "a"), action("delete", "b"), action("maintenance_release", "c")];
    let fields = json!({"ev": {"actions": actions, "namespace": "core"}});
    let reply = asking.ask("mark_published", json!({}), fields);
    let fields = &reply["fields"];
    assert_eq!((&fields["marked"], &fields["count"]), (&json!(["Core/a", "Core/c"]), &json!(2)), "{reply}");
    assert_eq!(
        (&fields["api"], &fields["__result__"], &fields["msg"]),
        (&json!("http://core"), &json!(true), &json!([]))
    );
    let mut slow = action("submit", "slow");
    slow["slow"] = json!(true);
    let reply = asking.ask("mark_published", json!({"timeout": "1"}), json!({"ev": {"actions": [slow]}}));
    assert_eq!((&reply["fields"]["__result__"], reply.get("error")), (&json!(false), None), "{reply}");
    assert_eq!(reply["fields"]["msg"], json!(["no lock within 1 s"]));
    let reply = asking.ask("mark_published", json!({}), json!({"ev": {}}));
    assert_eq!(reply["error"]["message"], "RuntimeError: Missing mandatory field");
    assert_eq!(reply["fields"]["msg"], json!(["One of the mandatory fields: ev.actions does not exist."]));
    exo.wait_until_it_says("DEBUG mark_published w1: delete is not for mark_published");
    assert_eq!(exo.terminate().code, Some(0));
}

#[test]
fn a_participant_with_threads_a_pool_of_processes_and_copies_of_its_workitem() {
    let installed = Installed::new();
    for (target, packages) in [("armv7l", json!(["a", "b"])), ("i586", json!(["c"]))] {
        let text = json!({"target": target, "packages": packages}).to_string();
        installed.sandbox.write(format!("results/{target}.json"), text);
    }
    let port = tests::broker::free_port().to_string();
    let _server = installed
        .sandbox
        .start("python3", &["-m", "http.server", &port, "--bind", "127.0.0.1", "--directory", "results"]);
    installed.sandbox.wait_until("the server answers", || {
        std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok()
    });
    installed.sandbox.write(
        "skynet/conf.d/results.conf",
        format!("[results]\nserver: http://127.0.0.1:{port}\nworkers=3\n"),
    );
    let mut exo = installed.start("collect_results", include_str!("original/collect_results.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    let reply = asking.ask(
        "collect_results",
        json!({"ignore": 1}),
        json!({"targets": ["i586", "none", "armv7l"], "kept": 1}),
    );
    let fields = &reply["fields"];
    assert_eq!(
        (&fields["total"], &fields["first"], &fields["ignored"]),
        (&json!(3), &json!(["a", "b"]), &json!(["404 none.json"])),
        "{reply}"
    );
    assert_eq!(fields["results"][1], json!({"target": "i586", "packages": ["c"], "seen": true}));
    assert_eq!(fields["changed"], json!(["first", "ignored", "results", "total"]));
    assert_eq!(
        (&fields["equal"], &fields["deep"]),
        (&json!([false, true, true]), &json!({"down": {"total": 3}}))
    );
    assert_eq!((&fields["__result__"], &fields["kept"]), (&json!(true), &json!(1)));
    let reply = asking.ask("collect_results", json!({}), json!({"targets": ["none"]}));
    let message = format!("HTTPError: 404 http://127.0.0.1:{port}/none.json");
    assert_eq!(reply["error"]["message"], message);
    assert_eq!(reply["fields"]["__error__"], "HTTP Error 404: File not found");
    let reply = asking.ask("collect_results", json!({}), json!({"targets": {"no": "list"}}));
    let says = "RuntimeError: Mandatory field 'targets' missing or not a list: {'no': 'list'}";
    assert_eq!(reply["error"]["message"], says);
    exo.wait_until_it_says("INFO collect_results w1: fetching armv7l");
    assert_eq!(exo.terminate().code, Some(0), "{}", exo.out());
}

#[test]
fn a_participant_that_reads_and_changes_its_settings_in_every_way() {
    let installed = Installed::new();
    let more = installed.sandbox.write("more.conf", "[settings]\nfrom_more = yes\n");
    installed.sandbox.write(
        "skynet/write_settings.conf",
        format!(
            "[DEFAULT]\nproject = Core\n[settings]\npath: /srv/%(project)s/%(name)s\nname = x\nlist = a\n  b\n\n  c\nport=80\n\
             Rate = 1.5\non: Yes\ncolon = http://h:1/ ; no comment\nmore = {}\n[settings more]\nkey\u{20}= value\n",
            more.display()
        ),
    );
    installed.sandbox.write("skynet/skynet.env", "SHARED=everybody\n");
    installed.sandbox.write("skynet/write_settings.env", "export SETTINGS_ROOT='/srv/s'\n");
    let _exo = installed.start("write_settings", include_str!("original/write_settings.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    let reply =
        asking.ask("write_settings", json!({"set_a": 1, "set_b": {"c": [null]}, "ref": "x"}), json!({}));
    let told = &reply["fields"]["told"];
    for (what, value) in [
        ("defaults", json!({"project": "Core"})),
        ("sections", json!(["settings", "settings more"])),
        ("raw", json!("/srv/%(project)s/%(name)s")),
        ("vars", json!("/srv/Other/x")),
        ("items", json!("/srv/Third/x")),
        ("numbers", json!([80, 1.5, true, false])),
        ("colon", json!("http://h:1/ ; no comment")),
        ("account", json!([installed.broker.user, installed.broker.vhost])),
        ("host", json!("127.0.0.1")),
        ("participant", json!("write_settings")),
        ("later", json!("Core")),
        ("read", json!([more.display().to_string()])),
        ("again", json!("value")),
        ("environment", json!({"SETTINGS_ROOT": "/srv/s", "SHARED": "everybody", "HOME": "/tmp"})),
    ] {
        assert_eq!(told[what], value, "{what}: {reply}");
    }
    let settings = json!({"a": 1, "b": {"c": [null]}, "nested": {"list": ["a", "b", "nested"]}});
    assert_eq!((&reply["fields"]["settings"], &reply["fields"]["__result__"]), (&settings, &json!(true)));
    let reply = asking.ask("write_settings", json!({"drop": true, "need": "port"}), json!({}));
    assert_eq!((&reply["fields"]["settings"], &reply["fields"]["need"]), (&json!({}), &json!("0")));
    let reply = asking.ask("write_settings", json!({"need": "nothing"}), json!({}));
    assert_eq!(reply["error"]["message"], "NoOptionError: No option 'nothing' in section: 'settings'");
}

#[test]
fn a_participant_that_says_everything_in_every_way_is_in_the_log_line_by_line() {
    let installed = Installed::new();
    let mut exo = installed.start("talk_much", include_str!("original/talk_much.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    let reply = asking.ask("talk_much", json!({}), json!({"word": "wörd"}));
    let fields = &reply["fields"];
    assert_eq!(reply.get("error"), None, "{reply}");
    assert_eq!(
        (&fields["teed"], &fields["output"], &fields["popen"]),
        (&json!("teed wörd\n"), &json!("captured\n"), &json!("by popen\n"))
    );
    let done = exo.terminate();
    let lines: Vec<&str> = done.out.lines().collect();
    for line in [
        " INFO talk_much: imported as talk_much",
        " INFO talk_much w1: module logger wörd",
        "NOTICE talk_much w1: a level of its own",
        "ERROR talk_much w1: child of talk_much",
        " INFO talk_much w1: own format: its own handler",
        " INFO talk_much w1: argument by name",
        "ERROR talk_much w1: failed: text",
        "ERROR talk_much w1: KeyError: 'key'",
        "ERROR talk_much w1: and so",
        " INFO talk_much w1: {'pretty': 'wörd'}",
        "ERROR talk_much w1: to-stderr!",
        " INFO talk_much w1: half ",
        " INFO talk_much w1: whole",
        " INFO talk_much w1: teed wörd",
        " INFO talk_much w1: detached wörd",
        " INFO talk_much w1: and still wörd",
        "command sh",
        "its error",
        " INFO talk_much w1: b'bytes' ünicode \ttab ",
    ] {
        let sh = line.replace("command sh", "command /bin/sh");
        assert!(
            lines.contains(&line) || lines.contains(&sh.as_str()),
            "{line:?} is not in {}",
            done.out.replace(&"x".repeat(1000), "…")
        );
    }
    assert!(
        lines.iter().any(|line| line.contains("WARN talk_much w1: ") && line.contains("be careful")),
        "{lines:?}"
    );
    assert!(done.out.contains(&format!("INFO talk_much w1: {}\n", "x".repeat(100_000))));
    assert!(!done.out.contains("never") && done.code == Some(0));
}

/// "`stop`: no more work will be given; tidy up", which may mean to send what was held back; so may "start".
#[test]
fn a_participant_that_holds_workitems_back_over_its_own_restarts() {
    let installed = Installed::new();
    let folder = writable(&installed, "held");
    installed.sandbox.write("skynet/hold_back.conf", format!("[hold]\nfolder = {folder}\n"));
    let code = include_str!("original/hold_back.py");
    let mut exo = installed.start("hold_back", code);
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    for project in ["Core", "Other", "Core"] {
        asking.send("hold_back", json!({}), json!({"project": project, "n": 1.50}));
    }
    let reply = asking.ask("hold_back", json!({"action": "count"}), json!({}));
    assert_eq!((&reply["fields"]["held"], &reply["fields"]["same"]), (&json!(3), &json!(true)), "{reply}");
    let done = exo.terminate();
    assert_eq!(done.code, Some(0), "{}", done.out);
    assert_eq!(
        asking.replies.receive_json(),
        json!({"definition": "Ruote.process_definition do told end", "fields": {"held": 3}, "variables": {"v": null}}),
        "{}",
        done.out
    );
    let notes: Vec<Value> = (0..3).map(|_| asking.replies.receive_json()).collect();
    assert!(
        notes.iter().all(|note| note["fields"]["note"] == "kept" && note["fei"]["subid"] == "note"),
        "{notes:?}"
    );

    let mut exo = installed.start("hold_back", code);
    for _ in 0..3 {
        assert_eq!(asking.replies.receive_json()["fields"]["note"], "again");
    }
    asking.send("hold_back", json!({"action": "release"}), json!({"project": "Core"}));
    let [first, second, reply] = [(); 3].map(|()| asking.replies.receive_json());
    for (held, wfid) in [(&first, "w1"), (&second, "w3")] {
        let fields = &held["fields"];
        assert_eq!((&held["fei"]["wfid"], &held["fei"]["subid"]), (&json!(wfid), &json!("s")));
        assert_eq!((&fields["released_by"], &fields["__result__"]), (&json!("w5"), &json!(true)), "{held}");
        assert_eq!(fields["held_as"], format!("0_0_1!s!{wfid}"));
    }
    assert_eq!(reply["fields"]["released"], 2);
    assert_eq!(asking.ask("hold_back", json!({"action": "count"}), json!({}))["fields"]["held"], 1);
    assert_eq!(exo.terminate().code, Some(0));
}
