//! Becoming another program, or starting it as a child: all that it takes is made beforehand, so that the step
//! itself allocates nothing and works under any limit and after a fork.

use crate::{before_main, words};
use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid, fork};
use std::ffi::{CStr, CString, c_char};
use std::io::{self, IoSlice};
use std::ptr;

/// A program with its arguments and environment, and what to say when it cannot be run.
#[derive(Debug)]
pub struct Execution {
    candidates: Vec<CString>,
    argv: Strings,
    environment: Strings,
    complaint: Vec<u8>,
}

/// A list of strings as `execve` takes it.
#[derive(Debug)]
struct Strings {
    pointers: Vec<*const c_char>,
    /// Where the pointers point to: on the heap, which does not move with the list.
    _strings: Vec<CString>,
}

impl Strings {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}

impl Execution {
    /// The first of `candidates` (paths) that can be executed is it. `complaint` is followed by the error's word
    /// when there is none.
    pub fn new(
        candidates: Vec<CString>,
        argv: Vec<CString>,
        environment: Vec<CString>,
        complaint: Vec<u8>,
    ) -> Self {
        Self { candidates, argv: Strings::new(argv), environment: Strings::new(environment), complaint }
    }

    /// Becomes the program. When that cannot be: the complaint, and exit code 111.
    pub fn run(&self) -> ! {
        before_main::restore();
        let word = words::known(self.try_all() as i32).unwrap_or("unknown error");
        let line = [&self.complaint, word.as_bytes(), b"\n"].map(IoSlice::new);
        // Nobody is left to be told when standard error is gone.
        let _ = nix::sys::uio::writev(io::stderr(), &line);
        // SAFETY: ends the process without running what a parent registered for its own exit.
        unsafe { libc::_exit(111) }
    }

    /// Starts the program as a child, with the descriptors that are not closed on exec.
    ///
    /// # Errors
    /// What `fork` reports.
    pub fn start(&self) -> io::Result<Pid> {
        // SAFETY: between fork and exec the child runs `run` only, which allocates nothing, takes no lock and calls
        // async-signal-safe functions (signal-safety(7)).
        match unsafe { fork() }? {
            ForkResult::Child => self.run(),
            ForkResult::Parent { child } => Ok(child),
        }
    }

    /// Tries one after the other. A file that may not be executed is remembered and passed over, one that is not
    /// there is passed over, anything else is the end of the search.
    fn try_all(&self) -> Errno {
        let mut reason = Errno::ENOENT;
        for path in &self.candidates {
            match self.try_one(path) {
                Errno::ENOENT => {}
                errno @ (Errno::EACCES | Errno::EPERM | Errno::EISDIR) => reason = errno,
                errno => return errno,
            }
        }
        reason
    }

    fn try_one(&self, path: &CStr) -> Errno {
        let (argv, environment) = (self.argv.pointers.as_ptr(), self.environment.pointers.as_ptr());
        // SAFETY: both lists end with null, and their strings live as long as `self`.
        unsafe { libc::execve(path.as_ptr(), argv, environment) };
        Errno::last()
    }
}

/// The environment of this process, entry by entry as it was given: also what has no `=` or occurs twice.
pub fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut entries = vec![];
    // SAFETY: environ is null or a list of strings that ends with null (environ(7)); nothing here changes it.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};

    fn end_of(candidates: &[&str]) -> i32 {
        let strings = |list: &[&str]| list.iter().map(|s| CString::new(*s).unwrap()).collect::<Vec<_>>();
        let script = strings(&["sh", "-c", "test \"$A\" = b && exit 7"]);
        let execution =
            Execution::new(strings(candidates), script, strings(&["A=b"]), b"test: cannot run it: ".to_vec());
        match waitpid(execution.start().unwrap(), None).unwrap() {
            WaitStatus::Exited(_, code) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_candidate_that_can_be_executed_runs() {
        for (candidates, code) in [
            (&["/bin/sh"][..], 7),
            (&["/nowhere/sh", "/bin", "/bin/sh"], 7),
            (&["/etc/passwd", "/bin/sh"], 7),
            (&["/etc/passwd/sh", "/bin/sh"], 111),
            (&["/nowhere/sh"], 111),
            (&[], 111),
        ] {
            assert_eq!(end_of(candidates), code, "{candidates:?}");
        }
    }

    #[test]
    fn the_environment_is_that_of_the_process() {
        let path = std::env::var("PATH").unwrap();
        assert!(environment().contains(&CString::new(format!("PATH={path}")).unwrap()));
    }
}
