//! What supervise does when its own files are damaged, missing or cannot be written.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use servicedir::holder;
use std::fs::{self, OpenOptions};
use tests::Sandbox;
use tests::service::Service;
use unix::process::Identity;

/// "FIFOs replaced by files: refuse with a clear message".
#[test]
fn fault_fifo_replaced_by_a_file_is_refused_with_what_to_do() {
    let sandbox = Sandbox::new();
    for file in ["control", "ok"] {
        Service::sleeper(&sandbox, file);
        sandbox.write(format!("{file}/supervise/{file}"), "");
        let verb = "read";
        let expected = format!(
            "supervise: fatal: unable to {verb} {file}/supervise/{file}: not a FIFO (remove it, and supervise makes one)\n"
        );
        assert_eq!(sandbox.run("supervise", &[file]).told(), (111, "", expected.as_str()));
    }
}

/// The other way round: who waited for a FIFO in place of a file would be deaf.
#[test]
fn fault_file_replaced_by_a_fifo_is_waited_for_by_nobody() {
    let sandbox = Sandbox::new();
    let fifo = |path: &str| mkfifo(&sandbox.path(path), Mode::S_IRWXU).unwrap();
    Service::sleeper(&sandbox, "locked");
    sandbox.folder("locked/supervise");
    fifo("locked/supervise/lock");
    let expected = "supervise: fatal: unable to acquire locked/supervise/lock: device not configured\n";
    assert_eq!(sandbox.run("supervise", &["locked"]).told(), (111, "", expected));
    let locked = sandbox.path("locked");
    assert_eq!((holder::is_held(&locked), holder::recorded(&locked)), (false, None));
    let service = Service::sleeper(&sandbox, "s");
    fifo("s/service.toml");
    let supervise = service.supervise();
    let first = service.wait_until_up();
    service.wait_until_ready();
    fifo("s/supervise/status.new");
    service.svc("-k");
    service.wait_until_another(first);
    assert_eq!(service.svstat(), "up (pid PID) N seconds");
    let said = "supervise: warning: unable to open s/supervise/status.new: device not configured\n";
    assert_eq!(supervise.err(), said);
}

/// "if status.new cannot be made, status is overwritten in place …: the reader is never told a wrong pid …, and it is
/// written again within 5 s of room, without an event".
#[test]
fn fault_no_room_for_a_new_status_it_is_right_all_the_same() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let supervise = service.supervise();
    let first = service.wait_until_up();
    service.wait_until_ready();
    sandbox.folder("s/supervise/status.new");
    service.svc("-k");
    let second = service.wait_until_another(first);
    assert_eq!(service.svstat(), "up (pid PID) N seconds");
    service.svc("-p");
    service.wait_until_svstat("up (pid PID) N seconds, paused");
    assert_eq!(service.pid(), Some(second));
    // Said once, not with each try.
    let said = "supervise: warning: unable to open s/supervise/status.new: is a directory\n";
    assert_eq!(supervise.err(), said);
    let inode =
        || std::os::unix::fs::MetadataExt::ino(&fs::metadata(service.path("supervise/status")).unwrap());
    let old = inode();
    sandbox.remove("s/supervise/status.new");
    sandbox.wait_until("it is written anew", || inode() != old);
    assert_eq!(service.svstat(), "up (pid PID) N seconds, paused");
}

/// "kill -9 of supervise … at any instant, never makes two copies", also between writing a status at last and taking the
/// kept one out of the lock file: of two records that of the process that lives is believed.
#[test]
fn fault_two_records_of_a_service_that_of_the_living_process_is_believed() {
    for living_is_kept in [false, true] {
        let sandbox = Sandbox::new();
        let service = Service::new(&sandbox, "s", "echo start >>starts; exec sleep 1000");
        let mut first = service.supervise();
        let pid = service.wait_until_up();
        service.wait_until_it_holds("starts", "start\n");
        first.kill();
        let living = service.status().unwrap();
        let mut dead = living.clone();
        let mut process = std::process::Command::new("true").spawn().unwrap();
        dead.pid = Some(process.id().cast_signed());
        dead.more.as_mut().unwrap().identity = Identity::of(process.id().cast_signed()).ok();
        process.wait().unwrap();
        let (kept, in_place) = if living_is_kept { (&living, &dead) } else { (&dead, &living) };
        let lock = OpenOptions::new().write(true).open(service.path("supervise/lock")).unwrap();
        holder::keep(&lock, kept).unwrap();
        fs::write(service.path("supervise/status"), in_place.to_bytes()).unwrap();

        let second = service.supervise();
        let adopted = || service.status().is_some_and(|status| status.more.unwrap().adopted);
        sandbox.wait_until("it is adopted", || adopted() || service.read("starts").lines().count() > 1);
        assert_eq!((service.pid(), service.read("starts").as_str()), (Some(pid), "start\n"));
        sandbox.wait_until("one record is enough", || !holder::keeps(&lock));
        assert_eq!(second.err(), "");
    }
}

