//! Folders, permissions, disk, limits, and what earlier runs left behind.

use super::Finding;
use crate::enable::is_half_made;
use crate::service::Service;
use crate::starting;
use crate::tree::Tree;
use crate::trouble::cannot;
use crate::units::size;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access, geteuid};
use servicedir::names;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Below this share of free space or inodes it is time to act.
const SCARCE: f64 = 0.05;
/// And below this many bytes in any case.
const LITTLE: u64 = 100 << 20;
/// svscan, a supervise per service and multilog need few; a broker and Python need more.
const FILES: u64 = 1024;

/// What is found.
pub fn look(tree: &Tree) -> Vec<Finding> {
    let mut found = vec![];
    let place = tree.home().map_or_else(|| "/var/lib/boss".into(), Path::to_path_buf);
    if !place.is_dir() {
        let repair = match tree.home() {
            Some(_) if place.symlink_metadata().is_ok() => {
                let what = format!("{} is no folder, so no SkyNET can be in it", place.display());
                found.push(Finding::wrong("place", what, "move it away, or set SKYNET_HOME to a folder"));
                return found;
            }
            Some(_) => "make it with: skynet local up",
            None => "install the package, or: skynet local up as a user",
        };
        found.push(Finding::wrong("place", format!("there is no SkyNET in {}", place.display()), repair));
        return found;
    }
    found.push(Finding::good("place", place.display().to_string()));
    if is_read_only(&place) {
        // One cause, one line: that folders cannot be written follows from it.
        let repair =
            format!("look for errors of the disk (dmesg), then: mount -o remount,rw {}", place.display());
        found.push(Finding::wrong("disk", "it is mounted read-only", repair));
    } else {
        found.extend(folders(tree));
        found.extend(disks(tree, &place));
    }
    found.extend(secrets(tree));
    found.extend(leftovers(tree));
    found.extend(limits());
    found
}

/// Who reads may not write; then only writers are missed.
fn folders(tree: &Tree) -> Vec<Finding> {
    let mut found = vec![];
    // The system's tree is root's: that others may not write it is as it should be.
    let ours = tree.home().is_some() || geteuid().is_root();
    for dir in [tree.scan_dir(), tree.logs(), tree.states()] {
        let about = "folder";
        let shown = dir.display();
        match fs::read_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let repair = match tree.home() {
                    Some(_) => "skynet local up makes it".to_owned(),
                    None => format!("mkdir {shown} (a package makes it)"),
                };
                found.push(Finding::warning(about, format!("{shown} is not there"), repair));
            }
            Err(e) => {
                let repair = format!("look at its permissions: ls -ld {shown}");
                found.push(Finding::wrong(about, cannot("read", &shown)(e).to_string(), repair));
            }
            Ok(_) if ours && access(&dir, AccessFlags::W_OK).is_err() => {
                let repair = "a disk that is read-only, or another user's: control needs its owner (or root)";
                found.push(Finding::wrong(about, format!("{shown} cannot be written"), repair));
            }
            Ok(_) => {}
        }
    }
    if found.is_empty() {
        let what = if ours { "read and written" } else { "read (they are root's to write)" };
        found.push(Finding::good("folders", format!("services, logs and states can be {what}")));
    }
    found
}

fn is_read_only(place: &Path) -> bool {
    statvfs(place).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY))
}

/// Room where services, logs and states lie: any of these folders may be on a disk of its own.
fn disks(tree: &Tree, place: &Path) -> Vec<Finding> {
    let inside = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let (logs, states) = (tree.logs(), tree.states());
    let mut places = vec![place.to_owned(), logs.clone(), states.clone()];
    places.extend(inside(&logs).chain(inside(&states)).filter(|path| path.is_dir()));
    let mut known = BTreeSet::new();
    places.retain(|place| fs::metadata(place).is_ok_and(|meta| known.insert(meta.dev())));
    let mut found: Vec<_> = places.iter().flat_map(|place| disk(place)).collect();
    if found.is_empty() {
        let free = statvfs(place).map_or(0, |stat| stat.blocks_available() * stat.fragment_size());
        found.push(Finding::good("disk", format!("{} are free", size(free))));
    }
    found
}

