//! Whoever is to be told of problems is told.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tests::Sandbox;
use tests::service::Service;

const TELL: &str = "echo \"$SKYNET_SERVICE $SKYNET_EVENT $SKYNET_EXIT $SKYNET_COUNT\" >>told";

fn settings(sandbox: &Sandbox, more: &str) -> String {
    let tell = sandbox.script("tell", TELL);
    format!("{more}\n[notify]\ncommand = [\"{}\"]\n", tell.display())
}

/// "on a crash, on entering backoff …, and on recovery the command runs, once per change".
#[test]
fn crash_backoff_and_recovery_are_told_once_each() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "[ -e well ] && exec sleep 1000; exit 7");
    sandbox.write("s/service.toml", settings(&sandbox, "[backoff]\nfirst = \"100ms\"\nreset = \"4s\""));
    let supervise = service.supervise();
    // Of what waits for a command that is at work the latest counts: what comes next is to come when that has told.
    service.wait_until_it_holds("told", "backoff");
    sandbox.write("s/well", "");
    service.wait_until_it_holds("told", "recovered");
    assert_eq!(service.read("told"), "s crash code 7 1\ns backoff code 7 2\ns recovered code 7 0\n");
    assert_eq!(supervise.err(), "");
}

/// "on permanent failure"; a service that was told to stop is no problem.
#[test]
fn permanent_failure_is_told_and_an_operators_stop_is_not() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "exec sleep 1000");
    sandbox.write("s/service.toml", settings(&sandbox, "[exit]\npermanent = [9]"));
    let _supervise = service.supervise();
    service.wait_until_up();
    service.svc("-d");
    service.wait_until_down();
    service.run("exit 9");
    service.svc("-u");
    service.wait_until_it_holds("told", "\n");
    assert_eq!(service.read("told"), "s failed code 9 1\n");
}

/// "its own failure logged", "never in the way of supervision".
#[test]
fn fault_notify_command_that_fails_is_named_and_the_service_goes_on() {
    let sandbox = Sandbox::new();
    for (name, command, says) in [
        (
            "none",
            "[\"/no/such/program\"]",
            "supervise: warning: unable to run the notify command for none: file does not exist",
        ),
        ("fails", "[\"/bin/false\"]", "supervise: warning: the notify command exited with 1 for fails"),
    ] {
        let service = Service::new(&sandbox, name, "[ -e second ] && exec sleep 1000; touch second; exit 1");
        sandbox.write(format!("{name}/service.toml"), format!("[notify]\ncommand = {command}\n"));
        let mut supervise = service.supervise();
        supervise.wait_until_it_says(says);
        service.wait_until_up();
    }
}

/// "also system-wide in boss.conf"; the service's own command counts more.
#[test]
fn the_system_wide_command_is_told_where_the_service_has_none() {
    let sandbox = Sandbox::new();
    sandbox.set("SKYNET_HOME", sandbox.dir().display());
    sandbox.write("boss.conf", settings(&sandbox, ""));
    for (name, own, told) in [("a", "", true), ("b", "[notify]\ncommand = []\n", false)] {
        let service = Service::new(&sandbox, name, "[ -e second ] && exec sleep 1000; touch second; exit 1");
        sandbox.write(format!("{name}/service.toml"), own);
        let _supervise = service.supervise();
        service.wait_until_it_holds("supervise/lock", "\n");
        service.wait_until_up();
        if told {
            service.wait_until_it_holds("told", "a crash code 1 1\n");
        }
        assert_eq!(sandbox.has(format!("{name}/told")), told);
    }
}

/// "Samples for mail and for a webhook … (they fetch the last log lines themselves)".
#[test]
fn the_samples_tell_what_happened_and_the_last_log_lines() {
    let sandbox = Sandbox::new();
    let notify = tests::checkout().join("packaging/notify");
    sandbox.write("log/sizer/current", "first\nlast\n");
    sandbox.set("SKYNET_LOG_DIR", sandbox.path("log").display());
    for (name, value) in [("SERVICE", "sizer"), ("EVENT", "crash"), ("EXIT", "signal 11"), ("COUNT", "2")] {
        sandbox.set(&format!("SKYNET_{name}"), value);
    }
    sandbox.set("SENDMAIL", sandbox.script("sendmail", "cat >mail").display());
    assert_eq!(sandbox.run(notify.join("mail"), &["root"]).told(), (0, "", ""));
    let mail = sandbox.read("mail");
    for part in
        ["To: root\n", "sizer: crash\n", "last exit: signal 11, failures in a row: 2", "\nfirst\nlast\n"]
    {
        assert!(mail.contains(part), "{mail}");
    }

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let mut webhook = sandbox.start(notify.join("webhook"), &[&url]);
    listener.set_nonblocking(true).unwrap();
    let (mut peer, _) = sandbox.wait_for("it connects", || listener.accept().ok());
    let mut request = vec![];
    let body = loop {
        use std::io::{Read, Write};
        let mut buffer = [0; 4096];
        let n = peer.read(&mut buffer).unwrap();
        assert!(n > 0, "the request ends early: {}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str::<serde_json::Value>(body)
        {
            peer.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            break body;
        }
    };
    drop(peer);
    assert_eq!(webhook.finish().told(), (0, "", ""));
    assert_eq!(
        (&body["service"], &body["event"], &body["count"]),
        (&"sizer".into(), &"crash".into(), &2.into())
    );
    assert_eq!(body["log"], serde_json::json!(["first", "last"]));
}

/// A participant says in config.exo who is told; boss.conf is for those that do not, and a file that others may
/// write is not believed: supervise may be root.
#[test]
fn a_participant_is_told_of_without_a_service_toml() {
    let sandbox = Sandbox::new();
    sandbox.set("SKYNET_HOME", sandbox.dir().display());
    sandbox.write("boss.conf", settings(&sandbox, ""));
    let own = sandbox.script("tell-own", "echo own >>told");
    let own = format!("[notify]\ncommand = [\"{}\"]\n", own.display());
    let everybody = Permissions::from_mode(0o666);
    for (name, config, mode, told) in [
        ("a", "concurrency = 1\n", None, "a crash code 1 1\n"),
        ("b", own.as_str(), None, "own\n"),
        ("c", own.as_str(), Some(everybody), "c crash code 1 1\n"),
    ] {
        let service = Service::new(&sandbox, name, "[ -e second ] && exec sleep 1000; touch second; exit 1");
        let file = sandbox.write(format!("{name}/config.exo"), config);
        if let Some(mode) = mode {
            fs::set_permissions(file, mode).unwrap();
        }
        let _supervise = service.supervise();
        service.wait_until_up();
        service.wait_until_it_holds("told", told);
    }
}
