//! The original's INI files are read as Python's `configparser` reads them: the same texts through both.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use config::ini::Ini;
use serde_json::{Value, json};
use std::io::Write;
use tests::Sandbox;

const LINES: &[&str] = &[
    "[one]",
    "[two]",
    "  [two]",
    "[DEFAULT]",
    "[three] # x",
    "a = 1",
    "A=2",
    "b : x = y",
    "b=x: y",
    "  c = %(a)s!",
    "c= %(a)s",
    "d = 100%",
    "d = 100%%",
    "e =",
    "f",
    "# comment",
    "; comment",
    "   # comment",
    "",
    "   ",
    "    continued",
    "\tcontinued",
    "= x",
    ": x",
    "g = a # no comment",
    "g = a ; no comment",
    "h = %(nothing)s",
    "i = %(i)s",
    "j = %(c)s%(a)s",
    "K.l-m n = ü",
];

const READER: &str = "
import configparser, json, sys
out = []
for text in json.load(sys.stdin):
    c = configparser.ConfigParser(strict=False)
    try:
        c.read_string(text)
    except configparser.Error:
        out.append(None)
        continue
    found = {}
    for section in c.sections():
        for key in c[section]:
            try:
                found[section + '.' + key] = c.get(section, key)
            except configparser.Error:
                found[section + '.' + key] = c.get(section, key, raw=True)
    out.append(found)
json.dump(out, sys.stdout)
";

#[test]
fn random_files_say_the_same_to_pythons_configparser_and_to_us() {
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let texts: Vec<String> = (0..3000)
        .map(|_| {
            let lines = (0..1 + random(12)).map(|_| LINES[random(LINES.len())]).collect::<Vec<_>>();
            // Most begin as they must.
            format!("{}{}\n", if random(10) > 0 { "[zero]\n" } else { "" }, lines.join("\n"))
        })
        .collect();
    let sandbox = Sandbox::new();
    let mut python = sandbox.start_fed("python3", &["-c", READER]);
    python.take_stdin().write_all(json!(texts).to_string().as_bytes()).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&python.finish().good()).unwrap();
    let mut read = 0;
    for (text, expected) in texts.iter().zip(expected) {
        let Ok(ini) = Ini::parse(text) else {
            assert_eq!(expected, Value::Null, "Python reads what we refuse:\n{text}");
            continue;
        };
        let expected = expected.as_object().unwrap_or_else(|| panic!("we read what Python refuses:\n{text}"));
        for (name, value) in expected {
            let (section, key) = name.split_once('.').unwrap();
            let found = ini.get(section, key).map(|(value, _)| value);
            assert_eq!(found.as_deref(), value.as_str(), "{name} in:\n{text}");
            read += 1;
        }
    }
    assert!(read > 1000, "{read}");
}
