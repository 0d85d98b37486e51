//! `manpages REFERENCE OUT`: makes the man pages of the programs from their pages in docs/reference, so that one cannot
//! say what the other does not. skynet's own come from its table of commands (`skynet generate`).
//!
//! Exit codes: 0 all are written; 100 wrong usage; 111 one could not be read or written.
#![forbid(unsafe_code)]

mod page;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// A name in docs/reference, and the section of its page.
type Known = (&'static str, &'static str);

/// The page that others are related to and that is not made here.
const SKYNET: Known = ("skynet", "1");

/// The programs and the sections of their pages: 8, where Debian has daemontools'; 5, what is written and read.
const PAGES: [Known; 24] = [
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
    if let Err(e) = write(Path::new(reference), Path::new(out)) {
        eprintln!("manpages: fatal: cannot make the pages: {e}");
        return ExitCode::from(111);
    }
    ExitCode::SUCCESS
}

fn write(reference: &Path, out: &Path) -> io::Result<()> {
    fs::create_dir_all(out)?;
    let read = |known: Known| {
        let path = reference.join(format!("{}.md", known.0));
        let text = fs::read_to_string(&path);
        Ok((known, text.map_err(|e| io::Error::other(format!("{}: {e}", path.display())))?))
    };
    let texts = PAGES.into_iter().map(read).collect::<io::Result<Vec<_>>>()?;
    let links: Vec<_> = texts.iter().map(|((name, _), text)| (*name, page::links(text))).collect();
    for ((name, section), text) in &texts {
        let (title, see_also) = (title(name), relatives(name, &links));
        let page = page::render(text, &title, section, &see_also);
        fs::write(out.join(format!("{title}.{section}")), page)?;
    }
    Ok(())
}

/// The pages that this one links to, and those that link to it, by section and name.
fn relatives(name: &str, links: &[(&str, Vec<String>)]) -> Vec<String> {
    let links_to = |from: &str, to: &str| {
        links.iter().any(|(page, links)| *page == from && links.iter().any(|link| link == to))
    };
    let known = PAGES.into_iter().chain([SKYNET]);
    let related =
        known.filter(|(other, _)| *other != name && (links_to(name, other) || links_to(other, name)));
    let sorted: BTreeSet<_> = related.map(|(other, section)| (section, title(other))).collect();
    sorted.into_iter().map(|(section, title)| format!("{title}({section})")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives_are_who_is_linked_to_and_who_links_in_the_order_of_sections() {
        let links = [
            ("svc", "See [config](config.md#grace), [svok](svok.md), [what is no page](json.md)."),
            (
                "svstat",
                "As [svc](svc.md), [svc again](svc.md), [skynet](skynet.md), [a how-to](../howto/svok.md).",
            ),
            ("svok", "None."),
        ]
        .map(|(name, text)| (name, page::links(text)));
        assert_eq!(relatives("svc", &links), ["skynet-config(5)", "svok(8)", "svstat(8)"]);
        assert_eq!(relatives("svstat", &links), ["skynet(1)", "svc(8)"]);
        assert_eq!(relatives("svok", &links), ["svc(8)"]);
        assert!(relatives("multilog", &links).is_empty());
    }
}
