//! `skynet log [NAME…]`: what participants wrote, merged by time.
//!
//! | file | idea |
//! |---|---|
//! | `files.rs` | the files of one log in the order they were written, also while they rotate |
//! | `reader.rs` | the lines of one log, one after the other, each with its time |
//! | `merge.rs` | several logs as one; pure |
//! | `print.rs` | a line as people see it |

mod files;
mod merge;
mod print;
mod reader;

use crate::cli::writer;
use crate::name;
use crate::tree::{Tree, folders, select};
use crate::trouble::{Outcome, cannot};
use crate::waiting::{Waiting, Woken};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use print::Printer;
use reader::{Line, Reader};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

/// How many lines `--follow` begins with.
const BEGINNING: usize = 10;
/// `--follow` is not bounded.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Prints logs.
pub fn run(tree: &Tree, args: &writer::Log) -> Outcome {
    match print_logs(tree, args) {
        // Who reads has read enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(0),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(tree.unknown(&e.to_string(), &known(tree)?)),
        done => done.map(|()| 0).map_err(cannot("read", tree.logs().display())),
    }
}

/// Names that have a log, or will have one.
fn known(tree: &Tree) -> Result<Vec<String>, crate::trouble::Trouble> {
    let mut known = folders(&tree.logs())?;
    known.extend(tree.services()?);
    known.sort_unstable();
    known.dedup();
    Ok(known)
}

fn print_logs(tree: &Tree, args: &writer::Log) -> io::Result<()> {
    let known = known(tree).map_err(io::Error::other)?;
    let picked = select(&known, &args.names).map_err(|name| io::Error::new(ErrorKind::NotFound, name))?;
    let many = picked.len() > 1 || (args.follow && args.names.is_empty());
    let mut printer = Printer::new(many, args.wfid.as_deref());
    let mut readers = vec![];
    for name in picked {
        readers.push(Reader::open(&tree.logs().join(&name), name)?);
    }
    let lines = args.lines.or(args.follow.then_some(BEGINNING));
    print_what_is_there(&mut readers, lines, args.follow, &mut printer)?;
    if args.follow { follow(tree, args, readers, &mut printer) } else { Ok(()) }
}

fn print_what_is_there(
    readers: &mut [Reader],
    lines: Option<usize>,
    unfinished: bool,
    printer: &mut Printer,
) -> io::Result<()> {
    let mut last: VecDeque<(String, Line)> = VecDeque::new();
    merge::merge(readers, !unfinished, |reader, line| {
        let Some(lines) = lines else { return printer.print(&reader.name, &line) };
        if printer.wants(&line) && lines > 0 {
            if last.len() == lines {
                last.pop_front();
            }
            last.push_back((reader.name.clone(), line));
        }
        Ok(())
    })?;
    for (name, line) in &last {
        printer.print(name, line)?;
    }
    printer.flush()
}

/// Prints what is written from now on, until nobody reads it any more or ^C.
fn follow(
    tree: &Tree,
    args: &writer::Log,
    mut readers: Vec<Reader>,
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
        merge::merge(&mut readers, false, |reader, line| printer.print(&reader.name, &line))?;
        printer.flush()?;
        let stdout = io::stdout();
        if waiting.next_or(Some(PollFd::new(stdout.as_fd(), PollFlags::empty()))) == Woken::Over || deaf() {
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
