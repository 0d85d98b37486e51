//! The environment as it may be kept: without what looks like a secret.

use std::collections::BTreeMap;

/// A variable whose name has one of these in it is a secret.
const WORDS: [&str; 9] = ["PASS", "PWD", "SECRET", "TOKEN", "KEY", "CRED", "AUTH", "COOKIE", "PRIVATE"];
/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// These variables without secrets: neither those whose name looks like one, nor passwords within URLs.
pub fn environment(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let clean = |(name, value): (String, String)| {
        let upper = name.to_uppercase();
        // The working directory is called like that, too.
        let secret =
            !matches!(upper.as_str(), "PWD" | "OLDPWD") && WORDS.iter().any(|word| upper.contains(word));
        let value = if secret || has_password(&value) { HIDDEN.to_owned() } else { value };
        (name, value)
    };
    variables.map(clean).collect()
}

/// `scheme://user:password@…`
fn has_password(value: &str) -> bool {
    value.split("://").skip(1).any(|rest| {
        let account = rest.split(['/', ' ']).next().unwrap_or_default();
        account.rsplit_once('@').is_some_and(|(account, _)| account.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_all_else_is_kept() {
        for (name, value, kept) in [
            ("PATH", "/usr/bin:/bin", true),
            ("PWD", "/srv", true),
            ("HOME", "/", true),
            ("PROXY", "http://proxy:3128/", true),
            ("PGPASSWORD", "x", false),
            ("api_key", "x", false),
            ("GITHUB_TOKEN", "x", false),
            ("URL", "amqp://boss:b0ss@h:5672/boss", false),
            ("URLS", "http://a/ amqp://u:p@h", false),
            ("MAIL", "mailto:a@b", true),
        ] {
            let out = environment([(name.to_owned(), value.to_owned())].into_iter());
            assert_eq!(out[name] == value, kept, "{name}={value}");
        }
    }
}
