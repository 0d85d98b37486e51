//! The effective settings of a participant.

use crate::file::{self, ConfigError, Values};
use crate::{Home, units};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A broker's URL. Shown without its password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AmqpUrl(String);

impl AmqpUrl {
    /// The whole URL, password included.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("amqp", &self.0));
        // The last @ ends the password: nothing before it is shown.
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "{scheme}://{place}")
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Certificates for `amqps://`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The authority that signed the broker's certificate.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Bounds of the failed store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// How many entries it keeps.
    pub max: u32,
    /// How many bytes it keeps.
    pub size: u64,
}

/// The effective settings. Times are durations, sizes bytes, paths absolute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The participant.
    pub name: String,
    /// Its work queue.
    pub queue: String,
    /// What BOSS is told at registration.
    pub regexp: String,
    /// The handler's file.
    pub code: PathBuf,
    /// The program that works in a handler's place; empty = none.
    pub exec: Vec<String>,
    /// The interpreter.
    pub python: String,
    /// Whom to become when started as root; `None` = boss, else nobody.
    pub user: Option<String>,
    /// The state folder.
    pub state: PathBuf,
    /// Workitems handled at a time.
    pub concurrency: u32,
    /// Service directories.
    pub instances: u32,
    /// Deliveries the broker may have outstanding here.
    pub prefetch: u16,
    /// Time to finish when told to stop.
    pub grace: Duration,
    /// When a workitem is said to take long; zero = never.
    pub soft_timeout: Duration,
    /// When a workitem is ended; zero = never.
    pub hard_timeout: Duration,
    /// Whether the journal survives loss of power.
    pub journal_sync: bool,
    /// Whether no program it runs may gain privileges.
    pub no_new_privs: bool,
    /// How often a workitem may take the process down.
    pub max_attempts: u32,
    /// After how many workitems to start afresh; zero = never.
    pub max_workitems: u32,
    /// Above which memory to start afresh; zero = never.
    pub max_rss: u64,
    /// The largest message that is worked on.
    pub max_body: u64,
    /// The class of error replies; Ruby must know it.
    pub error_class: String,
    /// `classic` or `quorum`.
    pub queue_type: String,
    /// `module:Class` of an alternative exoskeleton; empty = none.
    pub exoskeleton: String,
    /// `text` or `json`.
    pub log_format: String,
    /// The brokers, to be tried in this order.
    pub amqp: Vec<AmqpUrl>,
    /// Certificates.
    pub tls: Tls,
    /// Bounds of the failed store.
    pub failed: Failed,
    /// The participant's own tables.
    pub sections: toml::Table,
    /// The folder of the service.
    pub dir: PathBuf,
}

/// The effective settings and what looks like a slip of the pen.
pub type Loaded = (Settings, Vec<String>);

/// Reads `boss.conf` of the tree and the configuration file on top. The participant's name defaults to the
/// folder in which the file was named; relative paths count from where the file really is.
///
/// # Errors
/// [`ConfigError`], with file and line.
pub fn load(home: &Home, config: &Path) -> Result<Loaded, ConfigError> {
    let problem = |error| ConfigError::Read { file: config.into(), error };
    let real = config.canonicalize().map_err(problem)?;
    let named = std::path::absolute(config).map_err(problem)?;
    let folder = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_path_buf();
    let system = file::read(&home.boss_conf())?;
    let own = file::read(config)?;
    let mut values = system.known;
    for (key, value) in own.known {
        merge(&mut values, key, value);
    }
    let mut sections = toml::Table::new();
    sections.extend([system.own, own.own].into_iter().flatten().map(|(name, (table, _))| (name, table)));
    let warnings = [system.warnings, own.warnings].concat();
    let values = Read { values, config, base: folder(&real) };
    let settings = values.settings(home, &folder(&named), sections)?;
    Ok((settings, warnings))
}

/// A later value wins; of tables, each key.
fn merge(values: &mut Values, key: String, (value, place): (toml::Value, file::Place)) {
    match (values.get_mut(&key), value) {
        (Some((toml::Value::Table(old), old_place)), toml::Value::Table(new)) => {
            if new.contains_key("url") || new.contains_key("urls") {
                old.remove("url");
                old.remove("urls");
            }
            old.extend(new);
            *old_place = place;
        }
        (_, value) => {
            values.insert(key, (value, place));
        }
    }
}

