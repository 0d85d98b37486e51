//! docs/reference/json.md, read as what it promises: which keys the JSON of a command has.

use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::take;
use std::sync::LazyLock;

/// Keys of an object, and those of an object or list of objects below one of them.
type Keys = BTreeMap<String, BTreeSet<String>>;

static WORDS: LazyLock<Regex> = LazyLock::new(|| Regex::new("`([^`]+)`").unwrap());
static OBJECT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`\{([^}`]*)\}`").unwrap());
static KIND: LazyLock<Regex> = LazyLock::new(|| Regex::new("^event: \"([a-z]+)\"").unwrap());
static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\]\(#([a-z-]+)\)").unwrap());

/// The tables of the reference.
pub struct Promised {
    /// Command (with the options that change what it prints) and what its row says.
    rows: BTreeMap<String, String>,
    /// The tables of keys, by the anchor of their heading.
    sections: BTreeMap<String, Keys>,
    /// Commands whose JSON was compared.
    compared: BTreeSet<String>,
}

impl Promised {
    pub fn read() -> Self {
        let text = fs::read_to_string(tests::checkout().join("docs/reference/json.md")).unwrap();
        let mut read = Self { rows: BTreeMap::new(), sections: BTreeMap::new(), compared: BTreeSet::new() };
        let mut anchor = String::new();
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                anchor = heading.to_lowercase().replace(' ', "-");
            }
            let Some((first, second)) = line.strip_prefix("| `").and_then(|row| row.split_once(" | ")) else {
                continue;
            };
            let first = format!("`{first}");
            let words = WORDS.captures_iter(&first).map(|found| found[1].to_owned());
            if anchor.is_empty() {
                read.rows.extend(words.map(|command| (command, second.to_owned())));
            } else {
                let below = OBJECT.captures(second).map(|found| keys(&found[1])).unwrap_or_default();
                let section = read.sections.entry(anchor.clone()).or_default();
                section.extend(words.map(|key| (key, below.clone())));
            }
        }
        read
    }

    /// Commands of the tables.
    pub fn commands(&self) -> BTreeSet<String> {
        self.rows.keys().cloned().collect()
    }

    /// Those that were not compared since the last call.
    pub fn left(&mut self) -> Vec<String> {
        let compared = take(&mut self.compared);
        self.commands().difference(&compared).cloned().collect()
    }

    /// The JSON of a command has exactly these keys: none is missing, and none is not in the reference.
    /// An empty list has nothing to compare.
    pub fn compare(&mut self, command: &str, value: &Value) {
        let row = self.rows.get(command).unwrap_or_else(|| panic!("json.md has no row for {command}"));
        let objects = value.as_array().map_or_else(|| vec![value], |list| list.iter().collect());
        if objects.is_empty() {
            return;
        }
        for object in objects {
            let promised = self.keys_of(row, object);
            let found: BTreeSet<_> = object.as_object().unwrap().keys().collect();
            assert_eq!(promised.keys().collect::<BTreeSet<_>>(), found, "skynet {command}: {object}");
            for (key, below) in promised.iter().filter(|(_, below)| !below.is_empty()) {
                let inner = &object[key];
                let all = inner.as_array().map_or_else(|| vec![inner], |list| list.iter().collect());
                for one in all.into_iter().filter(|one| !one.is_null()) {
                    let found: BTreeSet<_> = one.as_object().unwrap().keys().cloned().collect();
                    assert_eq!(*below, found, "{key} of skynet {command}: {object}");
                }
            }
        }
        self.compared.insert(command.to_owned());
    }

    /// What a row promises of this object: the keys of the tables it leads to and those it names; where it names
    /// several kinds of objects, those of this one's kind.
    fn keys_of(&self, row: &str, object: &Value) -> Keys {
        let mut all = Keys::new();
        for link in LINK.captures_iter(row) {
            let section = self.sections.get(&link[1]);
            all.extend(section.unwrap_or_else(|| panic!("no table for #{}", &link[1])).clone());
        }
        for named in OBJECT.captures_iter(row) {
            if KIND.captures(&named[1]).is_none_or(|kind| object["event"] == kind[1]) {
                all.extend(keys(&named[1]).into_iter().map(|key| (key, BTreeSet::new())));
            }
        }
        all
    }
}

/// The keys in `a, b: "value", c`.
fn keys(list: &str) -> BTreeSet<String> {
    list.split(", ").filter_map(|key| key.split(':').next()).map(str::to_owned).collect()
}
