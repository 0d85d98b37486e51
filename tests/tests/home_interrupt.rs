//! ^C in every command that waits: it ends at once with 130, the terminal is as it was, nothing is left.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test ends where something is not as it must be")]

mod home;

use home::terminal::{OnTerminal, interrupt};
use home::{Home, Lines, bin, executable, signal, wait_until};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use unix::process::Signal;

const SLOW: &str = "import time\nclass ParticipantHandler(object):\n    def handle_wi(self, wid):\n        time.sleep(600)\n";

/// The command lines of processes whose home is below this folder.
fn processes_below(folder: &Path) -> Vec<String> {
    let mark = format!("SKYNET_HOME={}", folder.display()).into_bytes();
    let below = |pid: &String| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(&mark))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let words = |pid: String| {
        String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).into_owned()
    };
    pids.filter(below).map(words).filter(|words| !words.is_empty()).collect()
}

#[test]
fn what_watches_services_and_logs_ends_at_once() {
    let home = Home::up_without_broker();
    home.service("chatty", "echo hello; exec sleep 1000");
    home.good(&["enable", "./chatty"]);
    interrupt(&home, &["log", "-f", "chatty"], "hello");
    interrupt(&home, &["status", "--watch"], "chatty");
}

#[test]
fn what_waits_for_a_service_ends_at_once_and_says_what_goes_on() {
    let home = Home::up_without_broker();
    let dir = home.service("failing", "exit 1");
    fs::write(dir.join("service.toml"), "[backoff]\nfirst = \"1m\"\nmax = \"1m\"\n").unwrap();
    assert_eq!(home.skynet(&["enable", "./failing", "--timeout", "2s"]).code, Some(1));
    for verb in ["start", "enable"] {
        let screen = interrupt(&home, &[verb, "failing"], "waiting until failing is up");
        assert!(screen.contains("failing was told to start"), "{screen}");
    }
    home.good(&["remove", "failing"]);

    home.service("stubborn", "trap '' TERM; echo deaf; while :; do sleep 1; done");
    home.good(&["enable", "./stubborn"]);
    wait_until("it hears nothing", || home.good(&["log", "stubborn"]).contains("deaf"));
    for words in [&["stop", "stubborn"][..], &["restart", "stubborn"], &["remove", "stubborn"]] {
        let screen = interrupt(&home, words, "waiting for stubborn");
        assert!(screen.contains("at once: skynet kill stubborn"), "{screen}");
    }
    home.good(&["kill", "stubborn"]);
    home.good(&["remove", "stubborn"]);
}

#[test]
fn what_waits_for_work_ends_at_once() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    interrupt(&home, &["run", "./sizer"], "consuming");
    let temporary = home.folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    fs::write(home.folder.path().join("sizer/test_sizer.py"), "").unwrap();
    fs::write(home.folder.path().join("sizer/sizer.py"), SLOW).unwrap();
    let mut command = home.command(&["test", "./sizer"]);
    command.env("TMPDIR", &temporary);
    let mut test = OnTerminal::command(command, 80);
    test.wait_for("throw-away home");
    let at_work = || processes_below(&temporary).iter().any(|words| words.contains("python"));
    wait_until("its participant is there", at_work);
    test.interrupt();
    let left = test.finish();
    assert!(left.code == Some(130) && left.restored, "{left:?}");
    assert_eq!((fs::read_dir(&temporary).unwrap().count(), processes_below(&temporary)), (0, vec![]));
    home.good(&["enable", "./sizer"]);
    home.good(&["stop", "sizer"]);
    let screen = interrupt(&home, &["send", "sizer", "--wait", "--wfid", "w1"], "waiting for the reply");
    assert!(screen.contains("skynet: w1 is sent"), "{screen}");

    home.good(&["new", "slow"]);
    home.good(&["config", "./slow", "set", "grace", "1s"]);
    fs::write(home.folder.path().join("slow/slow.py"), SLOW).unwrap();
    home.good(&["enable", "./slow"]);
    home.good(&["send", "slow", "--wfid", "w2"]);
    wait_until("it is in hand", || home.skynet(&["wi", "status", "w2"]).code == Some(0));
    interrupt(&home, &["wi", "watch", "w2"], "slow");
    home.good(&["kill", "slow"]);
}

/// A program of others is told, and nothing of it is left: neither what it has started, nor what does not listen.
#[test]
fn what_runs_a_program_of_others_ends_it() {
    let home = Home::up_without_broker();
    home.good(&["new", "sizer"]);
    let script = "#!/bin/sh\ntrap '' INT TERM\nsleep 1000 &\nwait\nsleep 1000\n";
    executable(home.folder.path().join("sizer/test_more"), script);
    let screen = interrupt(&home, &["test", "./sizer"], "waiting for test_more");
    assert!(screen.contains("skynet: test_more was ended"), "{screen}");

    let command = home.folder.path().join("tell");
    executable(&command, script);
    let words = format!("[\"{}\"]", command.display());
    home.good(&["config", "set", "notify.command", &words]);
    let screen = interrupt(&home, &["notify", "test"], "waiting for the notify command");
    assert!(screen.contains("was ended"), "{screen}");
}

