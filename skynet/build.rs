//! Puts the files of the service templates into the program: a table of name, and of path, mode and content.
//!
//! A tree without `service-templates` builds a `skynet` whose `new` says so; a template that lacks what a
//! participant needs does not build.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the other templates take from the first where they have no file of their own.
const SHARED: [&str; 5] = ["run", "log/run", "exo", "package.toml", "service.toml"];
const FIRST: &str = "python";

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../service-templates");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut table = String::from("[\n");
    if root.is_dir() {
        // The usual one first.
        for template in [FIRST, "exec", "exoskeleton"] {
            let files = files(&root, template)?;
            check(template, &files)?;
            table += &format!("    ({template:?}, &[\n");
            for (path, file) in files {
                println!("cargo::rerun-if-changed={}", file.display());
                let mode = if is_executable(&file)? { 0o755 } else { 0o644 };
                table += &format!("        ({path:?}, 0o{mode:o}, include_str!({file:?})),\n");
            }
            table += "    ]),\n";
        }
    } else {
        println!("cargo::warning=there is no service-templates: \"skynet new\" will have no template");
    }
    table.push(']');
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("templates.rs"), table)
}

/// The files of a template by their paths in it.
fn files(root: &Path, template: &str) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for path in SHARED {
        files.insert(path.to_owned(), root.join(FIRST).join(path));
    }
    let mut own = vec![];
    collect(&root.join(template), &mut own)?;
    for file in own {
        let path = file.strip_prefix(root.join(template)).map_err(io::Error::other)?;
        files.insert(path.to_string_lossy().into_owned(), file);
    }
    Ok(files)
}

/// What must be there, and whether it must be executable.
fn check(template: &str, files: &BTreeMap<String, PathBuf>) -> io::Result<()> {
    for (path, executable) in
        [("run", true), ("log/run", true), ("config.exo", false), ("package.toml", false)]
    {
        let complain =
            |what: &str| Err(io::Error::other(format!("service-templates/{template}/{path} {what}")));
        match files.get(path) {
            None => return complain("is missing"),
            Some(file) if is_executable(file)? != executable => return complain("has the wrong mode"),
            Some(_) => {}
        }
    }
    Ok(())
}

fn is_executable(file: &Path) -> io::Result<bool> {
    Ok(fs::metadata(file)?.permissions().mode() & 0o111 != 0)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            // Python's own droppings are no part of the template.
            if path.file_name().is_some_and(|name| name != "__pycache__") {
                collect(&path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}
