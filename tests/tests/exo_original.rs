//! Participants as they were written for the original SkyNET, moved from Python 2 to 3 mechanically: with their INI
//! files, as supervisor's packages install them, and without any change.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod installed;

use installed::{Asking, Installed};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_checking_participant_answers_true_false_and_an_error_for_what_is_mandatory() {
    let installed = Installed::new();
    installed
        .sandbox
        .write("skynet/check_repo.conf", "[obs]\noscrc = /etc/oscrc\nrepos = Core, Extra:Tools,\n");
    let exo = installed.start("check_repo", include_str!("original/check_repo.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    let action = |package: &str, project: &str| json!({"type": "submit", "package": package, "targetproject": project});
    let reply = asking.ask(
        "check_repo",
        json!({"ref": "check_repo"}),
        json!({"ev": {"actions": [action("a", "Core")]}}),
    );
    assert_eq!((&reply["fields"]["__result__"], &reply["fields"]["msg"]), (&json!(true), &json!([])));
    assert_eq!(reply["fields"]["checks"], json!({"submit": [true]}));
    let fields = json!({
        "ev": {"actions": [action("a.b", "Nowhere"), action("c", "Nowhere"), action("d", "Nowhere")]},
        "package_conf": {"a.b": {"checks": {"check_has_valid_repo": "warn"}}, "c": {"checks": {"check_has_valid_repo": "skip"}}},
    });
    let reply = asking.ask("check_repo", json!({}), fields);
    let fields = &reply["fields"];
    assert_eq!(
        (&fields["__result__"], &fields["status"], reply.get("error")),
        (&json!(false), &json!("FAILED"), None)
    );
    let said = |package: &str| format!("{package} goes to Nowhere, which has no repository");
    assert_eq!(fields["msg"], json!([format!("Warning: {}", said("a.b")), said("d")]));
    let reply = asking.ask("check_repo", json!({}), json!({"ev": {}}));
    assert_eq!(reply["error"]["message"], "RuntimeError: Mandatory field ev.actions missing.");
    assert_eq!(reply["fields"]["__result__"], false);
    drop(exo);
}

#[test]
fn a_launching_participant_starts_processes_with_the_account_from_its_config() {
    let installed = Installed::new();
    let store = installed.sandbox.path("processes");
    let config = format!("[robogrator]\nprocess_store = {}\n[irc]\nbotport = 5051\n", store.display());
    installed.sandbox.write("skynet/conf.d/launchers.conf", config);
    for (name, text) in [
        ("01.pdef", "Ruote.process_definition do first end"),
        ("02.pdef", "Ruote.process_definition do second end"),
        ("02.conf", r#"{"extra": [1], "port": 7}"#),
        ("03.pdef", "never"),
        ("03.conf", "no JSON"),
    ] {
        installed.sandbox.write(format!("processes/Core/Testing/REPO_PUBLISHED.{name}"), text);
    }
    let mut exo = installed.start("launch_event", include_str!("original/launch_event.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    let event = json!({"format": 2, "label": "REPO_PUBLISHED", "project": "Core:Testing", "nested": {"n": [1, {"x": null}]}});
    asking.send("launch_event", json!({}), json!({"obsEvent": event}));
    let [first, second, reply] = [(); 3].map(|()| asking.replies.receive_json());
    let fields = json!({"project": "Core:Testing", "ev": event, "port": 5051});
    let launched = |name: &str| format!("Ruote.process_definition do {name} end");
    assert_eq!(first, json!({"definition": launched("first"), "fields": fields, "variables": null}));
    let fields = json!({"project": "Core:Testing", "ev": event, "port": 7, "extra": [1]});
    assert_eq!(second, json!({"definition": launched("second"), "fields": fields, "variables": null}));
    assert_eq!(reply["fields"]["launched"], json!([launched("first"), launched("second")]));
    let reply = asking.ask("launch_event", json!({}), json!({}));
    assert!(reply.get("error").is_none() && reply["fields"].get("__result__").is_none(), "{reply}");
    exo.wait_until_it_says(" INFO launch_event w2: No Event");
    assert!(exo.out().contains("Looking to handle REPO_PUBLISHED in Core:Testing"));
}

#[test]
fn a_notifying_participant_fills_its_template_and_tells_why_it_cannot_send() {
    let installed = Installed::new();
    let spool = installed.sandbox.folder("spool");
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o777)).unwrap();
    let port = tests::broker::free_port();
    let config = format!(
        "[notify]\nsmtp_server = 127.0.0.1\nsmtp_port = {port}\nspool = {}/mail\nsubject = [boss] %(name)s\n",
        spool.display()
    );
    installed.sandbox.write("skynet/notify_by_template.conf", config);
    let exo = installed.start("notify_by_template", include_str!("original/notify_by_template.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    let params = json!({"template": "Hällo %(who)s: %(nothing)s%(list)s", "to": ["a@b"], "spool": 1});
    let reply = asking.ask(
        "notify_by_template",
        params,
        json!({"who": "wörld", "list": [{"a": 1}], "ev": {"name": "build"}}),
    );
    assert_eq!(reply["fields"]["notified"], "2011-02-16", "{reply}");
    assert_eq!(installed.sandbox.read("spool/mail"), "[boss] build\nHällo wörld: [{'a': 1}]\n");
    let reply = asking.ask("notify_by_template", json!({"template": "x"}), json!({"ev": {}}));
    assert_eq!(reply["error"]["message"], "ConnectionRefusedError(111): Connection refused");
    let trace = reply["error"]["trace"].as_array().unwrap();
    assert!(trace[0].as_str().unwrap().ends_with("in `handle_wi'"), "{trace:?}");
    drop(exo);
}

#[test]
fn a_participant_sends_workitems_of_its_own_before_and_instead_of_its_reply() {
    let installed = Installed::new();
    let _exo = installed.start("split_batch", include_str!("original/split_batch.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    asking.send("split_batch", json!({"action": "split"}), json!({"batch": {"parts": ["x", "y"]}}));
    let [first, second, batch] = [(); 3].map(|()| asking.replies.receive_json());
    assert_eq!(
        (&first["fields"]["part"], &first["fei"]["subid"]),
        (&json!({"name": "x", "number": 0}), &json!("s0"))
    );
    assert_eq!(
        (&second["fields"]["part"], &second["fei"]["subid"]),
        (&json!({"name": "y", "number": 1}), &json!("s1"))
    );
    assert_eq!((&batch["fei"]["subid"], &batch["fields"]["batch"]["done"]), (&json!("s"), &json!(true)));
    assert!(first["fields"]["batch"].get("done").is_none() && batch["fields"].get("part").is_none());
    let project = json!({"project": "Core"});
    assert_eq!(asking.ask("split_batch", json!({}), project.clone())["fields"]["turn"], "first");
    asking.send("split_batch", json!({}), project.clone());
    asking.send("split_batch", json!({"action": "release"}), project.clone());
    let [waiting, release] = [(); 2].map(|()| asking.replies.receive_json());
    assert_eq!((&waiting["fei"]["wfid"], &waiting["fields"]["turn"]), (&json!("w3"), &json!("yours")));
    assert_eq!((&release["fei"]["wfid"], &release["fields"]["__result__"]), (&json!("w4"), &json!(true)));
    let reply = asking.ask("split_batch", json!({"action": "release"}), project);
    assert_eq!(reply["fields"]["__result__"], false);
}

#[test]
fn a_building_participant_runs_commands_forks_and_changes_directory_umask_and_environment() {
    let installed = Installed::new();
    let mut exo = installed.start("build_results", include_str!("original/build_results.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    for target in ["armv7l", "i586"] {
        let reply = asking.ask("build_results", json!({"target": target}), json!({"packages": ["a", "b"]}));
        let fields = &reply["fields"];
        assert_eq!(
            (&fields["counted"], &fields["target"]),
            (&json!({"a": 2, "b": 2}), &json!(target)),
            "{reply}"
        );
        assert_eq!((&fields["__result__"], &fields["summary"]), (&json!(true), &json!({"packages": 2})));
    }
    let reply = asking.ask("build_results", json!({"check": true}), json!({"packages": ["a"]}));
    let says = "CalledProcessError: Command '['false']' returned non-zero exit status 1.";
    assert_eq!((&reply["error"]["message"], &reply["fields"]["counted"]), (&json!(says), &json!({"a": 2})));
    let done = exo.terminate();
    assert_eq!((done.code, done.out.matches("Building ").count()), (Some(0), 5), "{}", done.out);
}

#[test]
fn a_participant_sets_fields_by_name_whatever_they_are_called() {
    let installed = Installed::new();
    let own = "[defaults]\nNumber = 5\nrate = 100%%\nchained = %(rate)s!\n[defaults more]\nlist: a,\n  b\n[flags]\nextra = yes\n\
               [skynet]\nlog_level = DEBUG\n";
    installed.sandbox.write("skynet/set_fields.conf", own);
    let mut exo = installed.start("set_fields", include_str!("original/set_fields.py"));
    let client = installed.broker.client();
    let mut asking = Asking::new(&client);
    let params = json!({"name": "n", "ref": "set_fields", "a.b": 1, "Project:Core": {"x": 1}, "fields": [1], "number": null});
    let reply = asking.ask("set_fields", params, json!({"kept": {"y": 1.5}}));
    let fields = &reply["fields"];
    for (name, value) in [
        ("a.b", json!(1)),
        ("Project:Core", json!({"x": 1})),
        ("fields", json!([1])),
        ("number", json!("5")),
        ("rate", json!("100%")),
        ("chained", json!("100%!")),
        ("list", json!("a,\nb")),
        ("items", json!({"get": ["n"]})),
        ("fei_text", json!("0_0_1 0_0_1!s!w1")),
        ("same", json!(true)),
        ("instance", json!(true)),
        ("missing", json!([null, null, null, null])),
        ("kept", json!({"y": 1.5})),
    ] {
        assert_eq!(fields[name], value, "{name}: {reply}");
    }
    exo.wait_until_it_says("WARN set_fields w1: set ");
    exo.wait_until_it_says("DEBUG set_fields w1: extra True");
    let reply = asking.ask("set_fields", json!({}), json!({}));
    assert_eq!(reply["error"]["message"], "RuntimeError: Mandatory parameter: ':name' not provided");
}
