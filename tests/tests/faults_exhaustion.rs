//! What happens when the machine, or this user, has run out of something: room, processes, memory, descriptors.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use tests::mounts::{Mount, mount, own_mounts};
use tests::process::{Process, lives, signal};
use tests::service::Service;
use tests::{Running, Sandbox};
use unix::process::Signal;

/// Changes the soft limit of a process of this user: `--nofile=20:`.
fn limit(pid: i32, uid: u32, limit: &str) {
    assert!(could_limit(pid, uid, limit));
}

/// The same. False = there is no such process.
fn could_limit(pid: i32, uid: u32, limit: &str) -> bool {
    let mut prlimit = Command::new("prlimit");
    if uid != own_uid() {
        prlimit.uid(uid).gid(uid);
    }
    prlimit.args(["--pid", &pid.to_string(), limit]).status().unwrap().success()
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn svstat(sandbox: &Sandbox, name: &str) -> String {
    tests::mask::pids_and_times(&sandbox.run("svstat", &[name]).good())
}

/// Removes a file that somebody holds open, and the room that it takes.
fn remove_and_free(file: &Path) {
    let _ = File::options().write(true).truncate(true).open(file);
    let _ = fs::remove_file(file);
}

fn kill(pid: i32) {
    signal(pid, Signal::SIGKILL);
}

/// "Status cannot be written (full disk …): … status is overwritten in place …: the reader is never told a wrong pid …,
/// and it is written again within 5 s of room, without an event." daemontools and s6 tell the wrong pid.
#[test]
fn fault_disk_full_svstat_tells_the_right_pid() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let folder = sandbox.folder("s/supervise");
    if !own_mounts() {
        return;
    }
    let _disk = Mount::new(&folder, &["-t", "tmpfs", "-o", "size=16k,mode=700", "none"]);
    let mut supervise = service.supervise();
    let first = service.wait_until_up();
    // A change meanwhile would leave room for the next one.
    service.wait_until_ready();
    let ballast = |size: usize| fs::write(folder.join("ballast"), vec![0; size]);
    assert!(ballast(1 << 20).is_err(), "the disk is full");
    kill(first);
    supervise
        .wait_until_it_says("supervise: warning: unable to write s/supervise/status.new: out of disk space");
    let second = service.wait_until_another(first);
    assert_eq!(svstat(&sandbox, "s"), "s: up (pid PID) N seconds\n");
    kill(second);
    let third = service.wait_until_another(second);
    assert!(
        lives(third) && supervise.err().matches("out of disk space").count() == 1,
        "{}",
        supervise.told()
    );

    // Without one that could be overwritten there is none.
    service.svc("-d");
    service.wait_until_down();
    service.svc("-u");
    sandbox.wait_until("it says that there is no status", || {
        // It may have been written anew before there was no room again.
        remove_and_free(&folder.join("status"));
        let _ = ballast(1 << 20);
        svstat(&sandbox, "s") == "s: unable to open supervise/status: file does not exist\n"
    });
    fs::remove_file(folder.join("ballast")).unwrap();
    sandbox.wait_until("it is written without an event", || service.pid().is_some_and(lives));
}

/// "Never two copies", also when supervise is killed "while its status cannot be written".
#[test]
fn fault_disk_full_supervise_killed_that_could_write_no_status_the_service_runs_once() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "echo $$ >>starts; exec sleep 1000");
    let folder = sandbox.folder("s/supervise");
    if !own_mounts() {
        return;
    }
    let _disk = Mount::new(&folder, &["-t", "tmpfs", "-o", "size=16k,mode=700", "none"]);
    let mut first = service.supervise();
    service.wait_until_it_holds("starts", "\n");
    service.svc("-d");
    service.wait_until_down();
    // No room, and no status that could be overwritten.
    remove_and_free(&folder.join("status"));
    assert!(fs::write(folder.join("ballast"), vec![0; 1 << 20]).is_err(), "the disk is full");
    service.svc("-u");
    let pid = sandbox.wait_for("it runs", || service.read("starts").lines().nth(1)?.parse().ok());
    assert!(!sandbox.has("s/supervise/status"));
    first.kill();
    let second = sandbox.start("supervise", &["s"]);
    sandbox.wait_until("another supervise is there", || service.is_supervised());
    service.svc("-t");
    sandbox.wait_until("its signals reach the service", || !lives(pid));
    sandbox.wait_until("it is started again", || service.read("starts").lines().count() > 2);
    assert!(!sandbox.has("s/supervise/status"), "{}", second.told());
    fs::remove_file(folder.join("ballast")).unwrap();
    let third = service.wait_until_another(pid);
    assert_eq!(service.read("starts").lines().skip(2).collect::<Vec<_>>(), [third.to_string()]);
}

