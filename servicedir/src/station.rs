//! supervise's side of a service directory: lock, FIFOs, and the status it writes.

use crate::status::{self, FULL, Status};
use crate::{client, holder, names};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::mkfifo;
use std::cell::Cell;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use unix::fds::open_nonblocking;
use unix::marked::Mark;
use unix::process::Identity;

/// What could not be done with which file, as daemontools says it: `unable to acquire supervise/lock`.
#[derive(Debug)]
pub struct Trouble {
    /// What was tried: `open`, `acquire`, …
    pub verb: &'static str,
    /// The file, relative to the service directory.
    pub file: &'static str,
    /// Why it failed.
    pub error: io::Error,
}

/// The files of a running supervise, in the working directory. As long as it lives, this supervise is the
/// only one, `ok` can be opened and letters arrive.
pub struct Station {
    control: File,
    _control_writer: OwnedFd,
    _ok: OwnedFd,
    lock: Flock<File>,
    /// The lock file keeps a status that could be written nowhere else.
    kept: Cell<bool>,
    /// Tells readers whether the status that is there is right.
    mark: Option<Mark>,
}

/// Why the status could not be replaced.
#[derive(Debug)]
pub struct Unwritten {
    /// What could not be done.
    pub trouble: Trouble,
    /// The old one is still there, and wrong: [`Station::mark`] says so to readers.
    pub stale: bool,
    /// Whoever comes after us finds it all the same: overwritten in place, or in the lock file.
    pub on_record: bool,
}

impl Unwritten {
    /// # Errors
    /// Why the status is not on record, where it is nowhere.
    pub fn nowhere(&self) -> Result<(), Errno> {
        let number = self.trouble.error.raw_os_error();
        if self.on_record { Ok(()) } else { Err(number.map_or(Errno::EIO, Errno::from_raw)) }
    }
}

impl Station {
    /// Takes the service directory that is the working directory, for this process.
    ///
    /// # Errors
    /// What could not be made, opened or locked; the lock of another supervise shows as EAGAIN.
    pub fn open(own: Option<&Identity>) -> Result<Self, Trouble> {
        // Where it cannot be made there is no lock in it, which is said as daemontools says it.
        let _ = make_folder();
        let lock = private(names::LOCK).and_then(acquire).map_err(|error| Trouble {
            verb: "acquire",
            file: names::LOCK,
            error,
        })?;
        // Without it (the disk was full before there was any) a new svscan looks at us every few seconds instead of
        // waiting for our end.
        let _ = own.map(|own| holder::record(&lock, own));
        make_fifo(names::CONTROL)?;
        let control = open_fifo(names::CONTROL, OFlag::O_RDONLY)?;
        let control_writer = open_fifo(names::CONTROL, OFlag::O_WRONLY)?;
        make_fifo(names::OK)?;
        Ok(Self {
            control: control.into(),
            _control_writer: control_writer,
            _ok: open_fifo(names::OK, OFlag::O_RDONLY)?,
            kept: Cell::new(holder::keeps(&lock)),
            lock,
            mark: None,
        })
    }

    /// What an earlier supervise left, the newest first: the status that its lock file keeps, and the one in its place; as
    /// far as they may be believed when they say which process to signal: the directory, `supervise/` and the file must
    /// be ours, and nobody else may write them.
    pub fn left(&self) -> impl Iterator<Item = Status> + use<> {
        let dir = Path::new(".");
        let kept = self.kept.get().then(|| holder::kept(dir)).flatten();
        // The file that may not be there comes first.
        let in_place = holder::is_ours(dir, &[names::STATUS, names::SUPERVISE, "."]);
        kept.into_iter().chain(in_place.then(|| client::status(dir).ok()).flatten())
    }

