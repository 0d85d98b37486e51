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

/// Where there is no groff, no formatter can complain.
#[test]
fn no_page_makes_the_formatter_complain() {
    for page in pages() {
        let Ok(done) = Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(&page).output() else {
            return eprintln!("no groff here: this cannot be tried");
        };
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && said.is_empty(), "{}: {said}", page.display());
    }
}
