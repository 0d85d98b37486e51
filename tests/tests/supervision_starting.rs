//! When supervise starts a service, when not, and what it says when it cannot.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use tests::process::Process;
use tests::service::Service;
use tests::{Programs, Sandbox, on_both};

on_both! {
    a_service_is_started_in_its_directory_with_its_environment,
    a_service_has_the_session_and_group_of_its_supervise,
    a_service_with_a_file_down_is_not_started,
    a_service_that_ends_is_started_again,
    a_start_is_not_sooner_than_one_second_after_the_one_before,
    there_is_one_supervise_per_directory,
    fault_run_that_cannot_be_executed_is_named_and_tried_again,
    a_run_that_appears_later_is_started,
    fault_down_that_cannot_be_looked_at_is_fatal,
    a_dangling_link_named_supervise_gets_its_target,
    the_child_has_none_of_supervises_descriptors,
    supervise_killed_leaves_the_service_running,
}

/// "chdir to DIR …; then starts ./run if wanted."
fn a_service_is_started_in_its_directory_with_its_environment(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    sandbox.set("COLOUR", "blue");
    let service = Service::new(
        &sandbox,
        "s",
        "pwd -P >told.new; echo $COLOUR $0 $# >>told.new\nmv told.new told\nexec sleep 1000",
    );
    let _supervise = service.supervise();
    service.wait_until_it_holds("told", "\n");
    assert_eq!(service.read("told"), format!("{}\nblue ./run 0\n", sandbox.path("s").display()));
}

/// "Without service.toml: … no own group or session."
fn a_service_has_the_session_and_group_of_its_supervise(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let supervise = service.supervise();
    let of = |pid: i32| {
        let pid = nix::unistd::Pid::from_raw(pid);
        (nix::unistd::getpgid(Some(pid)).unwrap(), nix::unistd::getsid(Some(pid)).unwrap())
    };
    assert_eq!(of(service.wait_until_up()), of(supervise.pid()));
}

/// "`down` (its presence: do not start at first)".
fn a_service_with_a_file_down_is_not_started(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", "echo start >>starts; exec sleep 1000").down();
    let _supervise = service.supervise();
    service.wait_until_svstat("down N seconds");
    service.svc("-u");
    service.wait_until_svstat("up (pid PID) N seconds, normally down");
    service.wait_until_it_holds("starts", "start\n");
    assert_eq!(service.read("starts"), "start\n");
}

fn a_service_that_ends_is_started_again(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let run = "echo $$ >>starts\n[ -e second ] && exec sleep 1000\ntouch second\nexit 7";
    let service = Service::new(&sandbox, "s", run);
    let _supervise = service.supervise();
    let pid = sandbox.wait_for("it is up to stay", || {
        let pid = service.pid()?;
        (Process::find(pid)?.words == "sleep 1000").then_some(pid)
    });
    assert!(service.read("starts").ends_with(&format!("\n{pid}\n")), "{}", service.read("starts"));
}

/// "A start is never sooner than one second after the previous start". The service notes its starts itself,
/// so that the first of them may be noted late: five intervals leave room for that.
fn a_start_is_not_sooner_than_one_second_after_the_one_before(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::new(&sandbox, "s", "date +%s%N >>starts");
    let _supervise = service.supervise();
    let starts = || service.read("starts").lines().map(|line| line.parse().unwrap()).collect::<Vec<u64>>();
    sandbox.wait_until("there are six starts", || service.read("starts").matches('\n').count() >= 6);
    let starts = starts();
    assert!(starts[5] - starts[0] > 2_500_000_000, "{starts:?}");
}

/// "one supervise per directory; else `supervise: fatal: unable to acquire DIR/supervise/lock: temporary
/// failure`, exit 111".
fn there_is_one_supervise_per_directory(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    let pid = service.wait_until_up();
    let expected = "supervise: fatal: unable to acquire s/supervise/lock: temporary failure\n";
    assert_eq!(sandbox.run("supervise", &["s"]).told(), (111, "", expected));
    assert_eq!(service.pid(), Some(pid));
    service.svc("-p");
    service.wait_until_svstat("up (pid PID) N seconds, paused");
}

