//! What is compared: ours, Debian's daemontools, runit and s6, and a floor that nobody can be below.

use crate::Bench;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

/// Whose programs they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ours.
    Ours,
    /// Debian's daemontools.
    Daemontools,
    /// Debian's runit.
    Runit,
    /// Debian's s6.
    S6,
    /// An ideal loop of vfork and exec.
    Floor,
}

/// A set of programs.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Whose.
    pub kind: Kind,
    bin: PathBuf,
    libraries: Option<PathBuf>,
}

impl Kind {
    /// The heading of its column.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Daemontools => "daemontools",
            Self::Runit => "runit",
            Self::S6 => "s6",
            Self::Floor => "floor",
        }
    }

    fn scanner(self) -> &'static str {
        match self {
            Self::Ours | Self::Daemontools => "svscan",
            Self::Runit => "runsvdir",
            Self::S6 => "s6-svscan",
            Self::Floor => "bench-floor",
        }
    }
}

impl Peer {
    /// Those of these kinds that are there. When it is first asked it says which peers are missing.
    pub fn all(bench: &Bench, kinds: &[Kind]) -> Vec<Self> {
        static SAID: Once = Once::new();
        let of = |kind: &Kind| Self::of(bench, *kind);
        SAID.call_once(|| {
            let peers = [Kind::Daemontools, Kind::Runit, Kind::S6].iter().map(of);
            let missing: Vec<_> =
                peers.filter(|peer| !peer.is_here()).map(|peer| peer.kind.label()).collect();
            if !missing.is_empty() {
                let missing = missing.join(", ");
                eprintln!(
                    "bench: warning: no {missing} here (tests/setup peers rivals gets them); their columns stay empty"
                );
            }
        });
        kinds.iter().map(of).filter(Self::is_here).collect()
    }

    fn of(bench: &Bench, kind: Kind) -> Self {
        let rivals = bench.target.join("tests/rivals/usr");
        let (bin, libraries) = match kind {
            Kind::Ours => (bench.target.join("skynet/bin"), None),
            Kind::Daemontools => (bench.target.join("tests/peers/usr/bin"), None),
            Kind::Runit => (rivals.join("bin"), None),
            Kind::S6 => (rivals.join("bin"), Some(rivals.join("lib"))),
            Kind::Floor => (bench.own.clone(), None),
        };
        Self { kind, bin, libraries }
    }

    /// A command of this peer, which finds its other programs and, beside the benchmark's, only the system's.
    pub fn command(&self, program: &str) -> Command {
        let own = self.bin.join(program);
        let mut command = Command::new(if own.exists() { own } else { program.into() });
        let mut path = self.bin.clone().into_os_string();
        path.push(":/usr/bin:/bin");
        command.env_clear().env("PATH", path);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Whether its programs are there.
    fn is_here(&self) -> bool {
        self.bin.join(self.kind.scanner()).exists()
    }

    /// The command that runs all services in a scan directory.
    pub fn scanner(&self, scan: &Path) -> Command {
        let program = self.kind.scanner();
        let mut command = match self.kind {
            Kind::S6 => self.as_if_installed(program),
            _ => self.command(program),
        };
        match self.kind {
            Kind::S6 => command.args(["-c", "40000"]).arg(scan),
            Kind::Floor => command.args(services(scan)),
            _ => command.arg(scan),
        };
        command
    }

    /// A command of a peer that looks for its other programs in /usr/bin only: in a mount namespace of its own they
    /// are there.
    fn as_if_installed(&self, program: &str) -> Command {
        let mut unshare = self.command("unshare");
        let inside = "mount -t overlay overlay -o \"lowerdir=$0:/usr/bin\" /usr/bin && exec \"$@\"";
        let user = if nix::unistd::geteuid().is_root() { None } else { Some("--map-root-user") };
        unshare.arg("--mount").args(user).args(["/bin/sh", "-c", inside]).arg(&self.bin).arg(program);
        unshare
    }

    /// The command that tells a service `d` or `u`.
    pub fn control(&self, letter: char, service: &Path) -> Command {
        let (program, letter) = match self.kind {
            Kind::Runit => ("sv", letter.to_string()),
            Kind::S6 => ("s6-svc", format!("-{letter}")),
            _ => ("svc", format!("-{letter}")),
        };
        let mut command = self.command(program);
        command.arg(letter).arg(service);
        command
    }

    /// The command that tells the state of all services, where one command does.
    pub fn status(&self, services: &[PathBuf]) -> Option<Command> {
        let mut command = match self.kind {
            Kind::Ours | Kind::Daemontools => self.command("svstat"),
            Kind::Runit => {
                let mut sv = self.command("sv");
                sv.arg("status");
                sv
            }
            Kind::S6 | Kind::Floor => return None,
        };
        command.args(services);
        Some(command)
    }
}

fn services(scan: &Path) -> Vec<OsString> {
    let entries = scan.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.path().into_os_string()).collect()
}
