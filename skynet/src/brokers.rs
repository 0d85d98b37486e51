//! Which brokers a tree or a participant names, and a line to the first that answers.

use crate::tree::Tree;
use crate::trouble::{Trouble, cannot};
use air::line::Line;

/// What participants answer to, and where BOSS takes launchitems from.
pub const REPLIES: &str = "ruote_workitems";
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

/// The broker URLs of a tree, to be tried in this order.
///
/// # Errors
/// What is wrong with `boss.conf`, with file and line.
pub fn of_tree(tree: &Tree) -> Result<Vec<String>, Trouble> {
    let urls = named(tree)?.unwrap_or_default();
    Ok(if urls.is_empty() { vec![DEFAULT.to_owned()] } else { urls })
}

/// The broker URLs that `boss.conf` names; `None` where there is no such file.
///
/// # Errors
/// As [`of_tree`].
pub fn named(tree: &Tree) -> Result<Option<Vec<String>>, Trouble> {
    let path = tree.boss_conf();
    let said = config::file::read(&path)?;
    if !path.exists() {
        return Ok(None);
    }
    let amqp = said.known.get("amqp").map(|(value, _)| value);
    let one = amqp.and_then(|amqp| amqp.get("url")).and_then(toml::Value::as_str);
    let many = amqp.and_then(|amqp| amqp.get("urls")).and_then(toml::Value::as_array);
    let many = many.into_iter().flatten().filter_map(toml::Value::as_str);
    Ok(Some(one.into_iter().chain(many).map(str::to_owned).collect()))
}

/// A line to the first broker that answers.
///
/// # Errors
/// Why none does, and in a home where to look.
pub async fn open(tree: &Tree, urls: &[String]) -> Result<Line, Trouble> {
    Line::open(urls).await.map_err(|e| match tree.home() {
        Some(_) => Trouble::System(format!("{e} (is it up? skynet local status)")),
        None => Trouble::System(format!("{e} (what boss.conf says: skynet doctor)")),
    })
}
