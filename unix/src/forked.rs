//! What is not for children that somebody else in this process forks, and that execute nothing: our connections, which would
//! stay open after our end, and our signal handlers, which would take the signals that are to end the child.

use libc::c_int;
use nix::errno::Errno;
use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// So many descriptors at a time; more stay open in children.
const ROOM: usize = 32;
/// Signals have numbers below.
const SIGNALS: usize = 65;

/// A descriptor of ours, and the file that it was opened for: later the number may be another's.
struct Private {
    fd: AtomicI32,
    inode: AtomicU64,
}

static PRIVATE: [Private; ROOM] =
    [const { Private { fd: AtomicI32::new(-1), inode: AtomicU64::new(0) } }; ROOM];
/// Our handler for each signal; 0 = none.
static HANDLERS: [AtomicUsize; SIGNALS] = [const { AtomicUsize::new(0) }; SIGNALS];
static WRITING: Mutex<()> = Mutex::new(());
static HOOK: Once = Once::new();

/// Children do not have this descriptor.
pub fn keep_private(fd: &impl AsFd) {
    hook();
    let fd = fd.as_fd().as_raw_fd();
    let Some(inode) = inode(fd) else { return };
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let free = |private: &&Private| {
        let known = private.fd.load(Ordering::SeqCst);
        known < 0 || known == fd || !private.is_open()
    };
    if let Some(private) = PRIVATE.iter().find(free) {
        private.fd.store(-1, Ordering::SeqCst);
        private.inode.store(inode, Ordering::SeqCst);
        private.fd.store(fd, Ordering::SeqCst);
    }
}

/// How these signals are dealt with now is not for children: to them happens what the system does by default.
///
/// # Errors
/// What `sigaction` reports.
pub fn keep_handlers(signals: &[c_int]) -> io::Result<()> {
    hook();
    for signal in signals {
        let handler = handler(*signal).ok_or_else(io::Error::last_os_error)?;
        if let Some(kept) = usize::try_from(*signal).ok().and_then(|number| HANDLERS.get(number)) {
            kept.store(handler, Ordering::SeqCst);
        }
    }
    Ok(())
}

impl Private {
    fn is_open(&self) -> bool {
        inode(self.fd.load(Ordering::SeqCst)) == Some(self.inode.load(Ordering::SeqCst))
    }
}

fn hook() {
    HOOK.call_once(|| {
        // SAFETY: they make only calls that are allowed between fork and exec of a process with threads. Without memory
        // for it children have what they have.
        unsafe { libc::pthread_atfork(Some(before), Some(again), Some(in_child)) };
    });
}

thread_local! {
    /// The signals that the thread which forks had blocked.
    static BLOCKED: Cell<MaybeUninit<libc::sigset_t>> = const { Cell::new(MaybeUninit::uninit()) };
}

/// A signal that comes to the child at once waits until our handlers are gone.
extern "C" fn before() {
    let (mut all, mut blocked) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both are filled in, by a call that cannot fail with such arguments.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), blocked.as_mut_ptr());
    }
    BLOCKED.set(blocked);
}

/// What was blocked before is blocked again, and nothing else.
extern "C" fn again() {
    // SAFETY: `before` has filled it in, in this thread.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, BLOCKED.get().as_ptr(), ptr::null_mut()) };
}

/// The first thing in a child. It has one thread, and may make only calls that are safe in signal handlers.
extern "C" fn in_child() {
    for private in PRIVATE.iter().filter(|private| private.is_open()) {
        // SAFETY: it is ours, and no thread of ours lives in the child that would use it.
        unsafe { libc::close(private.fd.load(Ordering::SeqCst)) };
    }
    for (signal, kept) in (0..).zip(&HANDLERS) {
        let kept = kept.load(Ordering::SeqCst);
        if kept != 0 && handler(signal) == Some(kept) {
            // SAFETY: what the system does by default is always possible.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    again();
}

/// What tells the file behind a descriptor from others that are open now; safe in signal handlers.
fn inode(fd: c_int) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: fstat writes to memory of the right size; a descriptor that is not open is an error.
    Errno::result(unsafe { libc::fstat(fd, stat.as_mut_ptr()) }).ok()?;
    // SAFETY: the call succeeded, so it is filled in.
    Some(unsafe { stat.assume_init() }.st_ino)
}

/// What a signal calls; safe in signal handlers.
fn handler(signal: c_int) -> Option<usize> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action sigaction only writes the old one, to memory of the right size.
    Errno::result(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) }).ok()?;
    // SAFETY: the call succeeded, so it is filled in.
    Some(unsafe { action.assume_init() }.sa_sigaction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    /// The exit code of a child that does this and nothing else.
    fn in_a_child(act: impl FnOnce() -> i32) -> WaitStatus {
        // SAFETY: the child makes system calls only, and ends.
        match unsafe { fork() }.unwrap() {
            // SAFETY: it ends a process that has nothing to tidy up.
            ForkResult::Child => unsafe { libc::_exit(act()) },
            ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        }
    }

    fn is_open(fd: c_int) -> i32 {
        i32::from(inode(fd).is_some())
    }

    #[test]
    fn a_child_has_no_private_descriptor_but_those_that_took_its_number() {
        let (ours, other) = UnixStream::pair().unwrap();
        keep_private(&ours);
        keep_private(&ours);
        let (own, theirs) = (ours.as_raw_fd(), other.as_raw_fd());
        let told = in_a_child(|| is_open(own) * 2 + is_open(theirs));
        assert!(matches!(told, WaitStatus::Exited(_, 1)), "{told:?}");
        assert_eq!(is_open(own), 1);
        // Of many that come and go each has its place.
        for _ in 0..ROOM * 3 {
            let (ours, _other) = UnixStream::pair().unwrap();
            keep_private(&ours);
            let own = ours.as_raw_fd();
            let told = in_a_child(|| is_open(own));
            assert!(matches!(told, WaitStatus::Exited(_, 0)), "{told:?}");
        }
        let slot = PRIVATE.iter().find(|private| private.fd.load(Ordering::SeqCst) == own).unwrap();
        slot.inode.store(1, Ordering::SeqCst);
        let told = in_a_child(|| is_open(own));
        assert!(matches!(told, WaitStatus::Exited(_, 1)), "{told:?}");
    }

    #[test]
    fn a_child_has_no_handler_of_ours_and_keeps_those_of_others() {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(libc::SIGURG, Arc::clone(&flag)).unwrap();
        signal_hook::flag::register(libc::SIGWINCH, flag).unwrap();
        keep_handlers(&[libc::SIGURG]).unwrap();
        let default = |signal| i32::from(handler(signal) == Some(libc::SIG_DFL));
        let told = in_a_child(|| default(libc::SIGURG) * 2 + default(libc::SIGWINCH));
        assert!(matches!(told, WaitStatus::Exited(_, 2)), "{told:?}");
        assert_eq!(default(libc::SIGURG), 0);
    }
}
