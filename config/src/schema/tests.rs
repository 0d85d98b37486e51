//! Every key is refused where its value cannot be, and stands in the reference.

use super::*;
use crate::file;
use std::fmt::Write;
use std::path::Path;

/// Values that a key of this kind refuses.
fn wrong(kind: Kind) -> Vec<String> {
    let text = ["7", "true", "[\"x\"]", "{ x = 1 }", "1979-05-27"].map(str::to_owned).to_vec();
    let with = |more: &[&str]| [text.clone(), more.iter().map(|m| (*m).to_owned()).collect()].concat();
    match kind {
        Kind::Text => text,
        Kind::Name => with(&["\"\""]),
        Kind::Participant => with(&["\"\"", "\"a/b\"", "\"a@2\"", "\".x\"", "\"a\\n\""]),
        Kind::Queue => with(&["\"\"", "\"amq.x\"", "\"a\\n\""]),
        Kind::Url => with(&["\"\"", "\"http://h\"", "\"amqp://\"", "\"amqp://h:port\""]),
        Kind::Urls => with(&["[]", "[7]", "[\"http://h\"]", "\"amqp://h\""]),
        Kind::Pattern => with(&["\"(\"", "\"[a\""]),
        Kind::Command => ["7", "\"x\"", "[7]", "[\"x\", 7]", "[\"\"]", "{}"].map(str::to_owned).to_vec(),
        Kind::Program => {
            ["7", "\"x\"", "[7]", "[\"x\", 7]", "[\"\"]", "{}", "[]"].map(str::to_owned).to_vec()
        }
        Kind::RubyClass => with(&["\"\"", "\"a b\"", "\"error\"", "\"A::\""]),
        Kind::Bool => ["0", "\"true\"", "\"yes\"", "[]"].map(str::to_owned).to_vec(),
        Kind::Count(least, most) => {
            let mut values = ["\"7\"", "7.0", "true", "[7]"].map(str::to_owned).to_vec();
            values.extend([(least - 1).to_string(), (most + 1).to_string()]);
            values
        }
        Kind::Duration => with(&["\"\"", "\"60\"", "\"s\"", "\"-1s\"", "\"1 s\"", "\"1w\""]),
        Kind::Size(_) => with(&["\"\"", "\"M\"", "\"1k\"", "\"-1\"", "\"1.5M\""]),
        Kind::OneOf(_) => with(&["\"\"", "\"other\""]),
        Kind::Class => with(&["\"x\"", "\"m:\"", "\":C\"", "\"m:C:D\""]),
        Kind::Table(_) | Kind::Open(_) | Kind::Fields => {
            ["7", "\"x\"", "true", "[]"].map(str::to_owned).to_vec()
        }
    }
}

/// All keys with their full names, tables too.
fn all(keys: &[Key], before: &str) -> Vec<(String, Key)> {
    let mut found = vec![];
    for key in keys {
        let name = format!("{before}{}", key.name);
        found.push((name.clone(), *key));
        match key.kind {
            Kind::Table(inner) | Kind::Open(inner) => found.extend(all(inner, &format!("{name}."))),
            Kind::Fields => found.extend(all(FIELD, "fields.x.")),
            _ => {}
        }
    }
    found
}

#[test]
fn every_key_with_a_wrong_type_or_range_is_refused_with_file_line_key_and_what_is_expected() {
    let mut tried = 0;
    for (name, key) in all(KEYS, "") {
        for value in wrong(key.kind) {
            let text = format!("# settings\n\n{name} = {value}\n");
            let error = file::check(Path::new("config.exo"), &text).unwrap_err().to_string();
            let says = format!("config.exo:3: {name} takes {}, not ", key.kind.expected());
            assert!(error.starts_with(&says) && !error.contains('\n'), "{text}: {error}");
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}

fn rows(out: &mut String, keys: &[Key]) {
    out.push_str("| key | takes | default | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let takes = match key.kind {
            Kind::Table(_) | Kind::Open(_) | Kind::Fields => "a table, see below".into(),
            kind => kind.expected(),
        };
        let default = if key.default.is_empty() { "" } else { key.default };
        let cell = |text: &str| text.replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            key.name,
            cell(&takes),
            cell(default),
            cell(key.meaning)
        );
    }
}

fn tables(out: &mut String, keys: &[Key], before: &str) {
    for key in keys {
        let name = format!("{before}{}", key.name);
        let (inner, title) = match key.kind {
            Kind::Table(inner) | Kind::Open(inner) => (inner, format!("[{name}]")),
            Kind::Fields => (FIELD, "[fields] NAME = { … }".to_owned()),
            _ => continue,
        };
        let _ = write!(out, "\n### {title}\n\n{}\n\n", key.meaning);
        rows(out, inner);
        tables(out, inner, &format!("{name}."));
    }
}

/// The page is written anew with: UPDATE_DOCS=1 cargo test -p config
#[test]
fn the_reference_page_has_every_key() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/config.md");
    let (begin, end) = ("<!-- made from config/src/schema.rs -->\n", "<!-- end -->\n");
    let text = std::fs::read_to_string(&page).unwrap();
    let (head, rest) = text.split_once(begin).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    let mut made = String::from("\n");
    rows(&mut made, KEYS);
    tables(&mut made, KEYS, "");
    let new = format!("{head}{begin}{made}\n{end}{tail}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &new).unwrap();
    }
    assert!(std::fs::read_to_string(&page).unwrap() == new, "run: UPDATE_DOCS=1 cargo test -p config");
}
