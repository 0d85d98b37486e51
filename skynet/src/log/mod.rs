//! `skynet log [NAME…]`: what participants wrote, merged by time.
//!
//! | file | idea |
//! |---|---|
//! | `files.rs` | the files of one log in the order they were written, also while they rotate |
//! | `label.rs` | the time before a line |
//! | `wanted.rs` | which lines are wanted, and finding them in a block; pure |
//! | `search.rs` | blocks of files, searched by several workers |
//! | `past.rs` | what logs hold now, merged by time |
//! | `reader.rs`, `merge.rs` | what is written from now on |
//! | `print.rs` | a line as people see it, or as JSON |

mod files;
mod label;
mod merge;
mod past;
mod print;
mod reader;
mod search;
mod wanted;

use crate::cli::writer;
use crate::name;
use crate::say::complain;
use crate::tree::{Tree, folders, select};
use crate::trouble::{Outcome, Trouble, cannot};
use crate::waiting::{Waiting, Woken};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use past::Past;
use print::Printer;
use reader::Reader;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};
use unix::tai64n::Tai64n;
pub use wanted::Wanted;

/// How many lines `--follow` begins with.
const BEGINNING: usize = 10;
/// `--follow` is not bounded.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// A line of a log: whose, when, and its text.
pub type Told = (String, Option<Tai64n>, Vec<u8>);

/// Prints logs.
pub fn run(tree: &Tree, args: &writer::Log, json: bool) -> Outcome {
    let since = args.since.map(ago);
    let wanted = Wanted::new(args.wfid.as_deref(), args.grep.as_deref(), since)
        .map_err(|why| Trouble::Usage(format!("--grep is no regular expression: {why}")))?;
    let known = known(tree)?;
    let picked =
        select(&known, &tree.as_services(&args.names)?).map_err(|name| tree.unknown(&name, &known))?;
    open_many_files();
    match print_logs(tree, args, &wanted, &picked, json) {
        // Who reads has read enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(0),
        // What only writing meets.
        Err(e) if e.kind() == ErrorKind::StorageFull => Err(cannot("write", "to standard output")(e)),
        done => done.map(|()| 0).map_err(cannot("read", tree.logs().display())),
    }
}

/// The lines of all participants' logs that are wanted, the oldest first.
///
/// # Errors
/// What reading reports.
pub fn lines(tree: &Tree, wanted: &Wanted) -> Result<Vec<Told>, Trouble> {
    let picked = select(&known(tree)?, &[]).unwrap_or_default();
    open_many_files();
    let mut lines = vec![];
    let mut read = || {
        let logs = open(tree, &picked, wanted, false)?;
        past::all(&logs, wanted, |i, at, text| {
            lines.push((logs[i].name.clone(), at, text.to_vec()));
            Ok(())
        })
    };
    read().map_err(cannot("read", tree.logs().display()))?;
    Ok(lines)
}

/// The label of the time so long ago.
pub fn ago(time: Duration) -> Tai64n {
    SystemTime::now().checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH).into()
}

/// A thousand logs of ten files each are more than a shell usually lets a program open.
fn open_many_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it is not to be had, opening says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Names that have a log, or will have one.
fn known(tree: &Tree) -> Result<Vec<String>, Trouble> {
    let mut known = folders(&tree.logs())?;
    known.extend(tree.services()?);
    known.sort_unstable();
    known.dedup();
    Ok(known)
}

fn open(tree: &Tree, names: &[String], wanted: &Wanted, whole: bool) -> io::Result<Vec<Past>> {
    names.iter().map(|name| Past::open(&tree.logs().join(name), name, wanted.since(), whole)).collect()
}

fn print_logs(
    tree: &Tree,
    args: &writer::Log,
    wanted: &Wanted,
    picked: &[String],
    json: bool,
) -> io::Result<()> {
    let many = picked.len() > 1 || (args.follow && args.names.is_empty());
    let mut printer = Printer::new(many, json);
    let logs = open(tree, picked, wanted, args.follow)?;
    let print = |i: usize, at, text: &[u8]| printer.print(&logs[i].name, at, text);
    match args.lines.or(args.follow.then_some(BEGINNING)) {
        Some(count) => past::last(&logs, wanted, count, print)?,
        None => past::all(&logs, wanted, print)?,
    }
    printer.flush()?;
    if !args.follow {
        let filtered = args.wfid.is_some() || args.grep.is_some() || args.since.is_some();
        match args.names.is_empty() {
            _ if printer.printed > 0 || args.lines == Some(0) => {}
            _ if filtered => complain!("no such line in {}", crate::units::count(picked.len(), "log")),
            true => complain!("nothing is logged in {}", tree.logs().display()),
            false => complain!("nothing is logged of {} in {}", picked.join(", "), tree.logs().display()),
        }
        return Ok(());
    }
    let resume = |log: Past| {
        let end = log.end();
        Reader::resume(&log.dir, log.name, end)
    };
    let readers = logs.into_iter().map(resume).collect::<io::Result<Vec<_>>>()?;
    follow(tree, args, readers, wanted, &mut printer)
}

/// Prints what is written from now on, until nobody reads it any more or ^C.
fn follow(
    tree: &Tree,
    args: &writer::Log,
    mut readers: Vec<Reader>,
    wanted: &Wanted,
    printer: &mut Printer,
) -> io::Result<()> {
    let waiting = Waiting::at_most(FOR_EVER).by_events();
    loop {
        waiting.watch(&tree.logs());
        if args.names.is_empty() {
            take_up_new_logs(tree, &mut readers)?;
        }
        for reader in &mut readers {
            waiting.watch(&reader.dir);
            reader.refresh()?;
        }
        merge::merge(&mut readers, false, |reader, line| {
            if wanted.takes(line.at, &line.text) {
                printer.print(&reader.name, line.at, &line.text)?;
            }
            Ok(())
        })?;
        printer.flush()?;
        let stdout = io::stdout();
        let woken = waiting.next_or(Some(PollFd::new(stdout.as_fd(), PollFlags::empty())));
        if woken != Woken::Look || deaf() {
            return Ok(());
        }
    }
}

fn take_up_new_logs(tree: &Tree, readers: &mut Vec<Reader>) -> io::Result<()> {
    for name in folders(&tree.logs()).map_err(io::Error::other)? {
        if name != name::BROKER && readers.iter().all(|reader| reader.name != name) {
            readers.push(Reader::open(&tree.logs().join(&name), name)?);
        }
    }
    Ok(())
}

/// Whether nobody reads our standard output any more.
pub fn deaf() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