struct Read<'a> {
    values: Values,
    config: &'a Path,
    base: PathBuf,
}

impl Read<'_> {
    fn settings(&self, home: &Home, dir: &Path, sections: toml::Table) -> Result<Settings, ConfigError> {
        let folder = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // Instances NAME@2 … work for NAME.
        let default = folder.split('@').next().unwrap_or_default().to_owned();
        let name = self.text("name").unwrap_or(default);
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(self.error(
                "name",
                format!("\"{name}\" is no name for a participant: no slash, no leading dot"),
            ));
        }
        let queue = self.text("queue").unwrap_or_else(|| name.clone());
        if queue.len() > 255 {
            return Err(self.error("queue", "a queue's name has at most 255 bytes".into()));
        }
        let concurrency = self.count("concurrency", 1);
        let prefetch = match self.count("prefetch", 0) {
            0 => concurrency,
            n => n,
        };
        Ok(Settings {
            regexp: self.text("regexp").unwrap_or_else(|| name.clone()),
            code: self.base.join(self.text("code").unwrap_or_else(|| format!("{name}.py"))),
            exec: self.texts(self.get("exec")),
            python: self.text("python").unwrap_or_else(|| "python3".into()),
            user: self.text("user"),
            state: match self.text("state") {
                Some(state) => self.base.join(state),
                None => home.state_dir(&name),
            },
            concurrency,
            instances: self.count("instances", 1),
            prefetch: u16::try_from(prefetch).unwrap_or(u16::MAX),
            grace: self.duration("grace", Duration::from_secs(60)),
            soft_timeout: self.duration("soft_timeout", Duration::ZERO),
            hard_timeout: self.duration("hard_timeout", Duration::ZERO),
            journal_sync: self.flag("journal_sync"),
            no_new_privs: self.flag("no_new_privs"),
            max_attempts: self.count("max_attempts", 3),
            max_workitems: self.count("max_workitems", 0),
            max_rss: self.size(self.get("max_rss"), 0),
            max_body: self.size(self.get("max_body"), 64 << 20),
            error_class: self.text("error_class").unwrap_or_else(|| "RuntimeError".into()),
            queue_type: self.text("queue_type").unwrap_or_else(|| "classic".into()),
            exoskeleton: self.text("exoskeleton").unwrap_or_default(),
            log_format: self.text("log_format").unwrap_or_else(|| "text".into()),
            amqp: self.urls()?,
            tls: self.tls(),
            failed: Failed {
                max: self.within("failed", "max").and_then(number).unwrap_or(1000),
                size: self.size(self.within("failed", "size"), 1 << 30),
            },
            sections,
            dir: dir.to_path_buf(),
            name,
            queue,
        })
    }

    fn error(&self, key: &str, reason: String) -> ConfigError {
        match self.values.get(key) {
            Some((_, place)) => ConfigError::At { place: place.clone(), reason },
            None => ConfigError::In { file: self.config.into(), reason },
        }
    }

    fn get(&self, key: &str) -> Option<&toml::Value> {
        self.values.get(key).map(|(value, _)| value)
    }

    fn within(&self, table: &str, key: &str) -> Option<&toml::Value> {
        self.get(table)?.get(key)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.as_str().map(str::to_owned)
    }

    fn texts(&self, value: Option<&toml::Value>) -> Vec<String> {
        let list = value.and_then(toml::Value::as_array).into_iter().flatten();
        list.filter_map(toml::Value::as_str).map(str::to_owned).collect()
    }

    fn count(&self, key: &str, default: u32) -> u32 {
        self.get(key).and_then(number).unwrap_or(default)
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(toml::Value::as_bool).unwrap_or(false)
    }

    fn duration(&self, key: &str, default: Duration) -> Duration {
        self.get(key).and_then(toml::Value::as_str).and_then(units::duration).unwrap_or(default)
    }

    fn size(&self, value: Option<&toml::Value>, default: u64) -> u64 {
        value.and_then(toml::Value::as_str).and_then(units::size).unwrap_or(default)
    }

    fn urls(&self) -> Result<Vec<AmqpUrl>, ConfigError> {
        let one = self.within("amqp", "url").and_then(toml::Value::as_str).map(str::to_owned);
        let mut urls: Vec<_> = one.into_iter().chain(self.texts(self.within("amqp", "urls"))).collect();
        if urls.is_empty() {
            urls.push("amqp://boss:boss@127.0.0.1:5672/boss".into());
        }
        for url in &urls {
            if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
                let reason = "a broker's url begins with amqp:// or amqps://".into();
                return Err(self.error("amqp", reason));
            }
        }
        Ok(urls.into_iter().map(AmqpUrl).collect())
    }

    fn tls(&self) -> Tls {
        let tls = self.within("amqp", "tls");
        let path = |key| Some(self.base.join(tls?.get(key)?.as_str()?));
        Tls { ca: path("ca"), cert: path("cert"), key: path("key") }
    }
}

