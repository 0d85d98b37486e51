//! Whom a request is for.

use std::fmt;
use std::str::FromStr;
use workitem::safe_name;

/// Whom a request is for. Names from outside go into the key only as [`safe_name`] lets them: a wfid of `#`
/// would be heard by everybody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// All who have a workitem of this process in hand.
    Wfid(String),
    /// All instances of a participant.
    Participant(String),
    /// One process.
    Instance(String),
    /// Everybody.
    All,
}

impl Target {
    /// The routing key.
    pub fn key(&self) -> String {
        match self {
            Self::Wfid(wfid) => format!("wfid.{}", safe_name(wfid)),
            Self::Participant(name) => format!("participant.{}", safe_name(name)),
            Self::Instance(id) => format!("instance.{}", safe_name(id)),
            Self::All => "all".into(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wfid(name) => write!(f, "wfid {name}"),
            Self::Participant(name) => write!(f, "participant {name}"),
            Self::Instance(name) => write!(f, "instance {name}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// Reads `wfid.W`, `participant.P`, `instance.I` or `all`.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            None if text == "all" => Ok(Self::All),
            Some(("wfid", name)) if !name.is_empty() => Ok(Self::Wfid(name.into())),
            Some(("participant", name)) if !name.is_empty() => Ok(Self::Participant(name.into())),
            Some(("instance", name)) if !name.is_empty() => Ok(Self::Instance(name.into())),
            _ => Err(format!("{text:?} is none of wfid.W, participant.P, instance.I, all")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wfid_of_hash_or_dots_listens_to_nobody_elses_keys() {
        assert_eq!(Target::Wfid("20261120-1953-be".into()).key(), "wfid.20261120-1953-be");
        for hostile in ["#", "*", "a.b", "../../x", ""] {
            let key = Target::Wfid(hostile.into()).key();
            let name = key.strip_prefix("wfid.").unwrap();
            assert!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{hostile:?}: {key}");
        }
    }

    #[test]
    fn targets_are_read_as_they_are_written() {
        for text in ["wfid.w1", "participant.sizer", "instance.sizer-h-1", "all"] {
            assert_eq!(text.parse::<Target>().unwrap().key(), text);
        }
        assert!("wfid.".parse::<Target>().is_err() && "nobody".parse::<Target>().is_err());
    }
}
