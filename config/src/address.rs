//! The broker's address: one URL here, four keys in the original's files.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What the original's files mean where they do not say it.
const DEFAULTS: [&str; 4] = ["127.0.0.1:5672", "boss", "boss", "boss"];

/// The URL with those of its parts replaced that are there: amqp_host (HOST or HOST:PORT), amqp_user, amqp_pwd,
/// amqp_vhost.
pub fn with_parts(url: Option<&str>, parts: &BTreeMap<&str, &str>) -> String {
    let (scheme, old) = url.map_or(("amqp", DEFAULTS.map(str::to_owned)), split);
    let [host, user, password, vhost] = old;
    let part = |key: &str, old: String| parts.get(key).map_or(old, |new| escape(new));
    // An address that is no host is refused by whoever checks the URL.
    let host = parts.get("amqp_host").map_or(host, |host| host.trim().to_owned());
    let (user, password) = (part("amqp_user", user), part("amqp_pwd", password));
    format!("{scheme}://{user}:{password}@{host}/{}", part("amqp_vhost", vhost))
}

/// The scheme, and host, user, password and vhost as they stand there.
fn split(url: &str) -> (&str, [String; 4]) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("amqp", url));
    let (account, place) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
    let (user, password) = account.split_once(':').unwrap_or((account, ""));
    let (host, vhost) = place.split_once('/').unwrap_or((place, "%2F"));
    (scheme, [host, user, password, vhost].map(str::to_owned))
}

/// What may not stand in a part of a URL is written as %XX.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_original_make_a_url() {
        for (url, parts, made) in [
            (
                None,
                &[("amqp_host", "h:1"), ("amqp_user", "u"), ("amqp_pwd", "p@/:%"), ("amqp_vhost", "/")][..],
                "amqp://u:p%40%2F%3A%25@h:1/%2F",
            ),
            (None, &[("amqp_host", "rabbit")], "amqp://boss:boss@rabbit/boss"),
            (
                Some("amqps://a:b%40c@h:5671/v?heartbeat=10"),
                &[("amqp_user", "u")],
                "amqps://u:b%40c@h:5671/v?heartbeat=10",
            ),
            (Some("amqp://h"), &[("amqp_pwd", "x")], "amqp://guest:x@h/%2F"),
        ] {
            assert_eq!(with_parts(url, &parts.iter().copied().collect()), made);
        }
    }
}
