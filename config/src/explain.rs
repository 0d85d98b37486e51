//! The effective settings for people: each with its value and the file it came from.

use crate::file::{self, ConfigError, Place, Values};
use crate::schema::{KEYS, Key, Kind};
use crate::{Home, Settings, settings};
use std::path::Path;
use std::time::Duration;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Its key; dots lead into tables.
    pub key: String,
    /// Its value as it would stand in a file; of a broker's URL without the password.
    pub value: String,
    /// Where it stands, or where the table stands that it is in; `None` = nowhere, it is the default.
    pub from: Option<Place>,
}

/// All settings of the participant with this configuration file, those of its own tables included.
///
/// # Errors
/// As [`settings::load`].
pub fn participant(home: &Home, config: &Path) -> Result<Vec<Explained>, ConfigError> {
    let (settings, _) = settings::load(home, config)?;
    // Files that are no settings, as those of variables, and faults that keep nobody from starting, were told by load.
    let said: Vec<_> = settings.files.iter().filter_map(|path| file::read(path).ok()).collect();
    let mut told = vec![];
    for (key, kind) in leaves() {
        let from = said.iter().rev().find_map(|file| place(&file.known, &key));
        // One file's brokers are not another's; url and urls are told as one.
        let value = match (key.as_str(), kind) {
            ("amqp.urls", _) => continue,
            ("amqp.url", _) => urls(&settings),
            _ => value(&settings, &key),
        };
        told.push(Explained { key, value, from });
    }
    told.extend(own_tables(&said.iter().map(|file| &file.own).collect::<Vec<_>>()));
    Ok(told)
}

/// What one file says, and nothing else.
///
/// # Errors
/// As [`file::read`].
pub fn file(path: &Path) -> Result<Vec<Explained>, ConfigError> {
    let said = file::read(path)?;
    let mut told = vec![];
    for (key, _) in leaves() {
        let Some(from) = place(&said.known, &key) else { continue };
        let value =
            find(&said.known, &key).map_or_else(String::new, |value| without_password(&value.to_string()));
        told.push(Explained { key, value, from: Some(from) });
    }
    told.extend(own_tables(&[&said.own]));
    Ok(told)
}

/// Every key that takes a value, with what it takes; not those of `[fields]`, whose names are the participant's.
pub fn leaves() -> Vec<(String, Kind)> {
    let mut found = vec![];
    collect("", KEYS, &mut found);
    found
}

fn collect(prefix: &str, keys: &[Key], found: &mut Vec<(String, Kind)>) {
    for Key { name, kind, .. } in keys {
        match kind {
            Kind::Table(inner) | Kind::Open(inner) => collect(&format!("{prefix}{name}."), inner, found),
            Kind::Fields => {}
            kind => found.push((format!("{prefix}{name}"), *kind)),
        }
    }
}

fn find<'a>(values: &'a Values, key: &str) -> Option<&'a toml::Value> {
    let mut steps = key.split('.');
    let mut value = &values.get(steps.next()?)?.0;
    for step in steps {
        value = value.get(step)?;
    }
    Some(value)
}

fn place(values: &Values, key: &str) -> Option<Place> {
    let found =
        find(values, key).or_else(|| (key == "amqp.url").then(|| find(values, "amqp.urls")).flatten());
    found?;
    Some(values.get(key.split('.').next()?)?.1.clone())
}

fn urls(settings: &Settings) -> String {
    let urls: Vec<_> = settings.amqp.iter().map(|url| quoted(&url.to_string())).collect();
    match urls.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// The effective value of a key, as it would stand in a file.
fn value(s: &Settings, key: &str) -> String {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map_or_else(|| quoted(""), |path| quoted(&path.to_string_lossy()))
    };
    match key {
        "name" => quoted(&s.name),
        "queue" => quoted(&s.queue),
        "regexp" => quoted(&s.regexp),
        "code" => quoted(&s.code.to_string_lossy()),
        "exec" => list(&s.exec),
        "python" => quoted(&s.python),
        "user" => quoted(s.user.as_deref().unwrap_or("")),
        "state" => quoted(&s.state.to_string_lossy()),
        "concurrency" => s.concurrency.to_string(),
        "instances" => s.instances.to_string(),
        "prefetch" => s.prefetch.to_string(),
        "grace" => time(s.grace),
        "soft_timeout" => time(s.soft_timeout),
        "hard_timeout" => time(s.hard_timeout),
        "journal_sync" => s.journal_sync.to_string(),
        "no_new_privs" => s.no_new_privs.to_string(),
        "max_attempts" => s.max_attempts.to_string(),
        "max_workitems" => s.max_workitems.to_string(),
        "max_rss" => size(s.max_rss),
        "max_body" => size(s.max_body),
        "error_class" => quoted(&s.error_class),
        "queue_type" => quoted(&s.queue_type),
        "exoskeleton" => quoted(&s.exoskeleton),
        "log_format" => quoted(&s.log_format),
        "amqp.tls.ca" => path(&s.tls.ca),
        "amqp.tls.cert" => path(&s.tls.cert),
        "amqp.tls.key" => path(&s.tls.key),
        "history.keep" => time(s.history_keep),
        "failed.max" => s.failed.max.to_string(),
        "failed.size" => size(s.failed.size),
        "notify.command" => list(&s.notify),
        // A key that somebody adds to the schema is told by its default until it has a line here.
        other => default(other).to_owned(),
    }
}

