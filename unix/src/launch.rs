//! A child that executes its program only once it is on record.
//!
//! The child shares our memory until it executes (`CLONE_VM | CLONE_VFORK`, as posix_spawn does): it writes the
//! record itself, between its birth and its program, while we are suspended. So whatever runs can be found by
//! whoever comes after us, also when we are killed in the middle: the child has a copy of our descriptors until
//! it executes, and with them our locks, so nobody comes after us before the record is complete.
//!
//! No page table is copied and no pipe is waited for: a start costs what vfork and exec cost, and the record.

use crate::process;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use std::ffi::{CStr, CString};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

/// What is to be executed, and how. The working directory, the environment and the descriptors without
/// close-on-exec are ours.
#[derive(Debug, Default)]
pub struct Launch<'a> {
    /// The file, and the words of its command line.
    pub words: &'a [&'a CStr],
    /// `NAME=value`, added to our environment; what is there under the same name is left out.
    pub environment: &'a [CString],
    /// It gets a session and a process group of its own.
    pub session: bool,
    /// It gets the first descriptor under the number of the second.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Resource limits: soft, hard.
    pub limits: &'a [(Resource, u64, u64)],
}

/// A child that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Its pid.
    pub pid: i32,
    /// Why it could not execute its program. It has exited with 111, and is to be reaped as any other child.
    pub failed: Option<(Step, Errno)>,
}

/// What a new child has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Have itself recorded.
    Record,
    /// Limit this resource.
    Limit(Resource),
    /// Put a descriptor in its place.
    Descriptor,
    /// Execute the program.
    Execute,
}

/// What the child finds in our memory, and where it leaves what it has to say.
struct Shared<'a, 'r> {
    launch: &'a Launch<'a>,
    words: &'a [*const libc::c_char],
    environment: *const *const libc::c_char,
    ticks_before: u64,
    record: &'r mut Record<'r>,
    failed: Option<(Step, Errno)>,
}

/// Puts a new child on record: its pid, and its start time or why that cannot be found out. Where this fails, the child
/// executes nothing.
pub type Record<'a> = dyn FnMut(i32, Result<u64, Errno>) -> Result<(), Errno> + 'a;

/// Room for the frames of [`child`]. Mapped for the length of a launch only: afterwards nothing of it stays in memory.
const STACK: usize = 64 * 1024;
/// How many signals the kernel knows.
const SIGNALS: libc::c_long = 64;

impl Launch<'_> {
    /// Makes the child. `record` is called in it, before it executes, with its pid and start time; it shares
    /// our memory, and anything it allocates stays allocated here.
    ///
    /// # Errors
    /// What `clone` reports. What goes wrong in the child afterwards is in [`Launched::failed`].
    pub fn start<'r>(&'r self, record: &'r mut Record<'r>) -> io::Result<Launched> {
        let words: Vec<_> = self.words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        let environment = self.environment();
        let mut shared = Shared {
            launch: self,
            words: &words,
            environment: environment.as_ref().map_or_else(environ, |list| list.as_ptr()),
            ticks_before: process::boot_ticks(),
            record,
            failed: None,
        };
        let room = NonZeroUsize::MIN.saturating_add(STACK - 1);
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping takes nobody's memory.
        let stack =
            unsafe { mmap_anonymous(None, room, access, MapFlags::MAP_PRIVATE | MapFlags::MAP_STACK)? };
        // A signal between clone and exec would meet our handlers in the child, with our memory: it waits until
        // the child has its default dispositions.
        let mut before = SigSet::empty();
        // Setting a mask fails only for one that there is not.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before));
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack is ours and unused for the length of the call, because CLONE_VFORK suspends this
        // thread until the child has executed or exited; its top, the end of a page, is aligned. `shared` lives
        // as long. The child runs `child` only, which never returns.
        let pid = unsafe {
            let top = stack.as_ptr().cast::<u8>().add(STACK);
            libc::clone(child, top.cast(), flags, (&raw mut shared).cast())
        };
        let pid = Errno::result(pid);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        // SAFETY: our own mapping, which nobody runs on any more.
        let _ = unsafe { munmap(stack, STACK) };
        let pid = pid?;
        Ok(Launched { pid, failed: shared.failed })
    }

    /// The environment as execve wants it, if it is not just ours.
    fn environment(&self) -> Option<Vec<*const libc::c_char>> {
        if self.environment.is_empty() {
            return None;
        }
        let name = |entry: &CStr| entry.to_bytes().split(|b| *b == b'=').next().map(<[u8]>::to_vec);
        let ours: Vec<_> = self.environment.iter().map(|entry| name(entry)).collect();
        let mut list = vec![];
        let mut at = environ();
        // SAFETY: `environ` is an array of strings that ends with null; nobody changes it while we read, as
        // programs that launch children set no variables.
        unsafe {
            while !at.is_null() && !(*at).is_null() {
                if !ours.contains(&name(CStr::from_ptr(*at))) {
                    list.push(*at);
                }
                at = at.add(1);
            }
        }
        list.extend(self.environment.iter().map(|entry| entry.as_ptr()));
        list.push(ptr::null());
        Some(list)
    }
}

