//! What a handler may rely on, through the real exo: lifecycle, settings, exoskeletons, launchers, interpreters.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use std::path::PathBuf;
use tests::{Broker, Participant, Sandbox, workitem};
use unix::process::Signal;

const LIVING: &str = "
import threading
class ParticipantHandler(object):
    def __init__(self):
        self.told, self.dying = [], threading.Event()
    def handle_lifecycle_control(self, ctrl):
        self.log.info('told %s', ctrl.message)
        self.told.append(ctrl.message)
        if ctrl.message == 'die':
            self.dying.set()
    def handle_wi(self, wid):
        wid.fields.told = list(self.told)
        if wid.fields.wait:
            print('waits')
            wid.fields.died = self.dying.wait(100)
";

/// "`start` comes exactly once per process, before the first workitem"; "stop": no more work will be given; INT, as of
/// a terminal, is TERM.
#[test]
fn a_handler_is_told_start_once_and_stop_at_the_end() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let p = Participant::on_skynet(LIVING, "");
        let client = p.broker.client();
        let mut exo = p.start();
        let mut replies = client.replies();
        for wfid in ["w1", "w2"] {
            client.publish("sizer", workitem(wfid, json!({})));
            assert_eq!(replies.receive_json()["fields"]["told"], json!(["start"]));
        }
        exo.signal(signal);
        let done = exo.finish();
        let told: Vec<_> =
            done.out.lines().filter_map(|line| line.split_once("told ").map(|(_, word)| word)).collect();
        assert_eq!((done.code, told), (Some(0), vec!["start", "stop"]), "{signal}: {}", done.out);
    }
}

/// "AboutToDie: 5 s before the grace period ends, `die`": while the handler is at work.
#[test]
fn a_handler_at_work_is_told_that_it_is_about_to_die_and_may_still_answer() {
    let p = Participant::on_skynet(LIVING, "grace = \"6s\"\n");
    let client = p.broker.client();
    let mut exo = p.start();
    client.publish("sizer", workitem("w1", json!({"wait": true})));
    exo.wait_until_it_says("waits");
    exo.signal(Signal::SIGTERM);
    let reply = client.replies().receive_json();
    assert_eq!(reply["fields"]["died"], true);
    let done = exo.finish();
    assert_eq!(done.code, Some(0));
    assert!(done.out.find("told die").unwrap() < done.out.find("told stop").unwrap(), "{}", done.out);
}

/// "An alternative exoskeleton: `exoskeleton = "module:Class"`": each method that may be overridden.
#[test]
fn an_exoskeleton_of_the_authors_own_stands_around_the_handler() {
    let mine = "
from SkyNET import Exo
class Mine(Exo):
    def make_handler(self, module):
        handler = super().make_handler(module)
        handler.made_by = '%s for %s on %s' % (type(self).__name__, self.name, self.queue)
        return handler
    def consume(self, wid):
        wid.fields.made_by = self.handler.made_by
        super().consume(wid)
    def on_error(self, wid, error):
        if isinstance(error, KeyError):
            wid.fields.forgiven = str(error)
        else:
            super().on_error(wid, error)
    def on_control(self, ctrl):
        print('control', ctrl.message)
        super().on_control(ctrl)
";
    let handler = "
class ParticipantHandler(object):
    def handle_wi(self, wid):
        if wid.fields.key: {}[wid.fields.key]
        if wid.fields.value: raise ValueError(wid.fields.value)
";
    let p = Participant::on_skynet(handler, "exoskeleton = \"mine:Mine\"\n");
    p.sandbox.write("sizer/mine.py", mine);
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    let mut ask = |fields: Value| {
        client.publish("sizer", workitem("w1", fields));
        replies.receive_json()
    };
    let reply = ask(json!({}));
    assert_eq!(reply["fields"]["made_by"], "Mine for sizer on sizer");
    let reply = ask(json!({"key": "k"}));
    assert_eq!((&reply["fields"]["forgiven"], reply.get("error")), (&json!("'k'"), None));
    let reply = ask(json!({"value": "v"}));
    assert_eq!(reply["error"]["message"], "ValueError: v");
    exo.signal(Signal::SIGTERM);
    let out = exo.finish().out;
    assert!(out.contains("control start") && out.contains("control stop"), "{out}");
}

