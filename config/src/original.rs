//! A file of the original SkyNET: which of its INI keys are ours, and what they are called here.

use crate::file::{self, Checked, ConfigError, Place};
use crate::ini::Ini;
use std::collections::BTreeMap;
use std::path::Path;

/// The parts of the broker's address in `[boss]`.
const BOSS: [&str; 4] = ["amqp_host", "amqp_user", "amqp_pwd", "amqp_vhost"];
/// The keys of `[participant]` that are ours; every other is the participant's own.
const PARTICIPANT: [&str; 5] = ["name", "queue", "regexp", "code", "user"];

/// What an INI file says besides the keys that TOML has too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Original {
    /// The whole text: the handler gets it as it is.
    pub text: String,
    /// What of `[boss]` is there, and where.
    pub boss: BTreeMap<&'static str, (String, Place)>,
    /// `[skynet] log_level`.
    pub log_level: Option<String>,
    /// `[skynet] include_dir`.
    pub include_dir: Option<String>,
    /// NAME of `[program:NAME]`.
    pub program: Option<String>,
    /// The variables that `[program:NAME]` sets.
    pub environment: Vec<(String, String)>,
}

/// Checks the text of a file of this form. Keys that are not known never fail.
///
/// # Errors
/// A line that is no INI; a value of ours that cannot be.
pub fn check(file: &Path, text: &str) -> Result<Checked, ConfigError> {
    let place = |line| Place { file: file.into(), line };
    let text = text.trim_start_matches('\u{feff}');
    let ini = Ini::parse(text)
        .map_err(|bad| ConfigError::At { place: place(bad.line), reason: bad.to_string() })?;
    let get = |section: &str, key: &str| ini.get(section, key).filter(|(value, _)| !value.is_empty());
    let mut checked = Checked::default();
    let mut original = Original { text: text.to_owned(), ..Original::default() };
    if let Some(section) = ini.sections().find(|name| name.starts_with("program:")) {
        original.program = section.strip_prefix("program:").map(|name| name.trim().to_owned());
        original.environment =
            get(section, "environment").map(|(value, _)| variables(&value)).unwrap_or_default();
        if let Some((user, line)) = get(section, "user") {
            checked.places.insert("user".into(), place(line));
            checked.known.insert("user".into(), (toml::Value::String(user), place(line)));
        }
    }
    for key in PARTICIPANT {
        if let Some((value, line)) = get("participant", key) {
            file::check_text(&place(line), key, &value)?;
            checked.places.insert(key.into(), place(line));
            checked.known.insert(key.into(), (toml::Value::String(value), place(line)));
        }
    }
    for key in BOSS {
        if let Some((value, line)) = get("boss", key) {
            original.boss.insert(key, (value, place(line)));
        }
    }
    let skynet = |key| get("skynet", key).map(|(value, _)| value);
    (original.log_level, original.include_dir) = (skynet("log_level"), skynet("include_dir"));
    checked.original = Some(original);
    Ok(checked)
}

/// `KEY=value,KEY="value"` of supervisor: values may be quoted, and then hold commas.
fn variables(text: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let (mut value, mut quote, mut end) = (String::new(), None, after.len());
        for (at, c) in after.char_indices() {
            match (quote, c) {
                (Some(q), _) if c == q => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, ',' | '\n') => {
                    end = at;
                    break;
                }
                _ => value.push(c),
            }
        }
        push_variable(&mut found, key, if quote.is_some() { after } else { value.trim() });
        rest = after[end..].trim_start_matches([',', '\n', ' ']);
    }
    found
}

/// The variables of a `NAME.env`: `KEY=value` lines, with or without `export`; comments and other lines say nothing.
pub fn variables_of_file(text: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    for line in lines.filter(|line| !line.starts_with('#')) {
        let line = line.strip_prefix("export ").unwrap_or(line);
        if let Some((key, value)) = line.split_once('=') {
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
            push_variable(&mut found, key, quoted.unwrap_or(value));
        }
    }
    found
}

fn push_variable(found: &mut Vec<(String, String)>, key: &str, value: &str) {
    let key = key.trim();
    if !key.is_empty() && !key.contains(['\0', ' ']) && !value.contains('\0') {
        found.push((key.to_owned(), value.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn supervisors_file_gives_user_environment_and_the_participants_keys() {
        let text = "[program:notify]\nprocess_name = %(program_name)s_%(process_num)s\nuser = daemon\numask = 022\n\
                    environment = PYTHONUNBUFFERED=1,HOME=\"/tmp,x\",USER='nobody'\n\n[participant]\nqueue = q\n\
                    code = /x/notify.py\nunknown = %(never)s\n[skynet]\nlog_level = DEBUG\nnonsense = 1\n";
        let checked = check(Path::new("notify.conf"), text).unwrap();
        let original = checked.original.unwrap();
        let known: Vec<_> =
            checked.known.iter().map(|(key, (value, _))| (key.as_str(), value.as_str().unwrap())).collect();
        assert_eq!(known, [("code", "/x/notify.py"), ("queue", "q"), ("user", "daemon")]);
        assert_eq!(original.program.as_deref(), Some("notify"));
        assert_eq!(
            original.environment,
            pairs(&[("PYTHONUNBUFFERED", "1"), ("HOME", "/tmp,x"), ("USER", "nobody")])
        );
        assert_eq!((original.log_level.as_deref(), original.include_dir), (Some("DEBUG"), None));
    }

    #[test]
    fn the_participants_user_wins_over_the_programs() {
        let text = "[program:x]\nuser = daemon\n[participant]\nuser = mail\n";
        let checked = check(Path::new("x.conf"), text).unwrap();
        assert_eq!(checked.known["user"].0.as_str(), Some("mail"));
    }

    #[test]
    fn a_value_of_ours_that_cannot_be_is_named_with_its_line() {
        for (text, says) in [
            (
                "[participant]\nname = a/b\n",
                "x.conf:2: name takes a text in quotes that can name a participant",
            ),
            (
                "[participant]\nname = x\nqueue = amq.x\n",
                "x.conf:3: queue takes a text in quotes that can name a queue",
            ),
            (
                "[participant]\nname = x\nnonsense\n",
                "x.conf:3: this line is neither KEY = VALUE nor [section]",
            ),
        ] {
            let error = check(Path::new("x.conf"), text).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn an_env_file_has_a_variable_a_line() {
        let text = "\u{feff}export http_proxy=\"http://proxy:3128\"\nA=b=c\n B = 'x y' \nnonsense\n=x\nTWO WORDS=x\nE=\n";
        let expected = pairs(&[("http_proxy", "http://proxy:3128"), ("A", "b=c"), ("B", "x y"), ("E", "")]);
        assert_eq!(variables_of_file(text), expected);
    }
}