fn number(value: &toml::Value) -> Option<u32> {
    u32::try_from(value.as_integer()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn loaded(boss: &str, exo: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let service = folder.path().join("sizer@2");
        fs::create_dir(&service).unwrap();
        fs::write(folder.path().join("boss.conf"), boss).unwrap();
        fs::write(service.join("config.exo"), exo).unwrap();
        let home = Home::at(Some(folder.path().into()));
        load(&home, &service.join("config.exo")).map(|(settings, _)| settings).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_file_gives_the_defaults_and_an_instance_works_for_its_participant() {
        let s = loaded("", "").unwrap();
        assert_eq!((s.name.as_str(), s.queue.as_str()), ("sizer", "sizer"));
        assert!(s.code.ends_with("sizer@2/sizer.py"), "{:?}", s.code);
        assert_eq!((s.concurrency, s.prefetch, s.grace), (1, 1, Duration::from_secs(60)));
        assert_eq!(s.amqp[0].secret(), "amqp://boss:boss@127.0.0.1:5672/boss");
    }

    #[test]
    fn config_exo_wins_over_boss_conf() {
        let boss = "concurrency = 2\n[amqp]\nurl = \"amqp://a:s3cret@h:1/v\"\n[shared]\nx = 1\n";
        let s = loaded(boss, "concurrency = 8\nqueue = \"q\"\n[mine]\ny = 2\n").unwrap();
        assert_eq!((s.concurrency, s.prefetch, s.queue.as_str()), (8, 8, "q"));
        assert_eq!(s.sections.keys().collect::<Vec<_>>(), ["mine", "shared"]);
        let s = loaded(boss, "[amqp]\nurls = [\"amqp://b\", \"amqps://c\"]\n").unwrap();
        assert_eq!(s.amqp.len(), 2);
    }

    #[test]
    fn the_password_is_never_shown() {
        let s = loaded("[amqp]\nurl = \"amqp://a:s3@cret@h:1/v\"\n", "").unwrap();
        let shown = format!("{s:?} {}", s.amqp[0]);
        assert!(!shown.contains("s3") && !shown.contains("cret"), "{shown}");
        assert!(shown.ends_with("amqp://h:1/v"), "{shown}");
    }

    #[test]
    fn the_packaged_boss_conf_and_the_templates_config_are_read_without_a_warning() {
        let (boss, exo) = (
            include_str!("../../packaging/boss.conf"),
            include_str!("../../service-templates/python/config.exo"),
        );
        let s = loaded(boss, exo).unwrap();
        assert_eq!(s.amqp[0].to_string(), "amqp://127.0.0.1:5672/boss");
        let uncommented: String =
            exo.replace("# name", "name").replace("# queue", "queue").replace("# code", "code");
        assert_eq!(loaded(boss, &uncommented.replace("@NAME@", "x")).unwrap().name, "x");
    }

    #[test]
    fn what_is_no_name_or_no_broker_is_refused_with_its_line() {
        for (text, says) in [
            ("\nname = \"../x\"", "config.exo:2: \"../x\" is no name for a participant"),
            ("[amqp]\nurl = \"http://x\"", "config.exo:1: a broker's url begins with amqp://"),
        ] {
            let error = loaded("", text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
