//! What goes wrong, as one line for people and an exit code for scripts.

use std::fmt::Display;

/// Why a verb failed: the rest of the line after `skynet: `.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It could not be done; the line says what to do next.
    #[error("{0}")]
    Failed(String),
    /// There is no participant of that name.
    #[error("{0}")]
    NoSuch(String),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// ^C, or another signal of this number; what goes on is said, if anything does.
    #[error("{1}")]
    Interrupted(i32, String),
    /// The system said no: a file, a process, a port.
    #[error("{0}")]
    System(String),
}

impl Trouble {
    /// The exit code of `skynet`.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::NoSuch(_) => 1,
            Self::Usage(_) => 100,
            Self::Interrupted(signal, _) => crate::interrupt::exit_code(*signal),
            Self::System(_) => 111,
        }
    }
}

impl From<air::line::LineError> for Trouble {
    fn from(e: air::line::LineError) -> Self {
        Self::System(e.to_string())
    }
}

impl From<config::ConfigError> for Trouble {
    fn from(e: config::ConfigError) -> Self {
        match e {
            config::ConfigError::Read { file, error } => cannot("read", file.display())(error),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// `cannot VERB OBJECT: REASON`, from a failed system call.
pub fn cannot<E: Display>(verb: &str, object: impl Display) -> impl FnOnce(E) -> Trouble {
    move |reason| {
        let reason = reason.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        // Libraries put its name before it: ENOENT.
        let is_name =
            |word: &str| word.starts_with('E') && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let reason =
            reason.split_once(": ").filter(|(word, _)| is_name(word)).map_or(reason, |(_, rest)| rest);
        Trouble::System(format!("cannot {verb} {object}: {reason}"))
    }
}

/// What a verb returns: its exit code.
pub type Outcome = Result<u8, Trouble>;

/// What a verb that changes services returns: its exit code, and which services it was about.
pub type Acted = Result<(u8, Vec<String>), Trouble>;