#[test]
fn local_up_ends_at_once_and_nothing_runs() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["local", "down"]);
    let lock = Flock::lock(File::open(home.path("run/lock")).unwrap(), FlockArg::LockExclusive).unwrap();
    interrupt(&home, &["local", "up"], "waiting for another");
    drop(lock);

    // A broker that is started and never listens.
    let programs = home.folder.path().join("bin");
    let copied = Command::new("cp").arg("-rL").arg(bin()).arg(&programs).status().unwrap();
    assert!(copied.success());
    executable(programs.join("skynet-broker"), "#!/bin/sh\nexec sleep 1000\n");
    let mut command = home.command(&["local", "up"]);
    let mut with_it = Command::new(programs.join("skynet"));
    with_it
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    with_it.current_dir(home.folder.path());
    std::mem::swap(&mut command, &mut with_it);
    let mut up = OnTerminal::command(command, 80);
    up.wait_for("waiting until the broker listens");
    up.interrupt();
    let left = up.finish();
    assert!(left.code == Some(130) && left.restored, "{left:?}");
    wait_until("nothing of it runs", || home.processes().is_empty());
    assert_eq!(home.skynet(&["local", "status"]).code, Some(3));
}

/// A signal that the command was started to ignore, as by `nohup` or a script's `&`, does not end it.
#[test]
fn what_was_started_to_ignore_it_goes_on() {
    let home = Home::up_without_broker();
    home.service("chatty", "echo hello; exec sleep 1000");
    home.good(&["enable", "./chatty"]);
    let script = format!("trap '' INT; exec '{}' log -f chatty", bin().join("skynet").display());
    let plain = home.command(&[]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(home.folder.path());
    let mut follow = OnTerminal::command(shell, 80);
    follow.wait_for("hello");
    follow.interrupt();
    home.good(&["restart", "chatty"]);
    wait_until("it goes on", || follow.screen().matches("hello").count() == 2);
    drop(follow);
}

/// A home is up before the broker of somebody else has answered: ^C ends the question, and says so.
#[test]
fn local_up_asks_a_silent_broker_no_longer() {
    let home = Home::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://a:b@{}/boss", silent.local_addr().unwrap());
    home.good(&["new", "one"]);
    home.good(&["enable", "./one"]);
    let mut words = vec!["local", "up", "--broker", &url];
    let left = loop {
        let mut up = OnTerminal::start(&home, &words, 80);
        up.wait_for("Other commands find this home by");
        up.interrupt();
        let left = up.finish();
        // It waits for three seconds, in which we may have been held up: once more.
        if left.code != Some(0) || !left.screen.contains("no answer from") {
            break left;
        }
        words = vec!["local", "up"];
    };
    assert!(
        left.code == Some(130) && left.screen.contains("is up, and stays so (skynet local down)"),
        "{left:?}"
    );
    assert_eq!(home.skynet(&["local", "status"]).code, Some(0));
    let queues = home.skynet(&["queues"]);
    let place = format!("no answer from amqp://{}/boss within 3s", silent.local_addr().unwrap());
    assert!(queues.code == Some(111) && queues.err.contains(&place), "{queues:?}");
}

/// Who closes the terminal leaves nothing behind that would take workitems unseen.
#[test]
fn what_runs_in_a_terminal_ends_with_it() {
    let home = Home::new();
    home.good(&["local", "up"]);
    home.good(&["new", "sizer"]);
    let mut run = home.start(&["run", "./sizer"]);
    Lines::of(run.stdout.take().unwrap()).until("consuming");
    signal(&run, Signal::SIGHUP);
    assert_eq!(run.wait().unwrap().code(), Some(129));
    wait_until("its participant is gone", || home.strays().is_empty());

    let begun = home.folder.path().join("begun");
    let script = format!("#!/bin/sh\ntouch '{}'\nsleep 1000\n", begun.display());
    executable(home.folder.path().join("sizer/test_more"), script);
    let mut test = home.start(&["test", "./sizer"]);
    wait_until("its unit test runs", || begun.exists());
    signal(&test, Signal::SIGHUP);
    assert_eq!(test.wait().unwrap().code(), Some(129));
    assert!(processes_below(home.folder.path()).iter().all(|words| !words.contains("test_more")));
}

/// A terminal that goes says so more than once: nobody has pressed ^C twice, and work is finished.
#[test]
fn a_terminal_that_goes_hurries_nobody() {
    let home = Home::up_without_broker();
    let go = home.folder.path().join("go");
    let wait = format!("while ! [ -e '{}' ]; do sleep 0.05; done", go.display());
    home.service("slow", &format!("trap '' TERM; {wait}; echo finished"));
    home.good(&["enable", "./slow"]);
    let mut down = home.start(&["local", "down"]);
    Lines::of(down.stdout.take().unwrap()).until("stopping slow");
    let stops = || home.skynet(&["status", "slow"]).out.contains("stopping");
    wait_until("it is stopping", stops);
    for _ in 0..3 {
        signal(&down, Signal::SIGHUP);
        assert!(stops());
    }
    fs::write(go, "").unwrap();
    assert_eq!(down.wait().unwrap().code(), Some(0));
    assert!(home.good(&["log", "slow"]).contains("finished"));
}
