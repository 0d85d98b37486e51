//! service.toml held against the table of keys. Every complaint names file, line, key and what is expected.

use crate::keys::{self, KEYS, LIMIT};
use servicedir::names::SERVICE_TOML;
use servicedir::policy::{Policy, RESOURCES};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

/// Reads the text into `policy`; complaints are added to `troubles`. Returns whether it has a notify command.
pub fn read(bytes: &[u8], policy: &mut Policy, troubles: &mut Vec<String>) -> bool {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let line = bytes[..e.valid_up_to()].split(|byte| *byte == b'\n').count();
            troubles.push(format!("{SERVICE_TOML}:{line}: is not UTF-8"));
            return false;
        }
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(e) => {
            let line = line(text, e.span().map_or(0, |span| span.start));
            troubles.push(format!("{SERVICE_TOML}:{line}: {}", e.message().replace('\n', " ")));
            return false;
        }
    };
    let mut reader = Reader { text, policy, troubles, seen: vec![] };
    reader.table("", table.get_ref());
    let seen = std::mem::take(&mut reader.seen);
    reader.together(&seen);
    seen.iter().any(|(name, _)| name == "notify.command")
}

struct Reader<'a> {
    text: &'a str,
    policy: &'a mut Policy,
    troubles: &'a mut Vec<String>,
    /// The keys that are there, and where.
    seen: Vec<(String, usize)>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            self.key(&name, key.span().start, value);
        }
    }

    fn key(&mut self, name: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let is_table = tables().any(|table| table == name);
        match value.get_ref() {
            DeValue::Table(table) if is_table => return self.table(&format!("{name}."), table),
            _ if is_table => return self.complain(at, &format!("{name} takes a table")),
            _ => {}
        }
        let plain = plain(value.get_ref());
        let (taken, takes) = if let Some(resource) = name.strip_prefix("limits.")
            && RESOURCES.iter().any(|(known, _)| *known == resource)
        {
            (keys::limit(self.policy, resource, &plain), LIMIT)
        } else if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            ((key.set)(self.policy, &plain), key.takes)
        } else {
            return self.unknown(name, at);
        };
        self.seen.push((name.to_owned(), at));
        if taken.is_none() {
            self.complain(value.span().start, &format!("{name} takes {takes}, not {}", shown(&plain)));
        }
    }

    /// What only several keys together can say.
    fn together(&mut self, seen: &[(String, usize)]) {
        let at = |name: &str| seen.iter().find(|(known, _)| known == name).map(|(_, at)| *at);
        let first = self.policy.backoff.first;
        match (at("backoff.factor"), at("backoff.max")) {
            (Some(factor), None) if self.policy.backoff.factor > 1000 => {
                self.complain(factor, "backoff.factor needs backoff.max");
            }
            (_, Some(max)) if self.policy.backoff.max < first => {
                self.complain(max, "backoff.max is less than backoff.first");
            }
            (_, None) => self.policy.backoff.max = first,
            _ => {}
        }
    }

    fn unknown(&mut self, name: &str, at: usize) {
        let near = known().map(|known| (strsim::damerau_levenshtein(&known, name), known)).min();
        let hint = near.filter(|(distance, _)| *distance <= 3 && *distance < name.len());
        let hint = hint.map_or_else(String::new, |(_, near)| format!(" (did you mean \"{near}\"?)"));
        self.complain(at, &format!("unknown key \"{}\"{hint}", name.escape_debug()));
    }

    fn complain(&mut self, at: usize, what: &str) {
        self.troubles.push(format!("{SERVICE_TOML}:{}: {what}", line(self.text, at)));
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

fn tables() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0)).chain(["limits"])
}

fn known() -> impl Iterator<Item = String> {
    let limits = RESOURCES.iter().map(|(name, _)| format!("limits.{name}"));
    KEYS.iter().map(|key| key.name.to_owned()).chain(limits).chain(tables().map(str::to_owned))
}

