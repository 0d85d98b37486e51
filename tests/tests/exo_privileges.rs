//! What root gives up before a handler runs, and what nobody gets to see. Only root can run these: for anybody else
//! they prove nothing and pass.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use tests::{Participant, Programs, Sandbox, workitem};
use unix::privileges::is_root;

const LOOKER: &str = r#"
import os, subprocess

def status():
    with open("/proc/self/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

def can(what, *arguments):
    try:
        what(*arguments)
        return True
    except OSError:
        return False

class ParticipantHandler(object):
    def handle_wi(self, wid):
        f = wid.fields
        s = status()
        f.uids, f.gids, f.groups = s["Uid"].split(), s["Gid"].split(), sorted(os.getgroups())
        f.capabilities = [s[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")]
        f.no_new_privs = s["NoNewPrivs"]
        f.regained = [can(os.setuid, 0), can(os.setgid, 0), can(os.seteuid, 0), can(os.setgroups, [0])]
        f.umask = os.umask(0)
        f.home, f.user, f.extra = os.environ.get("HOME"), os.environ.get("USER"), os.environ.get("EXTRA")
        f.logname = os.environ.get("LOGNAME")
        f.fds = [os.readlink("/proc/self/fd/%s" % fd) for fd in os.listdir("/proc/self/fd") if can(os.readlink, "/proc/self/fd/%s" % fd)]
        f.children_fds = subprocess.check_output("ls -l /proc/self/fd | grep -o ' -> .*'", shell=True).decode()
        f.boss_conf = can(open, f.boss_conf_path) if f.boss_conf_path else None
        f.seen = subprocess.check_output(["ps", "-ewwo", "args"]).decode(errors="replace")
        others = [pid for pid in f.others or () if pid != os.getpid()]
        f.reach = [can(open, "/proc/%d/%s" % (pid, name)) for pid in others for name in ("environ", "mem", "maps")]
        f.reach += [can(os.listdir, "/proc/%d/fd" % pid) for pid in others]
        if f.fails:
            raise ValueError("looked")
"#;

fn ask(p: &Participant, wfid: &str, fields: Value) -> Value {
    let client = p.broker.client();
    client.publish("sizer", workitem(wfid, fields));
    client.replies().receive_json()
}

/// "Drops privileges: supplementary groups, gid, uid, in that order, then proves that they cannot be regained; sets
/// umask 022, HOME, USER" (and LOGNAME, which others read); "closes inherited descriptors above 2." With an account that has supplementary groups, and
/// privileges that root itself was given.
#[test]
fn a_handler_has_its_accounts_ids_and_groups_and_nothing_else_of_roots() {
    if !is_root() {
        return;
    }
    let p = Participant::on_skynet(LOOKER, "user = \"worker\"\nno_new_privs = true\n");
    let add = |file: &str, line: &str| {
        let text = fs::read_to_string(format!("/etc/{file}")).unwrap();
        p.sandbox.write(file, text + line)
    };
    add("passwd", "worker:x:4711:4712::/tmp:/bin/sh\n");
    add("group", "workers:x:4712:\nextra:x:4713:other,worker\n");
    let script = "mount --bind passwd /etc/passwd && mount --bind group /etc/group && cd sizer && \
                  exec 7</etc/shadow 9>/dev/null && exec exo 2>&1";
    let mut exo = p.sandbox.start("unshare", &["-m", "sh", "-c", script]);
    p.sandbox.wait_until("it consumes, or has ended", || exo.out().contains("consuming") || !exo.runs());
    if exo.err().contains("unshare") || exo.err().contains("mount") {
        return; // a container that may not mount
    }
    exo.wait_until_it_says("consuming");
    let fields = ask(&p, "w1", json!({"boss_conf_path": p.sandbox.path("boss.conf")}))["fields"].clone();
    assert_eq!(fields["uids"], json!(["4711", "4711", "4711", "4711"]));
    assert_eq!(fields["gids"], json!(["4712", "4712", "4712", "4712"]));
    assert_eq!(fields["groups"], json!([4712, 4713]));
    for set in fields["capabilities"].as_array().unwrap() {
        assert_eq!(set, "0000000000000000");
    }
    assert_eq!(fields["no_new_privs"], "1");
    assert_eq!(fields["regained"], json!([false, false, false, false]));
    assert_eq!(fields["umask"], 0o022);
    assert_eq!((&fields["home"], &fields["user"]), (&json!("/tmp"), &json!("worker")));
    assert_eq!(fields["logname"], "worker");
    let open = format!("{} {}", fields["fds"], fields["children_fds"]);
    assert!(!open.contains("shadow") && !open.contains("memfd") && !open.contains("/dev/null\" "), "{open}");
    assert!(!fields["children_fds"].as_str().unwrap().contains("socket"), "{open}");
}

/// "The password nowhere in ps, environment, logs, failed store, or another participant's reach through /proc";
/// "nothing else readable by the handler that only root may read than its own AMQP settings".
#[test]
fn the_password_is_nowhere_but_in_the_participants_own_memory() {
    if !is_root() {
        return;
    }
    let p = Participant::on_skynet(LOOKER, "user = \"nobody\"\n");
    let password = p.broker.password.clone();
    let boss_conf = p.sandbox.path("boss.conf");
    fs::set_permissions(&boss_conf, fs::Permissions::from_mode(0o600)).unwrap();
    // Of the original's shared files, what only root may read stays root's; the participant's own file is its own.
    p.sandbox.write("skynet/conf.d/secret.conf", "[secret]\nword = for-root-only\n");
    let secret = p.sandbox.path("skynet/conf.d/secret.conf");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    let mut exo = p.start();
    let other = p.start();
    let fields = json!({"others": [exo.pid(), other.pid()], "boss_conf_path": boss_conf, "fails": true});
    let reply = ask(&p, "w1", fields);
    let fields = &reply["fields"];
    assert_eq!(fields["boss_conf"], false);
    assert!(!fields["seen"].as_str().unwrap().contains(&password), "{fields}");
    assert_eq!(fields["reach"], json!([false, false, false, false]));
    for pid in [exo.pid(), other.pid()] {
        for file in ["environ", "cmdline"] {
            let text = fs::read(format!("/proc/{pid}/{file}")).unwrap();
            assert!(!String::from_utf8_lossy(&text).contains(&password), "{file}");
        }
    }
    p.sandbox.wait_until("it is kept", || p.failed().len() == 1);
    let out = exo.terminate().out;
    assert!(!out.contains(&password), "{out}");
    // Not in the arguments, where the handler of a test that runs meanwhile would see it.
    p.sandbox.write("password", &password);
    let find = p.sandbox.run("grep", &["-rlFf", "password", "participants"]);
    assert_eq!((find.code, find.out.as_str()), (Some(1), ""), "{find:?}");
}

/// Only the participant's own files may hold what only root can read.
#[test]
fn of_files_that_only_root_may_read_the_handler_gets_its_own_and_no_others() {
    if !is_root() {
        return;
    }
    let handler = "
class ParticipantHandler(object):
    def handle_lifecycle_control(self, ctrl):
        if ctrl.message == 'start':
            self.sections = ctrl.config.sections()
    def handle_wi(self, wid):
        wid.fields.sections = self.sections
";
    let p = Participant::on_skynet(handler, "user = \"nobody\"\n[toml]\nx = 1\n");
    for (file, mode) in [
        ("skynet/skynet.conf", 0o600),
        ("skynet/conf.d/hidden.conf", 0o600),
        ("skynet/conf.d/open.conf", 0o644),
        ("skynet/sizer.conf", 0o600),
        ("skynet/other.conf", 0o644),
    ] {
        let name = file.rsplit('/').next().unwrap();
        let path = p.sandbox.write(file, format!("[of-{name}]\nx = 1\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let _exo = p.start();
    let mut sections: Vec<String> =
        serde_json::from_value(ask(&p, "w1", json!({}))["fields"]["sections"].clone()).unwrap();
    sections.sort();
    assert_eq!(sections, ["boss", "of-open.conf", "of-sizer.conf", "participant", "toml"]);
}

/// "Refuses a configuration file, a python or a handler, or a folder on the way to them, that anyone but root may
/// write, and names the chmod that repairs it"; "refuses to run a handler as root unless the configuration says so".
#[test]
fn what_root_cannot_trust_is_refused_with_its_repair() {
    if !is_root() {
        return;
    }
    const GOOD: &str = "class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n";
    let refused = |prepare: &dyn Fn(&Sandbox), config: &str, says: &str| {
        let sandbox = Sandbox::new();
        sandbox.set("SKYNET_HOME", sandbox.dir().to_str().unwrap());
        sandbox.write("sizer/config.exo", config);
        sandbox.write("sizer/sizer.py", GOOD);
        sandbox.write("boss.conf", "");
        prepare(&sandbox);
        let done = sandbox.run("sh", &["-c", "cd sizer && exec exo 2>&1"]);
        let (code, out, _) = done.told();
        let says = says.replace("@", sandbox.dir().to_str().unwrap());
        assert!(
            code == 111 && out.starts_with("exo: fatal: ") && out.contains(&says),
            "{says}: {code} {out}"
        );
        assert_eq!(out.lines().count(), 1, "{out}");
    };
    let mode = |path: &'static str, mode| {
        move |sandbox: &Sandbox| {
            fs::set_permissions(sandbox.path(path), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    let owner =
        |path: &'static str| move |sandbox: &Sandbox| chown(sandbox.path(path), Some(2), None).unwrap();
    refused(
        &mode("sizer/config.exo", 0o666),
        "",
        "others may write @/sizer/config.exo: repair with: chmod go-w @/sizer/config.exo",
    );
    refused(&mode("sizer/sizer.py", 0o664), "", "chmod go-w @/sizer/sizer.py");
    refused(&mode("sizer", 0o775), "", "chmod go-w @/sizer");
    refused(&mode("boss.conf", 0o622), "", "chmod go-w @/boss.conf");
    refused(
        &owner("sizer/sizer.py"),
        "",
        "@/sizer/sizer.py belongs to uid 2: repair with: chown -h root @/sizer/sizer.py",
    );
    refused(&owner("sizer"), "", "@/sizer belongs to uid 2");
    let python = |sandbox: &Sandbox| {
        sandbox.link("sizer/python3", "/usr/bin/python3");
        std::os::unix::fs::lchown(sandbox.path("sizer/python3"), Some(2), None).unwrap();
    };
    refused(&python, "python = \"./python3\"\n", "@/sizer/python3 belongs to uid 2");
    let environment = |sandbox: &Sandbox| {
        let path = sandbox.write("skynet/sizer.env", "LD_PRELOAD=/x\n");
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    };
    refused(&environment, "", "chmod go-w @/skynet/sizer.env");
    refused(&|_| {}, "user = \"no-such-account\"\n", "there is no account no-such-account");
}

/// SkyNET itself may lie where the participant's user may not go, as in root's home: said, with its repair.
#[test]
fn a_skynet_that_the_participants_user_may_not_enter_is_said_to_be_closed() {
    if !is_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.set("SKYNET_HOME", sandbox.dir().to_str().unwrap());
    sandbox.write("sizer/config.exo", "");
    sandbox
        .write("sizer/sizer.py", "class ParticipantHandler(object):\n    def handle_wi(self, wid): pass\n");
    let built = Programs::ours().bin().parent().unwrap().to_path_buf();
    sandbox.folder("closed/bin");
    for part in ["bin/exo", "python"] {
        let to = sandbox.path("closed").join(part);
        assert!(Command::new("cp").arg("-r").arg(built.join(part)).arg(to).status().unwrap().success());
    }
    let closed = sandbox.path("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let done = sandbox.run("sh", &["-c", "cd sizer && exec ../closed/bin/exo 2>&1"]);
    let closed = closed.display();
    let said = format!(
        "exo: fatal: cannot read {closed}/python/_skynet.abi3.so: Permission denied (os error 13) (the participant's \
         user may not enter {closed}: chmod o+x {closed}, or install SkyNET elsewhere)\n"
    );
    assert_eq!(done.told(), (111, &*said, ""));
}

/// "`user` … ignored (must be absent or oneself) when not started as root."
#[test]
fn started_by_anybody_else_a_participant_can_only_be_oneself() {
    if !is_root() {
        return;
    }
    for (config, refused) in [("user = \"daemon\"\n", true), ("user = \"nobody\"\n", false), ("", false)] {
        let p = Participant::on_skynet(LOOKER, config);
        chown(p.sandbox.folder("participants"), Some(65534), None).unwrap();
        // What root would not believe is one's own affair.
        fs::set_permissions(p.sandbox.path("sizer/sizer.py"), fs::Permissions::from_mode(0o666)).unwrap();
        let mut exo = p.sandbox.start("sh", &["-c", "cd sizer && exec setuidgid nobody exo 2>&1"]);
        if refused {
            let done = exo.finish();
            assert_eq!(
                done.told(),
                (111, "exo: fatal: cannot become daemon: started as nobody, not as root\n", "")
            );
        } else {
            exo.wait_until_it_says("consuming");
            assert_eq!(
                ask(&p, "w1", json!({}))["fields"]["uids"],
                json!(["65534", "65534", "65534", "65534"])
            );
        }
    }
}

/// "Closes inherited descriptors above 2 except the one that SKYNET_NOTIFY_FD names", which is told once that exo works;
/// no program that a handler runs inherits it, nor anything else.
#[test]
fn no_program_of_a_participant_has_a_strangers_descriptor() {
    let handler = "
import os, subprocess
class ParticipantHandler(object):
    def handle_wi(self, wid):
        wid.fields.seen = subprocess.check_output('ls -l /proc/self/fd', shell=True, close_fds=False).decode()
";
    let program = "#!/bin/sh\nls -l /proc/self/fd >&2; exit 1\n";
    for config in ["", "exec = [\"./work\"]\n"] {
        let p = Participant::on_skynet(handler, config);
        p.sandbox.executable("sizer/work", program);
        let script = "exec 7</etc/hostname 8>notify; cd sizer; SKYNET_NOTIFY_FD=8 exec exo 2>&1";
        let mut exo = p.sandbox.start("sh", &["-c", script]);
        exo.wait_until_it_says("consuming");
        p.sandbox.wait_until("it is told once", || p.sandbox.read("notify") == "\n");
        let reply = ask(&p, "w1", json!({}));
        let seen = format!("{} {}", reply["fields"]["seen"], reply["error"]["message"]);
        let out = exo.terminate().out;
        for stranger in ["hostname", "notify"] {
            assert!(!seen.contains(stranger) && !out.contains(stranger), "{config}: {seen} {out}");
        }
        assert!(seen.contains("/proc/") || out.contains("/proc/"), "{config}: {seen} {out}");
    }
}
