//! Standard input and the signals: reads as much as there is, and has it written before it reads again.

use crate::lines::Outputs;
use crate::logdir::Trouble;
use crate::say;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::io::{self, Stdin};
use std::os::fd::AsFd;
use unix::signals::SignalPipe;
use unix::words::Words;

/// As much as is read at once, and as much of a line as is held until its end comes.
const BUFFER: usize = 256 << 10;
/// How long to wait after trouble, in milliseconds.
const PAUSE: u16 = 5000;

struct Input {
    stdin: Stdin,
    signals: SignalPipe,
    outputs: Outputs,
    /// What was read; the first `held` bytes are the beginning of a line whose end has not come.
    buffer: Vec<u8>,
    held: usize,
    rotate: bool,
    terminate: bool,
}

/// Reads until the end of input or TERM.
///
/// # Errors
/// A sentence that says what is wrong with standard input or the signals.
pub fn run(outputs: Outputs) -> Result<(), Vec<u8>> {
    let fatal = |what: &str, e: &io::Error| format!("unable to {what}: {}", Words(e)).into_bytes();
    let signals = SignalPipe::new(&[Signal::SIGTERM as i32, Signal::SIGALRM as i32])
        .map_err(|e| fatal("watch for signals", &e))?;
    let stdin = io::stdin();
    let buffer = vec![0; BUFFER];
    let mut input = Input { stdin, signals, outputs, buffer, held: 0, rotate: false, terminate: false };
    input.read_all().map_err(|e| fatal("read input", &e))?;
    input.end_last_line();
    input.insist(|outputs| outputs.finish());
    Ok(())
}

impl Input {
    fn read_all(&mut self) -> io::Result<()> {
        loop {
            self.look(PollTimeout::NONE, true);
            if self.rotate {
                self.rotate = !self.insist_on(Outputs::rotate);
            }
            if self.terminate {
                return self.read_to_line_end();
            }
            if !self.is_readable() {
                continue;
            }
            match read(&self.stdin, &mut self.buffer[self.held..])? {
                0 => return Ok(()),
                n => self.took(n),
            }
        }
    }

    /// Passes on the whole lines of what is in the buffer, or all of it where one line fills it.
    fn took(&mut self, n: usize) {
        let filled = self.held + n;
        let end = match memchr::memrchr(b'\n', &self.buffer[self.held..filled]) {
            Some(at) => self.held + at + 1,
            None if filled == self.buffer.len() => filled,
            None => 0,
        };
        if end > 0 {
            self.outputs.take(&self.buffer[..end]);
            self.insist(Outputs::write);
        }
        self.buffer.copy_within(end..filled, 0);
        self.held = filled - end;
    }

    /// Byte by byte: what comes after the line is left for the next multilog on this pipe.
    fn read_to_line_end(&mut self) -> io::Result<()> {
        while self.held > 0 {
            let mut byte = [0];
            if read(&self.stdin, &mut byte)? == 0 {
                return Ok(());
            }
            self.buffer[self.held] = byte[0];
            self.took(1);
        }
        Ok(())
    }

    fn end_last_line(&mut self) {
        if self.held > 0 {
            self.buffer[self.held] = b'\n';
            self.took(1);
        }
    }

    /// Waits for input (if `wanted`) or a signal, and takes notice of signals.
    fn look(&mut self, timeout: PollTimeout, wanted: bool) {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if wanted {
            fds.push(PollFd::new(self.stdin.as_fd(), PollFlags::POLLIN));
        }
        // Interrupted or not: the flags are looked at anyway.
        let _ = poll(&mut fds, timeout);
        for signal in self.signals.take() {
            self.terminate |= signal == Signal::SIGTERM as i32;
            self.rotate |= signal == Signal::SIGALRM as i32;
        }
    }

    fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(self.stdin.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
    }

    fn insist(&mut self, what: impl Fn(&mut Outputs) -> Result<(), Trouble>) {
        self.insist_on(|outputs| what(outputs).map(|()| true));
    }

    /// Does it until it works. Nothing is dropped: meanwhile the pipe fills, and the service waits.
    fn insist_on(&mut self, what: impl Fn(&mut Outputs) -> Result<bool, Trouble>) -> bool {
        loop {
            match what(&mut self.outputs) {
                Ok(done) => return done,
                Err(trouble) => {
                    say(&[b"multilog: warning: ".as_slice(), &trouble.pausing()].concat());
                    self.look(PollTimeout::from(PAUSE), false);
                }
            }
        }
    }
}

/// Reads from the descriptor itself: std's buffered reader would take more than it was asked for.
fn read(stdin: &Stdin, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match nix::unistd::read(stdin.as_fd(), buffer) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}