fn default(key: &str) -> &'static str {
    let (mut keys, mut default) = (KEYS, "");
    for step in key.split('.') {
        let Some(found) = keys.iter().find(|known| known.name == step) else { return "" };
        default = found.default;
        if let Kind::Table(inner) | Kind::Open(inner) = found.kind {
            keys = inner;
        }
    }
    default
}

fn own_tables(files: &[&Values]) -> Vec<Explained> {
    let known: Vec<_> = leaves().into_iter().map(|(key, _)| key).collect();
    let mut told: Vec<Explained> = vec![];
    for values in files {
        for (name, (table, from)) in *values {
            for (key, value) in table.as_table().into_iter().flatten() {
                let key = format!("{name}.{key}");
                if known.contains(&key) {
                    continue;
                }
                told.retain(|earlier| earlier.key != key);
                let value = without_password(&value.to_string());
                told.push(Explained { key, value, from: Some(from.clone()) });
            }
        }
    }
    told
}

/// A text of the form `…://USER:PASSWORD@…` without user and password.
fn without_password(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(['"', '\'', ' ', ',']).unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        shown += &format!("{before}://{}", url.rsplit_once('@').map_or(url, |(_, place)| place));
        rest = behind;
    }
    shown + rest
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list(texts: &[String]) -> String {
    toml::Value::from(texts.to_vec()).to_string()
}

/// In the largest unit that says it exactly.
fn time(time: Duration) -> String {
    let ms = time.as_millis();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if ms.is_multiple_of(length) && (ms >= length && unit != "m" || ms >= 120_000 || unit == "s") {
            return quoted(&format!("{}{unit}", ms / length));
        }
    }
    quoted(&format!("{ms}ms"))
}

fn size(bytes: u64) -> String {
    for (unit, shift) in [("G", 30), ("M", 20), ("K", 10)] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return quoted(&format!("{}{unit}", bytes >> shift));
        }
    }
    quoted(&bytes.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_setting_is_told_with_the_file_it_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let service = dir.path().join("sizer");
        fs::create_dir(&service).unwrap();
        let boss = "grace = \"2h\"\n[amqp]\nurl = \"amqp://u:secret@h/v\"\n[site]\na = 1\nb = 2\n";
        fs::write(dir.path().join("boss.conf"), boss).unwrap();
        let config = service.join("config.exo");
        fs::write(&config, "\nconcurrency = 2\ngrace = \"90s\"\n[site]\nb = 3\n[failed]\nmax = 7\n").unwrap();
        let told = participant(&Home::at(Some(dir.path().into())), &config).unwrap();
        let one = |key: &str| {
            let found = told.iter().find(|one| one.key == key).unwrap();
            let file =
                |place: &Place| (place.file.file_name().unwrap().to_string_lossy().into_owned(), place.line);
            (found.value.clone(), found.from.as_ref().map(file))
        };
        let at = |file: &str, line| Some((file.to_owned(), line));
        assert_eq!(one("name"), ("\"sizer\"".into(), None));
        assert_eq!(one("concurrency"), ("2".into(), at("config.exo", 2)));
        assert_eq!(one("grace"), ("\"90s\"".into(), at("config.exo", 3)));
        assert_eq!(one("amqp.url"), ("\"amqp://h/v\"".into(), at("boss.conf", 2)));
        assert_eq!(one("failed.max"), ("7".into(), at("config.exo", 6)));
        assert_eq!(one("failed.size"), ("\"1G\"".into(), None));
        assert_eq!(one("history.keep"), ("\"90d\"".into(), None));
        assert_eq!(one("site.a"), ("1".into(), at("boss.conf", 4)));
        assert_eq!(one("site.b"), ("3".into(), at("config.exo", 4)));
        assert!(told.iter().all(|one| !one.value.contains("secret") && !one.value.is_empty()), "{told:?}");
    }

    #[test]
    fn a_file_alone_is_told_without_its_passwords() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("boss.conf");
        fs::write(&path, "[amqp]\nurls = [\"amqp://u:secret@h/v\", \"amqp://x:secret@i\"]\n").unwrap();
        let told = file(&path).unwrap();
        let shown: Vec<_> = told.iter().map(|one| format!("{} = {}", one.key, one.value)).collect();
        assert_eq!(shown[shown.len() - 1], "amqp.urls = [\"amqp://h/v\", \"amqp://i\"]");
    }
}
