//! Puts the files of the service template into the program: a table of path, mode and content.
//!
//! A tree without `service-templates/python` builds a `skynet` whose `new` says so; a template that lacks what a
//! participant needs does not build.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../service-templates/python");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = vec![];
    if root.is_dir() {
        collect(&root, &mut files)?;
        check(&root)?;
    } else {
        println!("cargo::warning=there is no service-templates/python: \"skynet new\" will have no template");
    }
    files.sort();
    let mut table = String::from("[\n");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let path = file.strip_prefix(&root).map_err(io::Error::other)?;
        let mode = if fs::metadata(&file)?.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        table += &format!("    ({path:?}, 0o{mode:o}, include_str!({file:?})),\n");
    }
    table.push(']');
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("template.rs"), table)
}

/// What must be there, and whether it must be executable.
fn check(root: &Path) -> io::Result<()> {
    for (path, executable) in [("run", true), ("log/run", true), ("config.exo", false), ("NAME.py", false)] {
        let complain = |what: &str| Err(io::Error::other(format!("service-templates/python/{path} {what}")));
        match fs::metadata(root.join(path)) {
            Err(_) => return complain("is missing"),
            Ok(meta) if (meta.permissions().mode() & 0o111 != 0) != executable => {
                return complain("has the wrong mode");
            }
            Ok(_) => {}
        }
    }
    Ok(())
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
