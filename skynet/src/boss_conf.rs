//! Which broker `boss.conf` names.

use crate::tree::Tree;
use crate::trouble::{Trouble, cannot};
use serde::Deserialize;
use std::fs;
use std::io::ErrorKind;

/// The broker of a tree whose `boss.conf` names none.
const DEFAULT: &str = "amqp://boss:boss@127.0.0.1:5672/boss";

/// The broker URLs to try, in this order.
///
/// # Errors
/// What reading the file reports; that it is not TOML.
pub fn brokers(tree: &Tree) -> Result<Vec<String>, Trouble> {
    let path = tree.boss_conf();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        Err(e) => return Err(cannot("read", path.display())(e)),
    };
    let urls = urls(&text).map_err(cannot("read", path.display()))?;
    Ok(if urls.is_empty() { vec![DEFAULT.to_owned()] } else { urls })
}

/// All broker URLs in the text of a `boss.conf`.
///
/// # Errors
/// What is wrong with the text, in one line.
pub fn urls(text: &str) -> Result<Vec<String>, String> {
    #[derive(Default, Deserialize)]
    struct Conf {
        #[serde(default)]
        amqp: Amqp,
    }
    #[derive(Default, Deserialize)]
    struct Amqp {
        url: Option<String>,
        #[serde(default)]
        urls: Vec<String>,
    }
    let conf: Conf = toml::from_str(text).map_err(|e| one_line(text, &e))?;
    Ok(conf.amqp.url.into_iter().chain(conf.amqp.urls).collect())
}

/// An error of the TOML parser with its line number. It never quotes the text, which may hold a password.
pub fn one_line(text: &str, e: &toml::de::Error) -> String {
    let message = e.message().replace('\n', " ");
    match e.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_and_urls_are_both_read_and_trouble_names_the_line_but_not_its_text() {
        assert_eq!(
            urls("[amqp]\nurl = \"a\"\nurls = [\"b\", \"c\"]\n"),
            Ok(vec!["a".into(), "b".into(), "c".into()])
        );
        assert_eq!(urls("name = \"x\"\n"), Ok(vec![]));
        let line = urls("[amqp]\nurl = secret\n").unwrap_err();
        assert!(line.starts_with("line 2: ") && !line.contains("secret"), "{line}");
    }
}
