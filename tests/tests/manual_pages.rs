//! Man pages: one for every program, without a complaint of the formatter.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tests::Programs;

fn pages() -> Vec<PathBuf> {
    let man = Programs::ours().bin().parent().unwrap().join("man");
    fs::read_dir(man).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_program_has_a_page() {
    let pages: BTreeSet<_> = pages().iter().map(|page| page.file_stem().unwrap().to_owned()).collect();
    let programs = fs::read_dir(Programs::ours().bin()).unwrap().map(|entry| entry.unwrap().file_name());
    let without: Vec<_> = programs.filter(|program| !pages.contains(program)).collect();
    assert!(without.is_empty(), "no man page: {without:?}");
}

/// "SEE ALSO": made of the links of the reference, so that none stands alone.
#[test]
fn every_page_names_related_ones_that_are_there() {
    let pages = pages();
    let there: BTreeSet<_> = pages
        .iter()
        .filter_map(|page| {
            let (name, section) = page.file_name()?.to_str()?.rsplit_once('.')?;
            Some(format!("{name}({section})"))
        })
        .collect();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap().replace("\\-", "-");
        let related = text.split_once(".SH \"SEE ALSO\"\n").map(|(_, related)| related.trim_end());
        let related = related.unwrap_or_else(|| panic!("{} names none", page.display()));
        for one in related.split(", ") {
            assert!(there.contains(one), "{}: {one:?} is not there", page.display());
        }
    }
}

/// Where there is no groff, no formatter can complain. In a locale without UTF-8 it has fewer letters.
#[test]
fn no_page_makes_the_formatter_complain() {
    for (page, device) in pages().iter().flat_map(|page| [(page, "-Tutf8"), (page, "-Tascii")]) {
        let Ok(done) = Command::new("groff").args(["-man", "-ww", "-z", device]).arg(page).output() else {
            return eprintln!("no groff here: this cannot be tried");
        };
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.is_empty(), "{} {device}: {said}", page.display());
    }
}
