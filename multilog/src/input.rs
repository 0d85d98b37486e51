//! Standard input and the signals: reads as much as there is, and has it written before it reads again.

use crate::outputs::Outputs;
use crate::trouble::Trouble;
use multilog::label::{Label, Stamp};
use multilog::script::Script;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::io::{self, Stdin};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};
use unix::signals::SignalPipe;

/// As much as is read at once, at the most.
const BUFFER: usize = 256 << 10;
/// What the pipe is made to hold when its present size is what holds up the service.
const PIPE: i32 = 1 << 20;
/// What a pipe holds before.
const USUAL_PIPE: usize = 64 << 10;

struct Input {
    stdin: Stdin,
    signals: Signals,
    outputs: Outputs,
    /// What was read; the first `held` bytes are the beginning of a line of which too little is there to decide.
    buffer: Vec<u8>,
    held: usize,
    /// When the line that is held began.
    began: Label,
    /// Whether the pipe has been enlarged, or cannot be.
    enlarged: bool,
}

/// As much as is read at once. Not more than a log holds: what is read at once may be lost by a kill -9, and each
/// rotation on the way, with its processor, makes the time longer in which that can happen.
pub fn block(script: &Script) -> usize {
    script.smallest_size().and_then(|size| usize::try_from(size).ok()).map_or(BUFFER, |size| size.min(BUFFER))
}

/// Reads blocks until the end of input or TERM, and finishes the logs.
///
/// # Errors
/// What is wrong with standard input. What was read before is written and finished even then.
pub fn run(signals: Signals, outputs: Outputs, block: usize) -> Result<(), Trouble> {
    let mut input = Input {
        stdin: io::stdin(),
        signals,
        began: label(outputs.stamp()),
        outputs,
        buffer: vec![0; block],
        held: 0,
        enlarged: false,
    };
    let end = input.read_all();
    input.end_last_line();
    input.outputs.end();
    input.settle(0, 0);
    end.map_err(|e| Trouble::new(&[b"unable to read input"], Some(e)))
}

