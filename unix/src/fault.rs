//! What a runtime says of a fault that ends the process: it writes that to one descriptor, a file that stays; what is
//! there is shown in the log as well.
//!
//! The runtime (Python's faulthandler) must come after us: having written, it raises the signal again, and that comes
//! to us.

use libc::{c_int, c_void};
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

const FAULTS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT];
const NONE: c_int = -1;
const LONGEST_FRAME: usize = 400;

/// The file, and the log; for a signal handler only what is atomic.
static FILE: AtomicI32 = AtomicI32::new(NONE);
static LOG: AtomicI32 = AtomicI32::new(NONE);
static OWNER: AtomicI32 = AtomicI32::new(0);
static FRAME: OnceLock<Frame> = OnceLock::new();

/// What stands around each line in the log.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Before it.
    pub before: String,
    /// After it.
    pub after: String,
    /// The line stands within a string of JSON.
    pub quoted: bool,
}

/// From now on a fault that ends this process shows in `log` what is in `file` by then, each line within `frame`, which
/// must not be long. The descriptors stay open as long as the process lives. Returns the number of the file's.
///
/// # Errors
/// What `sigaction` reports.
pub fn show(file: File, log: OwnedFd, frame: Frame) -> io::Result<c_int> {
    if frame.before.len() + frame.after.len() > LONGEST_FRAME {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let number = file.into_raw_fd();
    let _ = FRAME.set(frame);
    OWNER.store(std::process::id().cast_signed(), Ordering::SeqCst);
    LOG.store(log.into_raw_fd(), Ordering::SeqCst);
    FILE.store(number, Ordering::SeqCst);
    for signal in FAULTS {
        // SAFETY: zeroed memory is a valid sigaction, every field that matters is set below.
        let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
        action.sa_sigaction = on_fault as extern "C" fn(c_int) as usize;
        // On the stack for such signals, as the usual one may be what is exhausted; once, so that raising it ends us.
        action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESETHAND;
        // SAFETY: the handler takes one number, lives as long as the process, and does only what a signal handler may:
        // reads atomics and a OnceLock that is set already, and calls pread, write, getpid, ftruncate, lseek, raise.
        Errno::result(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    }
    Ok(number)
}

extern "C" fn on_fault(signal: c_int) {
    let (file, log) = (FILE.load(Ordering::SeqCst), LOG.load(Ordering::SeqCst));
    let Some(Frame { before, after, quoted }) = FRAME.get() else { return };
    // Small, as the stack for such signals is. What comes before a line stays in front of each that is read.
    let mut buffer = [0u8; 1024];
    buffer[..before.len()].copy_from_slice(before.as_bytes());
    let (begin, end) = (before.len(), buffer.len() - after.len() - 1);
    // Quoted, a text is at the most twice as long: it is read behind where it will stand, and meets its end there.
    let from = if *quoted { begin + (end - begin).div_ceil(2) } else { begin };
    let mut offset = 0;
    loop {
        let rest = &mut buffer[from..end];
        // SAFETY: the slice is ours and as long as said; a descriptor that is closed is only an error.
        let read = unsafe { libc::pread(file, rest.as_mut_ptr().cast::<c_void>(), rest.len(), offset) };
        let Some(read) = usize::try_from(read).ok().filter(|read| *read > 0) else { break };
        let (line, step) = match rest[..read].iter().position(|byte| *byte == b'\n') {
            Some(end) => (end, end + 1),
            None => (read, read),
        };
        offset += step as libc::off_t;
        let mut at = if *quoted { quote(&mut buffer, begin, from, line) } else { begin + line };
        for piece in [after.as_bytes(), b"\n"] {
            buffer[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        // With one write: others write lines there, too.
        put(log, &buffer[..at]);
    }
    // SAFETY: none of these touches memory of ours.
    unsafe {
        if libc::getpid() != OWNER.load(Ordering::SeqCst) {
            // A child that was forked shares the file: its fault is not the end of its parent.
            libc::ftruncate(file, 0);
            libc::lseek(file, 0, libc::SEEK_SET);
        }
        libc::raise(signal);
    }
}

/// Writes the bytes that begin at `from` again from `to` on, as they may stand within a string of JSON; returns the end.
/// There must be as much room between the two as there are bytes, at least.
fn quote(buffer: &mut [u8], to: usize, from: usize, count: usize) -> usize {
    let mut at = to;
    for n in from..from + count {
        let byte = match buffer[n] {
            byte if byte == b'"' || byte == b'\\' => {
                buffer[at] = b'\\';
                at += 1;
                byte
            }
            byte if byte.is_ascii_graphic() || byte == b' ' => byte,
            _ => b'?',
        };
        buffer[at] = byte;
        at += 1;
    }
    at
}

/// Writes all of it, as far as anybody reads.
fn put(log: c_int, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the slice is valid for its length.
        let written = unsafe { libc::write(log, bytes.as_ptr().cast::<c_void>(), bytes.len()) };
        match usize::try_from(written).ok().and_then(|written| bytes.get(written..)) {
            Some(rest) if rest.len() < bytes.len() => bytes = rest,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use std::io::Read;
    use std::io::Write;

    /// What is shown of a file that says this, by a process that ends with a fault.
    fn shown(said: &str, frame: Frame) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let (mut reader, log) = io::pipe().unwrap();
        file.write_all(said.as_bytes()).unwrap();
        let here = file.try_clone().unwrap();
        // SAFETY: the child only calls what is under test, and ends by it.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let _ = show(file, log.into(), frame);
                // SAFETY: raising a signal is always possible.
                unsafe {
                    libc::raise(libc::SIGABRT);
                    libc::_exit(3);
                }
            }
            ForkResult::Parent { child } => {
                drop(log);
                let mut text = String::new();
                reader.read_to_string(&mut text).unwrap();
                let ended = waitpid(child, None).unwrap();
                assert!(
                    matches!(ended, WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGABRT, _)),
                    "{ended:?}"
                );
                assert!(here.metadata().unwrap().len() > 0);
                text
            }
        }
    }

    #[test]
    fn a_fault_shows_what_is_in_the_file_and_ends_the_process() {
        let frame = Frame { before: "ERROR x: ".into(), ..Frame::default() };
        let text = shown(&format!("Fatal Python error\n\n{}\nlast", "x".repeat(2000)), frame);
        assert!(text.starts_with("ERROR x: Fatal Python error\nERROR x: \nERROR x: xxx"), "{text}");
        assert!(text.ends_with("xxx\nERROR x: last\n"), "{text}");
        assert_eq!((text.matches('x').count(), text.lines().count()), (2000 + 5, 5), "{text}");
        assert!(text.lines().all(|line| line.starts_with("ERROR x: ")), "{text}");
    }

    #[test]
    fn as_json_each_line_of_it_stays_within_its_string() {
        let file = format!("  File \"a\\b\", line 1\n\n\u{1b}ü\n{}\nlast", "\"".repeat(1100));
        // However long the frame is: what is quoted fills the room to its last byte.
        for pad in ["", " ", "  "] {
            let before = format!("{pad}{{\"message\":\"");
            let text = shown(&file, Frame { before, after: "\"}".into(), quoted: true });
            let lines: Vec<_> = text.lines().map(|line| line.strip_prefix(pad).unwrap()).collect();
            assert_eq!(lines[0], r#"{"message":"  File \"a\\b\", line 1"}"#);
            assert_eq!((lines[1], lines[2]), (r#"{"message":""}"#, r#"{"message":"???"}"#));
            assert_eq!(text.matches(r#"\""#).count(), 1100 + 2, "{text}");
            assert!(
                lines.iter().all(|line| line.starts_with("{\"message\":\"") && line.ends_with("\"}")),
                "{text}"
            );
            assert_eq!(*lines.last().unwrap(), r#"{"message":"last"}"#);
        }
    }
}
