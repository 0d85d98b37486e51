//! The interpreter that takes over, with our packages first on its path.

use crate::identity::Environment;
use config::Settings;
use nix::unistd::{AccessFlags, access};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// With -c the first place on the path is the working directory: ours takes it over. What is left of the arguments is what
/// a handler expects of them, and what ps shows: the program and its configuration file.
const SCRIPT: &str = "import sys; sys.path[0] = sys.argv[1]; import _skynet; fd = int(sys.argv[2]); \
                      del sys.argv[:3]; sys.exit(_skynet.run(fd))";

/// Executes the interpreter. The settings, password included, go through a descriptor that is closed before the handler
/// is imported.
///
/// # Errors
/// In one line, why not. Where it goes well this does not return.
pub fn become_it(settings: &Settings, config: &Path, environment: Environment) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|e| format!("cannot find my own program: {e}"))?;
    let packages = own.ancestors().nth(2).unwrap_or(Path::new("/")).join("python");
    check(&packages.join("_skynet.abi3.so"))?;
    let secret = serde_json::to_vec(settings).map_err(|e| format!("cannot hand over the settings: {e}"))?;
    let secret =
        unix::secret::hand_over(&secret).map_err(|e| format!("cannot hand over the settings: {e}"))?;
    let fd = secret.as_raw_fd();
    let error = Command::new(&settings.python)
        .args(["-u", "-c", SCRIPT])
        .arg(packages)
        .arg(fd.to_string())
        .arg(&own)
        .arg(config)
        .envs(environment)
        .exec();
    Err(format!("cannot run {}: {error}", settings.python))
}

/// Whether we, no longer root, can read our own extension. Python would only say that there is no such module.
fn check(extension: &Path) -> Result<(), String> {
    let Err(e) = File::open(extension) else { return Ok(()) };
    let mut folders: Vec<_> = extension.ancestors().skip(1).collect();
    folders.reverse();
    let closed = folders.iter().find(|folder| access(**folder, AccessFlags::X_OK).is_err());
    let reason = closed.map_or_else(String::new, |folder| {
        let folder = folder.display();
        format!(" (the participant's user may not enter {folder}: chmod o+x {folder}, or install SkyNET elsewhere)")
    });
    Err(format!("cannot read {}: {e}{reason}", extension.display()))
}
