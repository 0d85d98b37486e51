//! What is no TOML, in words for people: the key that it concerns, and what is missing.

/// A complaint of the parser's about this line.
pub fn complaint(line: &str, message: &str) -> String {
    let message = message.replace('\n', " ");
    let said = match message.split_once(" string, expected `") {
        Some((kind, end)) if kind.starts_with("invalid ") => {
            let times = if kind.contains("multi-line") { 3 } else { 1 };
            format!("the text has no end: {} is missing", end.trim_end_matches('`').repeat(times))
        }
        _ => message,
    };
    match key(line) {
        Some(key) => format!("{key}: {said}"),
        None => said,
    }
}

/// The key that a line sets. Nothing that looks otherwise: it may be a part of a password.
fn key(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!key.is_empty() && key.chars().all(plain)).then_some(key)
}

#[cfg(test)]
mod tests {
    use crate::file::check;
    use std::path::Path;

    #[test]
    fn what_is_no_toml_is_told_with_its_key_and_what_is_missing() {
        for (text, says) in [
            ("name = \"s", "1: name: the text has no end: \" is missing"),
            ("\nname = \"s\nqueue = \"q\"\n", "2: name: the text has no end: \" is missing"),
            ("name = 's\n", "1: name: the text has no end: ' is missing"),
            ("name = \"\"\"s\n", "2: the text has no end: \"\"\" is missing"),
            ("exec = [\"./x\n", "1: exec: unclosed array, expected `]`"),
            ("exec = [\"./x\"\n", "1: exec: unclosed array, expected `]`"),
            ("a = 1\nb = ", "2: b: string values must be quoted, expected literal string"),
            ("name = \"a\"\nname = \"b\"\n", "2: name: duplicate key"),
            ("[amqp\n", "1: unclosed table, expected `]`"),
        ] {
            let error = check(Path::new("config.exo"), text).unwrap_err().to_string();
            assert_eq!(error, format!("config.exo:{says}"), "{text}");
        }
    }
}
