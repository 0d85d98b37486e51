//! A command on a terminal of its own: a pseudo-terminal, whose keys we press and whose screen we read.

use super::{DEADLINE, Home, wait_until};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// No command that waits gives up by itself before.
const PATIENCE: Duration = Duration::from_secs(3);

/// A command that runs on a terminal.
pub struct OnTerminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
    before: Termios,
}

/// What it has left behind.
#[derive(Debug)]
pub struct Left {
    pub code: Option<i32>,
    pub screen: String,
    /// Whether the terminal is set as it was before.
    pub restored: bool,
}

impl OnTerminal {
    /// Starts `skynet` with these words on a terminal that is so wide.
    pub fn start(home: &Home, words: &[&str], columns: u16) -> Self {
        Self::command(home.command(words), columns)
    }

    /// Starts this command there.
    pub fn command(command: Command, columns: u16) -> Self {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let keys = File::from(pty.master);
        let before = tcgetattr(&keys).unwrap();
        // A session of its own, whose terminal this is.
        let mut shell = Command::new("setsid");
        shell.arg("-c").arg(command.get_program()).args(command.get_args());
        shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("TERM", "xterm").current_dir(command.get_current_dir().unwrap());
        let end = |end: &OwnedFd| end.try_clone().unwrap();
        shell.stdin(end(&pty.slave)).stdout(end(&pty.slave)).stderr(pty.slave);
        let child = shell.spawn().unwrap();
        drop(shell);
        let screen = Arc::new(Mutex::new(vec![]));
        let (mut from, to) = (keys.try_clone().unwrap(), Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            // An error when nobody has the terminal open any more.
            while let Ok(n @ 1..) = from.read(&mut part) {
                to.lock().unwrap().extend_from_slice(&part[..n]);
            }
        });
        Self { child, keys, screen, reader, before }
    }

    /// What stands on the screen by now, escape sequences included.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until the screen shows this.
    pub fn wait_for(&self, part: &str) {
        wait_until(&format!("the screen shows {part:?}"), || self.screen().contains(part));
    }

    /// Waits until the screen shows this. False = the command has ended before.
    pub fn shows(&mut self, part: &str) -> bool {
        let mut ended = false;
        wait_until(&format!("the screen shows {part:?}"), || {
            // First whether it has ended: what it has said by then is on the screen soon.
            ended = self.child.try_wait().unwrap().is_some();
            ended || self.screen().contains(part)
        });
        !ended || self.screen().contains(part)
    }

    /// Presses these keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Presses ^C.
    pub fn interrupt(&mut self) {
        // A command that has ended hears nothing.
        let _ = self.keys.write_all(b"\x03");
    }

    /// Waits for the end of the command.
    pub fn finish(mut self) -> Left {
        let code = self.child.wait().unwrap().code();
        let restored = tcgetattr(&self.keys).unwrap() == self.before;
        self.reader.join().unwrap();
        let screen = String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned();
        Left { code, screen, restored }
    }
}

/// Presses ^C once the screen shows `shown`; the command ends at once and leaves no process, file or setting.
pub fn interrupt(home: &Home, words: &[&str], shown: &str) -> String {
    let (before, first) = (files(home), Instant::now());
    let left = loop {
        let begun = Instant::now();
        let mut command = OnTerminal::start(home, words, 80);
        let waits = command.shows(shown);
        command.interrupt();
        let left = command.finish();
        // One that we could not interrupt in time, as we were held up, may have given up by itself: once more.
        let late = begun.elapsed() > PATIENCE && left.code != Some(130) && first.elapsed() < DEADLINE;
        if !late {
            assert!(waits, "skynet {words:?} never shows {shown:?}: {left:?}");
            break left;
        }
    };
    assert!(left.code == Some(130) && left.restored, "skynet {words:?}: {left:?}");
    wait_until("no process of it is left", || home.strays().is_empty());
    assert_eq!(files(home), before, "skynet {words:?}");
    // A line of progress is taken away.
    let last = left.screen.rsplit("\x1b[K").next().unwrap();
    let progress = regex::Regex::new(" … \\d+s").unwrap();
    assert!(!progress.is_match(last), "skynet {words:?}: {left:?}");
    left.screen
}

/// Names in the scan directory and in the temporary folder.
fn files(home: &Home) -> Vec<String> {
    let names = |dir| fs::read_dir(dir).into_iter().flatten().flatten();
    let all = names(home.path("service")).chain(names(home.folder.path().to_owned()));
    let mut all: Vec<_> = all.map(|entry| entry.file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

/// The lines of a screen without escape sequences.
pub fn lines(screen: &str) -> Vec<String> {
    let escapes = regex::Regex::new("\x1b\\[[0-9;?]*[A-Za-z]").unwrap();
    escapes.replace_all(screen, "").lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}
