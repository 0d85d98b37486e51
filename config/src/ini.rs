//! The INI form of the original, read as Python's `configparser` reads it: sections, `key = value` or `key: value`,
//! comments with # or ; on lines of their own, continuation lines, keys without case, `%(key)s`.

use std::collections::BTreeMap;
use thiserror::Error;

/// What a key that is not in its own section is looked for in.
const DEFAULT: &str = "DEFAULT";
/// How often a value may lead to another.
const DEPTH: usize = 10;

/// A value and the line that it begins on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: String,
    line: usize,
}

/// An INI file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ini {
    sections: BTreeMap<String, BTreeMap<String, Entry>>,
}

/// Why a text is not INI, and on which line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct BadIni {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// The name in a section header such as `[boss]`.
pub fn header(line: &str) -> Option<&str> {
    let (name, _) = line.trim().strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name.trim())
}

/// Whether a text is of this form: it has a header that only the original's files have.
pub fn is_ini(text: &str) -> bool {
    text.trim_start_matches('\u{feff}')
        .lines()
        .filter_map(header)
        .map(str::trim)
        .any(|name| ["boss", "participant", "skynet"].contains(&name) || name.starts_with("program:"))
}

impl Ini {
    /// Reads a text.
    ///
    /// # Errors
    /// The first line that is neither header, comment, key nor continuation.
    pub fn parse(text: &str) -> Result<Self, BadIni> {
        let mut ini = Self::default();
        let mut section: Option<String> = None;
        // The key that a deeper line continues, and how deep it stands.
        let mut open: Option<(String, usize)> = None;
        // Lines without anything within a value belong to it, where it goes on after them.
        let mut blank = 0;
        for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let (number, content) = (at + 1, line.trim());
            if content.is_empty() || content.starts_with(['#', ';']) {
                blank += usize::from(content.is_empty());
                continue;
            }
            let blank = std::mem::take(&mut blank);
            let depth = line.len() - line.trim_start().len();
            if let (Some(name), Some((key, own))) = (&section, &open)
                && depth > *own
            {
                if let Some(entry) = ini.sections.get_mut(name).and_then(|s| s.get_mut(key)) {
                    entry.value.extend(std::iter::repeat_n('\n', blank + 1));
                    entry.value.push_str(content);
                }
                continue;
            }
            if let Some(name) = header(content) {
                ini.sections.entry(name.to_owned()).or_default();
                (section, open) = (Some(name.to_owned()), None);
                continue;
            }
            let bad = |reason| BadIni { line: number, reason };
            let name = section.as_ref().ok_or_else(|| bad("there is no [section] above this line"))?;
            let (key, value) = content
                .split_once(['=', ':'])
                .ok_or_else(|| bad("this line is neither KEY = VALUE nor [section]"))?;
            let key = key.trim().to_lowercase();
            if key.is_empty() {
                return Err(bad("there is no key before the sign"));
            }
            let entry = Entry { value: value.trim().to_owned(), line: number };
            ini.sections.entry(name.clone()).or_default().insert(key.clone(), entry);
            open = Some((key, depth));
        }
        Ok(ini)
    }

    /// The sections' names.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// A value and its line. What `%(key)s` stands for is put in; where that cannot be found the value is left as it
    /// is written.
    pub fn get(&self, section: &str, key: &str) -> Option<(String, usize)> {
        let entry = self.entry(section, key)?;
        let value = self.expand(section, &entry.value, DEPTH).unwrap_or_else(|| entry.value.clone());
        Some((value, entry.line))
    }

    fn entry(&self, section: &str, key: &str) -> Option<&Entry> {
        let own = self.sections.get(section)?.get(key);
        own.or_else(|| self.sections.get(DEFAULT)?.get(key))
    }

    fn expand(&self, section: &str, value: &str, depth: usize) -> Option<String> {
        let mut text = String::with_capacity(value.len());
        let mut rest = value;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                text.push('%');
                rest = after;
                continue;
            }
            let (key, after) = after.strip_prefix('(')?.split_once(")s")?;
            let entry = self.entry(section, &key.to_lowercase()).filter(|_| depth > 0)?;
            text.push_str(&self.expand(section, &entry.value, depth - 1)?);
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTIFY: &str = "\
[program:notify]
command = /usr/bin/skynet_exo /etc/supervisor/conf.d/notify.conf
process_name = %(program_name)s_%(process_num)s
user = nobody
environment = PYTHONUNBUFFERED=1,HOME=\"/tmp\",USER=\"nobody\"

[participant]
name = notify
; a comment
  # and one more
Queue: notify_queue
code = %(base)s/notify.py
base = /usr/share/boss-skynet
percent = 100%% sure
broken = 5% off
long = one
   two

 three = 3

empty =

[DEFAULT]
shared = yes
";

    #[test]
    fn a_file_is_read_as_configparser_reads_it() {
        let ini = Ini::parse(NOTIFY).unwrap();
        for (section, key, value) in [
            ("participant", "name", Some("notify")),
            ("participant", "queue", Some("notify_queue")),
            ("participant", "code", Some("/usr/share/boss-skynet/notify.py")),
            ("participant", "percent", Some("100% sure")),
            ("participant", "broken", Some("5% off")),
            ("participant", "long", Some("one\ntwo\n\nthree = 3")),
            ("participant", "empty", Some("")),
            ("participant", "shared", Some("yes")),
            ("participant", "nothing", None),
            ("program:notify", "process_name", Some("%(program_name)s_%(process_num)s")),
            ("program:notify", "environment", Some("PYTHONUNBUFFERED=1,HOME=\"/tmp\",USER=\"nobody\"")),
            ("boss", "amqp_host", None),
        ] {
            assert_eq!(ini.get(section, key).map(|(value, _)| value).as_deref(), value, "{section}.{key}");
        }
        assert_eq!(ini.get("participant", "queue").unwrap().1, 11);
    }

    #[test]
    fn a_value_that_leads_to_itself_is_left_as_it_is() {
        let ini = Ini::parse("[a]\nx = %(y)s\ny = %(x)s\n").unwrap();
        assert_eq!(ini.get("a", "x").unwrap().0, "%(y)s");
    }

    #[test]
    fn a_line_that_is_nothing_is_named() {
        for (text, line, says) in [
            ("x = 1\n", 1, "no [section]"),
            ("[a]\nx = 1\nnonsense\n", 3, "neither KEY"),
            ("[a]\n= 1\n", 2, "no key"),
        ] {
            let bad = Ini::parse(text).unwrap_err();
            assert!(bad.line == line && bad.reason.contains(says), "{text}: {bad:?}");
        }
    }

    #[test]
    fn the_form_is_told_by_its_headers() {
        for (text, ini) in [
            ("[boss]\n", true),
            ("x = 1\n\n [ participant ] # as it was\n", true),
            ("[skynet]", true),
            ("[program:x]", true),
            ("[amqp]\n[bosses]\n[\"boss\"]\n", false),
            ("", false),
        ] {
            assert_eq!(is_ini(text), ini, "{text}");
        }
    }
}
