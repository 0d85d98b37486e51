//! The one svscan of a home: started detached, on record, found again.
//!
//! `run/svscan` in the home holds its pid, start time and boot id, so that the file of one that was killed, or
//! of another boot, is recognised. The process that becomes svscan writes it itself, before it executes
//! svscan: there is never one that is not on record.
//!
//! The system's is started by others (systemd, an init script) and is found by where it stands.

use crate::service;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use unix::process::{self, Identity, Looks, Pidfd};

const RECORD: &str = "svscan";
/// Longer than an svscan that starts services stands in one of them.
const MOMENT: Duration = Duration::from_millis(20);
/// The hidden verb of the process that becomes svscan.
pub const BECOME: &str = "become-svscan";
/// A log above this size is put aside at the next start.
const LOG_LIMIT: u64 = 1_000_000;

/// A running svscan.
#[derive(Debug)]
pub struct Svscan {
    /// Its pid.
    pub pid: i32,
    /// The process.
    pub process: Pidfd,
}

/// Where svscan's own words go.
pub fn log(tree: &Tree) -> PathBuf {
    tree.logs().join("svscan.log")
}

/// The svscan of this home, if one runs.
pub fn find(run: &Path) -> Option<Svscan> {
    let text = fs::read_to_string(run.join(RECORD)).ok()?;
    let identity = parse(&text)?;
    let process = service::running(&identity)?;
    Some(Svscan { pid: identity.pid, process })
}

/// What runs of a home that was removed here while it was up, as by `rm -r`: it is in no record any more.
#[derive(Debug, Default)]
pub struct Lost {
    /// Its svscans.
    pub svscans: Vec<Svscan>,
    /// Its loggers, which have no place to write to.
    pub loggers: Vec<Pidfd>,
}

/// Looks for processes that stand in a folder of this home that is there no longer.
pub fn lost(tree: &Tree) -> Lost {
    let mut lost = Lost::default();
    let Some(home) = tree.home() else { return lost };
    for pid in process::pids().into_iter().flatten() {
        // Held before it is looked at: what is looked at is what is held.
        let Ok(process) = Pidfd::open(pid) else { continue };
        let place = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let is_removed = place.as_os_str().as_bytes().ends_with(b" (deleted)");
        let Ok(looks) = Looks::of(pid) else { continue };
        if !is_removed || !place.starts_with(home) {
            continue;
        }
        match looks.name.as_slice() {
            b"svscan" => lost.svscans.push(Svscan { pid, process }),
            b"multilog" => lost.loggers.push(process),
            _ => {}
        }
    }
    lost
}

/// The svscan of the system's tree, if one runs: whoever started it, it stands in its scan directory. For root to see.
pub fn of_system(scan_dir: &Path) -> Option<i32> {
    // While it starts services it stands in theirs for moments, which lie elsewhere where they are links.
    standing_in(scan_dir).or_else(|| {
        std::thread::sleep(MOMENT);
        standing_in(scan_dir)
    })
}

fn standing_in(scan_dir: &Path) -> Option<i32> {
    let place = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let wanted = place(scan_dir)?;
    process::pids().ok()?.find(|pid| {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let is_svscan = Looks::of(*pid).is_ok_and(|looks| looks.name == b"svscan");
        is_svscan && ["cwd", "cwd/.."].iter().any(|there| place(&process.join(there)) == Some(wanted))
    })
}

/// Forgets the svscan of this home, which has ended.
pub fn forget(run: &Path) {
    // A file that stays behind is recognised as stale anyway.
    let _ = fs::remove_file(run.join(RECORD));
}

