//! `skynet enable` and `skynet disable`: which participants there are and which start by themselves.
//!
//! A service directory is a small real directory of links to the participant's files; only `supervise/` and
//! `down` are its own. So a participant may lie on a read-only /usr, or wherever its author keeps it, and
//! several instances of it can run. It is made under a name with a dot, which svscan overlooks, and renamed.

use crate::cli::admin::{Disable, Paths};
use crate::control::{begin, each, take_away};
use crate::glob;
use crate::participant::{self, EXO, Participant};
use crate::say::{complain, say};
use crate::service::{Condition, Service};
use crate::starting;
use crate::tree::Tree;
use crate::trouble::{Acted, Trouble, cannot};
use servicedir::names;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What supervise runs, and exo; beside the files of settings.
const LINKED: [&str; 5] = [names::RUN, names::START, names::FINISH, names::STOP, EXO];

/// In the name of a service directory that is not yet one, or no longer: between the service's and the pid of the
/// command that makes it or takes it away.
pub const NEW: &str = ".new-";
/// See [`NEW`].
pub const GONE: &str = ".gone-";

/// Whether a new service directory starts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtBoot {
    /// It starts with svscan.
    Up,
    /// Only when told to.
    Down,
}

/// `skynet enable PATH|NAME…`: makes the service directories and waits until they are up. Nothing is made where one that
/// was named is none; one that does not come up keeps no other from it.
pub fn enable(tree: &Tree, args: &Paths) -> Acted {
    let words = expanded(tree, &args.words)?;
    let find = |word: &String| Participant::find(tree, word);
    if !args.words.iter().any(|word| glob::is_pattern(word)) {
        words.iter().try_for_each(|word| find(word).map(drop))?;
    }
    let mut enabled = vec![];
    each(&words, |word| {
        let participant = find(word)?;
        enable_one(tree, &participant, args.timeout)?;
        enabled.extend(participant.meant());
        Ok(())
    })?;
    Ok((0, enabled))
}

fn enable_one(tree: &Tree, participant: &Participant, patience: Option<Duration>) -> Result<(), Trouble> {
    for warning in &participant.warnings {
        complain!("warning: {warning}");
    }
    let services = participant.meant();
    let before = |name: &String| Service::look(&tree.service(name)).restarts_once_up();
    let restarts: Vec<_> = services.iter().map(before).collect();
    make(tree, participant, AtBoot::Up)?;
    for name in surplus(&tree.services()?, participant) {
        take_away(tree, &name)?;
        say!("{name} is taken away: config.exo says instances = {}", participant.instances);
    }
    let called = participant.only.as_ref().unwrap_or(&participant.name);
    say!("{called} is enabled: {}", tree.service(called).display());
    if !starting::svscan_runs(tree) {
        say!("it will start with SkyNET: {}", starting::not_running(tree));
        return Ok(());
    }
    let all: Vec<_> = services.iter().zip(restarts).collect();
    each(&all, |(name, before)| begin(tree, name, *before, patience))?;
    let name = &participant.name;
    match participant::settings(tree, &tree.service(called))? {
        Some((settings, _)) => {
            say!("next: skynet send {} --field KEY=VALUE --wait, skynet log -f {name}", settings.queue);
        }
        None => say!("next: skynet log -f {name}"),
    }
    Ok(())
}

/// The words with each pattern in the place of the services that it matches.
fn expanded(tree: &Tree, words: &[String]) -> Result<Vec<String>, Trouble> {
    let one = |word: &String| match glob::is_pattern(word) && !word.contains('/') {
        true => tree.pick(std::slice::from_ref(word)),
        false => Ok(vec![word.clone()]),
    };
    Ok(words.iter().map(one).collect::<Result<Vec<_>, _>>()?.concat())
}

/// `skynet disable NAME…`: it no longer starts by itself; what runs goes on.
pub fn disable(tree: &Tree, args: &Disable) -> Acted {
    let picked = tree.pick(&args.names)?;
    for name in &picked {
        let dir = tree.service(name);
        set_at_boot(&dir, AtBoot::Down)?;
        say!("{name} is disabled: it does not start by itself any more");
        if matches!(
            Service::look(&dir).condition(),
            Condition::Up(_) | Condition::Restarting | Condition::Paused(_)
        ) {
            say!("it goes on running until: skynet stop {name} (which takes it away)");
        }
    }
    Ok((0, picked))
}

/// Makes or updates the service directories of a participant.
///
/// # Errors
/// When one exists that belongs to another participant; what making the files reports.
pub fn make(tree: &Tree, participant: &Participant, at_boot: AtBoot) -> Result<(), Trouble> {
    let scan_dir = tree.scan_dir();
    fs::create_dir_all(&scan_dir).map_err(cannot("make", scan_dir.display()))?;
    for name in participant.meant() {
        let dir = scan_dir.join(&name);
        let is_new =
            !dir.exists() && make_new(&dir, participant, at_boot).map_err(cannot("make", dir.display()))?;
        if is_new {
            continue;
        }
        if participant::source(&dir).is_some_and(|source| source != participant.dir) {
            let source = participant::source(&dir).unwrap_or_default();
            return Err(Trouble::Failed(format!(
                "{name} is enabled already, from {} (first: skynet disable {name}, skynet stop {name})",
                source.display()
            )));
        } else {
            if participant::source(&dir).is_some() {
                link(&dir, &participant.dir).map_err(cannot("make", dir.display()))?;
            }
            if at_boot == AtBoot::Up {
                set_at_boot(&dir, at_boot)?;
            }
        }
    }
    Ok(())
}

