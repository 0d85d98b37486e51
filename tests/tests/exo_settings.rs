//! The settings, each by what it does to the real programs.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::json;
use state::failed::FailedStore;
use state::history::{Filter, History, Order, Outcome, Row, Writer};
use state::moment;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use tests::{Participant, Running, workitem};
use unix::privileges::is_root;

const HANDLER: &str = "
import os
class ParticipantHandler(object):
    def handle_lifecycle_control(self, ctrl):
        if ctrl.message == 'start':
            self.config = ctrl.config
    def handle_wi(self, wid):
        if wid.fields.boom: raise ValueError('boom')
        wid.fields.umask = os.umask(0o022)
        wid.fields.home, wid.fields.user = os.environ.get('HOME'), os.environ.get('USER')
        wid.fields.own = self.config.get('mine', 'x', fallback=None)
";

fn participant(config: &str) -> Participant {
    Participant::on_skynet(HANDLER, config)
}

/// Starts it with another file in the place of config.exo.
fn start_with(p: &Participant, file: &str, text: &str, queue: &str) -> Running {
    p.sandbox.write(format!("sizer/{file}"), text);
    p.start_with(file, queue)
}

/// "Every other table is the participant's own and free (a warning when its name is within two letters of a known
/// one)": exo starts all the same, and the handler gets it.
#[test]
fn a_table_that_looks_like_a_slip_is_warned_of_and_is_the_participants() {
    let p = participant("[ampq]\nurl = \"x\"\n[mine]\nx = 7\n");
    let mut exo = p.start();
    let client = p.broker.client();
    client.publish("sizer", workitem("w1", json!({})));
    assert_eq!(client.replies().receive_json()["fields"]["own"], "7");
    let out = exo.terminate().out;
    let warning = "exo: warning: config.exo:1: [ampq] is the participant's own; did you mean [amqp]?\n";
    assert!(out.starts_with(warning) && out.matches("exo: warning").count() == 1, "{out}");
}

/// "A file with a `[boss]`, `[participant]`, `[skynet]` or `[program:…]` header is INI, any other TOML; in INI unknown keys
/// never fail." Whatever the file is called.
#[test]
fn the_form_of_a_file_is_known_by_its_headers() {
    let p = participant("");
    for (file, text, queue) in [
        ("a.exo", "[participant]\nname = sizer\nqueue = one\ncode = sizer.py\nunknown = 1\n", "one"),
        ("b.toml", "  [skynet]  \nlog_level = INFO\n[participant]\nqueue = two\ncode = sizer.py\n", "two"),
        ("c", "[program:three]\ncommand = x\nnumprocs = %(x)s\n[participant]\ncode = sizer.py\n", "three"),
        ("d.ini", "# [boss]\nqueue = \"four\" # [boss]\n[bossy]\nx = 1\n", "four"),
        ("e", "\u{feff}[boss]\n[participant]\nqueue = five\ncode = sizer.py\n", "five"),
    ] {
        let mut exo = start_with(&p, file, text, queue);
        assert_eq!(exo.terminate().code, Some(0), "{file}");
    }
}

/// So many workers as there cannot be are one clear line.
#[test]
fn workers_that_cannot_be_started_are_named() {
    let p = participant("concurrency = 5000\n");
    // Not by a limit of memory: the threads that there are would end for want of it, too.
    let done = p.sandbox.run("sh", &["-c", "cd sizer && exec prlimit --nproc=1000 exo 2>&1"]);
    let line = done.out.lines().find(|line| line.starts_with("exo: fatal: ")).unwrap_or_default();
    assert!(done.code == Some(111) && line.contains("cannot start 5000 workers: "), "{done:?}");
}

