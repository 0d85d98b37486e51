//! What could not be done, and how that is said.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use unix::words::Words;

/// What could not be done with what, and why.
#[derive(Debug)]
pub struct Trouble {
    sentence: Vec<u8>,
    error: Option<io::Error>,
}

impl Trouble {
    /// `unable to write to DIR/current`, where the sentence ends with the path.
    pub fn with_path(what: &str, path: &Path, error: io::Error) -> Self {
        Self::new(&[what.as_bytes(), path.as_os_str().as_bytes()], Some(error))
    }

    /// Any sentence, in parts; names may be any bytes.
    pub fn new(parts: &[&[u8]], error: Option<io::Error>) -> Self {
        Self { sentence: parts.concat(), error }
    }

    /// Whether what was to be worked on is not there.
    pub fn is_absence(&self) -> bool {
        self.error.as_ref().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
    }

    /// The sentence and the reason.
    pub fn line(&self) -> Vec<u8> {
        [self.sentence.as_slice(), &self.reason()].concat()
    }

    /// Says it as a warning, when it will be tried again after a pause.
    pub fn say_pausing(&self) {
        say(&[b"multilog: warning: ".as_slice(), &self.sentence, b", pausing", &self.reason()].concat());
    }

    fn reason(&self) -> Vec<u8> {
        self.error.as_ref().map(|e| format!(": {}", Words(e)).into_bytes()).unwrap_or_default()
    }
}

/// The bytes of a path or a name.
pub fn bytes(name: &(impl AsRef<OsStr> + ?Sized)) -> &[u8] {
    name.as_ref().as_bytes()
}

/// A line on standard error. Names may be any bytes.
pub fn say(line: &[u8]) {
    // Nobody is left to be told when standard error is gone.
    let _ = io::stderr().write_all(&[line, b"\n"].concat());
}
