//! File systems of a test's own: small disks, disks that cannot be written. As root only.

use std::path::Path;
use std::process::Command;

/// Gives this thread, and what it starts from now on, mounts that nobody else sees. False, and said so, where one may not.
pub fn own_mounts() -> bool {
    let own =
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).is_ok() && mount(&["--make-rprivate", "/"]);
    if !own {
        eprintln!("not root, or no mount namespaces here: this cannot be tried");
    }
    own
}

/// Runs mount(8). Whether it went well.
pub fn mount(arguments: &[&str]) -> bool {
    Command::new("mount").args(arguments).status().is_ok_and(|status| status.success())
}

/// A mount, which is gone at the end.
#[derive(Debug)]
pub struct Mount(String);

impl Mount {
    /// Mounts at this place with these options of mount(8).
    pub fn new(place: &Path, options: &[&str]) -> Self {
        let place = place.to_str().unwrap().to_owned();
        assert!(mount(&[options, &[&place]].concat()));
        Self(place)
    }

    /// One that is there already.
    pub fn there(place: &Path) -> Self {
        Self(place.to_str().unwrap().to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.0]).status();
    }
}
