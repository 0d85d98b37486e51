//! A machine's administrator: from `make install` to a reboot, on the system's tree. As root only, on a machine of the
//! test's own: /etc, /usr and /var with a layer that nobody else sees.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::mounts::{Mount, own_mounts};
use tests::running::Done;
use tests::{Broker, Programs, Running, Sandbox};
use unix::process::Signal;

const PATH: &str = "/usr/lib/skynet/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const SKYNET: &str = "/usr/bin/skynet";

struct Machine {
    _layers: Vec<Mount>,
    sandbox: Sandbox,
    broker: Broker,
}

impl Machine {
    /// With SkyNET installed and nothing started. `None` where such a machine cannot be made.
    fn new() -> Option<Self> {
        // The node is everybody's: it starts before this thread has mounts of its own.
        let broker = Broker::rabbitmq();
        if !own_mounts() {
            return None;
        }
        let sandbox = Sandbox::new();
        let mut layers = vec![Mount::new(&sandbox.folder("layers"), &["-t", "tmpfs", "none"])];
        for name in ["etc", "usr", "var"] {
            let (upper, work) = (format!("layers/{name}/upper"), format!("layers/{name}/work"));
            let (upper, work) = (sandbox.folder(upper), sandbox.folder(work));
            let options = format!("lowerdir=/{name},upperdir={},workdir={}", upper.display(), work.display());
            if !tests::mounts::mount(&["-t", "overlay", "-o", &options, "overlay", &format!("/{name}")]) {
                eprintln!("no layers over folders here: this cannot be tried");
                return None;
            }
            layers.insert(0, Mount::there(format!("/{name}").as_ref()));
        }
        let machine = Self { _layers: layers, sandbox, broker };
        machine.install();
        let broker = &machine.broker;
        let (user, password, port, vhost) = (&broker.user, &broker.password, broker.port, &broker.vhost);
        let url = format!("amqp://{user}:{password}@127.0.0.1:{port}/{vhost}");
        machine.good(&["config", "set", "amqp.url", &url]);
        Some(machine)
    }

    /// What `sudo make install` runs, by a root who lets nobody read what is root's.
    fn install(&self) -> String {
        let built = Programs::ours().bin().parent().unwrap().to_owned();
        let script = "umask 077; exec sh packaging/install \"$1\"";
        let mut command = self.sandbox.command("sh", &["-c", script, "sh", built.to_str().unwrap()]);
        command.current_dir(tests::checkout()).env("PATH", PATH);
        let done = self.sandbox.spawn(command).finish();
        assert_eq!(done.code, Some(0), "{done:?}");
        done.out
    }

    /// A command of a shell, as root.
    fn sh(&self, script: &str) -> Done {
        let mut command = self.sandbox.command("sh", &["-c", script]);
        command.current_dir(tests::checkout()).env("PATH", PATH);
        self.sandbox.spawn(command).finish()
    }

    /// Somebody with this group and no account, on the system's tree.
    fn somebody(&self, group: &str, words: &str) -> Done {
        let group = self.sh(&format!("getent group {group} | cut -d: -f3")).out;
        let group = group.trim();
        self.sh(&format!(
            "exec setpriv --reuid 12345 --regid 12345 --groups {group} {SKYNET} --system {words}"
        ))
    }

    fn svscan(&self) -> Running {
        let mut command = self.sandbox.command("/usr/lib/skynet/bin/svscan", &["/var/lib/boss/service"]);
        command.env("PATH", PATH);
        self.sandbox.spawn(command)
    }

    fn skynet(&self, words: &[&str]) -> Done {
        let mut command = self.sandbox.command(SKYNET, words);
        command.env("PATH", PATH);
        self.sandbox.spawn(command).finish()
    }

    fn good(&self, words: &[&str]) -> String {
        let done = self.skynet(words);
        assert_eq!(done.code, Some(0), "skynet {words:?}: {done:?}");
        done.out
    }

    /// Everything is gone, and the kernel is another one: by its boot id, as long as what is returned.
    fn power_fails(&self) -> Mount {
        self.sandbox.kill_all();
        let id = self.sandbox.write("boot_id", "00000000-1111-2222-3333-444444444444\n");
        Mount::new(BOOT_ID.as_ref(), &["--bind", id.to_str().unwrap()])
    }

    /// Name, state and whether it starts by itself, of all services.
    fn states(&self) -> Vec<(String, String, bool)> {
        let services: Value = serde_json::from_str(&self.skynet(&["status", "--json"]).out).unwrap();
        let word = |service: &Value, key: &str| service[key].as_str().unwrap().to_owned();
        let one = |service: &Value| {
            (word(service, "name"), word(service, "state"), service["enabled"].as_bool().unwrap())
        };
        services.as_array().unwrap().iter().map(one).collect()
    }

