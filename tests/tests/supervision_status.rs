//! `supervise/`: what lies in it, and what svstat and svok read from it.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::service::Service;
use tests::{Programs, Sandbox, mask, on_both};
use unix::tai64n::Tai64n;

on_both! {
    the_files_of_supervise_have_the_modes_of_daemontools,
    the_status_of_a_service_that_is_up,
    the_status_of_a_service_that_is_down,
    svstat_says_what_the_status_bytes_say,
    svstat_counts_whole_seconds_of_the_clock,
    fault_clock_set_back_svstat_counts_a_time_in_the_future_as_zero,
    svstat_names_what_it_cannot_read,
    relative_names_count_from_where_svstat_was_started,
    svok_tells_whether_supervise_runs,
}

fn relative_names_count_from_where_svstat_was_started(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    for name in ["a", "b", "b/c"] {
        Service::empty(&sandbox, name);
    }
    let absolute = sandbox.path("b").display().to_string();
    let names = ["a", &absolute, "b", "c", "b/c", &absolute, "gone", "a"];
    let said = sandbox.run("svstat", &names).good();
    let missing = "unable to chdir: file does not exist";
    let there = "unable to open supervise/ok: file does not exist";
    let expected = names
        .map(|name| format!("{name}: {}\n", if ["c", "gone"].contains(&name) { missing } else { there }));
    assert_eq!(said, expected.concat());
}

/// SUPERVISION A1: lock, control, ok 0600; status 0644; supervise/ 0700.
fn the_files_of_supervise_have_the_modes_of_daemontools(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    service.wait_until_up();
    let modes = ["supervise", "supervise/lock", "supervise/control", "supervise/ok", "supervise/status"];
    assert_eq!(modes.map(|file| service.mode(file)), [0o700, 0o600, 0o600, 0o600, 0o644]);
    let is_fifo = |file: &str| service.path(file).metadata().unwrap().file_type().is_fifo();
    assert!(is_fifo("supervise/control") && is_fifo("supervise/ok"));
    // It is there for a moment at each change, of which one comes after a second.
    sandbox.wait_until("status.new is gone", || !service.path("supervise/status.new").exists());
}

/// "bytes 0-11 TAI64N of the last change of pid …; 12-15 pid, little-endian; 16 paused; 17 wanted".
fn the_status_of_a_service_that_is_up(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", "echo $$ >pid\nexec sleep 1000");
    let before = Tai64n::now();
    let _supervise = service.supervise();
    service.wait_until_it_holds("pid", "\n");
    // The child may be faster than the supervise that writes about it.
    service.wait_until_up();
    let bytes = fs::read(service.path("supervise/status")).unwrap();
    let label = Tai64n::from_bytes(bytes[..12].try_into().unwrap()).to_system_time().unwrap();
    assert!(before.to_system_time().unwrap() <= label && label <= SystemTime::now());
    assert_eq!(i32::from_le_bytes(bytes[12..16].try_into().unwrap()).to_string(), service.read("pid").trim());
    assert_eq!(bytes[16..18], [0, b'u']);

    service.svc("-p");
    service.wait_until_svstat("up (pid PID) N seconds, paused");
    assert_eq!(fs::read(service.path("supervise/status")).unwrap()[16..18], [1, b'u']);
    service.svc("-c");
    service.svc("-o");
    service.wait_until_svstat("up (pid PID) N seconds");
    sandbox.wait_until("nothing is wanted", || {
        fs::read(service.path("supervise/status")).unwrap()[16..18] == [0, 0]
    });
}

/// "12-15 pid, 0 = down; 16 paused (… 0 when down)"; the label is also set when supervise starts.
fn the_status_of_a_service_that_is_down(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s").down();
    let before = Tai64n::now();
    let _supervise = service.supervise();
    let bytes = fs::read(service.path("supervise/status")).unwrap();
    let label = Tai64n::from_bytes(bytes[..12].try_into().unwrap()).to_system_time().unwrap();
    assert!(before.to_system_time().unwrap() <= label);
    assert_eq!(bytes[12..17], [0; 5]);
    service.wait_until_svstat("down N seconds");
    service.svc("-u");
    service.wait_until_up();
    service.svc("-p");
    service.svc("-d");
    service.wait_until_svstat("down N seconds");
    assert_eq!(fs::read(service.path("supervise/status")).unwrap()[12..18], [0, 0, 0, 0, 0, b'd']);
}