/// "A child execs only after its pid, start time and boot id are on record": where nothing can be recorded, as on a disk
/// that was full from the start, it waits, so that a kill of supervise makes no second copy.
#[test]
fn fault_nothing_can_be_recorded_the_service_waits_for_that() {
    let sandbox = Sandbox::new();
    let service = Service::new(
        &sandbox,
        "s",
        "exec 9>mine; flock -n 9 || echo twice >>twice; echo $$ >>starts; exec sleep 1000",
    );
    let folder = sandbox.folder("s/supervise");
    if !own_mounts() {
        return;
    }
    let _disk = Mount::new(&folder, &["-t", "tmpfs", "-o", "size=16k,mode=700", "none"]);
    assert!(fs::write(folder.join("ballast"), vec![0; 1 << 20]).is_err(), "the disk is full");
    let said = "supervise: warning: unable to record the start of s/run: out of disk space (";
    let mut first = sandbox.start("supervise", &["s"]);
    let waits = |supervise: &Running| supervise.err().contains(said);
    sandbox.wait_until("it waits", || waits(&first) || sandbox.has("s/starts"));
    first.kill();
    let second = sandbox.start("supervise", &["s"]);
    sandbox.wait_until("it waits", || waits(&second) || service.read("starts").lines().count() > 1);
    assert_eq!((service.read("starts").as_str(), sandbox.has("s/twice")), ("", false));
    // It is obeyed all the same, and says it once.
    service.svc("-d");
    fs::remove_file(folder.join("ballast")).unwrap();
    service.wait_until_svstat("down N seconds, normally up");
    service.svc("-u");
    let pid = service.wait_until_another(0);
    service.wait_until_it_holds("starts", &format!("{pid}\n"));
    assert!(!sandbox.has("s/twice"));
    assert_eq!(second.err().matches(said).count(), 1, "{}", second.told());
}

/// "… and if that fails, unlinked: the reader is never told a wrong pid (`unable to read supervise/status: stale` if need
/// be)".
#[test]
fn fault_read_only_file_system_svstat_says_that_the_status_is_stale() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    if !own_mounts() {
        return;
    }
    let mut supervise = service.supervise();
    let first = service.wait_until_up();
    let folder = service.path("supervise");
    let read_only = Mount::new(&folder, &["--bind", folder.to_str().unwrap()]);
    assert!(mount(&["-o", "remount,ro,bind", folder.to_str().unwrap()]));
    kill(first);
    supervise.wait_until_it_says(
        "supervise: warning: unable to open s/supervise/status.new: read-only file system\n",
    );
    sandbox.wait_until("it says that the status is stale", || {
        svstat(&sandbox, "s") == "s: unable to read supervise/status: stale\n"
    });
    let json = sandbox.run("svstat", &["--json", "s"]).good();
    assert_eq!(json, "{\"service\":\"s\",\"error\":\"unable to read supervise/status: stale\"}\n");
    // It is obeyed all the same.
    let runs = || sandbox.leftovers().into_iter().filter(|process| process.words == "sleep 1000").count();
    sandbox.wait_until("the next one runs", || runs() == 1);
    service.svc("-d");
    sandbox.wait_until("it is stopped", || runs() == 0);
    drop(read_only);
    service.wait_until_svstat("down N seconds, normally up");
}