/// "Sets umask 022, HOME, USER": the account's, whatever root's are.
#[test]
fn a_handler_has_umask_home_and_user_of_its_account() {
    let p = participant("");
    let script = "umask 0; cd sizer; HOME=/nowhere USER=someone exec exo 2>&1";
    let mut exo = p.sandbox.start("sh", &["-c", script]);
    exo.wait_until_it_says("consuming from sizer");
    let client = p.broker.client();
    client.publish("sizer", workitem("w1", json!({})));
    let fields = client.replies().receive_json()["fields"].clone();
    assert_eq!(fields["umask"], 0o022);
    if is_root() {
        let user = fields["user"].as_str().unwrap();
        let account = unix::privileges::account(user).unwrap().unwrap();
        assert!(["boss", "nobody"].contains(&user), "{fields}");
        assert_eq!(fields["home"], account.dir.to_str().unwrap());
    } else {
        assert_eq!((&fields["home"], &fields["user"]), (&json!("/nowhere"), &json!("someone")));
    }
}

/// "Refuses to run a handler as root unless the configuration says so in so many words."
#[test]
fn root_must_be_written_out_and_is_known_by_any_name() {
    if !is_root() {
        return;
    }
    let p = participant("user = \"toor\"\n");
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    p.sandbox.write("passwd", passwd + "toor:x:0:0::/root:/bin/sh\n");
    let script = "mount --bind passwd /etc/passwd && cd sizer && exec exo 2>&1";
    let mut exo = p.sandbox.start("unshare", &["-m", "sh", "-c", script]);
    let done = exo.finish();
    if done.err.contains("unshare") || done.err.contains("mount") {
        return; // a container that may not mount
    }
    let says = "exo: fatal: toor is root by another name: set user to another account, or to root\n";
    assert_eq!((done.code, done.out.as_str()), (Some(111), says));
    let p = participant("user = \"root\"\n");
    let exo = p.start();
    assert_eq!(fs::metadata(format!("/proc/{}", exo.pid())).unwrap().uid(), 0);
}

/// "`exec`" is believed no more than a handler: what others may write, or lies where they may, root does not run.
#[test]
fn a_program_that_others_may_write_is_refused_with_its_repair() {
    if !is_root() {
        return;
    }
    let p = participant("exec = [\"./work\"]\n");
    let work = p.sandbox.script("sizer/work", "exit 0");
    fs::set_permissions(&work, fs::Permissions::from_mode(0o777)).unwrap();
    let done = p.launch("config.exo").finish();
    let says = format!("others may write {0}: repair with: chmod go-w {0}\n", work.display());
    assert!(done.code == Some(111) && done.out.ends_with(&says), "{done:?}");
    // The repair that it names is one.
    let mut repair = done.out.trim_end().rsplit("repair with: ").next().unwrap().split(' ');
    let words: Vec<_> = repair.by_ref().collect();
    p.sandbox.run(words[0], &words[1..]).good();
    assert_eq!(p.start().terminate().code, Some(0));
}

/// "State folder: … or `state = "DIR"`": all that is kept lies there, and skynet looks there.
#[test]
fn the_state_folder_may_be_elsewhere() {
    let p = participant("state = \"own/state\"\nmax_attempts = 1\n");
    p.sandbox.write("sizer/run", "#!/bin/sh\nexec exo 2>&1\n");
    p.sandbox.folder("service");
    p.sandbox.link("service/sizer", p.sandbox.path("sizer"));
    let client = p.broker.client();
    let mut replies = client.replies();
    let mut exo = p.start();
    let state = p.sandbox.path("sizer/own/state");
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o7777, 0o2750);
    client.publish("sizer", workitem("w1", json!({})));
    client.publish("sizer", workitem("w2", json!({"boom": true})));
    replies.receive_all(2);
    assert!(state.join("journal").is_dir());
    exo.terminate();
    assert_eq!(FailedStore::list(&state).unwrap().len(), 1);
    assert_eq!(wfids(&state), ["w1", "w2"]);
    assert!(!p.sandbox.has("participants/sizer"));
    let failed = p.sandbox.run("skynet", &["failed", "sizer", "--json"]);
    assert!(failed.out.contains("\"w2\""), "{failed:?}");
    let history = p.sandbox.run("skynet", &["history", "sizer", "--json"]);
    assert!(history.out.contains("\"w1\"") && history.out.contains("\"w2\""), "{history:?}");
}