/// What is wrong with the disk below this folder.
fn disk(place: &Path) -> Vec<Finding> {
    let shown = place.display();
    let Ok(stat) = statvfs(place) else {
        return vec![Finding::warning("disk", "its free space cannot be told", format!("df {shown}"))];
    };
    let free = stat.blocks_available() * stat.fragment_size();
    let share = |free: u64, all: u64| if all == 0 { 1.0 } else { free as f64 / all as f64 };
    let mut found = vec![];
    if share(stat.blocks_available(), stat.blocks()) < SCARCE || free < LITTLE {
        let repair = format!("make room; logs and failed workitems: du -sh {shown}/*");
        found.push(Finding::wrong("disk", format!("only {} are free in {shown}", size(free)), repair));
    }
    if share(stat.files_available(), stat.files()) < SCARCE {
        let repair = format!("many small files: du --inodes -s {shown}/*");
        found.push(Finding::wrong("disk", format!("hardly any inodes are free in {shown}"), repair));
    }
    found
}

/// Files with the broker's password are for their owner (and group) only.
fn secrets(tree: &Tree) -> Vec<Finding> {
    let path = tree.boss_conf();
    let Ok(meta) = fs::metadata(&path) else { return vec![] };
    if meta.permissions().mode() & 0o004 == 0 {
        return vec![];
    }
    let holds = fs::read_to_string(&path).is_ok_and(|text| text.contains("://") || text.contains("amqp_pwd"));
    if !holds {
        return vec![];
    }
    let found = format!("everybody may read {}, which holds the broker's password", path.display());
    vec![Finding::warning("secrets", found, format!("chmod o-r {}", path.display()))]
}

/// Half-made service directories, locks that nobody holds, FIFOs of a supervise that is gone.
fn leftovers(tree: &Tree) -> Vec<Finding> {
    let mut found = vec![];
    for entry in fs::read_dir(tree.scan_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if is_half_made(&path) {
            let what = format!("{} is left of a command that was interrupted", path.display());
            found.push(Finding::warning("leftovers", what, format!("rm -r {}", path.display())));
        }
        let service = Service::look(&path);
        if let Some(process) = service.orphan() {
            let what = format!("{name} runs without its supervise");
            let repair = match tree.home() {
                Some(_) => "skynet local up takes over".to_owned(),
                None => format!("{} takes over", starting::start_the_system(tree)),
            };
            found.push(Finding::wrong("leftovers", what, repair));
            drop(process);
        }
        if path.join(names::CONTROL).exists()
            && fs::metadata(path.join(names::CONTROL)).is_ok_and(|meta| meta.is_file())
        {
            let what = format!("{} is a file, not a FIFO", path.join(names::CONTROL).display());
            found.push(Finding::wrong(
                "leftovers",
                what,
                format!("rm -r {}", path.join(names::SUPERVISE).display()),
            ));
        }
    }
    if let Some(home) = tree.home() {
        let record = home.join("run/svscan");
        if record.exists() && crate::local::svscan::find(&home.join("run")).is_none() {
            let what = format!("{} names an svscan that is gone", record.display());
            found.push(Finding::warning("leftovers", what, "skynet local up starts another one"));
        }
    }
    found
}

fn limits() -> Vec<Finding> {
    let mut found = vec![];
    if let Ok((_, hard)) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        && hard < FILES
    {
        found.push(Finding::warning("limits", format!("only {hard} files may be open"), "raise: ulimit -n"));
    }
    let instances = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").ok();
    if let Some(n) = instances.and_then(|text| text.trim().parse::<u64>().ok())
        && n < 16
    {
        let repair = "sysctl fs.inotify.max_user_instances=128; until then svscan looks every five seconds";
        found.push(Finding::warning("limits", format!("only {n} inotify instances per user"), repair));
    }
    if geteuid().is_root() && Tree::choose(false).is_ok_and(|tree| tree.home().is_some()) {
        let what = "this is root's own home: commands work on it unless --system is said, and handlers run as another user (boss, else nobody)";
        found.push(Finding::warning(
            "limits",
            what,
            "for trying things out, use a home of a user of your own",
        ));
    }
    found
}