/// "`DIR: up (pid 42) 7 seconds` | `DIR: down 3 seconds`, then as they apply `, normally down` …, `, normally
/// up`, `, paused`, `, want up`, `, want down`"; what a supervise never writes is told as it is, too.
fn svstat_says_what_the_status_bytes_say(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let table: [(u32, u8, u8, bool, &str); 15] = [
        (42, 0, b'u', false, "up (pid 42) N seconds"),
        (42, 0, b'u', true, "up (pid 42) N seconds, normally down"),
        (42, 1, b'u', true, "up (pid 42) N seconds, normally down, paused"),
        (42, 0, b'd', false, "up (pid 42) N seconds, want down"),
        (42, 1, b'd', true, "up (pid 42) N seconds, normally down, paused, want down"),
        (42, 0, 0, false, "up (pid 42) N seconds"),
        (16_909_060, 0, 0, false, "up (pid 16909060) N seconds"),
        (u32::MAX, 0, b'u', false, "up (pid 4294967295) N seconds"),
        (42, 2, b'o', false, "up (pid 42) N seconds, paused"),
        (0, 1, 7, true, "down N seconds"),
        (0, 0, b'u', true, "down N seconds, want up"),
        (0, 0, b'u', false, "down N seconds, normally up, want up"),
        (0, 0, b'd', false, "down N seconds, normally up"),
        (0, 0, b'd', true, "down N seconds"),
        (0, 0, 0, false, "down N seconds, normally up"),
    ];
    for (number, (pid, paused, want, down, expected)) in table.into_iter().enumerate() {
        let service = Service::empty(&sandbox, format!("s{number}"));
        let service = if down { service.down() } else { service };
        let _reader = pretend_supervise(&sandbox, &service);
        write_status(&sandbox, &service, SystemTime::now() - Duration::from_secs(7), pid, paused, want);
        let said = sandbox.run("svstat", &[service.name()]);
        let line = mask::pids_and_times(&said.out).replace("(pid PID)", &format!("(pid {pid})"));
        assert_eq!(line, format!("{}: {expected}\n", service.name()));
        assert!(said.out.contains(&format!("(pid {pid}) ")) || pid == 0, "{}", said.out);
    }
}

/// What is behind the point counts on neither side: from 0.999 to 7.001 it is 7 seconds.
fn svstat_counts_whole_seconds_of_the_clock(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::empty(&sandbox, "s");
    let _reader = pretend_supervise(&sandbox, &service);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let since = clock() - 7;
    write_status(&sandbox, &service, UNIX_EPOCH + Duration::new(since, 999_999_999), 42, 0, b'u');
    let said = sandbox.run("svstat", &["s"]).good();
    let possible: Vec<_> = (7..=clock() - since).map(|n| format!("s: up (pid 42) {n} seconds\n")).collect();
    assert!(possible.contains(&said), "{said}");
}

fn fault_clock_set_back_svstat_counts_a_time_in_the_future_as_zero(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::empty(&sandbox, "s");
    let _reader = pretend_supervise(&sandbox, &service);
    write_status(&sandbox, &service, SystemTime::now() + Duration::from_secs(1000), 42, 0, b'u');
    assert_eq!(sandbox.run("svstat", &["s"]).told(), (0, "s: up (pid 42) 0 seconds\n", ""));
}

