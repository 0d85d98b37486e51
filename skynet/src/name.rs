//! What a participant may be called.

use crate::trouble::Trouble;

/// The service of the embedded broker in a home: its name is taken.
pub const BROKER: &str = "skynet-broker";
/// Between the participant's name and the number of an instance.
pub const INSTANCE: char = '@';
const LONGEST: usize = 100;

/// Checks the name of a participant, which becomes a folder, a file, a Python module's name and a queue.
///
/// # Errors
/// What is wrong with it, as a line.
pub fn check(name: &str) -> Result<(), Trouble> {
    let why = if name.is_empty() {
        "it is empty".to_owned()
    } else if name == BROKER {
        "that is the name of the embedded broker".to_owned()
    } else if name.starts_with('-') {
        "it begins with \"-\"".to_owned()
    } else if name.len() > LONGEST {
        format!("it is longer than {LONGEST} characters")
    } else if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "_-".contains(*c))) {
        format!("it has {bad:?} in it")
    } else {
        return Ok(());
    };
    Err(Trouble::Usage(format!(
        "{name:?} is no name for a participant: {why} (use letters, digits, \"_\" and \"-\")"
    )))
}

/// The participant to which a service belongs: its name without the number of an instance.
pub fn participant(service: &str) -> &str {
    service.split(INSTANCE).next().unwrap_or(service)
}

/// The services of a participant with this many instances: NAME, NAME@2, …
pub fn instances(name: &str, count: u32) -> Vec<String> {
    let further = (2..=count).map(|n| format!("{name}{INSTANCE}{n}"));
    std::iter::once(name.to_owned()).chain(further).collect()
}

/// The name among `known` that is nearest to `name`, if one is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|k| (strsim::damerau_levenshtein(name, k), k));
    let best = near.min_by_key(|(distance, _)| *distance)?;
    (best.0 <= 1.max(name.chars().count() / 3)).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_letters_digits_and_dashes_is_good() {
        for name in ["sizer", "a", "Notify_2", "check-repo", "_x"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_bad_name_gets_one_line_that_says_what_is_wrong_with_it() {
        for (name, why) in [
            ("", "it is empty"),
            ("a/b", "it has '/' in it"),
            ("a b", "it has ' ' in it"),
            ("a.b", "it has '.' in it"),
            (".", "it has '.' in it"),
            ("a@2", "it has '@' in it"),
            ("a\nb", r"it has '\n' in it"),
            ("größe", "it has 'ö' in it"),
            ("-x", "it begins with \"-\""),
            (BROKER, "that is the name of the embedded broker"),
        ] {
            let line = check(name).unwrap_err().to_string();
            assert!(line.contains(why) && !line.contains('\n'), "{line}");
        }
        assert!(check(&"x".repeat(LONGEST)).is_ok());
        assert!(check(&"x".repeat(LONGEST + 1)).is_err());
    }

    #[test]
    fn instances_are_numbered_from_two() {
        assert_eq!(instances("a", 1), ["a"]);
        assert_eq!(instances("a", 3), ["a", "a@2", "a@3"]);
        assert_eq!(participant("a@3"), "a");
        assert_eq!(participant("a"), "a");
    }

    #[test]
    fn a_misspelt_name_finds_its_nearest() {
        let known = ["sizer", "checker", "slow"];
        assert_eq!(nearest("sizr", known), Some("sizer"));
        assert_eq!(nearest("chekcer", known), Some("checker"));
        assert_eq!(nearest("notification", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
