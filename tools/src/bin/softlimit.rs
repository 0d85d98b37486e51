//! `softlimit [-a -c -d -f -l -m -o -p -r -s -t N] CHILD…`: runs CHILD with new soft resource limits.
//!
//! N is a number, cut to the hard limit, or `=`: the hard limit itself. Of options given twice the last one holds.
//!
//! Exit codes: 100 wrong usage; 111 a limit cannot be set, or CHILD cannot be run; else CHILD's own.
#![forbid(unsafe_code)]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::convert::Infallible;
use std::process::ExitCode;
use tools::environment::Environment;
use tools::failure::Failure;
use tools::limit::{Limit, OPTIONS};
use tools::{child, options};

const USAGE: &str = "softlimit [-a allbytes] [-c corebytes] [-d databytes] [-f filebytes] [-l lockbytes] \
[-m membytes] [-o openfiles] [-p processes] [-r residentbytes] [-s stackbytes] [-t cpusecs] child";

fn main() -> ExitCode {
    let Err(failure) = run();
    failure.tell("softlimit", USAGE)
}

fn run() -> Result<Infallible, Failure> {
    let takes = |letter| OPTIONS.iter().any(|(known, _)| *known == letter).then_some(true);
    let options =
        options::parse(std::env::args_os().skip(1), takes, |argument| Limit::parse(argument).is_some())?;
    let mut limits = vec![];
    for (letter, argument) in &options.given {
        let limit = Limit::parse(argument.as_deref().unwrap_or_default()).ok_or(Failure::Usage)?;
        let limited =
            OPTIONS.iter().filter(|(known, _)| known == letter).flat_map(|(_, resources)| *resources);
        limits.extend(limited.map(|resource| (*resource, limit)));
    }
    if options.operands.is_empty() {
        return Err(Failure::Usage);
    }
    // First of all what needs memory: the limits hold for this process, too.
    let child = child::prepare("softlimit", &options.operands, Environment::inherited());
    limits.into_iter().try_for_each(|(resource, limit)| set(resource, limit))?;
    child.run()
}

fn set(resource: Resource, limit: Limit) -> Result<(), Failure> {
    let (_, hard) = getrlimit(resource).map_err(|e| Failure::of(&[b"getrlimit failed"], e))?;
    setrlimit(resource, limit.below(hard), hard).map_err(|e| Failure::of(&[b"setrlimit failed"], e))
}
