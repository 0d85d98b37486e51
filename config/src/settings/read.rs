//! How the effective settings come out of the layers: each key's value, or its default.

use super::{AmqpUrl, Failed, Field, Settings, Tls, complaint, folder_name};
use crate::file::ConfigError;
use crate::layers::Layers;
use crate::{Home, names, units};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The layers of a participant, being read.
pub struct Read<'a> {
    /// What all files say together.
    pub all: Layers,
    /// The configuration file.
    pub config: &'a Path,
    /// The folder where that really is.
    pub base: PathBuf,
}

impl Read<'_> {
    /// The effective settings of the participant in this folder.
    ///
    /// # Errors
    /// What fits its key and still cannot be.
    pub fn settings(&self, home: &Home, dir: &Path) -> Result<Settings, ConfigError> {
        let name = self.name(dir)?;
        let queue = self.queue(&name)?;
        let amqp = self.brokers()?;
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
            places: self.all.places.clone(),
            name,
            queue,
        })
    }

    fn name(&self, dir: &Path) -> Result<String, ConfigError> {
        let said = self.text("name").or_else(|| self.all.program().map(str::to_owned));
        let name = said.unwrap_or_else(|| folder_name(dir).to_owned());
        if names::is_participant(&name) {
            return Ok(name);
        }
        let reason = match self.all.program() {
            Some(program) => {
                format!("[program:{program}] is no name for a participant: set name in [participant]")
            }
            None => {
                let folder = dir.file_name().unwrap_or_default();
                format!("the folder's name {folder:?} is no name for a participant: set name")
            }
        };
        Err(ConfigError::In { file: self.config.into(), reason })
    }

    fn queue(&self, name: &str) -> Result<String, ConfigError> {
        let queue = self.text("queue").unwrap_or_else(|| name.to_owned());
        if names::is_queue(&queue) {
            return Ok(queue);
        }
        Err(self.error("name", format!("{queue:?} is no name for a queue: set queue")))
    }

    fn brokers(&self) -> Result<Vec<AmqpUrl>, ConfigError> {
        let one = self.within("amqp", "url").and_then(toml::Value::as_str).map(str::to_owned);
        let mut urls: Vec<_> = one.into_iter().chain(self.texts(self.within("amqp", "urls"))).collect();
        if urls.is_empty() {
            urls.push("amqp://boss:boss@127.0.0.1:5672/boss".into());
        }
        if urls.iter().all(|url| names::is_broker(url)) {
            return Ok(urls.into_iter().map(AmqpUrl).collect());
        }
        let reason = "the broker's address cannot be made of this: amqp_host takes HOST or HOST:PORT";
        Err(self.error("amqp", reason.into()))
    }

    fn error(&self, key: &str, reason: String) -> ConfigError {
        complaint(&self.all.places, self.config, key, reason)
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
