//! The effective settings of a participant.

use crate::file::ConfigError;
use crate::layers::{self, Layer, Layers};
use crate::{Home, names, units};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// What a workitem's field must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its type: `string`, `number`, `integer`, `boolean`, `list` or `dict`; `None` = any.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Whether it must be there.
    #[serde(default)]
    pub required: bool,
    /// What a text must match.
    pub pattern: Option<String>,
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
    /// How long the history is kept.
    pub history_keep: Duration,
    /// The command that tells people of trouble; empty = none.
    pub notify: Vec<String>,
    /// What the fields of a workitem must be.
    pub fields: BTreeMap<String, Field>,
    /// What the handler gets of each file, in the order they were read.
    pub layers: Vec<Layer>,
    /// The logger's level; may be nonsense.
    pub log_level: Option<String>,
    /// Variables for the participant.
    pub environment: Vec<(String, String)>,
    /// All files that were read.
    pub files: Vec<PathBuf>,
    /// The folder of the service.
    pub dir: PathBuf,
}

/// The effective settings and what looks like a slip of the pen.
pub type Loaded = (Settings, Vec<String>);

/// Reads the files of [`layers`] one on top of the other. The participant's name defaults to the
/// folder in which the file was named; relative paths count from where the file that says them really is.
///
/// # Errors
/// [`ConfigError`], with file and line.
pub fn load(home: &Home, config: &Path) -> Result<Loaded, ConfigError> {
    let problem = |error| ConfigError::Read { file: config.into(), error };
    let real = config.canonicalize().map_err(problem)?;
    let named = std::path::absolute(config).map_err(problem)?;
    let folder = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_path_buf();
    let dir = folder(&named);
    let all = layers::read(home, config, folder_name(&dir))?;
    let mut warnings = all.warnings.clone();
    let values = Read { config, base: folder(&real), all };
    let settings = values.settings(home, &dir)?;
    warnings.extend(values.too_small_a_prefetch(&settings));
    Ok((settings, warnings))
}

/// The folder's name without an instance's number: `NAME@2` … work for NAME.
fn folder_name(dir: &Path) -> &str {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('@').next().unwrap_or_default()
}

struct Read<'a> {
    all: Layers,
    config: &'a Path,
    base: PathBuf,
}

impl Read<'_> {
    fn settings(&self, home: &Home, dir: &Path) -> Result<Settings, ConfigError> {
        let said = self.text("name").or_else(|| self.all.program().map(str::to_owned));
        let name = said.unwrap_or_else(|| folder_name(dir).to_owned());
        if !names::is_participant(&name) {
            let reason = match self.all.program() {
                Some(program) => {
                    format!("[program:{program}] is no name for a participant: set name in [participant]")
                }
                None => {
                    let folder = dir.file_name().unwrap_or_default();
                    format!("the folder's name {folder:?} is no name for a participant: set name")
                }
            };
            return Err(ConfigError::In { file: self.config.into(), reason });
        }
        let queue = self.text("queue").unwrap_or_else(|| name.clone());
        if !names::is_queue(&queue) {
            return Err(self.error("name", format!("{queue:?} is no name for a queue: set queue")));
        }
        let amqp = self.urls();
        if !amqp.iter().all(|url| names::is_broker(url.secret())) {
            let reason =
                "the broker's address cannot be made of this: amqp_host takes HOST or HOST:PORT".into();
            return Err(self.error("amqp", reason));
        }
        let concurrency = self.count("concurrency", 1);
        let prefetch = match self.count("prefetch", 0) {
            0 => concurrency,
            n => n,
        };
        Ok(Settings {
            regexp: self.text("regexp").unwrap_or_else(|| name.clone()),
            code: self.base.join(self.text("code").unwrap_or_else(|| match self.all.original {
                true => "participant_logic.py".into(),
                false => format!("{name}.py"),
            })),
            exec: self.texts(self.get("exec")),
            python: self.text("python").unwrap_or_else(|| "python3".into()),
            user: self.text("user"),
            state: match self.text("state") {
                Some(state) => state.into(),
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
            amqp,
            tls: self.tls(),
            failed: Failed {
                max: self.within("failed", "max").and_then(number).unwrap_or(1000),
                size: self.size(self.within("failed", "size"), 1 << 30),
            },
            history_keep: self
                .within("history", "keep")
                .and_then(toml::Value::as_str)
                .and_then(units::duration)
                .unwrap_or(Duration::from_secs(90 * 86_400)),
            notify: self.texts(self.within("notify", "command")),
            fields: self.fields(),
            layers: self.all.layers.clone(),
            log_level: self.all.log_level.clone(),
            environment: self.all.environment.clone(),
            files: self.all.files.clone(),
            dir: dir.to_path_buf(),
            name,
            queue,
        })
    }

    fn too_small_a_prefetch(&self, settings: &Settings) -> Option<String> {
        let Settings { prefetch, concurrency, .. } = *settings;
        let place = layers::place_of(&self.all.values, "prefetch")?;
        (u32::from(prefetch) < concurrency).then(|| {
            format!("{place}: prefetch = {prefetch} is below concurrency = {concurrency}: no more than {prefetch} at a time")
        })
    }

    fn error(&self, key: &str, reason: String) -> ConfigError {
        match layers::place_of(&self.all.values, key) {
            Some(place) => ConfigError::At { place, reason },
            None => ConfigError::In { file: self.config.into(), reason },
        }
    }

    fn get(&self, key: &str) -> Option<&toml::Value> {
        self.all.values.get(key).map(|(value, _)| value)
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

    fn urls(&self) -> Vec<AmqpUrl> {
        let one = self.within("amqp", "url").and_then(toml::Value::as_str).map(str::to_owned);
        let mut urls: Vec<_> = one.into_iter().chain(self.texts(self.within("amqp", "urls"))).collect();
        if urls.is_empty() {
            urls.push("amqp://boss:boss@127.0.0.1:5672/boss".into());
        }
        urls.into_iter().map(AmqpUrl).collect()
    }

    fn fields(&self) -> BTreeMap<String, Field> {
        let table = self.get("fields").and_then(toml::Value::as_table).into_iter().flatten();
        let field = |rules: &toml::Value| Field {
            kind: rules.get("type").and_then(toml::Value::as_str).map(str::to_owned),
            required: rules.get("required").and_then(toml::Value::as_bool).unwrap_or(false),
            pattern: rules.get("pattern").and_then(toml::Value::as_str).map(str::to_owned),
        };
        table.map(|(name, rules)| (name.clone(), field(rules))).collect()
    }

    fn tls(&self) -> Tls {
        let tls = self.within("amqp", "tls");
        let path = |key| Some(PathBuf::from(tls?.get(key)?.as_str()?));
        Tls { ca: path("ca"), cert: path("cert"), key: path("key") }
    }
}

fn number(value: &toml::Value) -> Option<u32> {
    u32::try_from(value.as_integer()?).ok()
}

#[cfg(test)]
mod tests;