    fn wait_for_states(&self, wanted: &[(&str, &str, bool)]) {
        let wanted: Vec<_> =
            wanted.iter().map(|(name, state, on)| ((*name).to_owned(), (*state).to_owned(), *on)).collect();
        self.sandbox.wait_until(&format!("the services are {wanted:?}"), || self.states() == wanted);
    }
}

#[test]
fn i_install_it_and_after_a_reboot_what_is_enabled_runs_and_nothing_else() {
    let Some(machine) = Machine::new() else { return };
    for name in ["sizer", "trio", "idle"] {
        machine.good(&["new", name]);
    }
    machine.good(&["config", "./trio", "set", "instances", "3"]);

    // By hand, with the PATH of an administrator: of ours skynet alone is on it.
    machine.good(&["new", "hand"]);
    let hand = machine.sandbox.path("hand");
    let by_hand = "python3 test_hand.py && echo nonsense = 1 >>config.exo && ./exo";
    let done = machine.sh(&format!("PATH=/usr/bin:/bin; cd {} && {by_hand}", hand.display()));
    assert!(done.err.contains("unknown key \"nonsense\""), "{done:?}");

    // Nothing is up yet: that is said, and is no failure.
    let said = machine.good(&["enable", "./sizer"]);
    assert!(said.contains("it will start with SkyNET: no svscan runs (start it with: "), "{said}");
    let done = machine.skynet(&["start", "sizer"]);
    assert!(done.code == Some(1) && done.err.contains("no svscan runs (start it with: "), "{done:?}");
    assert!(machine.skynet(&["doctor"]).out.contains("wrong    svscan: it does not run"));

    let svscan = machine.svscan();
    machine.wait_for_states(&[("sizer", "up", true)]);
    machine.good(&["enable", "./trio"]);
    machine.good(&["start", "./idle"]);
    assert!(machine.good(&["send", "trio", "--wait"]).contains("__result__ = true"));
    // An instance may take a moment to find its queue, where another has it already.
    let well = || machine.skynet(&["doctor"]).out.contains("nothing is wrong");
    machine.sandbox.wait_until("doctor finds nothing wrong", well);
    let said = machine.good(&["doctor"]);
    assert!(said.contains("good     svscan: runs (pid "), "{said}");
    let up = |name| (name, "up", true);
    let everything = [("idle", "up", false), up("sizer"), up("trio"), up("trio@2"), up("trio@3")];
    machine.wait_for_states(&everything);

    // One instance is put aside, and comes back as it went.
    machine.good(&["disable", "trio@2"]);
    machine.good(&["stop", "trio@2"]);
    assert!(machine.good(&["enable", "trio@2"]).contains("trio@2 is up (pid "));
    machine.wait_for_states(&everything);
    let done = machine.skynet(&["enable", "trio@4"]);
    assert!(done.code == Some(1) && done.err.contains("trio has instances = 3"), "{done:?}");
    machine.good(&["disable", "tri*"]);
    machine.good(&["enable", "tri*"]);

    // A new version takes the place of the old one under what runs.
    let pid = |name: &str| {
        let services: Value = serde_json::from_str(&machine.skynet(&["status", name, "--json"]).out).unwrap();
        services[0]["pid"].as_i64()
    };
    let before = pid("sizer");
    let said = machine.install();
    assert!(!said.contains("boss.conf") && !said.contains("made the user"), "{said}");
    assert!(said.contains("skynet restart '*'"), "{said}");
    assert_eq!(pid("sizer"), before);
    // svscan and supervise, too, without an end of what they run.
    let theirs = |left: &tests::process::Process| ["svscan", "supervise"].contains(&left.program.as_str());
    let old: Vec<_> = machine.sandbox.leftovers().into_iter().filter(theirs).collect();
    assert!(old.len() > 5, "{old:?}");
    old.iter().for_each(|one| tests::process::signal(one.pid, Signal::SIGKILL));
    let gone = || !old.iter().any(|one| tests::process::lives(one.pid));
    machine.sandbox.wait_until("what was killed is gone", gone);
    drop(svscan);
    let svscan = machine.svscan();
    machine.wait_for_states(&everything);
    assert_eq!(pid("sizer"), before);
    machine.good(&["restart", "sizer"]);
    machine.good(&["send", "sizer", "--wait"]);

    drop(svscan);
    let _another_boot = machine.power_fails();
    let _svscan = machine.svscan();
    machine.wait_for_states(&[("idle", "down", false), up("sizer"), up("trio"), up("trio@2"), up("trio@3")]);
}

#[test]
fn code_that_the_participants_user_may_not_reach_is_said_to_be_that() {
    let Some(machine) = Machine::new() else { return };
    let private = machine.sandbox.folder("private");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    machine.good(&["new", "sizer", "private"]);
    let _svscan = machine.svscan();
    let done = machine.skynet(&["enable", "private/sizer"]);
    let why =
        format!("sizer.py, as {0} is closed to it: keep it elsewhere, or chmod o+x {0}", private.display());
    assert!(done.code == Some(1) && done.err.contains(&why), "{done:?}");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o711)).unwrap();
    machine.good(&["enable", "private/sizer"]);
    assert!(machine.good(&["send", "sizer", "--wait"]).contains("__result__ = true"));
}

