//! `exo [CONFIG]`: a participant's exoskeleton, started by its `./run`.
//!
//! Reads boss.conf and CONFIG (default ./config.exo), drops privileges, and then either becomes the Python
//! interpreter that runs the handler (the settings, password included, are handed over in a socket, never by
//! argument or environment), or works itself where CONFIG names a program (`exec`).
//!
//! | file | idea |
//! |---|---|
//! | `identity.rs` | whom the participant runs as |
//! | `python.rs` | the interpreter that takes over |
//! | `trust.rs` | what root may believe |
//!
//! Exit codes: 0 stopped in order; 100 wrong usage; 111 trouble at the start.
#![forbid(unsafe_code)]

mod identity;
mod python;
mod trust;

use config::layers::Content;
use config::settings::Loaded;
use config::{Home, Settings, certificates, handler};
use nix::sys::stat::{Mode, umask};
use session::exec::ExecWorkers;
use session::fault;
use session::log::{self, Level};
use session::session as sessions;
use state::lines::Lines;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const HELP: &str = "\
exo [CONFIG]: runs a participant: hands workitems from its queue to its handler
and sends the replies.

CONFIG defaults to ./config.exo (TOML). It may be a file of the original SkyNET,
or supervisor's for one (INI). Settings of the whole tree are read first, from
/etc/boss/boss.conf or $SKYNET_HOME/boss.conf. Usually started by the ./run of a
service directory.

  --help      this text
  --version   the version

Signals: TERM finishes what runs and exits (a second one hurries), HUP the same,
to be started anew with new settings; USR1 writes what is in hand to the log.";

/// A reader who has seen enough (`exo --help | head -1`) is no failure.
fn told(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let config = match args.as_slice() {
        [] => "config.exo",
        [word] if word == "--help" || word == "-h" => return told(HELP),
        [word] if word == "--version" => return told(concat!("exo ", env!("CARGO_PKG_VERSION"))),
        [file] if !file.starts_with('-') => file,
        _ => {
            eprintln!("exo: usage: exo [CONFIG]");
            return ExitCode::from(100);
        }
    };
    let (settings, warnings) = match settings(Path::new(config)) {
        Ok(loaded) => loaded,
        // The form of the log is not known yet.
        Err(reason) => return fatal("", "text", &reason),
    };
    let (name, format) = (settings.name.clone(), settings.log_format.clone());
    for warning in warnings {
        eprint!("{}", log::outside(&name, &format, Level::WARN, &warning));
    }
    match run(Path::new(config), settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fatal(&name, &format, &reason),
    }
}

fn fatal(name: &str, format: &str, reason: &str) -> ExitCode {
    eprint!("{}", log::outside(name, format, Level::ERROR, reason));
    ExitCode::from(111)
}

/// The settings, and what looks like a slip of the pen in them; before anything else, what must not be inherited or seen.
fn settings(config: &Path) -> Result<Loaded, String> {
    let notify = std::env::var("SKYNET_NOTIFY_FD").ok().and_then(|fd| fd.parse::<u32>().ok());
    unix::inherited::close_all_but(notify).map_err(|e| format!("cannot close inherited descriptors: {e}"))?;
    unix::privileges::hide_memory().map_err(|e| format!("cannot hide the password: {e}"))?;
    umask(Mode::from_bits_truncate(0o022));
    config::load(&Home::from_env(), config).map_err(|e| e.to_string())
}

fn run(config: &Path, mut settings: Settings) -> Result<(), String> {
    let search = handler::search(&settings);
    let look = || {
        let there = handler::check(&settings, config, search.as_deref());
        there.and_then(|()| certificates::check(&settings, config, true)).map_err(|e| e.to_string())
    };
    look()?;
    let environment = identity::assume(&settings, &believed(&settings, search.as_deref()))?;
    // Once more, as whom it will be: root may read everything.
    look()?;
    if settings.no_new_privs {
        unix::privileges::forbid_new().map_err(|e| format!("cannot set no_new_privs: {e}"))?;
    }
    withhold(&mut settings);
    if settings.exec.is_empty() {
        python::become_it(&settings, config, environment)
    } else {
        work(settings, environment)
    }
}

/// What root would read or execute: the settings' files, the handler, the interpreter or program.
fn believed(settings: &Settings, search: Option<&OsStr>) -> Vec<PathBuf> {
    let mut files = settings.files.clone();
    files.extend(settings.exec.is_empty().then(|| settings.code.clone()));
    let program = settings.exec.first().unwrap_or(&settings.python);
    files.extend(handler::find(program, search.unwrap_or_default()));
    files
}

/// Of files that are not the participant's own, the handler gets only what its user may read anyway.
fn withhold(settings: &mut Settings) {
    settings.layers.retain(|layer| {
        layer.own || matches!(layer.content, Content::Toml(_)) || std::fs::File::open(&layer.file).is_ok()
    });
}

fn work(settings: Settings, environment: identity::Environment) -> Result<(), String> {
    let _log = log::start(&settings.name, &settings.log_format).map_err(|e| format!("cannot log: {e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(async {
        let (reports, inbox) = tokio::sync::mpsc::unbounded_channel();
        let lines = Arc::new(Lines::new(&settings.state));
        fault::tell(&settings.name, &settings.log_format, Arc::clone(&lines));
        let workers = ExecWorkers::new(Arc::new(settings.clone()), environment, Arc::clone(&lines), reports);
        sessions::run(settings, lines, workers, inbox)
            .await
            .map_err(|e| format!("cannot receive signals: {e}"))
    })
}