/// The value without its positions.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => i64::from_str_radix(&n.as_str().replace('_', ""), n.radix())
            .map_or_else(|_| Value::String(n.as_str().to_owned()), Value::Integer),
        DeValue::Float(n) => n.as_str().replace('_', "").parse().map_or(Value::Float(f64::NAN), Value::Float),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Datetime(t) => Value::Datetime(*t),
        DeValue::Array(list) => Value::Array(list.iter().map(|v| plain(v.get_ref())).collect()),
        DeValue::Table(_) => Value::Table(toml::Table::new()),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", text.escape_debug()),
        Value::Array(_) => "this list".into(),
        Value::Table(_) => "a table".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn troubles(text: &str) -> Vec<String> {
        let mut troubles = vec![];
        read(text.as_bytes(), &mut Policy::default(), &mut troubles);
        troubles
    }

    #[test]
    fn the_example_of_the_manual_is_read() {
        let text = r#"
            ready = "fd:3"
            [stop]
            signal = "INT"
            grace = "30s"
            group = true
            [backoff]
            first = "1s"
            factor = 2
            max = "5m"
            jitter = 0.2
            reset = "1m"
            [exit]
            done = [0]
            permanent = [100, 111]
            [limits]
            nofile = 1024
            as = "2G"
            core = "unlimited"
            [notify]
            command = ["/bin/mail", "root"]"#;
        let (mut policy, mut troubles) = (Policy::default(), vec![]);
        assert!(read(text.as_bytes(), &mut policy, &mut troubles));
        assert_eq!(troubles, [""; 0]);
        assert_eq!(
            (policy.ready, policy.stop.signal, policy.stop.group),
            (Some(3), unix::process::Signal::SIGINT, true)
        );
        assert_eq!(policy.stop.grace, Some(Duration::from_secs(30)));
        assert_eq!((policy.backoff.factor, policy.backoff.jitter), (2000, 200));
        assert_eq!(policy.permanent.iter().collect::<Vec<_>>(), [100, 111]);
        assert_eq!(policy.limits.len(), 3);
        assert_eq!(policy.notify, ["/bin/mail", "root"]);
        assert_eq!(Policy::from_lines(&policy.to_lines()), Some(policy));
    }

    #[test]
    fn every_complaint_names_file_line_key_and_what_is_expected() {
        for (text, says) in [
            ("redy = \"fd:3\"", "service.toml:1: unknown key \"redy\" (did you mean \"ready\"?)"),
            (
                "[stop]\n\ngrase = \"3s\"",
                "service.toml:3: unknown key \"stop.grase\" (did you mean \"stop.grace\"?)",
            ),
            ("[stopp]\ngrace = \"3s\"", "service.toml:1: unknown key \"stopp\" (did you mean \"stop\"?)"),
            ("zzzzzzzz = 1", "service.toml:1: unknown key \"zzzzzzzz\""),
            (
                "[stop]\ngrace = 30",
                "service.toml:2: stop.grace takes a duration like \"30s\" from 10ms to 7d, not 30",
            ),
            (
                "[stop]\ngrace = \"8d\"",
                "service.toml:2: stop.grace takes a duration like \"30s\" from 10ms to 7d, not \"8d\"",
            ),
            (
                "[stop]\nsignal = \"TREM\"",
                "service.toml:2: stop.signal takes the name of a signal like \"TERM\", not \"TREM\"",
            ),
            ("[stop]\ngroup = \"yes\"", "service.toml:2: stop.group takes true or false, not \"yes\""),
            ("ready = \"fd:2\"", "service.toml:1: ready takes \"fd:N\" with N from 3 to 63, not \"fd:2\""),
            ("stop = 3", "service.toml:1: stop takes a table"),
            (
                "[backoff]\nfactor = 0.5",
                "service.toml:2: backoff.factor takes a number like 2.0 from 1 to 100, not 0.5",
            ),
            ("[backoff]\nfactor = 2.0", "service.toml:2: backoff.factor needs backoff.max"),
            (
                "[backoff]\nfirst = \"2s\"\nmax = \"1s\"",
                "service.toml:3: backoff.max is less than backoff.first",
            ),
            (
                "[exit]\ndone = [256]",
                "service.toml:2: exit.done takes a list of exit codes from 0 to 255, not this list",
            ),
            (
                "[limits]\nnofiles = 1",
                "service.toml:2: unknown key \"limits.nofiles\" (did you mean \"limits.nofile\"?)",
            ),
            (
                "[limits]\nas = -1",
                "service.toml:2: limits.as takes a whole number, a size like \"2G\", or \"unlimited\", not -1",
            ),
            (
                "[notify]\ncommand = \"mail\"",
                "service.toml:2: notify.command takes a list of texts: a program and its arguments, not \"mail\"",
            ),
            (
                "[notify]\ncommand = [\"\"]",
                "service.toml:2: notify.command takes a list of texts: a program and its arguments, not this list",
            ),
            ("\"red\\ny\" = 1", "service.toml:1: unknown key \"red\\ny\" (did you mean \"ready\"?)"),
            ("[stop", "service.toml:1: unclosed table, expected `]`"),
        ] {
            assert_eq!(troubles(text), [says], "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named_with_their_line() {
        let mut troubles = vec![];
        read(b"[stop]\n# caf\xe9\n", &mut Policy::default(), &mut troubles);
        assert_eq!(troubles, ["service.toml:2: is not UTF-8"]);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        assert_eq!(troubles("a = 1\nb = 2\n[stop]\ngrace = 1").len(), 3);
    }

    #[test]
    fn the_first_wait_is_the_longest_where_none_is_said() {
        let mut policy = Policy::default();
        read(b"[backoff]\nfirst = \"5s\"", &mut policy, &mut vec![]);
        assert_eq!(policy.backoff.max, Duration::from_secs(5));
    }
}
