//! What options take: times, and the names of participants, which a shell can complete.

use crate::new;
use crate::tree::{Tree, folders};
use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter};
use config::schema::{KEYS, Key, Kind};
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

/// `500ms`, `30s`, `5m`, `2h`, `7d`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let with_unit =
        if text.ends_with(|c: char| c.is_ascii_digit()) { format!("{text}s") } else { text.to_owned() };
    config::units::duration(&with_unit)
        .ok_or_else(|| "expected a time like 500ms, 30s, 5m, 2h or 7d".to_owned())
}

/// The names of the participants of the tree, for completion.
pub fn services() -> Vec<CompletionCandidate> {
    let names = Tree::choose(false).and_then(|tree| tree.pick(&[]));
    names.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

/// The names of all that has a log, for completion: the embedded broker, too.
pub fn logs() -> Vec<CompletionCandidate> {
    let names = Tree::choose(false).and_then(|tree| tree.services());
    names.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

/// The names of services and of what is installed, and folders, for completion of PATH|NAME.
pub fn folders_and_names(begun: &OsStr) -> Vec<CompletionCandidate> {
    if begun.as_encoded_bytes().contains(&b'/') {
        return PathCompleter::dir().complete(begun);
    }
    let installed = Tree::choose(false).and_then(|tree| folders(&tree.installed())).unwrap_or_default();
    let here = folders(Path::new(".")).unwrap_or_default();
    let here = here.into_iter().filter(|name| Path::new(name).join("run").is_file());
    let here = here.map(|name| CompletionCandidate::new(format!("./{name}")));
    let installed = installed.into_iter().map(CompletionCandidate::new);
    let all = services().into_iter().chain(installed).chain(here);
    let fits = |known: &OsStr| known.as_encoded_bytes().starts_with(begun.as_encoded_bytes());
    all.filter(|one| fits(one.get_value())).collect()
}

/// The templates there are, for completion.
pub fn templates() -> Vec<CompletionCandidate> {
    let about =
        |(name, about): &(&str, &str)| CompletionCandidate::new(*name).help(Some((*about).to_owned().into()));
    new::ABOUT.iter().map(about).collect()
}

/// The settings there are, for completion; those of a table by their paths.
pub fn settings() -> Vec<CompletionCandidate> {
    let paths = paths(KEYS, "").into_iter();
    paths.map(|(path, meaning)| CompletionCandidate::new(path).help(Some(meaning.into()))).collect()
}

fn paths(keys: &[Key], table: &str) -> Vec<(String, &'static str)> {
    let of = |key: &Key| match key.kind {
        Kind::Table(inner) | Kind::Open(inner) => paths(inner, &format!("{table}{}.", key.name)),
        Kind::Fields => vec![],
        _ => vec![(format!("{table}{}", key.name), key.meaning)],
    };
    keys.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_tables_are_completed_by_their_paths() {
        let paths: Vec<_> = paths(KEYS, "").into_iter().map(|(path, _)| path).collect();
        for path in ["grace", "amqp.url", "amqp.tls.ca", "notify.command"] {
            assert!(paths.iter().any(|known| known == path), "{path} is not in {paths:?}");
        }
        assert!(!paths.iter().any(|path| path == "amqp" || path == "fields"), "{paths:?}");
    }

    #[test]
    fn a_time_has_a_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("3d", 259_200_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1s", "3 s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
