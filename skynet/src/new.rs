//! `skynet new NAME [DIR]`: a participant from a template that is built into this program.

use crate::cli::author;
use crate::name;
use crate::say::{self, say};
use crate::trouble::{Outcome, Trouble, cannot};
use nix::unistd::{User, geteuid};
use serde_json::json;
use servicedir::names;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Name and files of each folder of `service-templates`; of each file path, mode and content.
const TEMPLATES: &[(&str, &[File])] = &include!(concat!(env!("OUT_DIR"), "/templates.rs"));
type File = (&'static str, u32, &'static str);
/// What stands for the participant's name in a template, in paths and in texts, and for its author's.
const IN_PATHS: &str = "NAME";
const IN_TEXTS: &str = "@NAME@";
const USER: &str = "@USER@";

/// What each template is for.
pub const ABOUT: &[(&str, &str)] = &[
    ("python", "a Python class that is given workitems"),
    ("exec", "any program, started once for each workitem"),
    ("exoskeleton", "a Python class, and an exoskeleton of its own around it"),
];

/// Writes the folder of a new participant; refuses where there is something already.
pub fn run(args: &author::New, json: bool) -> Outcome {
    if args.list {
        return list(json);
    }
    let Some(name) = &args.name else {
        return Err(Trouble::Usage("what shall it be called? skynet new NAME".to_owned()));
    };
    name::check(name)?;
    let template = find(&args.template)?;
    if let Some(file) = ambiguous(template, name) {
        let line = format!(
            "{name:?} is no name for a participant from the template {:?}: its file {file} would be taken for another \
             (choose another name)",
            args.template
        );
        return Err(Trouble::Usage(line));
    }
    let parent = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let dir = parent.join(name);
    if dir.symlink_metadata().is_ok() {
        return Err(Trouble::Failed(format!(
            "cannot make {}: it exists already; nothing was changed",
            dir.display()
        )));
    }
    write(template, name, &parent).map_err(cannot("make", dir.display()))?;
    // A path with a slash in it, as other commands take folders.
    let shown = if parent == Path::new(".") { format!("./{name}") } else { dir.display().to_string() };
    say!("{shown} is made:");
    let files: Vec<_> = template.iter().map(|(path, _, _)| path.replace(IN_PATHS, name)).collect();
    let width = files.iter().map(String::len).max().unwrap_or_default().max(20);
    for (file, (_, _, text)) in files.iter().zip(template) {
        say!("  {file:<width$} {}", first_words(text, name));
    }
    say!("Next:");
    say!(
        "  write its work into {shown}/{}",
        files.iter().find(|file| file.starts_with(name)).map_or("", String::as_str)
    );
    say!("  skynet test {}", say::word(&shown));
    say!("  skynet enable {}", say::word(&shown));
    if json {
        say::json(&json!({ "name": name, "folder": dir.to_string_lossy(), "files": files }))
            .map_err(cannot("write", "the result"))?;
    }
    Ok(0)
}

fn list(json: bool) -> Outcome {
    if json {
        let all: Vec<_> =
            ABOUT.iter().map(|(name, about)| json!({ "template": name, "about": about })).collect();
        say::json(&all).map_err(cannot("write", "the result"))?;
        return Ok(0);
    }
    for (name, about) in ABOUT {
        say!("{name:<12} {about}");
    }
    Ok(0)
}

fn find(wanted: &str) -> Result<&'static [File], Trouble> {
    if TEMPLATES.is_empty() {
        let line =
            "this skynet was built without its templates (service-templates): build it from a full tree";
        return Err(Trouble::System(line.to_owned()));
    }
    let found = TEMPLATES.iter().find(|(name, _)| *name == wanted).map(|(_, files)| *files);
    found.ok_or_else(|| {
        let hint = match name::nearest(wanted, ABOUT.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "skynet new --list shows them".to_owned(),
        };
        Trouble::Usage(format!("no template {wanted:?} ({hint})"))
    })
}

