//! What is to be known of an entry of the scan directory, and of a directory in which a supervise runs.

use std::ffi::OsString;

/// An entry of the scan directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its name has a leading dot.
    Hidden,
    /// A file, or a link to one.
    NoDirectory,
    /// It cannot be looked at, for this reason: a dangling link, most often.
    Lost(String),
    /// The same directory as an entry before it.
    Twin(OsString),
    /// A service directory.
    Service(Box<Service>),
}

/// A service directory, with its logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The service itself.
    pub main: Place,
    /// Its logger.
    pub log: Log,
}

/// What is called `log` in a service directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    Absent,
    /// It cannot be looked at, for this reason.
    Lost(String),
    /// Something that is no directory.
    NoDirectory,
    /// A directory.
    Place(Box<Place>),
}

/// A directory in which a supervise runs, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub owner: Owner,
    /// `./run`.
    pub run: Program,
    /// `./start`.
    pub start: Program,
    /// `./finish`.
    pub finish: Program,
    /// `./stop`.
    pub stop: Program,
    /// Whether there is a file `down`; or why that cannot be found out.
    pub down: Result<bool, String>,
    /// What `service-config` says is wrong with the settings.
    pub complaints: Vec<String>,
    /// `supervise/`.
    pub folder: Folder,
    /// The supervise that runs here.
    pub supervise: Option<Supervise>,
}

/// Whose something is, and who may write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its uid, where that is not ours.
    pub stranger: Option<u32>,
    /// Group or others may write it.
    pub open: bool,
}

/// A file that is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// There is none.
    Absent,
    /// It can be run, as far as can be seen.
    Fine,
    /// It is no file.
    NoFile,
    /// Nobody has the right to run it.
    NotExecutable,
    /// It cannot be run by this user here, for this reason.
    Denied(String),
    /// Neither a `#!` line nor a program of this machine.
    Foreign,
    /// Its interpreter, as named in the `#!` line, cannot be run for this reason.
    Interpreter(Vec<u8>, String),
}

/// `supervise/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Not there: supervise makes it. A dangling link counts as that.
    Absent,
    /// It cannot be looked at, for this reason.
    Lost(String),
    /// Something that is no directory.
    NoDirectory,
    /// A directory.
    There {
        /// Whose it is.
        owner: Owner,
        /// The files in it that are there.
        files: Vec<Held>,
        /// How many bytes the status has, where there is one.
        status: Option<u64>,
    },
}

/// A file of supervise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name in the service directory.
    pub name: &'static str,
    /// Whether it is what it must be: a FIFO, or a plain file.
    pub kind_is_right: bool,
    /// Whether it must be a FIFO.
    pub fifo: bool,
    /// Whose it is.
    pub owner: Owner,
}

/// A supervise that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervise {
    /// Its pid, where it says who it is.
    pub pid: Option<i32>,
    /// Whether its svscan connected it with a logger, where that can be known.
    pub paired: Option<bool>,
}
