//! The letters that supervise obeys, sent by svc.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use servicedir::status::Want;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use tests::process::Process;
use tests::service::Service;
use tests::{Programs, Sandbox, on_both};

on_both! {
    d_stops_it_and_u_starts_it,
    d_sends_term_and_then_cont,
    o_lets_it_run_to_its_end_once,
    o_lets_a_running_one_come_to_its_end,
    p_stops_and_c_continues,
    p_is_forgotten_at_the_next_start,
    each_letter_of_a_signal_sends_that_signal,
    k_kills_and_it_is_started_again,
    x_ends_supervise_as_soon_as_the_service_is_down,
    x_cannot_be_taken_back,
    x_without_a_child_ends_supervise_at_once,
    unknown_letters_are_passed_over,
    svc_sends_each_letter_once_in_the_order_given,
}

/// A service that notes each start and each signal, and ends on TERM only when it is told to.
const NOTING: &str = r#"
for s in HUP ALRM INT TERM; do trap "echo $s >>signals" $s; done
echo start >>starts
while [ ! -e end ]; do sleep 0.02; done"#;

/// "`u` want up, start if down; … `d` want down".
fn d_stops_it_and_u_starts_it(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    let first = service.wait_until_up();
    service.svc("-u");
    service.svc("-d");
    service.wait_until_svstat("down N seconds, normally up");
    assert_eq!(Process::find(first), None);
    service.svc("-u");
    service.wait_until_another(first);
    service.wait_until_svstat("up (pid PID) N seconds");
}

/// "`d` want down, TERM then CONT": a stopped one ends, too.
fn d_sends_term_and_then_cont(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    let pid = service.wait_until_up();
    service.svc("-p");
    sandbox.wait_until("it is stopped", || Process::find(pid).is_some_and(|process| process.state == 'T'));
    service.svc("-d");
    service.wait_until_svstat("down N seconds, normally up");
}

/// "`o` want nothing further, start if down (runs once)".
fn o_lets_it_run_to_its_end_once(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", NOTING).down();
    let mut supervise = service.supervise();
    service.svc("-o");
    service.wait_until_it_holds("starts", "start\n");
    service.wait_until_svstat("up (pid PID) N seconds, normally down");
    sandbox.write("s/end", "");
    service.wait_until_svstat("down N seconds");
    service.svc("-x");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(service.read("starts"), "start\n");
}

fn o_lets_a_running_one_come_to_its_end(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", NOTING);
    let mut supervise = service.supervise();
    service.wait_until_it_holds("starts", "start\n");
    service.svc("-o");
    sandbox.wait_until("nothing is wanted", || service.status().unwrap().want == Want::Nothing);
    sandbox.write("s/end", "");
    service.wait_until_svstat("down N seconds, normally up");
    service.svc("-x");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(service.read("starts"), "start\n");
}

/// "`p` STOP, `c` CONT (status first)".
fn p_stops_and_c_continues(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    let pid = service.wait_until_up();
    let state = || Process::find(pid).map(|process| process.state);
    service.svc("-p");
    sandbox.wait_until("it is stopped", || state() == Some('T'));
    assert_eq!(service.svstat(), "up (pid PID) N seconds, paused");
    service.svc("-c");
    sandbox.wait_until("it goes on", || state() == Some('S'));
    assert_eq!(service.svstat(), "up (pid PID) N seconds");
}

fn p_is_forgotten_at_the_next_start(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    let first = service.wait_until_up();
    service.svc("-p");
    service.wait_until_svstat("up (pid PID) N seconds, paused");
    service.svc("-k");
    service.wait_until_another(first);
    service.wait_until_svstat("up (pid PID) N seconds");
}

/// "`h a i t k` send HUP ALRM INT TERM KILL".
fn each_letter_of_a_signal_sends_that_signal(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", NOTING);
    let _supervise = service.supervise();
    service.wait_until_it_holds("starts", "start\n");
    for (letter, signal) in [("-h", "HUP\n"), ("-a", "ALRM\n"), ("-i", "INT\n"), ("-t", "TERM\n")] {
        service.svc(letter);
        sandbox.wait_until(&format!("svc {letter} has sent {signal}"), || {
            service.read("signals").ends_with(signal)
        });
    }
    assert_eq!(service.read("signals"), "HUP\nALRM\nINT\nTERM\n");
    assert_eq!(service.read("starts"), "start\n");
}

fn k_kills_and_it_is_started_again(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", NOTING);
    let _supervise = service.supervise();
    let first = service.wait_until_up();
    service.wait_until_it_holds("starts", "start\n");
    service.svc("-k");
    service.wait_until_it_holds("starts", "start\nstart\n");
    assert_eq!(Process::find(first), None);
    assert_eq!(service.read("signals"), "");
}