/// The file that is named after the participant, where the template has one of that name, or supervise or svscan would
/// take it for theirs.
fn ambiguous(template: &[File], name: &str) -> Option<String> {
    let theirs = [names::START, names::FINISH, names::STOP, names::DOWN, names::SUPERVISE];
    let has = |file: &str| {
        let inside =
            |path: &str| path.strip_prefix(file).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        theirs.contains(&file) || template.iter().any(|(path, _, _)| !path.contains(IN_PATHS) && inside(path))
    };
    let own = template.iter().filter(|(path, _, _)| path.contains(IN_PATHS));
    own.map(|(path, _, _)| path.replace(IN_PATHS, name)).find(|file| has(file))
}

/// What a file says of itself in its first words.
fn first_words(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
    let line = line.trim_start_matches(['#', '"', ' ']).trim_end_matches('"');
    let line = line.replace(IN_TEXTS, name);
    let ends = [line.find([':', ';']), line.find(". ")];
    let end = ends.into_iter().flatten().min().unwrap_or(line.len());
    let words = line[..end].trim_end_matches('.');
    if words.starts_with('{') {
        "The fields of a workitem to try it with".to_owned()
    } else {
        words.to_owned()
    }
}

/// Under a name with a dot first: a folder that is there is complete.
fn write(template: &[File], name: &str, parent: &Path) -> io::Result<()> {
    fs::create_dir_all(parent)?;
    let fresh = parent.join(format!(".{name}.new-{}", std::process::id()));
    let user = User::from_uid(geteuid()).ok().flatten().map_or_else(|| "nobody".to_owned(), |user| user.name);
    // Modes whatever the umask: when root starts it, another user reads and runs these.
    let written = template.iter().try_for_each(|(path, mode, text)| {
        let path = fresh.join(path.replace(IN_PATHS, name));
        let folder = path.parent().unwrap_or(&fresh);
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(*mode).open(&path)?;
        file.set_permissions(fs::Permissions::from_mode(*mode))?;
        file.write_all(text.replace(IN_TEXTS, name).replace(USER, &user).as_bytes())
    });
    let made = written.and_then(|()| fs::rename(&fresh, parent.join(name)));
    if made.is_err() {
        // What was made is removed as far as possible; the error is told.
        let _ = fs::remove_dir_all(&fresh);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_put_everywhere_and_modes_do_not_depend_on_the_umask() {
        let template = [
            ("run", 0o755, "#!/bin/sh\nexec exo\n"),
            ("log/run", 0o755, "@NAME@ and @NAME@"),
            ("NAME.py", 0o644, "class X: pass  # @NAME@"),
            ("test_NAME.py", 0o644, "import @NAME@"),
        ];
        let folder = tempfile::tempdir().unwrap();
        write(&template, "sizer", folder.path()).unwrap();
        for (path, mode, text) in [
            ("run", 0o755, "#!/bin/sh\nexec exo\n"),
            ("log/run", 0o755, "sizer and sizer"),
            ("sizer.py", 0o644, "class X: pass  # sizer"),
            ("test_sizer.py", 0o644, "import sizer"),
        ] {
            let path = folder.path().join("sizer").join(path);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_name_whose_file_would_be_taken_for_another_is_none_for_that_template() {
        let all = |name: &str| {
            let taken = |(template, files): &(&'static str, &[File])| {
                ambiguous(files, name).is_some().then_some(*template)
            };
            TEMPLATES.iter().filter_map(taken).collect::<Vec<_>>()
        };
        for name in ["run", "exo", "log", "start", "finish", "stop", "down", "supervise"] {
            assert_eq!(all(name), ["exec"], "{name}");
        }
        assert_eq!(all("exoskeleton"), ["exoskeleton"]);
        for name in ["sizer", "config", "service", "runs", "lo", "test", "NAME"] {
            assert_eq!(all(name), [""; 0], "{name}");
        }
    }

    #[test]
    fn every_template_is_listed_is_whole_and_has_its_paths_within_the_folder() {
        let names: Vec<_> = TEMPLATES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ABOUT.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (name, files) in TEMPLATES {
            for needed in ["run", "log/run", "config.exo", "package.toml", "sample.json"] {
                assert!(files.iter().any(|(path, _, _)| *path == needed), "{name} lacks {needed}");
            }
            for (path, _, text) in *files {
                assert!(!path.starts_with('/') && !path.contains(".."), "{path}");
                assert!(!first_words(text, "x").is_empty(), "{name}/{path} says nothing of itself");
            }
        }
    }
}
