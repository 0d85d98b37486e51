//! `manpages REFERENCE OUT`: makes the man pages of the programs from their pages in docs/reference, so that one cannot
//! say what the other does not. skynet's own come from its table of commands (`skynet generate`).
//!
//! Exit codes: 0 all are written; 100 wrong usage; 111 one could not be read or written.
#![forbid(unsafe_code)]

mod page;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The programs and the sections of their pages: 8, where Debian has daemontools'; 5, what is written and read.
const PAGES: [(&str, &str); 24] = [
    ("svscan", "8"),
    ("supervise", "8"),
    ("service-config", "8"),
    ("svc", "8"),
    ("svok", "8"),
    ("svstat", "8"),
    ("multilog", "8"),
    ("svscanboot", "8"),
    ("setuidgid", "8"),
    ("envuidgid", "8"),
    ("envdir", "8"),
    ("softlimit", "8"),
    ("setlock", "8"),
    ("fghack", "8"),
    ("pgrphack", "8"),
    ("readproctitle", "8"),
    ("tai64n", "8"),
    ("tai64nlocal", "8"),
    ("exo", "8"),
    ("skynet-broker", "8"),
    ("service.toml", "5"),
    ("config", "5"),
    ("handler", "7"),
    ("wrappers", "7"),
];

/// What a page is called among all the pages of a machine, where its name says too little there.
fn title(name: &str) -> String {
    match name {
        "config" | "handler" | "wrappers" => format!("skynet-{name}"),
        _ => name.to_owned(),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [reference, out] = arguments.as_slice() else {
        eprintln!("manpages: usage: manpages reference out");
        return ExitCode::from(100);
    };
    for (name, section) in PAGES {
        if let Err(e) = write(Path::new(reference), Path::new(out), name, section) {
            eprintln!("manpages: fatal: cannot make the page of {name}: {e}");
            return ExitCode::from(111);
        }
    }
    ExitCode::SUCCESS
}

fn write(reference: &Path, out: &Path, name: &str, section: &str) -> io::Result<()> {
    let text = fs::read_to_string(reference.join(format!("{name}.md")))?;
    let title = title(name);
    fs::create_dir_all(out)?;
    fs::write(out.join(format!("{title}.{section}")), page::render(&text, &title, section))
}