/// "Validation of `[fields]` before the handler runs, each violation named."
#[test]
fn a_workitem_whose_fields_are_not_as_they_must_be_never_reaches_the_handler() {
    let config = "[fields]\nproject = { type = \"string\", required = true, pattern = \"^[A-Za-z:]+$\" }\n\
                  count = { type = \"integer\" }\n\"a.b\" = { required = true }\n";
    let p = Participant::on_skynet(
        "class ParticipantHandler(object):\n    def handle_wi(self, wid): print('ran', wid.wfid)\n",
        config,
    );
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    client.publish("sizer", workitem("w1", json!({"project": "1", "count": "2"})));
    let reply = replies.receive_json();
    assert_eq!(
        reply["error"]["message"],
        "the fields are not as they must be: a.b is missing; count must be an integer, and is a string; \
         project does not match ^[A-Za-z:]+$"
    );
    assert_eq!((&reply["fields"]["count"], &reply["error"]["class"]), (&json!("2"), &json!("RuntimeError")));
    client.publish("sizer", workitem("w2", json!({"forget": true})));
    client.publish("sizer", workitem("w3", json!({"project": "A:b", "a.b": 0})));
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w3");
    exo.wait_until_it_says("refused message: the fields are not as they must be");
    assert_eq!(exo.terminate().out.matches(": ran ").count(), 1);
}

