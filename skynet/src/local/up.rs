//! `skynet local up`: broker and svscan under the home, ready when it returns.

use super::broker::{self, Broker, Settings, Wish};
use super::{ELSEWHERE, down, lock, status, svscan};
use crate::brokers;
use crate::cli::admin::Paths;
use crate::cli::author::Up;
use crate::enable;
use crate::interrupt::{Claim, goes_on};
use crate::logtail;
use crate::name::BROKER;
use crate::progress::Progress;
use crate::say::{self, complain, say};
use crate::service::{Condition, Service, tell};
use crate::stopping::Interrupt;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::waiting::{Waiting, Woken};
use air::line::Line;
use nix::poll::{PollFd, PollFlags};
use serde_json::Value;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

/// How long the broker may take to listen; it may have much to read.
const BROKER_TIME: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(1);
/// How long another broker may take to answer before that is said.
const REACH: Duration = Duration::from_secs(3);

/// Starts the SkyNET of this home, or says that it runs.
pub fn run(tree: &Tree, args: &Up, json: bool) -> Outcome {
    let wish = Wish::from_options(args.port, args.broker.as_deref())?;
    let home = tree.home().ok_or_else(|| Trouble::Usage("no home".to_owned()))?;
    let run = home.join("run");
    make_folders(tree, home)?;
    let lock = lock::take(&run)?;
    // What has been started is stopped again before ^C ends this.
    let interrupts = Claim::new();
    let already = svscan::find(&run).is_some();
    if already && wish != Wish::AsChosen {
        let line = "cannot change the broker of a SkyNET that runs: skynet local down, then up again";
        return Err(Trouble::Failed(line.to_owned()));
    }
    if !already {
        down::stop_lost(tree)?;
        clear_away(tree, &run)?;
    }
    // Participants would not start with it either.
    config::file::read(&tree.boss_conf()).map_err(|e| Trouble::Failed(e.to_string()))?;
    let fresh = broker::chosen(tree)?.is_none();
    let broker = broker::prepare(tree, &wish)?;
    let started = match &broker {
        // Its broker may have been removed.
        Broker::Embedded(_) if already => broker::make_service(tree, &broker),
        Broker::Elsewhere if already => Ok(()),
        _ => start(tree, &run, &broker),
    };
    // ^C may be why it was not started.
    let mut ready = interrupted(interrupts.as_ref()).and(started);
    if let Broker::Embedded(settings) = &broker {
        ready = ready.and_then(|()| wait_for_broker(tree, settings, interrupts.as_ref()));
    }
    if let Err(trouble) = ready {
        if !already {
            down::stop_everything(tree, &run, Interrupt::Hurries)?;
        }
        return Err(trouble);
    }
    report(tree, &run, &broker, already, fresh, !args.words.is_empty())?;
    note_that_it_hides_the_system(home);
    // It is up: from here on others need not wait, and ^C ends what only looks, or enables.
    drop((lock, interrupts));
    if broker == Broker::Elsewhere {
        let _goes_on = goes_on(format!("SkyNET in {} is up, and stays so (skynet local down)", place(tree)));
        if let Err(trouble) = reach(tree) {
            complain!("warning: {trouble} (participants try again and again; {ELSEWHERE})");
        }
    }
    if !args.words.is_empty() {
        enable::enable(tree, &Paths { words: args.words.clone(), timeout: None })?;
    }
    if json {
        status::print_json(tree, "started", &Value::Bool(!already))?;
    }
    Ok(0)
}

/// Whether a broker that is not ours answers.
fn reach(tree: &Tree) -> Result<(), Trouble> {
    let brokers = brokers::of_tree(tree)?;
    brokers::runtime()?.block_on(async {
        let opened = tokio::time::timeout(REACH, Line::open(&brokers.urls, &brokers.tls)).await;
        opened.map_err(|_| brokers.silent(REACH))??.close().await;
        Ok(())
    })
}

fn interrupted(interrupts: Option<&Claim>) -> Result<(), Trouble> {
    match interrupts.and_then(Claim::take) {
        Some(signal) => Err(Trouble::Interrupted(signal, String::new())),
        None => Ok(()),
    }
}

/// The folder in which there is, or could be, a home.
pub fn place(tree: &Tree) -> String {
    tree.home().map_or_else(|| "the system's tree".to_owned(), |home| home.display().to_string())
}

fn make_folders(tree: &Tree, home: &Path) -> Result<(), Trouble> {
    // Handlers that root starts run as another user, who must get through to its state folder.
    let mode = if nix::unistd::geteuid().is_root() { 0o755 } else { 0o700 };
    for dir in [home.to_owned(), home.join("run"), tree.scan_dir(), tree.logs(), tree.states()] {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(mode);
        let no_folder = |e: &io::Error| e.kind() == ErrorKind::AlreadyExists;
        builder.create(&dir).map_err(|e| match dir.display() {
            shown if no_folder(&e) => cannot("make", shown)("something is there that is no folder"),
            shown => cannot("make", shown)(e),
        })?;
    }
    Ok(())
}