/// Starts svscan as a session of its own, away from the terminal; returns once it is svscan that runs.
///
/// # Errors
/// When it cannot be started; the line names its log.
pub fn start(tree: &Tree, run: &Path) -> Result<Svscan, Trouble> {
    let own = own_executable()?;
    let mut becoming = Command::new(own)
        .arg(BECOME)
        .env("SKYNET_HOME", tree.home().unwrap_or(Path::new("/")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(open_log(tree)?)
        .spawn()
        .map_err(cannot("start", "svscan"))?;
    // End of file means that svscan runs now, or that it never will.
    let mut why = String::new();
    if let Some(mut pipe) = becoming.stdout.take() {
        let _ = pipe.read_to_string(&mut why);
    }
    find(run).ok_or_else(|| {
        // Reaped for its own sake.
        let _ = becoming.wait();
        match why.trim() {
            "" => Trouble::System(format!("cannot start svscan: see {}", log(tree).display())),
            // The log may be what cannot be written.
            why => Trouble::System(format!("cannot start svscan: {why}")),
        }
    })
}

/// Becomes svscan; where that fails whoever started us is told why.
pub fn become_svscan(tree: &Tree) -> Outcome {
    become_it(tree).inspect_err(|why| crate::say::line(format_args!("{why}")))
}

/// Own session, three descriptors, a clean environment, on record.
fn become_it(tree: &Tree) -> Outcome {
    let home = tree.home().ok_or_else(|| Trouble::Usage("SKYNET_HOME is not set".to_owned()))?;
    let run = &home.join("run");
    nix::unistd::setsid().map_err(cannot("begin", "a session"))?;
    unix::inherited::close_on_exec().map_err(cannot("close", "inherited descriptors"))?;
    let own = own_executable()?;
    let bin = own.parent().unwrap_or(Path::new("/usr/lib/skynet/bin"));
    let identity = Identity::own().map_err(cannot("look up", "this process"))?;
    let record = run.join(RECORD);
    let fresh = run.join("svscan.new");
    fs::write(&fresh, unparse(&identity)).map_err(cannot("write", fresh.display()))?;
    fs::rename(&fresh, &record).map_err(cannot("write", record.display()))?;
    let log = open_log(tree)?;
    let error = Command::new(bin.join("svscan"))
        .arg(tree.scan_dir())
        .current_dir("/")
        .env_clear()
        .envs(environment(tree))
        .stdout(log)
        .exec();
    forget(run);
    Err(cannot("execute", bin.join("svscan").display())(error))
}

/// What services find in their environment.
pub fn environment(tree: &Tree) -> Vec<(&'static str, OsString)> {
    let own = own_executable().unwrap_or_default();
    let bin = own.parent().unwrap_or(Path::new("/usr/lib/skynet/bin"));
    let mut path = bin.as_os_str().to_owned();
    path.push(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let kept = ["HOME", "USER", "LOGNAME", "LANG", "TZ"];
    let kept = kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let home = tree.home().map(|home| ("SKYNET_HOME", home.as_os_str().to_owned()));
    kept.chain([("PATH", path)]).chain(home).collect()
}

fn own_executable() -> Result<PathBuf, Trouble> {
    fs::read_link("/proc/self/exe").map_err(cannot("find", "this program"))
}

fn open_log(tree: &Tree) -> Result<File, Trouble> {
    let path = log(tree);
    if fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_LIMIT) {
        // If it cannot be put aside it goes on growing, which is said by nobody but hurts nobody.
        let _ = fs::rename(&path, path.with_extension("log.old"));
    }
    OpenOptions::new().append(true).create(true).open(&path).map_err(cannot("open", path.display()))
}

fn unparse(identity: &Identity) -> String {
    let boot: String = identity.boot_id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {} {boot}\n", identity.pid, identity.start_time)
}

fn parse(text: &str) -> Option<Identity> {
    let mut words = text.split_ascii_whitespace();
    let pid = words.next()?.parse().ok()?;
    let start_time = words.next()?.parse().ok()?;
    let digits = words.next()?.as_bytes();
    let mut boot_id = [0; 16];
    if digits.len() != 32 || words.next().is_some() {
        return None;
    }
    for (byte, pair) in boot_id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Identity { pid, start_time, boot_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_a_round_trip_and_nonsense_is_no_record() {
        let identity = Identity { pid: 42, start_time: 12345, boot_id: *b"\x00\x01\xff3456789abcdef" };
        assert_eq!(parse(&unparse(&identity)), Some(identity));
        for text in ["", "42", "42 1", "42 1 00", "x 1 00000000000000000000000000000000", "42 1 é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_record_of_a_process_that_is_gone_finds_nobody() {
        let run = tempfile::tempdir().unwrap();
        assert!(find(run.path()).is_none());
        let own = Identity::own().unwrap();
        fs::write(run.path().join(RECORD), unparse(&own)).unwrap();
        assert_eq!(find(run.path()).unwrap().pid, own.pid);
        let recycled = Identity { start_time: own.start_time + 1, ..own };
        fs::write(run.path().join(RECORD), unparse(&recycled)).unwrap();
        assert!(find(run.path()).is_none());
    }
}