/// Takes a variable out of our environment, and so out of that of all children. To be called at the start, before
/// there is a second thread.
pub fn hide_variable(name: &str) {
    let Ok(name) = CString::new(name) else { return };
    // SAFETY: the string lives during the call; the caller says that no other thread reads the environment.
    unsafe { libc::unsetenv(name.as_ptr()) };
}

fn environ() -> *const *const libc::c_char {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    // SAFETY: POSIX's variable; it is only read, and only by programs that do not change their environment.
    unsafe { environ }
}

extern "C" fn child(shared: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `start` passes its `Shared`, which lives until this process has executed or exited; the thread
    // that owns it is suspended meanwhile.
    let shared = unsafe { &mut *shared.cast::<Shared<'_, '_>>() };
    // What we handle, and what whoever started us ignores, is no business of the program's. The dispositions are our
    // own, not shared as the memory is.
    // Asked of the kernel itself, for C's library leaves out the two of its own (32 and 33), which its posix_spawn ignores
    // in whoever started us.
    let default = [0u64; 4];
    for signal in 1..=SIGNALS {
        // SAFETY: a sigaction of the kernel, whatever its layout, that is all zero is the default action without flags
        // and mask; none is larger. KILL and STOP refuse, and need not be told.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), SIGNALS / 8)
        };
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let pid = nix::unistd::getpid().as_raw();
    let start_time = match process::boot_ticks() {
        // Born and looked within one tick: that is the one, and /proc need not be asked.
        ticks if ticks == shared.ticks_before => Ok(ticks),
        _ => process::start_time(pid).map_err(|e| Errno::try_from(e).unwrap_or(Errno::UnknownErrno)),
    };
    shared.failed = Some(match (shared.record)(pid, start_time) {
        Ok(()) => shared.become_program(),
        Err(errno) => (Step::Record, errno),
    });
    // SAFETY: ends this process without running what its parent registered for its own exit.
    unsafe { libc::_exit(111) }
}

impl Shared<'_, '_> {
    /// Executes the program. Returns only when that fails.
    fn become_program(&self) -> (Step, Errno) {
        let launch = self.launch;
        if launch.session {
            // Fails only for a group leader, which a new child is not.
            let _ = nix::unistd::setsid();
        }
        for (resource, soft, hard) in launch.limits {
            if let Err(errno) = setrlimit(*resource, *soft, *hard) {
                return (Step::Limit(*resource), errno);
            }
        }
        for (descriptor, number) in launch.descriptors {
            if let Err(errno) = place(descriptor.as_raw_fd(), *number) {
                return (Step::Descriptor, errno);
            }
        }
        // SAFETY: both arrays end with null, and what they point to lives in the suspended parent.
        unsafe { libc::execve(self.words[0], self.words.as_ptr(), self.environment) };
        (Step::Execute, Errno::last())
    }
}