    /// The control letters that have arrived, at most as many as `buffer` holds; empty when there are none.
    pub fn letters<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let n = (&self.control).read(buffer).unwrap_or(0);
        &buffer[..n]
    }

    /// Becomes readable when letters arrive.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Replaces the status. Where there is no room for a new file the old one is overwritten in place, and
    /// where that fails too it is removed: no reader is ever told a wrong pid. Whoever comes after us finds it in the
    /// lock file then, if that can be written.
    ///
    /// # Errors
    /// What writing or renaming reports; the status is then right (in place), gone, or [stale](Unwritten::stale).
    pub fn write_status(&self, status: &Status) -> Result<(), Unwritten> {
        let bytes = status.to_bytes();
        if self.kept.get() {
            // Of two records the kept one is believed, also by one who kills us before it is dropped.
            let _ = holder::keep(&self.lock, status);
        }
        let Err(trouble) = replace(&bytes) else {
            self.drop_kept();
            return Ok(());
        };
        let in_place = without_waiting().write(true).open(names::STATUS).and_then(|old| {
            old.write_all_at(&bytes, 0)?;
            old.set_len(FULL as u64)
        });
        let on_record = in_place.is_ok() || holder::keep(&self.lock, status).is_ok();
        if in_place.is_ok() {
            self.drop_kept();
        } else if on_record {
            self.kept.set(true);
        }
        let stale = in_place.is_err()
            && fs::remove_file(names::STATUS).is_err_and(|e| e.kind() != io::ErrorKind::NotFound);
        Err(Unwritten { trouble, stale, on_record })
    }

    fn drop_kept(&self) {
        if self.kept.get() {
            self.kept.set(holder::drop_kept(&self.lock).is_err());
        }
    }

    /// Marks the status that is there as right, or as wrong: that needs no room and works where nothing can be written.
    /// Not to be called in a child that shares our memory: its descriptors are not ours.
    pub fn mark(&mut self, stale: bool) {
        let byte = if stale { status::WRONG } else { status::RIGHT };
        let status = without_waiting().read(true).open(names::STATUS);
        self.mark = status.and_then(|file| Mark::on(file, byte)).ok();
    }

    /// Takes the mark away, before the next status is written: the old one takes no room and no descriptor then.
    pub fn unmark(&mut self) {
        self.mark = None;
    }
}

/// Makes `supervise/`, or the folder that a dangling link of that name points to (Debian's packages link it
/// to /run, which is empty after a boot).
fn make_folder() -> io::Result<()> {
    let make = |path: &Path| match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    };
    match fs::read_link(names::SUPERVISE) {
        Ok(target) => make(&target),
        Err(_) => make(Path::new(names::SUPERVISE)),
    }
}

fn private(name: &str) -> io::Result<File> {
    without_waiting().write(true).create(true).truncate(false).mode(0o600).open(name)
}

/// Opens a file, or fails where somebody has put a FIFO in its place: who waited for that would be deaf.
fn without_waiting() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(nix::libc::O_NONBLOCK);
    options
}

fn acquire(file: File) -> io::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

fn make_fifo(name: &'static str) -> Result<(), Trouble> {
    match mkfifo(name, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Trouble { verb: "create", file: name, error: errno.into() }),
    }
}

fn open_fifo(name: &'static str, flags: OFlag) -> Result<OwnedFd, Trouble> {
    let verb = if flags == OFlag::O_RDONLY { "read" } else { "write" };
    let trouble = |error| Trouble { verb, file: name, error };
    let fifo = open_nonblocking(Path::new(name), flags).map_err(trouble)?;
    // A file would always be readable, and never bring a letter.
    let mode = fstat(&fifo).map_err(|errno| trouble(errno.into()))?.st_mode;
    if SFlag::from_bits_truncate(mode) & SFlag::S_IFMT != SFlag::S_IFIFO {
        return Err(trouble(io::Error::other("not a FIFO (remove it, and supervise makes one)")));
    }
    Ok(fifo)
}

fn replace(bytes: &[u8]) -> Result<(), Trouble> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(names::STATUS_NEW)
        .map_err(|error| Trouble { verb: "open", file: names::STATUS_NEW, error })
        .and_then(|mut file| {
            file.write_all(bytes).map_err(|error| Trouble { verb: "write", file: names::STATUS_NEW, error })
        })
        .and_then(|()| {
            fs::rename(names::STATUS_NEW, names::STATUS).map_err(|error| Trouble {
                verb: "rename",
                file: "supervise/status.new to status",
                error,
            })
        })
}
