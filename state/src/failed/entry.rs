//! One entry of the failed store: read, retried, dropped.

use super::{About, NEW, when};
use crate::moment::{self, Micros};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) const WORKITEM: &str = "workitem.json";
pub(super) const REASON: &str = "reason.txt";
pub(super) const LOG: &str = "log.txt";
pub(super) const ABOUT: &str = "about.json";
const RETRIED: &str = "retried";

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name: `20261121-045301.123456-SID`.
    pub name: String,
    /// Its folder.
    pub place: PathBuf,
    /// Who, when, why. Where `about.json` cannot be read: what name and reason tell.
    pub about: About,
}

/// Once that it was put back on its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// When.
    pub when: Micros,
    /// By whom.
    pub by: String,
}

impl Entry {
    /// The entry in this folder; `None` where there is none.
    pub(super) fn read(place: &Path) -> Option<Self> {
        let name = name(place)?;
        let about = fs::read(place.join(ABOUT)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let about = about.unwrap_or_else(|| About {
            when: when(&name).unwrap_or_default(),
            reason: first_line(&place.join(REASON)),
            ..About::default()
        });
        Some(Self { name, place: place.to_path_buf(), about })
    }

    /// The message as it came, byte for byte.
    ///
    /// # Errors
    /// What reading reports.
    pub fn workitem(&self) -> io::Result<Vec<u8>> {
        fs::read(self.place.join(WORKITEM))
    }

    /// The traceback; empty where there is none.
    ///
    /// # Errors
    /// What reading reports.
    pub fn traceback(&self) -> io::Result<String> {
        let text = fs::read(self.place.join(REASON))?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned()))
    }

    /// The last lines that the participant wrote while it had the workitem in hand; empty where there are none.
    ///
    /// # Errors
    /// What reading reports.
    pub fn log(&self) -> io::Result<String> {
        match fs::read(self.place.join(LOG)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            text => Ok(String::from_utf8_lossy(&text?).into_owned()),
        }
    }

    /// When and by whom it was put back on its queue, oldest first.
    pub fn retries(&self) -> Vec<Retry> {
        let text = fs::read_to_string(self.place.join(RETRIED)).unwrap_or_default();
        let retry = |line: &str| {
            let (when, by) = line.split_once(' ')?;
            Some(Retry { when: moment::parse_stamp(when)?, by: by.to_owned() })
        };
        text.lines().filter_map(retry).collect()
    }

    /// Notes that it was put back on its queue at this time. It stays in the store.
    ///
    /// # Errors
    /// What writing reports.
    pub fn mark_retried(&self, by: &str, when: Micros) -> io::Result<()> {
        let mut file = File::options().create(true).append(true).open(self.place.join(RETRIED))?;
        let by = by.replace(char::is_control, "?");
        file.write_all(format!("{} {by}\n", moment::stamp(when)).as_bytes())
    }

    /// Removes it from the store.
    ///
    /// # Errors
    /// What removing reports.
    pub fn drop(self) -> io::Result<()> {
        // Under a dot name first: half of an entry is nothing that people should see.
        let gone = self.place.with_file_name(format!(".gone-{}", self.name));
        fs::rename(&self.place, &gone)?;
        fs::remove_dir_all(gone)
    }
}

/// The name of an entry's folder; `None` for one that is not complete, or no entry.
pub(super) fn name(place: &Path) -> Option<String> {
    let name = place.file_name()?.to_str()?;
    when(name).map(|_| name.to_owned())
}

/// Whether it is being made, or was by a process that was killed.
pub(super) fn is_new(place: &Path) -> bool {
    place.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(NEW.as_bytes()))
}

fn first_line(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}