/// `Launcher` to another broker than the participant's, and outside of exo where SkyNET is installed: the message is
/// there when the call returns. A broker that is not there is an error that names it, and never the password.
#[test]
fn launchers_reach_any_broker_from_anywhere() {
    let other = Broker::rabbitmq();
    let handler = "
from RuoteAMQP import Launcher
class ParticipantHandler(object):
    def handle_wi(self, wid):
        f = wid.fields
        Launcher(f.host, f.user, f.password, f.vhost).launch('define', {'n': f.n})
";
    let p = Participant::on_skynet(handler, "");
    let client = p.broker.client();
    let _exo = p.start();
    let mut replies = client.replies();
    let there = other.client();
    there.declare("ruote_workitems");
    let mut fields = json!({
        "host": format!("127.0.0.1:{}", other.port), "user": other.user, "password": other.password,
        "vhost": other.vhost, "n": 1,
    });
    client.publish("sizer", workitem("w1", fields.clone()));
    replies.receive();
    let launched = |body: Option<Vec<u8>>| serde_json::from_slice::<Value>(&body.unwrap()).unwrap();
    let expected = json!({"definition": "define", "fields": {"n": 1}, "variables": null});
    assert_eq!(launched(there.take("ruote_workitems")), expected);

    let packages = p.sandbox.programs().bin().join("../python");
    let script = "import sys; from RuoteAMQP import Launcher; Launcher(*sys.argv[1:]).launch('outside')";
    let mut python = p.sandbox.command("python3", &["-c", script]);
    python
        .env("PYTHONPATH", packages)
        .args(["host", "user", "password", "vhost"].map(|key| fields[key].as_str().unwrap()));
    let done = p.sandbox.spawn(python).finish();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(launched(there.take("ruote_workitems"))["definition"], "outside");

    fields["host"] = json!(format!("127.0.0.1:{}", tests::broker::free_port()));
    fields["password"] = json!("s3cret-word");
    client.publish("sizer", workitem("w2", fields));
    let error = replies.receive_json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.starts_with("ConnectionError: cannot connect to amqp://127.0.0.1:"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

/// "`send_to_engine` … publishes it now, confirmed and before the final reply"; "one `handle_wi` at a time
/// (`concurrency > 1` is for handlers that ask for it)".
#[test]
fn with_concurrency_handlers_work_at_once_each_line_with_its_own_wfid() {
    let handler = "
import threading
class ParticipantHandler(object):
    meet = threading.Barrier(3)
    def handle_wi(self, wid):
        self.meet.wait(100)
        print('met', wid.fields.n)
        self.send_to_engine(wid)
        wid.fields.sent = True
";
    let p = Participant::on_skynet(handler, "concurrency = 3\n");
    let client = p.broker.client();
    let mut exo = p.start();
    let mut replies = client.replies();
    for n in 0..3 {
        client.publish("sizer", workitem(&format!("w{n}"), json!({"n": n})));
    }
    let mut sent = std::collections::BTreeMap::<String, Vec<bool>>::new();
    for _ in 0..6 {
        let reply = replies.receive_json();
        let wfid = reply["fei"]["wfid"].as_str().unwrap().to_owned();
        sent.entry(wfid).or_default().push(reply["fields"]["sent"] == true);
    }
    assert_eq!(sent.into_values().collect::<Vec<_>>(), vec![vec![false, true]; 3]);
    for n in 0..3 {
        exo.wait_until_it_says(&format!("INFO sizer w{n}: met {n}"));
    }
}

/// "This runs on Python 3.9 to 3.13 and in any virtualenv": on every interpreter that this machine has.
#[test]
fn every_python_of_this_machine_from_3_9_on_can_be_the_interpreter() {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut pythons: Vec<PathBuf> = (9..=14)
        .map(|minor| PathBuf::from(format!("/usr/bin/python3.{minor}")))
        .filter(|p| p.exists())
        .collect();
    for entry in std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten() {
        let minor =
            entry.file_name().to_string_lossy().split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        if entry.file_name().to_string_lossy().starts_with("3.") && minor >= Some(9) {
            pythons.push(entry.path().join("bin/python3"));
        }
    }
    assert!(!pythons.is_empty());
    pythons.push(tests::checkout().join("target/tests/venv/bin/python3"));
    let handler = "
import sys
class ParticipantHandler(object):
    def handle_wi(self, wid):
        self.log.warn('on %s', sys.version)
        wid.fields.version = list(sys.version_info[:2])
        wid.fields.executable = sys.executable
        if wid.fields.fails: raise ValueError('boom')
";
    for python in pythons {
        let sandbox = Sandbox::new();
        let broker = Broker::skynet(&sandbox);
        // What lies below root's home is root's alone.
        let user = if unix::privileges::is_root() { "user = \"root\"\n" } else { "" };
        let p =
            Participant::new(sandbox, broker, handler, &format!("python = \"{}\"\n{user}", python.display()));
        let client = p.broker.client();
        let mut exo = p.start();
        let mut replies = client.replies();
        client.publish("sizer", workitem("w1", json!({})));
        let reply = replies.receive_json();
        assert_eq!(reply["fields"]["executable"], python.to_str().unwrap());
        assert!(reply["fields"]["version"].as_array().unwrap()[1].as_u64().unwrap() >= 9);
        client.publish("sizer", workitem("w2", json!({"fails": true})));
        assert_eq!(replies.receive_json()["error"]["message"], "ValueError: boom");
        assert_eq!(exo.terminate().code, Some(0), "{}", python.display());
    }
}

/// "`skynet.env` and `NAME.env` … go into the environment before the import"; they come after what the account says.
#[test]
fn the_originals_env_files_are_the_environment_of_the_import() {
    let handler = "
import os
SEEN = {name: os.environ.get(name) for name in ('HOME', 'FIRST', 'SECOND', 'http_proxy')}
class ParticipantHandler(object):
    def handle_wi(self, wid):
        wid.fields.seen = SEEN
";
    let p = Participant::on_skynet(handler, "");
    p.sandbox.write(
        "skynet/skynet.env",
        "# proxy\nexport http_proxy=\"http://proxy:3128\"\nFIRST=shared\nSECOND=shared\n",
    );
    p.sandbox.write("skynet/sizer.env", "SECOND=own\nHOME=/tmp/elsewhere\n");
    let client = p.broker.client();
    let _exo = p.start();
    client.publish("sizer", workitem("w1", json!({})));
    let seen = client.replies().receive_json()["fields"]["seen"].clone();
    let proxy = "http://proxy:3128";
    assert_eq!(
        seen,
        json!({"HOME": "/tmp/elsewhere", "FIRST": "shared", "SECOND": "own", "http_proxy": proxy})
    );
}

/// Handlers of the original find exo's arguments in `sys.argv`: the program, and the configuration file.
#[test]
fn a_handler_finds_the_configuration_file_in_the_arguments() {
    let handler = "
import sys
class ParticipantHandler(object):
    def handle_wi(self, wid):
        wid.fields.argv = sys.argv
";
    let p = Participant::on_skynet(handler, "");
    let client = p.broker.client();
    let _exo = p.start();
    client.publish("sizer", workitem("w1", json!({})));
    let argv = client.replies().receive_json()["fields"]["argv"].clone();
    let argv: Vec<PathBuf> = serde_json::from_value(argv).unwrap();
    assert_eq!(argv.len(), 2, "{argv:?}");
    assert_eq!(argv[0].file_name().unwrap(), "exo");
    assert_eq!(argv[1].file_name().unwrap(), "config.exo");
}
