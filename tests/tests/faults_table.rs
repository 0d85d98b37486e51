//! The table of faults in docs/reference/faults.md and the tests named after them are the same.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::collections::BTreeSet;
use std::fs;

/// Each word that begins with `fault_`, after this text.
fn names<'a>(text: &'a str, after: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(after).skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest[..end].to_owned()
    })
}

#[test]
fn every_fault_of_the_table_has_its_test_and_every_such_test_its_fault() {
    let checkout = tests::checkout();
    let mut tests = BTreeSet::new();
    for file in fs::read_dir(checkout.join("tests/tests")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            tests.extend(names(&text, "\nfn ").filter(|name| name.starts_with("fault_")));
        }
    }
    let page = fs::read_to_string(checkout.join("docs/reference/faults.md")).unwrap();
    let mut told = BTreeSet::new();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |"));
    for row in rows {
        let columns: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(columns.len(), 6, "{row}");
        let named: Vec<_> = names(columns[5], "`").filter(|name| name.starts_with("fault_")).collect();
        assert!(!named.is_empty(), "no test in this row: {row}");
        for name in named {
            assert!(tests.contains(&name), "there is no test {name}: {row}");
            assert!(told.insert(name.clone()), "{name} is in two rows");
        }
    }
    let untold: Vec<_> = tests.difference(&told).collect();
    assert!(told.len() > 50 && untold.is_empty(), "in no row of docs/reference/faults.md: {untold:?}");
}