/// The programs of a user who has nothing else running; `None`, and said so, where we may not become that.
fn stranger(sandbox: &Sandbox, uid: u32, program: &str, arguments: &[&str]) -> Option<Command> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: limits on processes cannot be tried");
        return None;
    }
    for name in ["svscan", "supervise"] {
        if !sandbox.has(name) {
            sandbox.copy_program(name);
        }
    }
    let own = sandbox.path(program);
    let mut command =
        sandbox.command("prlimit", &[&["--nproc=1:100", own.to_str().unwrap()], arguments].concat());
    command.env("PATH", format!("{}:/usr/bin:/bin", sandbox.dir().display())).uid(uid).gid(uid);
    Some(command)
}

fn give(sandbox: &Sandbox, path: &str, uid: u32) {
    chown(sandbox.path(path), Some(uid), Some(uid)).unwrap();
}

/// "fork fails: retry with the backoff, not 60 s of deafness".
#[test]
fn fault_no_processes_for_supervise_it_goes_on_trying_and_hears_letters() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let uid = 54_321;
    let Some(command) = stranger(&sandbox, uid, "supervise", &["s"]) else { return };
    give(&sandbox, "s", uid);
    let mut supervise = sandbox.spawn(command);
    supervise.wait_until_it_says("supervise: warning: unable to fork for s: temporary failure\n");
    service.svc("-d");
    service.wait_until_svstat("down N seconds, normally up");
    service.svc("-u");
    sandbox.wait_until("it tries again", || {
        sandbox.run("svstat", &["-v", "s"]).good().contains("want up, starts in ")
    });
    limit(supervise.pid(), uid, "--nproc=100:");
    service.wait_until_up();
    assert_eq!(supervise.err().lines().count(), 1, "{}", supervise.told());
}

/// "which limit was met is said, what runs goes on".
#[test]
fn fault_no_processes_for_svscan_the_limit_is_named_and_it_goes_on_trying() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    let uid = 54_322;
    let Some(command) = stranger(&sandbox, uid, "svscan", &["scan"]) else { return };
    ["scan", "scan/s"].iter().for_each(|path| give(&sandbox, path, uid));
    let mut svscan = sandbox.spawn(command);
    let said = "svscan: warning: unable to start supervise s: temporary failure (limit: 1 processes of this user, \
                ulimit -u; or pids.max, kernel.pid_max)\n";
    svscan.wait_until_it_says(said);
    limit(svscan.pid(), uid, "--nproc=100:");
    svscan.signal(Signal::SIGHUP);
    service.wait_until_up();
    assert_eq!(svscan.err(), said);
}

/// "ENOMEM": whatever becomes of the supervise, its service is there again as soon as there is memory, once.
#[test]
fn fault_no_memory_for_supervise_its_service_comes_back_once() {
    let sandbox = Sandbox::new();
    let service = Service::new(
        &sandbox,
        "scan/s",
        "exec 9>lock; flock -n 9 || { echo twice >>twice; exit 1; }; exec sleep 1000",
    );
    let svscan = sandbox.start("svscan", &["scan"]);
    let first = service.wait_until_up();
    let supervise = servicedir::holder::recorded(&service.path("")).unwrap().pid;
    limit(supervise, own_uid(), "--as=1:");
    kill(first);
    sandbox.wait_until("it is said, or another supervise is there", || {
        svscan.err().contains("supervise: warning: unable to fork for s: out of memory\n")
            || !lives(supervise)
    });
    // It may end at any time now.
    assert!(could_limit(supervise, own_uid(), "--as=unlimited:") || !lives(supervise));
    service.wait_until_another(first);
    assert!(!sandbox.has("scan/s/twice"));
}

