//! The effective settings of a participant.

mod read;

use crate::file::{ConfigError, Draft, Places};
use crate::layers::{self, Layer};
use crate::{Home, together};
use read::Read;
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

/// The accounts that are tried, in this order, when the settings name none.
pub const USERS: [&str; 2] = ["boss", "nobody"];

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
    /// Whom to become when started as root; `None` = the first of [`USERS`] that there is.
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
    /// Where keys stand, for complaints about them.
    #[serde(skip)]
    pub places: Places,
}

impl Settings {
    /// What is wrong with a key of the participant with this configuration file.
    pub fn complaint(&self, config: &Path, key: &str, reason: impl fmt::Display) -> ConfigError {
        complaint(&self.places, config, key, format!("{key}: {reason}"))
    }
}

fn complaint(places: &Places, config: &Path, key: &str, reason: String) -> ConfigError {
    match places.get(key) {
        Some(place) => ConfigError::At { place: place.clone(), reason },
        None => ConfigError::In { file: config.into(), reason },
    }
}

/// The effective settings and what looks like a slip of the pen.
pub type Loaded = (Settings, Vec<String>);

/// Reads the files of [`layers`] one on top of the other. The participant's name defaults to the
/// folder in which the file was named; relative paths count from where the file that says them really is.
///
/// # Errors
/// [`ConfigError`], with file and line.
pub fn load(home: &Home, config: &Path) -> Result<Loaded, ConfigError> {
    load_with(home, config, None)
}

/// The same, as it would be with a file of another text.
///
/// # Errors
/// As above.
pub fn load_with(home: &Home, config: &Path, draft: Option<Draft<'_>>) -> Result<Loaded, ConfigError> {
    let problem = |error| ConfigError::Read { file: config.into(), error };
    let real = config.canonicalize().map_err(problem)?;
    let named = std::path::absolute(config).map_err(problem)?;
    let folder = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_path_buf();
    let dir = folder(&named);
    let all = layers::read(home, config, folder_name(&dir), draft)?;
    let mut warnings = all.warnings.clone();
    let settings = Read { config, base: folder(&real), all }.settings(home, &dir)?;
    together::check(&settings, config)?;
    warnings.extend(together::warnings(&settings));
    Ok((settings, warnings))
}

/// The folder's name without an instance's number: `NAME@2` … work for NAME.
fn folder_name(dir: &Path) -> &str {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