/// "Membership of group boss means reading logs and history; root means control."
#[test]
fn who_is_in_the_group_boss_may_read_and_who_is_not_is_told() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&["new", "sizer"]);
    let svscan = machine.svscan();
    machine.good(&["enable", "./sizer"]);
    machine.good(&["send", "sizer", "--wait", "--wfid", "w1"]);
    let known = || machine.somebody("boss", "history").out.contains("w1");
    machine.sandbox.wait_until("the history tells of it while it is written", known);
    tests::process::signal(svscan.pid(), Signal::SIGTERM);
    machine.sandbox.wait_until_nothing_is_left();
    // Nobody has it open, and the reader may make no file beside it.
    for (words, part) in
        [("history", "w1"), ("log sizer", "w1"), ("trace w1", "replied"), ("failed", "no failed")]
    {
        let done = machine.somebody("boss", words);
        assert!(done.code == Some(0) && done.out.contains(part), "{words}: {done:?}");
    }
    for words in
        ["history", "log sizer", "trace w1", "failed", "queues", "config sizer", "stop sizer", "reload sizer"]
    {
        let done = machine.somebody("nogroup", words);
        let told = done.err.contains("Permission denied") && !done.err.contains("os error");
        assert!(done.code != Some(0) && told, "{words}: {done:?}");
    }
}

/// "What is wrong and what to do."
#[test]
fn doctor_sees_a_state_of_another_user_and_a_full_disk_of_a_log() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&["new", "sizer"]);
    let _svscan = machine.svscan();
    machine.good(&["enable", "./sizer"]);
    let user = || {
        machine.good(&["config", "sizer"]).lines().find(|line| line.starts_with("user ")).unwrap().to_owned()
    };
    assert!(user().contains("\"boss\"") && user().contains("default"), "{}", user());
    machine.skynet(&["config", "sizer", "set", "user", "daemon", "--reload"]);
    let said = machine.skynet(&["doctor"]).out;
    assert!(
        said.contains("wrong    sizer: its state in /var/lib/boss/participants/sizer is boss's"),
        "{said}"
    );
    let repair = said.split("it takes no work\n").nth(1).unwrap().lines().next().unwrap();
    let done = machine.sh(repair.trim_start_matches([' ', '→']));
    assert_eq!(done.code, Some(0), "{repair}: {done:?}");
    assert!(machine.good(&["send", "sizer", "--wait"]).contains("__result__ = true"));
    assert!(machine.good(&["doctor"]).contains("nothing is wrong"));

    let log = "/var/log/boss/sizer";
    let _small = Mount::new(log.as_ref(), &["-t", "tmpfs", "-o", "size=64k", "none"]);
    fs::write(format!("{log}/ballast"), [0; 65536]).unwrap();
    let said = machine.skynet(&["doctor"]).out;
    assert!(said.contains(&format!("wrong    disk: only 0 B are free in {log}\n")), "{said}");
}

/// "make uninstall": what install put there goes, what is an administrator's stays.
#[test]
fn i_take_it_away_again() {
    let Some(machine) = Machine::new() else { return };
    machine.good(&["new", "sizer"]);
    let svscan = machine.svscan();
    machine.good(&["enable", "./sizer"]);
    let done = machine.sh("exec packaging/uninstall");
    assert!(done.code == Some(111) && done.err.contains("sizer is supervised (first: "), "{done:?}");
    tests::process::signal(svscan.pid(), Signal::SIGTERM);
    machine.sandbox.wait_until_nothing_is_left();
    let done = machine.sh("exec packaging/uninstall");
    assert_eq!(done.code, Some(0), "{done:?}");
    let left = machine
        .sh("find /usr /lib/systemd /etc -xdev -iname '*skynet*' -newer /etc/boss -not -path '*/src/*'");
    assert_eq!(left.out, "", "nothing of it is left");
    assert!(fs::metadata("/etc/boss/boss.conf").is_ok() && fs::metadata("/var/log/boss/sizer").is_ok());
}

/// Root who tries `local up` has a home from then on, which commands work on: that is said, and the way back.
#[test]
fn a_home_of_roots_own_is_said_to_hide_the_system() {
    let Some(machine) = Machine::new() else { return };
    let up = machine.sh("export HOME=/srv/root; mkdir -p $HOME; skynet local up; skynet local down");
    let note = "root's commands work on it, and on the system's SkyNET with --system only";
    assert!(up.code == Some(0) && up.err.contains(note), "{up:?}");
    let way_back = up.err.split("(away with it: ").nth(1).unwrap().trim_end().trim_end_matches(')');
    let away = machine.sh(&format!("export HOME=/srv/root; {way_back}; skynet status"));
    assert!(away.out.contains("no participant in /var/lib/boss/service"), "{away:?}");
}