fn wfids(state: &Path) -> Vec<String> {
    let history = History::open(state).unwrap().unwrap();
    let rows = history.rows(&Filter::default(), Order::Newest, 100).unwrap();
    rows.into_iter().rev().map(|row| row.wfid).collect()
}

/// "`[history] keep`": what is older goes when the history is written the next time; 90 days where nothing is said.
#[test]
fn the_history_keeps_rows_for_as_long_as_it_is_told() {
    for (config, kept) in
        [("", &["fresh", "new"][..]), ("[history]\nkeep = \"200d\"\n", &["old", "fresh", "new"])]
    {
        let p = participant(config);
        let state = p.sandbox.folder("participants/sizer");
        let days = |n: i64| moment::now() - n * 86_400 * 1_000_000;
        let mut writer = Writer::start(&state, Duration::MAX, Box::new(|line| panic!("{line}"))).unwrap();
        for (wfid, at) in [("old", days(100)), ("fresh", days(80))] {
            writer.write(Row {
                participant: "sizer".into(),
                sid: format!("0!s!{wfid}"),
                wfid: wfid.into(),
                workflow: String::new(),
                started: at,
                ended: at,
                wait: None,
                outcome: Outcome::Replied,
                attempt: 1,
                error: String::new(),
            });
        }
        drop(writer);
        // Made by the test: exo would give it to its user.
        p.sandbox.run("chmod", &["-R", "a+rwX", state.to_str().unwrap()]).good();
        let mut exo = p.start();
        let client = p.broker.client();
        client.publish("sizer", workitem("new", json!({})));
        client.replies().receive();
        exo.terminate();
        assert_eq!(wfids(&state), kept, "{config}");
    }
}

/// "`journal_sync = true` adds fsync": after *taken* before the handler starts, and after *reply* before that is
/// published; seen by strace. What cannot be synced is not started.
#[test]
fn with_journal_sync_each_step_is_on_the_disk_before_the_next() {
    if !is_root() || !Path::new("/usr/bin/strace").exists() {
        return; // exo's process is closed to others
    }
    let trace = |config: &str, words: &[&str]| {
        let p = participant(config);
        let strace = format!(
            "cd sizer && exec strace -f -y -o ../trace -e trace=fsync,fdatasync,pwrite64 {} exo 2>&1",
            words.join(" ")
        );
        let mut exo = p.sandbox.start("sh", &["-c", &strace]);
        exo.wait_until_it_says("consuming from sizer");
        (p, exo)
    };
    for (config, syncs) in [("journal_sync = true\n", true), ("", false)] {
        let (p, mut exo) = trace(config, &[]);
        let client = p.broker.client();
        client.publish("sizer", workitem("w1", json!({})));
        client.replies().receive();
        exo.wait_until_it_says("w1: done");
        // The history is another file, which is written in its own time.
        let traced = p.sandbox.read("trace");
        let traced: Vec<_> = traced.lines().filter(|line| line.contains("/journal/")).collect();
        // The header, taken, reply; in this order each time.
        let steps: Vec<_> = traced
            .iter()
            .filter_map(|line| {
                ["pwrite64", "fdatasync"].into_iter().find(|call| line.contains(&format!("{call}(")))
            })
            .collect();
        let expected: &[&str] = &["pwrite64", "fdatasync", "pwrite64", "fdatasync", "pwrite64", "fdatasync"];
        assert_eq!(steps.starts_with(expected), syncs, "{traced:#?}");
        assert_eq!(traced.iter().any(|line| line.contains("sync(")), syncs, "{traced:#?}");
    }
    let inject = ["-e", "inject=fdatasync:error=EIO:when=2+"];
    let (p, mut exo) = trace("journal_sync = true\n", &inject);
    let client = p.broker.client();
    client.publish("sizer", workitem("w1", json!({})));
    exo.wait_until_it_says("cannot write the journal: Input/output error");
    p.sandbox.wait_until("it is back on the queue", || client.depth("sizer") == 1);
}
