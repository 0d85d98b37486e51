//! `skynet config`: the settings of a participant or of all, shown, changed and checked.
//!
//! | file | idea |
//! |---|---|
//! | `show.rs` | effective values and which file each came from |
//! | `change.rs` | one key set or taken out, the rest of the file as it was; pure |
//! | `check.rs` | all files that participants of this tree read |

pub mod change;
mod check;
mod show;

pub use check::check;

use crate::cli::admin::{Change, Config, Names};
use crate::control;
use crate::doctor;
use crate::name;
use crate::participant::{self, CONFIG, Participant};
use crate::say::{self, complain, say};
use crate::service::{Condition, Service};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use config::file::Draft;
use config::ini;
use nix::unistd::User;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Shows, changes or checks settings.
pub fn run(tree: &Tree, args: &Config, json: bool) -> Outcome {
    match (&args.change, &args.name) {
        (None, name) if args.check => check::run(tree, name.as_deref(), json),
        (None, Some(name)) => show::participant(tree, &Participant::find(tree, name)?, args.set_only, json),
        (None, None) => show::boss_conf(tree, json),
        // A file that cannot be used is changed all the same: that may be what repairs it.
        (Some(change), Some(name)) => {
            let dir = Participant::locate(tree, name)?;
            let dir = dir.canonicalize().map_err(cannot("find", dir.display()))?;
            change_file(tree, &dir.join(CONFIG), Some(&dir), change, json)
        }
        (Some(change), None) => change_file(tree, &tree.boss_conf(), None, change, json),
    }
}

fn change_file(tree: &Tree, file: &Path, participant: Option<&Path>, change: &Change, json: bool) -> Outcome {
    let (Change::Set { key, reload, .. } | Change::Unset { key, reload }) = change;
    let changed = apply(tree, file, participant, change)?;
    if changed && key == "user" {
        tell_of_account(change);
        tell_of_states(tree, participant)?;
    }
    let outdated = if *reload { running(tree, participant)? } else { vec![] };
    if !outdated.is_empty() && key != "instances" {
        control::reload(tree, &Names { names: outdated, timeout: None })?;
    } else if changed {
        say!("{}", what_next(tree, participant, change)?);
    }
    if json {
        let result = json!({ "file": file.to_string_lossy(), "key": key, "changed": changed });
        say::json(&result).map_err(cannot("write", "the result"))?;
    }
    Ok(0)
}

/// It may be made later; until then nothing runs with it.
fn tell_of_account(change: &Change) {
    if let Change::Set { value, .. } = change
        && matches!(User::from_name(value.trim_matches('"')), Ok(None))
    {
        complain!(
            "note: there is no account {value} here; nothing starts with it (useradd --system {value})"
        );
    }
}

/// What the user of before has kept is not the new one's, who can do nothing without it.
fn tell_of_states(tree: &Tree, participant: Option<&Path>) -> Result<(), Trouble> {
    let all = tree.pick(&[])?.into_iter().map(|service| tree.service(&service));
    let dirs = participant.map_or_else(|| all.collect(), |dir| vec![dir.to_owned()]);
    for dir in dirs {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        if name::participant(&name) == name
            && let Ok(Some((settings, _))) = participant::settings(tree, &dir)
            && let Some(finding) = doctor::owner(tree, &name, &settings)
        {
            complain!("{name}: {} ({})", finding.found, finding.repair);
        }
    }
    Ok(())
}

/// Writes the change; false where nothing had to be changed.
fn apply(tree: &Tree, file: &Path, participant: Option<&Path>, wanted: &Change) -> Result<bool, Trouble> {
    let _turn = turn(file);
    let before = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(cannot("read", file.display())(e)),
    };
    if ini::is_ini(&before) {
        let line = format!("{} is an INI file, as the original SkyNET had them", file.display());
        return Err(Trouble::Failed(format!("{line}: change it by hand, skynet changes TOML only")));
    }
    let after = match wanted {
        Change::Set { key, value, .. } => change::set(&before, key, value),
        Change::Unset { key, .. } => change::unset(&before, key),
    };
    let after =
        after.map_err(|why| Trouble::Failed(format!("{}: {why}; nothing was changed", file.display())))?;
    let whole = config::file::check(file, &after.text).map(drop);
    whole
        .and_then(|()| check::whole(tree, participant, Draft { file, text: &after.text }))
        .map_err(|e| Trouble::Failed(format!("{e}; nothing was changed")))?;
    if after.text == before {
        say!("{}: nothing to change", file.display());
        return Ok(false);
    }
    replace(file, &after.text).map_err(cannot("write", file.display()))?;
    say!("{}: {}", file.display(), after.told);
    Ok(true)
}

/// Has this file to itself as long as what is returned: of two changes at the same time none is lost. Where its folder
/// cannot be locked it cannot be written either.
fn turn(file: &Path) -> Option<fs::File> {
    let folder = fs::File::open(real(file).parent()?).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// What a link leads to.
fn real(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_owned())
}

/// By rename, with owner and permissions as before; a link is followed.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let real = real(file);
    let meta = fs::metadata(&real).ok();
    let mut name = std::ffi::OsString::from(".");
    name.push(real.file_name().unwrap_or_default());
    name.push(format!(".new-{}", std::process::id()));
    let fresh: PathBuf = real.with_file_name(name);
    let write = || {
        let mode = meta.as_ref().map_or(0o600, |meta| meta.mode() & 0o7777);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
        if let Some(meta) = &meta {
            file.set_permissions(meta.permissions())?;
            std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &real)
    };
    let written = write();
    if written.is_err() {
        // The error is told; what is left of the attempt is of no use.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Whether and how the change takes effect.
fn what_next(tree: &Tree, participant: Option<&Path>, change: &Change) -> Result<String, Trouble> {
    let (Change::Set { key, .. } | Change::Unset { key, .. }) = change;
    if key.starts_with("notify") {
        let name = participant.and_then(Path::file_name).map(|name| format!(" {}", name.display()));
        let who = name.as_deref().map_or("'*'", str::trim_start).to_owned();
        let name = name.unwrap_or_default();
        let try_it = match change {
            Change::Set { .. } => format!("; try it: skynet notify test{name}"),
            Change::Unset { .. } => String::new(),
        };
        return Ok(format!("it holds from a service's next start on (now: skynet reload {who}){try_it}"));
    }
    let Some(dir) = participant else {
        return Ok("participants read it when they start: skynet reload NAME (or '*')".to_owned());
    };
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    Ok(match running(tree, participant)?.as_slice() {
        _ if key == "instances" => format!("takes effect with: skynet enable {name}"),
        [] => format!("{name} does not run; it takes effect when it starts"),
        _ => format!("{name} runs with the old settings: skynet reload {name}"),
    })
}

/// The services of this participant, or of all, that run.
fn running(tree: &Tree, participant: Option<&Path>) -> Result<Vec<String>, Trouble> {
    let name = participant.and_then(Path::file_name).map(|name| name.to_string_lossy());
    let mut services = tree.pick(&[])?;
    services.retain(|service| name.as_ref().is_none_or(|name| name::participant(service) == name.as_ref()));
    services.retain(|service| matches!(Service::look(&tree.service(service)).condition(), Condition::Up(_)));
    Ok(services)
}
