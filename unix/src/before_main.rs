//! What this process was given, and what Rust's runtime makes of it before `main`: undone for programs that become
//! another program or a plain filter.
//!
//! The runtime ignores SIGPIPE and opens /dev/null in place of closed standard descriptors. A wrapper that is to
//! change one thing only (a limit, a variable, the user) must hand on both as they were. A function in
//! `.init_array` looks before the runtime does; glibc (not musl) gives it the arguments, whose memory is what ps(1) shows.

use nix::sys::signal::{SigHandler, Signal, signal};
use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

static PIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);
static WAS_CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
static LAST_ARGUMENT: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

#[used]
// SAFETY: libc calls what stands in .init_array once, before main; glibc with argc, argv and envp, which are read there
// only.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn(c_int, *const *mut c_char, *const *mut c_char) = look;

extern "C" fn look(argc: c_int, argv: *const *mut c_char, _envp: *const *mut c_char) {
    // SAFETY: an all-zero sigaction is a value of it, and the call only writes to it.
    let ignored = unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    };
    PIPE_WAS_IGNORED.store(ignored, Ordering::Relaxed);
    for (fd, closed) in (0..).zip(&WAS_CLOSED) {
        // SAFETY: F_GETFD takes integers only.
        closed.store(unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1, Ordering::Relaxed);
    }
    if cfg!(not(target_env = "gnu")) {
        return;
    }
    if let Some(last) = usize::try_from(argc).ok().and_then(|count| count.checked_sub(1)) {
        // SAFETY: argv has argc entries, which live as long as the process.
        LAST_ARGUMENT.store(unsafe { *argv.add(last) }, Ordering::Relaxed);
    }
}

/// Gives SIGPIPE its former disposition and closes again what was closed when the process started. For just before
/// another program takes over, and for filters, which open nothing: a file opened afterwards might become a standard
/// descriptor.
pub fn restore() {
    if !PIPE_WAS_IGNORED.load(Ordering::Relaxed) {
        // SAFETY: SIG_DFL installs no handler of ours.
        let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    }
    for (fd, closed) in (0..).zip(&WAS_CLOSED) {
        if closed.swap(false, Ordering::Relaxed) {
            // SAFETY: the runtime opened it, and std's standard streams take EBADF for an end.
            unsafe { libc::close(fd) };
        }
    }
}

/// The memory of the last argument: what is written there is what ps(1) shows from then on.
#[derive(Debug)]
pub struct LastArgument {
    start: *mut c_char,
    length: usize,
}

impl LastArgument {
    /// Takes it: there is one, and it can be taken once. `None` when the process has no arguments at all, or is not
    /// linked with glibc.
    pub fn take() -> Option<Self> {
        let start = LAST_ARGUMENT.swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: not null, it is the last entry of argv: a string that lives as long as the process.
        (!start.is_null()).then(|| Self { start, length: unsafe { CStr::from_ptr(start) }.count_bytes() })
    }

    /// Bytes there are.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Writes over it, from its start; what does not fit is left out.
    pub fn write(&mut self, text: &[u8]) {
        let length = text.len().min(self.length);
        // SAFETY: the argument is writable memory of this process with at least `length` bytes, and nothing holds
        // a reference to it: std copies arguments when it is asked for them.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr().cast(), self.start, length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_memory_can_be_taken_once() {
        let argument = LastArgument::take().expect("a test has its path as argument");
        assert_eq!(argument.length(), std::env::args().next_back().unwrap().len());
        assert!(LastArgument::take().is_none());
    }
}