/// "directories removed … under us": the service goes on; with the next change the folder is there anew with all that is in
/// it, so that letters arrive, and a supervise that comes after this one knows of the service.
#[test]
fn fault_folder_of_supervise_removed_the_service_goes_on() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let mut first = service.supervise();
    let pid = service.wait_until_up();
    service.wait_until_ready();
    fs::rename(service.path("supervise"), sandbox.path("elsewhere")).unwrap();
    // The letter reaches it through the FIFO that it holds.
    fs::write(sandbox.path("elsewhere/control"), "p").unwrap();
    service.wait_until_svstat("up (pid PID) N seconds, paused");
    assert_eq!(first.err(), "supervise: warning: s/supervise was removed: making it anew\n");
    service.svc("-c");
    service.wait_until_svstat("up (pid PID) N seconds");
    let twin = sandbox.run("supervise", &["s"]);
    let taken = "supervise: fatal: unable to acquire s/supervise/lock: temporary failure\n";
    assert_eq!(twin.told(), (111, "", taken));
    first.kill();
    let second = service.supervise();
    service.wait_until_svstat("up (pid PID) N seconds");
    assert_eq!((service.pid(), second.err()), (Some(pid), String::new()));
}

/// `svc -dx DIR; rm -rf DIR`: what is being removed is not made anew.
#[test]
fn a_supervise_that_is_to_exit_makes_no_folder_anew() {
    let sandbox = Sandbox::new();
    let run = "trap '' TERM; echo >deaf; while [ ! -e over ]; do sleep 0.02; done";
    let service = Service::new(&sandbox, "s", run);
    let mut supervise = service.supervise();
    service.wait_until_it_holds("deaf", "\n");
    service.svc("-dx");
    service.wait_until_svstat("up (pid PID) N seconds, want down");
    fs::rename(service.path("supervise"), sandbox.path("elsewhere")).unwrap();
    sandbox.write("s/over", "");
    let said = "supervise: warning: unable to open s/supervise/status.new: file does not exist\n";
    assert_eq!(supervise.finish().told(), (0, "", said));
    assert!(!sandbox.has("s/supervise"));
}

/// "renamed under us".
#[test]
fn fault_service_directory_renamed_under_supervise() {
    let sandbox = Sandbox::new();
    let service = Service::new(&sandbox, "s", "echo start >>starts; exec sleep 1000");
    let supervise = service.supervise();
    service.wait_until_it_holds("starts", "start\n");
    fs::rename(sandbox.path("s"), sandbox.path("t")).unwrap();
    assert_eq!(sandbox.run("svc", &["-wr", "-T", "100000", "-k", "t"]).told(), (0, "", ""));
    sandbox.wait_until("it is started again", || sandbox.read("t/starts") == "start\nstart\n");
    assert_eq!(supervise.err(), "");
}

/// "names with newlines and bytes that are not UTF-8".
#[test]
fn fault_name_of_any_bytes_under_supervise() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let name = std::ffi::OsStr::from_bytes(b"a\xff b\n");
    fs::create_dir(sandbox.dir().join(name)).unwrap();
    let mut command = sandbox.command("supervise", &[]);
    command.arg(name);
    let supervise = sandbox.spawn(command);
    let said = || fs::read(sandbox.dir().join(".output/000-supervise.err")).unwrap();
    sandbox.wait_until("it names the directory byte by byte", || {
        said() == b"supervise: fatal: unable to start a\xff b\n/run: file does not exist\n"
    });
    drop(supervise);
}

/// "clock jumps", "EMFILE": a supervise that may open few files runs its service.
#[test]
fn fault_few_descriptors_for_supervise_are_enough() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    // A shell would need a descriptor above nine.
    sandbox.executable("s/run", "#!/usr/bin/tail -f\n");
    let _supervise = sandbox.start("sh", &["-c", "ulimit -n 9; exec supervise s"]);
    let pid = service.wait_until_up();
    service.svc("-k");
    service.wait_until_another(pid);
}