/// "exec failure in the child: `supervise: fatal: unable to start DIR/run: file does not exist`".
fn fault_run_that_cannot_be_executed_is_named_and_tried_again(programs: Programs) {
    let ours = programs.are_ours();
    let sandbox = Sandbox::with(programs);
    let none = Service::empty(&sandbox, "none");
    sandbox.write("noexec/run", "#!/bin/sh\n");
    let noexec = Service::empty(&sandbox, "noexec");
    let folder = Service::empty(&sandbox, "folder");
    sandbox.folder("folder/run");
    let nonsense = Service::empty(&sandbox, "nonsense");
    sandbox.executable("nonsense/run", "no program\n");
    let interpreter = Service::empty(&sandbox, "interpreter");
    sandbox.executable("interpreter/run", "#!/no/such/interpreter\n");
    for (service, reason) in [
        (&none, "file does not exist"),
        (&noexec, "access denied"),
        (&folder, "access denied"),
        (&nonsense, "exec format error"),
        (&interpreter, "file does not exist"),
    ] {
        let mut supervise = service.supervise();
        let line = format!("supervise: fatal: unable to start {}/run: {reason}\n", service.name());
        // Ours says it once a minute, and shows in the status that it goes on trying.
        sandbox.wait_until(&format!("{} was tried twice", service.name()), || match &service.status() {
            Some(status) if ours => {
                supervise.err() == line && status.more.as_ref().is_some_and(|more| more.restarts > 0)
            }
            _ => supervise.err().starts_with(&line.repeat(2)),
        });
        service.svc("-dx");
        assert_eq!(supervise.finish().code, Some(0));
        assert_eq!(supervise.err().replace(&line, ""), "");
    }
}

fn a_run_that_appears_later_is_started(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::empty(&sandbox, "s");
    let mut supervise = service.supervise();
    supervise.wait_until_it_says("unable to start s/run: file does not exist");
    service.run("echo start >starts; exec sleep 1000");
    service.wait_until_it_holds("starts", "start\n");
    service.wait_until_svstat("up (pid PID) N seconds");
}

fn fault_down_that_cannot_be_looked_at_is_fatal(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    Service::sleeper(&sandbox, "s");
    sandbox.link("s/down", "down");
    let expected = "supervise: fatal: unable to stat s/down: symbolic link loop\n";
    assert_eq!(sandbox.run("supervise", &["s"]).told(), (111, "", expected));
}

/// "Debian: where `supervise` is a dangling link, its target is made (one level)."
fn a_dangling_link_named_supervise_gets_its_target(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    sandbox.folder("run");
    sandbox.link("s/supervise", "../run/s");
    let _supervise = service.supervise();
    service.wait_until_up();
    assert!(sandbox.path("run/s/status").is_file());
    assert!(service.path("supervise").symlink_metadata().unwrap().is_symlink());
}

/// "All our descriptors are close-on-exec."
fn the_child_has_none_of_supervises_descriptors(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let _supervise = service.supervise();
    let pid = service.wait_until_up();
    // A program that begins has its libraries open for a moment; what it was left stays.
    sandbox.wait_until("it is sleep, with three descriptors", || {
        let Some(process) = Process::find(pid) else { return false };
        let mut numbers: Vec<i32> = process.descriptors().into_iter().map(|(number, _)| number).collect();
        numbers.sort();
        process.words == "sleep 1000" && numbers == [0, 1, 2]
    });
}

fn supervise_killed_leaves_the_service_running(programs: Programs) {
    let sandbox = Sandbox::with(programs);
    let service = Service::sleeper(&sandbox, "s");
    let mut supervise = service.supervise();
    let pid = service.wait_until_up();
    supervise.kill();
    assert_eq!(service.svstat(), "supervise not running");
    assert!(Process::find(pid).is_some());
}