/// "EMFILE … which limit was met is said, what runs goes on".
#[test]
fn fault_no_descriptors_for_supervise_the_service_is_started_again_and_no_wrong_pid_is_told() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    // A shell would need a descriptor above ten.
    sandbox.executable("s/run", "#!/usr/bin/tail -f\n");
    let mut supervise = service.supervise();
    let first = service.wait_until_up();
    // The last change that it writes by itself: then it has open what it needs.
    sandbox.wait_until("it is ready", || service.status().unwrap().more.unwrap().ready.is_some());
    let open = Process::find(supervise.pid()).unwrap().descriptors();
    let but_the_status = open.iter().filter(|(_, target)| !target.ends_with("status"));
    let highest = but_the_status.map(|(number, _)| *number).max().unwrap();
    // All that it needs, and not one more.
    limit(supervise.pid(), own_uid(), &format!("--nofile={}:", highest + 1));
    kill(first);
    supervise.wait_until_it_says(
        "supervise: warning: unable to open s/supervise/status.new: process cannot open more files\n",
    );
    sandbox.wait_until("no pid is told", || {
        svstat(&sandbox, "s") == "s: unable to open supervise/status: file does not exist\n"
    });
    sandbox.wait_until("the service runs", || {
        Process::children(supervise.pid()).iter().any(|child| child.words == "/usr/bin/tail -f ./run")
    });
    limit(supervise.pid(), own_uid(), "--nofile=100:");
    let second = service.wait_until_another(first);
    assert!(lives(second));
    // Where the clock has ticked between its birth and its look at that, a new child has to ask /proc when it was born, and
    // waits for a descriptor, too: that is another line. None is said twice.
    let err = supervise.err();
    let lines: BTreeSet<_> = err.lines().collect();
    let cause = |line: &&str| line.contains(": process cannot open more files");
    assert!(lines.len() == err.lines().count() && lines.iter().all(cause), "{}", supervise.told());
}

/// "Never more than one line per cause and minute", with the limit in it.
#[test]
fn fault_no_descriptors_for_svscan_the_limit_is_named_and_what_runs_goes_on() {
    let sandbox = Sandbox::new();
    let pairs: Vec<_> = (0..20)
        .map(|number| {
            Service::sleeper(&sandbox, format!("scan/pair{number}")).with_log("exec cat >/dev/null")
        })
        .collect();
    let mut svscan = sandbox.start("sh", &["-c", "ulimit -n 20; exec svscan scan"]);
    svscan.wait_until_it_says(": process cannot open more files (limit: 20 open files, ulimit -n)");
    let up = || pairs.iter().filter(|pair| pair.pid().is_some_and(lives)).count();
    sandbox.wait_until("some run", || up() > 0);
    // One without a log needs no descriptor of svscan's.
    Service::moved_in(&sandbox, "scan", "late").wait_until_up();
    let (some, causes) = (up(), |svscan: &Running| svscan.err().lines().count());
    assert!(some < pairs.len() && causes(&svscan) <= 2, "{}", svscan.told());
    // Room for as many as have gone.
    sandbox.folder("gone");
    for pair in pairs.iter().filter(|pair| pair.pid().is_some()) {
        let name = pair.path("").file_name().unwrap().to_str().unwrap().to_owned();
        let log = Service::empty(&sandbox, format!("scan/{name}/log"));
        sandbox.wait_until("its logger has a supervise too", || log.is_supervised());
        fs::rename(pair.path(""), sandbox.path("gone").join(&name)).unwrap();
        let (main, log) = (format!("gone/{name}"), format!("gone/{name}/log"));
        assert_eq!(sandbox.run("svc", &["-dx", &main, &log]).told(), (0, "", ""));
    }
    sandbox.wait_until("others run", || {
        svscan.signal(Signal::SIGHUP);
        up() > 0
    });
    assert!(causes(&svscan) <= 2, "{}", svscan.told());
}

/// "a huge directory": it is read, and what is new in it is found.
#[test]
fn fault_huge_directory_its_services_are_found() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "scan/s");
    for number in 0..30_000 {
        fs::write(sandbox.path(format!("scan/file{number}")), "").unwrap();
    }
    let svscan = sandbox.start("svscan", &["scan"]);
    service.wait_until_up();
    Service::moved_in(&sandbox, "scan", "late").wait_until_up();
    assert_eq!(svscan.err(), "");
}