/// "`supervise not running`, `unable to chdir: …`, `unable to open supervise/ok: …`, `unable to read
/// supervise/status: bad format`"; svstat always exits 0 and goes on with the next directory.
fn svstat_names_what_it_cannot_read(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let services = ["none", "nobody", "short", "nostatus", "loop", "file"];
    let [_, nobody, short, nostatus, looped, file] = services.map(|name| Service::empty(&sandbox, name));
    sandbox.folder("nobody/supervise");
    mkfifo(&nobody.path("supervise/ok"), Mode::from_bits_truncate(0o600)).unwrap();
    let _short = pretend_supervise(&sandbox, &short);
    sandbox.write("short/supervise/status", [0; 17]);
    let _nostatus = pretend_supervise(&sandbox, &nostatus);
    let _looped = pretend_supervise(&sandbox, &looped);
    write_status(&sandbox, &looped, SystemTime::now(), 42, 0, b'u');
    sandbox.link("loop/down", "down");
    sandbox.write("file/supervise", "no directory");
    assert!(file.path("supervise").is_file());
    let said = sandbox.run("svstat", &["none", "nobody", "short", "nostatus", "loop", "file", "nowhere"]);
    let expected = "none: unable to open supervise/ok: file does not exist
nobody: supervise not running
short: unable to read supervise/status: bad format
nostatus: unable to open supervise/status: file does not exist
loop: unable to stat down: symbolic link loop
file: unable to open supervise/ok: not a directory
nowhere: unable to chdir: file does not exist
";
    assert_eq!(said.told(), (0, expected, ""));
}

/// "svok is 100 only where supervise/ok is missing or has no reader; a missing DIR is 111".
fn svok_tells_whether_supervise_runs(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    assert_eq!(sandbox.run("svok", &["s"]).told(), (100, "", ""));
    let mut supervise = service.supervise();
    assert_eq!(sandbox.run("svok", &["s"]).told(), (0, "", ""));
    service.svc("-dx");
    assert_eq!(supervise.finish().code, Some(0));
    assert_eq!(sandbox.run("svok", &["s"]).told(), (100, "", ""));
    let missing = "svok: fatal: unable to chdir to nowhere: file does not exist\n";
    assert_eq!(sandbox.run("svok", &["nowhere"]).told(), (111, "", missing));
    sandbox.write("odd/supervise", "no directory");
    let odd = "svok: fatal: unable to open odd/supervise/ok: not a directory\n";
    assert_eq!(sandbox.run("svok", &["odd"]).told(), (111, "", odd));
}

/// Makes `supervise/ok` and reads it as a supervise does, until the file is dropped.
fn pretend_supervise(sandbox: &Sandbox, service: &Service<'_>) -> File {
    sandbox.folder(format!("{}/supervise", service.name()));
    let ok = service.path("supervise/ok");
    mkfifo(&ok, Mode::from_bits_truncate(0o600)).unwrap();
    File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(ok).unwrap()
}

fn write_status(sandbox: &Sandbox, service: &Service<'_>, since: SystemTime, pid: u32, paused: u8, want: u8) {
    let mut bytes = Tai64n::from(since).to_bytes().to_vec();
    bytes.extend(pid.to_le_bytes());
    bytes.extend([paused, want]);
    sandbox.write(format!("{}/supervise/status", service.name()), bytes);
}

/// "byte 1 while the status is right": that tells that supervise runs, also where nothing else does.
#[test]
fn a_status_is_marked_as_right_while_its_supervise_runs() {
    let sandbox = Sandbox::new();
    let service = Service::sleeper(&sandbox, "s");
    let said = || mask::pids_and_times(&sandbox.run("svstat", &["s"]).good());
    let mut supervise = service.supervise();
    service.wait_until_up();
    fs::remove_file(service.path("supervise/ok")).unwrap();
    sandbox.wait_until("the state is told all the same", || said() == "s: up (pid PID) N seconds\n");
    for (letter, state) in [("-d", "down N seconds, normally up"), ("-u", "up (pid PID) N seconds")] {
        service.svc(letter);
        service.wait_until_svstat(state);
    }
    supervise.kill();
    assert_eq!(said(), "s: unable to open supervise/ok: file does not exist\n");
}