/// "`x` exit as soon as the service is down".
fn x_ends_supervise_as_soon_as_the_service_is_down(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", NOTING);
    let mut supervise = service.supervise();
    service.wait_until_it_holds("starts", "start\n");
    service.svc("-x");
    service.svc("-t");
    service.wait_until_it_holds("signals", "TERM\n");
    assert!(supervise.runs(), "it waits for the service");
    sandbox.write("s/end", "");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(service.read("starts"), "start\n");
    assert_eq!(service.svstat(), "supervise not running");
    sandbox.wait_until_nothing_is_left();
}

fn x_cannot_be_taken_back(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", NOTING);
    let mut supervise = service.supervise();
    service.wait_until_it_holds("starts", "start\n");
    service.svc("-x");
    // Daemontools obeys only when a second has gone by since the start: the pause tells that it has.
    service.svc("-p");
    service.wait_until_svstat("up (pid PID) N seconds, paused");
    service.svc("-u");
    service.svc("-c");
    service.wait_until_svstat("up (pid PID) N seconds");
    sandbox.write("s/end", "");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(service.read("starts"), "start\n");
}

fn x_without_a_child_ends_supervise_at_once(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", NOTING).down();
    let mut supervise = service.supervise();
    service.svc("-x");
    assert_eq!(supervise.finish().told(), (0, "", ""));
    assert_eq!(service.read("starts"), "");
}

/// "Unknown letters are ignored."
fn unknown_letters_are_passed_over(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    let pid = service.wait_until_up();
    servicedir::client::send(&service.path(""), b"Z\n\0?*p").unwrap();
    service.wait_until_svstat("up (pid PID) N seconds, paused");
    assert_eq!(service.pid(), Some(pid));
}

/// "letters are sent in the order given, each once; … `svc -u -d -u` sends `ud`"; "`svc` … per directory one
/// write".
fn svc_sends_each_letter_once_in_the_order_given(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let table: [(&[&str], &str); 5] = [
        (&["-u", "-d", "-u"], "ud"),
        (&["-dx"], "dx"),
        (&["-xd", "-kx"], "xdk"),
        (&["-p", "-c", "-h", "-a", "-i", "-t", "-k", "-o"], "pchaitko"),
        (&["-t", "--"], "t"),
    ];
    sandbox.folder("s/supervise");
    mkfifo(&sandbox.path("s/supervise/control"), Mode::from_bits_truncate(0o600)).unwrap();
    // Both ways, so that there is always a reader and reading never waits.
    let mut control = File::options()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(sandbox.path("s/supervise/control"))
        .unwrap();
    for (options, letters) in table {
        let arguments = [options, &["s"]].concat();
        assert_eq!(sandbox.run("svc", &arguments).told(), (0, "", ""), "{arguments:?}");
        let mut sent = [0; 32];
        let length = control.read(&mut sent).unwrap_or(0);
        assert_eq!(String::from_utf8_lossy(&sent[..length]), letters, "{arguments:?}");
    }
}

/// "Ours also gives the child default signal dispositions": whoever started supervise may ignore what it likes.
#[test]
fn a_signal_that_supervise_was_started_to_ignore_is_not_ignored_by_the_service() {
    let sandbox = Sandbox::with(Programs::ours());
    let service = Service::new(&sandbox, "s", NOTING);
    let _supervise = sandbox.start("sh", &["-c", "trap '' HUP INT ALRM; exec supervise s"]);
    service.wait_until_it_holds("starts", "start\n");
    for (letter, signal) in [("-h", "HUP\n"), ("-a", "ALRM\n"), ("-i", "INT\n")] {
        service.svc(letter);
        sandbox.wait_until(&format!("svc {letter} has sent {signal}"), || {
            service.read("signals").ends_with(signal)
        });
    }
}

/// The two signals of C's library among them, which its posix_spawn leaves ignored.
#[test]
fn a_service_under_svscan_ignores_no_signal_of_the_kernels() {
    let sandbox = Sandbox::with(Programs::ours());
    let script = "grep SigIgn /proc/self/status >ignored.new; mv ignored.new ignored; exec sleep 1000";
    let service = Service::new(&sandbox, "scan/s", script);
    let _svscan = sandbox.start("sh", &["-c", "trap '' HUP USR1 34 64; exec svscan scan"]);
    service.wait_until_it_holds("ignored", "SigIgn:\t0000000000000000\n");
}
