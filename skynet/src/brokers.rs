//! Which brokers a tree or a participant names, and a line to the first that answers.

use crate::progress::during;
use crate::settings::change::hidden;
use crate::tree::Tree;
use crate::trouble::{Trouble, cannot};
use crate::units::time;
use air::Tls;
use air::line::Line;
use config::{Settings, names};
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

/// What participants answer to, and where BOSS takes launchitems from.
pub const REPLIES: &str = "ruote_workitems";
/// What is said while it is connected to.
pub const WAITED_FOR: &str = "waiting for the broker";
/// How long the broker may take to confirm a message where nothing else is said.
pub const CONFIRMED: Duration = Duration::from_secs(30);
/// The broker of a tree whose `boss.conf` names none.
const DEFAULT: &str = "amqp://boss:boss@127.0.0.1:5672/boss";

/// Where the calls to a broker run.
///
/// # Errors
/// What starting it reports.
pub fn runtime() -> Result<tokio::runtime::Runtime, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(cannot("start", "the AMQP runtime"))
}

/// Where to connect to, in this order, and with which certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brokers {
    /// The URLs, passwords included.
    pub urls: Vec<String>,
    /// Certificates for `amqps://`.
    pub tls: Tls,
}

impl Brokers {
    /// That none of them has answered within this time, each named without its account.
    pub fn silent(&self, within: Duration) -> Trouble {
        let places = self.urls.iter().map(|url| hidden(url)).collect::<Vec<_>>().join(", ");
        Trouble::System(format!("no answer from {places} within {}", time(within)))
    }
}

/// The brokers that `boss.conf` of a tree names, or the usual one.
///
/// # Errors
/// What is wrong with `boss.conf`, with file and line.
pub fn of_tree(tree: &Tree) -> Result<Brokers, Trouble> {
    let mut brokers = named(tree)?.unwrap_or_else(|| Brokers { urls: vec![], tls: Tls::default() });
    if brokers.urls.is_empty() {
        brokers.urls.push(DEFAULT.to_owned());
    }
    Ok(brokers)
}

/// The brokers of a participant.
pub fn of_participant(settings: &Settings) -> Brokers {
    let tls =
        Tls { ca: settings.tls.ca.clone(), cert: settings.tls.cert.clone(), key: settings.tls.key.clone() };
    Brokers { urls: settings.amqp.iter().map(|url| url.secret().to_owned()).collect(), tls }
}

/// The brokers that `boss.conf` names; `None` where there is no such file.
///
/// # Errors
/// As [`of_tree`].
pub fn named(tree: &Tree) -> Result<Option<Brokers>, Trouble> {
    let path = tree.boss_conf();
    let said = config::file::read(&path)?;
    if !path.exists() {
        return Ok(None);
    }
    let amqp = said.known.get("amqp").map(|(value, _)| value);
    let one = amqp.and_then(|amqp| amqp.get("url")).and_then(toml::Value::as_str);
    let many = amqp.and_then(|amqp| amqp.get("urls")).and_then(toml::Value::as_array);
    let many = many.into_iter().flatten().filter_map(toml::Value::as_str);
    let folder = path.parent().unwrap_or(Path::new("/"));
    let file = |key: &str| {
        let path = amqp.and_then(|amqp| amqp.get("tls"))?.get(key)?.as_str()?;
        Some(folder.join(path))
    };
    Ok(Some(Brokers {
        urls: one.into_iter().chain(many).map(str::to_owned).collect(),
        tls: Tls { ca: file("ca"), cert: file("cert"), key: file("key") },
    }))
}

/// That a word can name a queue.
///
/// # Errors
/// That it cannot, in a line.
pub fn check_queue(word: &str) -> Result<(), Trouble> {
    if names::is_queue(word) {
        return Ok(());
    }
    let line =
        format!("{word:?} is no queue: 1 to 255 bytes, no control characters, not beginning with \"amq.\"");
    Err(Trouble::Usage(line))
}

/// A line to the first broker that answers.
///
/// # Errors
/// Why none does, and where to look.
pub async fn open(tree: &Tree, brokers: &Brokers) -> Result<Line, Trouble> {
    let _progress = during(WAITED_FOR);
    Line::open(&brokers.urls, &brokers.tls).await.map_err(|e| away(tree, &e))
}

/// Why no broker answers, and where to look.
pub fn away(tree: &Tree, why: &dyn Display) -> Trouble {
    match tree.home() {
        Some(_) => Trouble::System(format!("{why} (is it up? skynet local status)")),
        None => Trouble::System(format!("{why} (what is wrong: skynet doctor)")),
    }
}

/// Publishes a message and waits for so long until the broker has it: one whose disk or memory is full confirms
/// nothing. False = there is no such queue.
///
/// # Errors
/// What the broker says, or that it says nothing.
pub async fn publish(line: &Line, queue: &str, body: &[u8], within: Duration) -> Result<bool, Trouble> {
    let _progress = during("waiting for the broker to confirm");
    let Ok(sent) = tokio::time::timeout(within, line.publish(queue, body)).await else {
        let (place, within) = (line.place(), time(within));
        return Err(Trouble::System(format!(
            "the broker {place} has not confirmed the message within {within} (its disk or memory may be full); it may have it \
             all the same"
        )));
    };
    Ok(sent?)
}