/// Makes `descriptor` known as `number`, for the program that is executed next.
fn place(descriptor: RawFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: integers only. What `number` was in this process is close-on-exec or meant to be replaced.
    let result = unsafe {
        if descriptor == number {
            libc::fcntl(descriptor, libc::F_SETFD, 0)
        } else {
            libc::dup2(descriptor, number)
        }
    };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fds;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    fn run(launch: &Launch<'_>) -> (Launched, WaitStatus) {
        let launched = launch.start(&mut |_, _| Ok(())).unwrap();
        (launched, waitpid(Pid::from_raw(launched.pid), None).unwrap())
    }

    fn shell(script: &CStr) -> [CString; 3] {
        [c"/bin/sh".into(), c"-c".into(), script.into()]
    }

    fn words(list: &[CString]) -> Vec<&CStr> {
        list.iter().map(CString::as_c_str).collect()
    }

    #[test]
    fn the_child_is_recorded_before_its_program_runs_and_by_what_proc_says_of_it() {
        let (read, write) = fds::pipe().unwrap();
        let mut log = File::from(write);
        let list = shell(c"echo program; read line");
        let (far, near) = fds::pipe().unwrap();
        let fork = Launch {
            words: &words(&list),
            descriptors: &[(log.as_fd(), 1), (far.as_fd(), 0)],
            ..Launch::default()
        };
        let mut said = log.try_clone().unwrap();
        let mut told = None;
        let launched = fork
            .start(&mut |pid, time| {
                told = Some(time);
                writeln!(said, "record {pid} {time:?}").unwrap();
                Ok(())
            })
            .unwrap();
        // It lives, waiting for a line.
        let seen = process::start_time(launched.pid).unwrap();
        assert_eq!(told, Some(Ok(seen)));
        assert_eq!(launched.failed, None);
        drop(near);
        assert!(matches!(waitpid(Pid::from_raw(launched.pid), None).unwrap(), WaitStatus::Exited(..)));
        log.flush().unwrap();
        drop((log, said));
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("record {} Ok({seen})\nprogram\n", launched.pid));
    }

    #[test]
    fn a_child_that_cannot_be_recorded_executes_nothing() {
        let (read, write) = fds::pipe().unwrap();
        let list = shell(c"echo program");
        let launch = Launch { words: &words(&list), descriptors: &[(write.as_fd(), 1)], ..Launch::default() };
        let launched = launch.start(&mut |_, _| Err(Errno::ENOSPC)).unwrap();
        assert_eq!(launched.failed, Some((Step::Record, Errno::ENOSPC)));
        let pid = Pid::from_raw(launched.pid);
        assert_eq!(waitpid(pid, None).unwrap(), WaitStatus::Exited(pid, 111));
        drop(write);
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        assert_eq!(text, "");
    }

    #[test]
    fn a_program_that_cannot_run_is_told_at_once_and_ends_with_111() {
        let (launched, end) = run(&Launch { words: &[c"/no/such/program"], ..Launch::default() });
        assert_eq!(launched.failed, Some((Step::Execute, Errno::ENOENT)));
        assert_eq!(end, WaitStatus::Exited(Pid::from_raw(launched.pid), 111));
    }

    #[test]
    fn a_limit_that_cannot_be_set_is_told() {
        let limits = [(Resource::RLIMIT_NOFILE, 2, 1)];
        let (launched, end) = run(&Launch { words: &[c"/bin/true"], limits: &limits, ..Launch::default() });
        assert_eq!(launched.failed, Some((Step::Limit(Resource::RLIMIT_NOFILE), Errno::EINVAL)));
        assert_eq!(end, WaitStatus::Exited(Pid::from_raw(launched.pid), 111));
    }

    #[test]
    fn session_limits_variables_and_descriptors_are_as_told() {
        let (read, write) = fds::pipe().unwrap();
        let list =
            shell(c"ps -o sid= -p $$ | tr -d ' ' >&7; echo $$ $COLOUR ${PATH:+path} >&7; ulimit -n >&7");
        let (launched, _) = run(&Launch {
            words: &words(&list),
            environment: &[c"COLOUR=blue".into()],
            session: true,
            descriptors: &[(write.as_fd(), 7)],
            limits: &[(Resource::RLIMIT_NOFILE, 33, 33)],
        });
        drop(write);
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        let pid = launched.pid;
        assert_eq!(text, format!("{pid}\n{pid} blue path\n33\n"));
    }
}
