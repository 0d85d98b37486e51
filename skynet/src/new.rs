//! `skynet new NAME [DIR]`: a participant from the template that is built into this program.

use crate::cli::author;
use crate::name;
use crate::say::say;
use crate::trouble::{Outcome, Trouble, cannot};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Path, mode and content of each file of `service-templates/python`.
const TEMPLATE: &[File] = &include!(concat!(env!("OUT_DIR"), "/template.rs"));
type File = (&'static str, u32, &'static str);
/// What stands for the participant's name in the template: in paths, and in texts.
const IN_PATHS: &str = "NAME";
const IN_TEXTS: &str = "@NAME@";

/// Writes the folder of a new participant; refuses where there is something already.
pub fn run(args: &author::New) -> Outcome {
    name::check(&args.name)?;
    if TEMPLATE.is_empty() {
        let line = "this skynet was built without its template (service-templates/python): build it from a full tree";
        return Err(Trouble::System(line.to_owned()));
    }
    let parent = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let dir = parent.join(&args.name);
    if dir.symlink_metadata().is_ok() {
        return Err(Trouble::Failed(format!(
            "cannot make {}: it exists already; nothing was changed",
            dir.display()
        )));
    }
    write(TEMPLATE, &args.name, &parent).map_err(cannot("make", dir.display()))?;
    say!("{} is made:", dir.display());
    for (path, _, _) in TEMPLATE {
        say!("  {}", dir.join(path.replace(IN_PATHS, &args.name)).display());
    }
    say!("Next:");
    say!("  write its work into {}", dir.join(format!("{}.py", args.name)).display());
    if let Some((test, _, _)) = TEMPLATE.iter().find(|(path, _, _)| path.starts_with("test")) {
        say!("  python3 {}", dir.join(test.replace(IN_PATHS, &args.name)).display());
    }
    say!("  skynet enable {}", dir.display());
    say!("  skynet send {} --field KEY=VALUE --wait", args.name);
    Ok(0)
}

/// Under a name with a dot first: a folder that is there is complete.
fn write(template: &[File], name: &str, parent: &Path) -> io::Result<()> {
    fs::create_dir_all(parent)?;
    let fresh = parent.join(format!(".{name}.new-{}", std::process::id()));
    // Modes whatever the umask: when root starts it, another user reads and runs these.
    let written = template.iter().try_for_each(|(path, mode, text)| {
        let path = fresh.join(path.replace(IN_PATHS, name));
        let folder = path.parent().unwrap_or(&fresh);
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(*mode).open(&path)?;
        file.set_permissions(fs::Permissions::from_mode(*mode))?;
        file.write_all(text.replace(IN_TEXTS, name).as_bytes())
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
    fn every_text_of_the_template_has_a_path_within_the_folder() {
        for (path, _, _) in TEMPLATE {
            assert!(!path.starts_with('/') && !path.contains(".."), "{path}");
        }
    }
}
