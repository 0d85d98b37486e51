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
const LONGEST_PREFIX: usize = 300;

/// The file, and the log; for a signal handler only what is atomic.
static FILE: AtomicI32 = AtomicI32::new(NONE);
static LOG: AtomicI32 = AtomicI32::new(NONE);
static OWNER: AtomicI32 = AtomicI32::new(0);
static PREFIX: OnceLock<Vec<u8>> = OnceLock::new();

/// From now on a fault that ends this process shows in `log` what is in `file` by then, each line after `prefix`. The
/// descriptors stay open as long as the process lives. Returns the number of the file's.
///
/// # Errors
/// What `sigaction` reports.
pub fn show(file: File, log: OwnedFd, prefix: &str) -> io::Result<c_int> {
    let number = file.into_raw_fd();
    let _ = PREFIX.set(prefix.as_bytes().to_vec());
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
    let prefix = PREFIX.get().map_or(&[][..], |prefix| &prefix[..prefix.len().min(LONGEST_PREFIX)]);
    // Small, as the stack for such signals is. The prefix stays in front of each line that is read.
    let mut buffer = [0u8; 1024];
    buffer[..prefix.len()].copy_from_slice(prefix);
    let mut offset = 0;
    loop {
        let rest = &mut buffer[prefix.len()..];
        // SAFETY: the slice is ours and as long as said; a descriptor that is closed is only an error. One byte is left.
        let read = unsafe { libc::pread(file, rest.as_mut_ptr().cast::<c_void>(), rest.len() - 1, offset) };
        let Some(read) = usize::try_from(read).ok().filter(|read| *read > 0) else { break };
        let (line, step) = match rest[..read].iter().position(|byte| *byte == b'\n') {
            Some(end) => (end, end + 1),
            None => (read, read),
        };
        rest[line] = b'\n';
        offset += step as libc::off_t;
        // With one write: others write lines there, too.
        put(log, &buffer[..=prefix.len() + line]);
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

    #[test]
    fn a_fault_shows_what_is_in_the_file_and_ends_the_process() {
        let mut file = tempfile::tempfile().unwrap();
        let (mut reader, log) = io::pipe().unwrap();
        file.write_all(format!("Fatal Python error\n\n{}\nlast", "x".repeat(2000)).as_bytes()).unwrap();
        let here = file.try_clone().unwrap();
        // SAFETY: the child only calls what is under test, and ends by it.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let _ = show(file, log.into(), "ERROR x: ");
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
                assert!(text.starts_with("ERROR x: Fatal Python error\nERROR x: \nERROR x: xxx"), "{text}");
                assert!(text.ends_with("xxx\nERROR x: last\n"), "{text}");
                assert_eq!((text.matches('x').count(), text.lines().count()), (2000 + 5, 5), "{text}");
                assert!(text.lines().all(|line| line.starts_with("ERROR x: ")), "{text}");
                let ended = waitpid(child, None).unwrap();
                assert!(
                    matches!(ended, WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGABRT, _)),
                    "{ended:?}"
                );
                assert!(here.metadata().unwrap().len() > 0);
            }
        }
    }
}