/// Stops what a killed svscan left behind: a new one could not hold the pipes between old services and their
/// loggers.
fn clear_away(tree: &Tree, run: &Path) -> Result<(), Trouble> {
    enable::clear_away_half_made(tree);
    if down::leftovers(tree)?.is_empty() {
        return Ok(());
    }
    say!("svscan of this home was killed; stopping what it left behind, then starting again");
    down::stop_everything(tree, run, Interrupt::Leaves).map(|_| ())
}

fn start(tree: &Tree, run: &Path, broker: &Broker) -> Result<(), Trouble> {
    if let Broker::Embedded(settings) = broker {
        settings.port_must_be_free().map_err(|trouble| {
            let (toml, conf) = (broker::folder(tree).join("broker.toml"), tree.boss_conf());
            let line = format!("{trouble} (it stands in {} and {})", toml.display(), conf.display());
            Trouble::System(line)
        })?;
    }
    broker::make_service(tree, broker)?;
    svscan::start(tree, run).map(|_| ())
}

/// Waits until the embedded broker listens.
fn wait_for_broker(tree: &Tree, settings: &Settings, interrupts: Option<&Claim>) -> Result<(), Trouble> {
    let dir = tree.service(BROKER);
    let trouble = |what: &str| {
        let log = logtail::last_lines(&tree.logs().join(BROKER), 5);
        Trouble::System(format!(
            "cannot start the broker: {what} (log: {}){log}",
            tree.logs().join(BROKER).join("current").display()
        ))
    };
    if Service::look(&dir).condition() == Condition::Down {
        tell(&dir, "u")?;
    }
    let before = Service::look(&dir).restarts();
    let waiting = Waiting::at_most(BROKER_TIME);
    let mut progress = Progress::begin();
    loop {
        waiting.watch(&dir.join(servicedir::names::SUPERVISE));
        let service = Service::look(&dir);
        if matches!(service.condition(), Condition::Up(_))
            && TcpStream::connect_timeout(&settings.listen, CONNECT).is_ok()
        {
            return Ok(());
        }
        if service.restarts() >= before + 2 {
            return Err(trouble("it ends as soon as it is started"));
        }
        progress.tell(|| "waiting until the broker listens".to_owned());
        let signals = interrupts.map(|claim| PollFd::new(claim.as_fd(), PollFlags::POLLIN));
        let woken = waiting.next_or(signals);
        interrupted(interrupts)?;
        if woken == Woken::Over {
            return Err(trouble("it does not listen"));
        }
    }
}

fn report(
    tree: &Tree,
    run: &Path,
    broker: &Broker,
    already: bool,
    fresh: bool,
    enables: bool,
) -> Result<(), Trouble> {
    let svscan = svscan::find(run).ok_or_else(|| {
        Trouble::System(format!("cannot start svscan: it ended; see {}", svscan::log(tree).display()))
    })?;
    say!("SkyNET in {} is {}", place(tree), if already { "up already" } else { "up" });
    say!("  svscan    pid {}; its words are in {}", svscan.pid, svscan::log(tree).display());
    match broker {
        Broker::Embedded(settings) => say!(
            "  broker    the embedded one on {}{}; for this machine and this user",
            settings.listen,
            if fresh { " (port and password chosen now, and kept)" } else { "" }
        ),
        Broker::Elsewhere => say!("  broker    not ours: the one that {} names", tree.boss_conf().display()),
    }
    say!("  settings  {}", tree.boss_conf().display());
    say!("  services  {}", tree.scan_dir().display());
    say!("  logs      {}", tree.logs().display());
    let participants = tree.pick(&[])?;
    match participants.is_empty() {
        true if enables => {}
        true => say!("Next: skynet new NAME, then skynet enable ./NAME"),
        false => say!("Participants: {} (see: skynet status)", participants.join(", ")),
    }
    if fs::canonicalize(place(tree)).ok() != default_home().and_then(|home| fs::canonicalize(home).ok()) {
        say!("Other commands find this home by SKYNET_HOME={}", say::word(&place(tree)));
    }
    Ok(())
}

/// Root's commands work on root's own home, once there is one.
fn note_that_it_hides_the_system(home: &Path) {
    let named = std::env::var_os("SKYNET_HOME").is_some_and(|home| !home.is_empty());
    if nix::unistd::geteuid().is_root() && !named && Path::new("/var/lib/boss/service").is_dir() {
        complain!(
            "note: as long as {0} is there, root's commands work on it, and on the system's SkyNET with --system only \
             (away with it: skynet local down; rm -r {0})",
            home.display()
        );
    }
}

fn default_home() -> Option<std::path::PathBuf> {
    Some(Path::new(&std::env::var_os("HOME")?).join(".skynet"))
}