/// Makes a service directory; false where another command has made it meanwhile.
fn make_new(dir: &Path, participant: &Participant, at_boot: AtBoot) -> io::Result<bool> {
    let name = dir.file_name().unwrap_or_default().display();
    let fresh = dir.with_file_name(format!(".{name}{NEW}{}", std::process::id()));
    let made = fill(&fresh, &participant.dir, at_boot).and_then(|()| fs::rename(&fresh, dir));
    if made.is_err() {
        // The error is told, or is none; half a directory is of no use.
        let _ = fs::remove_dir_all(&fresh);
    }
    match made {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes service directories that commands which were killed made or took away by half.
pub fn clear_away_half_made(tree: &Tree) {
    for entry in fs::read_dir(tree.scan_dir()).into_iter().flatten().flatten() {
        if is_half_made(&entry.path()) {
            // What cannot be removed disturbs nobody; doctor names it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a command that was killed has left this in the scan directory, and nothing of it runs.
pub fn is_half_made(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let maker = [NEW, GONE].iter().find_map(|mark| name.rsplit_once(mark)?.1.parse::<i32>().ok());
    let half = maker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
    name.starts_with('.') && half && !Service::look(dir).is_alive()
}

/// Instances beyond what the configuration asks for.
fn surplus(services: &[String], participant: &Participant) -> Vec<String> {
    let wanted = participant.services();
    let ours = |name: &&String| crate::name::participant(name) == participant.name;
    services.iter().filter(ours).filter(|name| !wanted.contains(name)).cloned().collect()
}

/// Fills a service directory that nobody looks at yet.
fn fill(dir: &Path, source: &Path, at_boot: AtBoot) -> io::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir(dir)?;
    link(dir, source)?;
    if at_boot == AtBoot::Down {
        fs::write(dir.join(names::DOWN), "")?;
    }
    Ok(())
}

/// Makes the links that are not there: all of them, or those to files that the participant has got since.
fn link(dir: &Path, source: &Path) -> io::Result<()> {
    let log = Path::new(names::LOG);
    let own = LINKED.iter().chain(&names::SETTINGS).map(PathBuf::from);
    let own = own.chain([log.join(names::RUN), log.join(names::SERVICE_TOML)]);
    let own = own.map(|file| (source.join(&file), file));
    let neighbour = neighbouring_exo().map(|exo| (exo, PathBuf::from(EXO)));
    for (from, file) in own.chain(neighbour) {
        let to = dir.join(file);
        if !from.exists() || to.is_symlink() {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        match symlink(from, to) {
            // Another command has just made it.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    Ok(())
}

/// The exo that was installed with this program.
fn neighbouring_exo() -> Option<PathBuf> {
    let own = fs::read_link("/proc/self/exe").ok()?;
    Some(own.parent()?.join(EXO)).filter(|exo| exo.exists())
}

fn set_at_boot(dir: &Path, at_boot: AtBoot) -> Result<(), Trouble> {
    let down = dir.join(names::DOWN);
    let done = match at_boot {
        AtBoot::Down => fs::write(&down, ""),
        // On a read-only disk removing what is not there fails, too.
        AtBoot::Up if !down.exists() => Ok(()),
        AtBoot::Up => match fs::remove_file(&down) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    };
    done.map_err(cannot("write", down.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(dir: &Path, instances: u32) -> Participant {
        Participant { name: "sizer".to_owned(), dir: dir.to_owned(), instances, only: None, warnings: vec![] }
    }

    #[test]
    fn a_service_directory_is_links_to_the_participant_and_nothing_is_left_under_a_dot() {
        let home = tempfile::tempdir().unwrap();
        let tree = Tree::at(home.path());
        let source = home.path().join("src");
        fs::create_dir_all(source.join("log")).unwrap();
        for file in ["run", "config.exo", "log/run"] {
            fs::write(source.join(file), "").unwrap();
        }
        make(&tree, &participant(&source, 2), AtBoot::Down).unwrap();
        assert_eq!(tree.services().unwrap(), ["sizer", "sizer@2"]);
        assert_eq!(fs::read_dir(tree.scan_dir()).unwrap().count(), 2);
        for name in ["sizer", "sizer@2"] {
            let dir = tree.service(name);
            for file in ["run", "config.exo", "log/run"] {
                assert_eq!(fs::read_link(dir.join(file)).unwrap(), source.join(file));
            }
            assert!(dir.join("down").exists());
        }
        for file in ["exo", "service.toml", "log/service.toml"] {
            fs::write(source.join(file), "").unwrap();
        }
        make(&tree, &participant(&source, 1), AtBoot::Up).unwrap();
        for file in ["exo", "service.toml", "log/service.toml"] {
            assert_eq!(fs::read_link(tree.service("sizer").join(file)).unwrap(), source.join(file));
        }
        assert!(!tree.service("sizer").join("down").exists());
        assert_eq!(surplus(&tree.services().unwrap(), &participant(&source, 1)), ["sizer@2"]);

        let other = participant(&home.path().join("other"), 1);
        assert!(make(&tree, &other, AtBoot::Up).unwrap_err().to_string().contains("enabled already"));
    }
}
