//! The same administrator where systemd starts what runs at boot: on a machine of the test's own, with a real systemd as its
//! first process. As root only.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::fs;
use std::path::{Path, PathBuf};
use tests::mounts::{Mount, own_mounts};
use tests::waiting::{DEADLINE, holds_within};
use tests::{Broker, Done, Programs, Running, Sandbox};

/// Keeps a workitem in hand until the file /var/go is there.
const SLOW: &str = "
import os, time

class ParticipantHandler(object):
    def handle_wi(self, wid):
        self.log.info('at work')
        while not os.path.exists('/var/go'):
            time.sleep(0.05)
";

struct Machine {
    _mounts: [Mount; 2],
    /// Its control group; its own are below.
    group: PathBuf,
    sandbox: Sandbox,
    broker: Broker,
    booted: Option<(Running, i32)>,
}

impl Machine {
    /// With nothing of SkyNET's on it, and booted. `None` where such a machine cannot be made.
    fn new() -> Option<Self> {
        // The node is everybody's: it starts before this thread has mounts of its own.
        let broker = Broker::rabbitmq();
        if !own_mounts() {
            return None;
        }
        if !Path::new("/lib/systemd/systemd").exists() {
            eprintln!("no systemd here: this cannot be tried");
            return None;
        }
        let sandbox = Sandbox::new();
        let disk = Mount::new(&sandbox.folder("disk"), &["-t", "tmpfs", "none"]);
        let groups = Mount::new(&sandbox.folder("groups"), &["-t", "cgroup2", "none"]);
        let ours = fs::read_to_string("/proc/self/cgroup").unwrap();
        let ours = ours.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
        let group = sandbox.path("groups").join(ours).join(format!("skynet-test-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        let mut machine = Self { _mounts: [disk, groups], group, sandbox, broker, booted: None };
        machine.boot();
        Some(machine)
    }

    fn boot(&mut self) {
        let script = tests::checkout().join("tests/systemd-machine");
        let within = "echo 0 >\"$1/cgroup.procs\" && shift && exec unshare -fpmC --kill-child \"$@\"";
        let mut command = self.sandbox.command("sh", &["-c", within, "sh"]);
        command
            .arg(&self.group)
            .arg(script)
            .arg(self.sandbox.path("disk"))
            .arg(tests::checkout())
            .arg(built());
        let unshare = self.sandbox.spawn(command);
        let children = format!("/proc/{0}/task/{0}/children", unshare.pid());
        let init = self.sandbox.wait_for("it has a first process", || {
            fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok()
        });
        self.booted = Some((unshare, init));
        self.sandbox.wait_until("it has booted", || {
            assert!(self.path("").exists(), "it went down");
            let state = self.sh("systemctl is-system-running").out;
            ["running\n", "degraded\n"].contains(&state.as_str())
        });
    }

    /// Waits until it has gone down by itself.
    fn is_off(&mut self) {
        self.booted.take().unwrap().0.finish();
    }

    /// A command of a shell on it, as root.
    fn sh(&self, script: &str) -> Done {
        let init = self.booted.as_ref().unwrap().1.to_string();
        let mut command = self.sandbox.command("nsenter", &["-t", &init, "-m", "-p", "-C", "-r", "-w"]);
        command.args(["sh", "-c", script]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        self.sandbox.spawn(command).finish()
    }

    fn good(&self, script: &str) -> String {
        let done = self.sh(script);
        assert_eq!(done.code, Some(0), "{script}: {done:?}\n{}", self.sh("journalctl -n 50").out);
        done.out
    }

    fn wait_until(&self, script: &str) {
        self.sandbox.wait_until(script, || self.sh(script).code == Some(0));
    }

    /// A path of the machine's, as the host has it while the machine runs.
    fn path(&self, path: &str) -> PathBuf {
        format!("/proc/{}/root/{path}", self.booted.as_ref().unwrap().1).into()
    }

    fn pid(&self, name: &str) -> String {
        self.good(&format!(
            "/usr/lib/skynet/bin/svstat /var/lib/boss/service/{name} | sed 's/.*(pid \\([0-9]*\\)).*/\\1/'"
        ))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.sandbox.kill_all();
        remove(&self.group);
    }
}

/// Removes a control group and those below.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    holds_within(DEADLINE, || fs::remove_dir(group).is_ok());
}

fn built() -> PathBuf {
    Programs::ours().bin().parent().unwrap().to_owned()
}

/// "Start at boot time"; "shutdown is graceful and bounded".
#[test]
fn systemd_starts_it_at_boot_and_stops_it_in_order_and_a_crash_of_svscan_ends_nothing() {
    let Some(mut machine) = Machine::new() else { return };
    let install = format!("cd {} && sh packaging/install {}", tests::checkout().display(), built().display());
    let said = machine.good(&install);
    let line = said.lines().find(|line| line.contains("systemctl ")).unwrap();
    let start = line.trim_start_matches("install:").trim().split("    ").next().unwrap();
    machine.good(start);
    let broker = &machine.broker;
    let (user, password, port, vhost) = (&broker.user, &broker.password, broker.port, &broker.vhost);
    machine.good(&format!("skynet config set amqp.url amqp://{user}:{password}@127.0.0.1:{port}/{vhost}"));
    machine.good("cd /srv && skynet new sizer && skynet enable ./sizer");
    assert!(machine.good("skynet send sizer --wait").contains("__result__ = true"));
    assert!(machine.good("skynet doctor").contains("nothing is wrong"));

    // What supervises goes on under the next svscan, which systemd starts.
    let before = machine.pid("sizer");
    machine.good("systemctl kill --kill-who=main --signal=KILL skynet");
    machine.wait_until(
        "test \"$(systemctl show -P NRestarts -P ActiveState skynet | tr '\\n' ' ')\" = '1 active '",
    );
    machine.wait_until("skynet doctor | grep 'good     svscan: runs'");
    assert_eq!(machine.pid("sizer"), before, "the participant went on");
    machine.good("systemctl reload skynet");
    machine.good("skynet restart sizer");
    assert_ne!(machine.pid("sizer"), before);

    // The power button, with a workitem in hand: it is finished first.
    machine.good(&format!("cat >/srv/sizer/sizer.py <<'E'\n{SLOW}E\nskynet restart sizer"));
    machine.good("skynet send sizer --wfid w1");
    machine.wait_until("skynet log sizer --grep 'at work'");
    machine.good("systemctl poweroff");
    machine.sandbox.wait_until("the participant is told to stop", || {
        let log = fs::read_to_string(machine.path("var/log/boss/sizer/current")).unwrap_or_default();
        log.contains("TERM: taking no more work, 1 in hand")
    });
    fs::write(machine.path("var/go"), "").unwrap();
    machine.is_off();

    machine.boot();
    machine.wait_until("skynet status sizer");
    let history = machine.good("skynet history sizer --wfid w1");
    assert!(history.contains("replied") && history.lines().count() == 2, "{history}");
    machine.good("systemctl stop skynet");
    let ended = machine.good("systemctl show -P Result -P ExecMainStatus skynet");
    assert_eq!(ended, "success\n0\n");
    assert!(machine.sh("pgrep -x supervise").out.is_empty());
    machine.good("systemctl poweroff");
    machine.is_off();
}