impl Input {
    fn read_all(&mut self) -> io::Result<()> {
        loop {
            // What was noticed during a pause is done before anything is waited for.
            let timeout = if self.signals.are_noticed() { PollTimeout::ZERO } else { PollTimeout::NONE };
            let readable = self.signals.look(Some(&self.stdin), timeout);
            // What was written before an ALRM is rotated by it: it is read first. No more is read after a TERM.
            let terminate = self.signals.terminate;
            let ended = readable && !terminate && self.read_block()?;
            if self.signals.take_alarm() {
                self.outputs.alarm();
                self.settle(0, 0);
            }
            if terminate {
                return self.read_to_line_end();
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Reads what there is. Says whether that is the end.
    fn read_block(&mut self) -> io::Result<bool> {
        match read(&self.stdin, &mut self.buffer[self.held..]) {
            Ok(0) => return Ok(true),
            Ok(n) => self.took(n),
            // Somebody else reads from the same pipe, without waiting.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        Ok(false)
    }

    /// Passes on the lines of what is in the buffer, also the beginning of a last one if it is long enough to say
    /// where it goes.
    fn took(&mut self, n: usize) {
        if n >= USUAL_PIPE && !self.enlarged {
            self.enlarge_pipe();
        }
        let now = label(self.outputs.stamp());
        let filled = self.held + n;
        let mut at = 0;
        if self.held > 0 && self.outputs.stamp().is_some() {
            // The line that began earlier has the label of its beginning.
            let end = memchr::memchr(b'\n', &self.buffer[self.held..filled]);
            at = self.pass_on(0, end.map_or(filled, |end| self.held + end + 1), self.began);
            if at == 0 {
                self.held = filled;
                return;
            }
        }
        at = self.pass_on(at, filled, now);
        self.began = now;
        self.settle(0, 0);
        self.buffer.copy_within(at..filled, 0);
        self.held = filled - at;
    }

    /// Passes on what can be: whole lines, and what is long enough. Says where the rest begins. Labelled lines may
    /// still have to be written then.
    fn pass_on(&mut self, from: usize, to: usize, label: Label) -> usize {
        let data = &self.buffer[from..to];
        let whole = memchr::memrchr(b'\n', data).map_or(0, |end| end + 1);
        let within = whole == 0 && self.outputs.is_within_a_line();
        let enough = within || data.len() - whole >= self.outputs.decided(&label);
        let end = from + if enough { data.len() } else { whole };
        let mut at = from;
        while at < end {
            let taken = self.outputs.take(&self.buffer[at..end], &label);
            if at + taken < end || self.outputs.stamp().is_none() {
                self.settle(at, end);
            }
            at += taken;
        }
        end
    }

    /// Byte by byte: what comes after the line is left for the next multilog on this pipe.
    fn read_to_line_end(&mut self) -> io::Result<()> {
        while self.held > 0 || self.outputs.is_within_a_line() {
            let at = self.held;
            match read(&self.stdin, &mut self.buffer[at..=at]) {
                Ok(0) => return Ok(()),
                Ok(_) => self.took(1),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.signals.look(Some(&self.stdin), PollTimeout::NONE);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn end_last_line(&mut self) {
        if self.held > 0 || self.outputs.is_within_a_line() {
            self.buffer[self.held] = b'\n';
            self.took(1);
        }
    }

    /// Has all written that was taken of this part of the buffer, however long that takes. Nothing is dropped:
    /// meanwhile the pipe fills, and the service waits.
    fn settle(&mut self, from: usize, to: usize) {
        let Self { signals, outputs, buffer, .. } = self;
        while let Some(at) = outputs.drive(&buffer[from..to], || signals.now()) {
            let pause = at.saturating_sub(signals.now()) + Duration::from_millis(1);
            signals.look(None, PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX));
        }
    }

    /// The service fills the pipe faster than it is read in one turn: fewer, larger turns cost both less. A pipe
    /// that is hardly used keeps its size, as what all pipes of a user may hold is limited.
    fn enlarge_pipe(&mut self) {
        self.enlarged = true;
        if fcntl(&self.stdin, FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size < PIPE) {
            // Refused where the user's pipes hold much already: then it stays as it is.
            let _ = fcntl(&self.stdin, FcntlArg::F_SETPIPE_SZ(PIPE));
        }
    }
}

/// TERM and ALRM, and the clock of all pauses.
pub struct Signals {
    pipe: SignalPipe,
    begun: Instant,
    alarm: bool,
    terminate: bool,
}

impl Signals {
    /// Notices them from now on.
    ///
    /// # Errors
    /// That this cannot be.
    pub fn new() -> Result<Self, Trouble> {
        let pipe = SignalPipe::new(&[Signal::SIGTERM as i32, Signal::SIGALRM as i32])
            .map_err(|e| Trouble::new(&[b"unable to watch for signals"], Some(e)))?;
        Ok(Self { pipe, begun: Instant::now(), alarm: false, terminate: false })
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn are_noticed(&self) -> bool {
        self.alarm || self.terminate
    }

    fn take_alarm(&mut self) -> bool {
        std::mem::take(&mut self.alarm)
    }

    /// Waits for input (if asked for) or a signal, and takes notice of signals. Says whether there is input.
    fn look(&mut self, stdin: Option<&Stdin>, timeout: PollTimeout) -> bool {
        let signal = PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN);
        let input = PollFd::new(stdin.map_or(self.pipe.as_fd(), AsFd::as_fd), PollFlags::POLLIN);
        let mut fds = [signal, input];
        let wanted = 1 + usize::from(stdin.is_some());
        if poll(&mut fds[..wanted], timeout).is_err() {
            // Interrupted: by a signal that is to be looked at.
            self.notice();
            return false;
        }
        let [signal, input] = fds.map(|fd| fd.any().unwrap_or(true));
        if signal {
            self.notice();
        }
        stdin.is_some() && input
    }

    fn notice(&mut self) {
        for signal in self.pipe.take() {
            self.terminate |= signal == Signal::SIGTERM as i32;
            self.alarm |= signal == Signal::SIGALRM as i32;
        }
    }
}

fn label(stamp: Option<Stamp>) -> Label {
    stamp.map_or(Label::NONE, |stamp| stamp.label(SystemTime::now()))
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
