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

    /// What `sudo make install` runs.
    fn install(&self) -> String {
        let built = Programs::ours().bin().parent().unwrap().to_owned();
        let mut command = self.sandbox.command("sh", &["packaging/install", built.to_str().unwrap()]);
        command.current_dir(tests::checkout()).env("PATH", PATH);
        let done = self.sandbox.spawn(command).finish();
        assert_eq!(done.code, Some(0), "{done:?}");
        done.out
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
        self.sandbox.leftovers().iter().for_each(|left| tests::process::signal(left.pid, Signal::SIGKILL));
        self.sandbox.wait_until_nothing_is_left();
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
    let said = machine.good(&["doctor"]);
    assert!(said.contains("good     svscan: runs (pid ") && said.contains("nothing is wrong"), "{said}");
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
    let why = "private/sizer/sizer.py: Permission denied for the user boss";
    assert!(done.code == Some(1) && done.err.contains(why), "{done:?}");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o711)).unwrap();
    machine.good(&["enable", "private/sizer"]);
    assert!(machine.good(&["send", "sizer", "--wait"]).contains("__result__ = true"));
}
