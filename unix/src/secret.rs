//! A secret for the program executed next, by neither environment nor argument, and readable by nobody else on the
//! way: not even by a process of the same user through /proc.
//!
//! The secret lies in a file without a name, and that file in flight in a socket: what is in flight is no
//! descriptor yet that /proc could show, and a socket cannot be opened through /proc. Who receives it hides its
//! memory first.

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Puts `content` on the way. The descriptor is inherited by the program executed next, which gives its number to
/// [`receive`].
///
/// # Errors
/// What making or sending it reports.
pub fn hand_over(content: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"settings", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    let kind = (AddressFamily::Unix, SockType::Datagram, None, SockFlag::empty());
    let (here, there) = socketpair(kind.0, kind.1, kind.2, kind.3)?;
    let fds = [file.as_raw_fd()];
    sendmsg::<()>(
        here.as_raw_fd(),
        &[IoSlice::new(b"s")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )?;
    Ok(there)
}

/// Takes what [`hand_over`] put on the way, and closes the descriptor.
///
/// # Errors
/// `InvalidData` when nothing was handed over; what reading reports.
pub fn receive(fd: RawFd) -> io::Result<String> {
    // SAFETY: the number was handed to this process for exactly this; nothing else here owns the descriptor, and a
    // number that is none makes recvmsg fail.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let (mut byte, mut space) = ([0; 1], nix::cmsg_space!(RawFd));
    let mut slices = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let received = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    let fd = received.ok_or(io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel made this descriptor for us in recvmsg, and told nobody else.
    let mut file = unsafe { File::from_raw_fd(fd) };
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn what_is_handed_over_is_received_once_however_long_it_is() {
        let secret = "s3cret ".repeat(1_000_000);
        let fd = hand_over(secret.as_bytes()).unwrap();
        assert!(
            File::open(format!("/proc/self/fd/{}", fd.as_raw_fd())).is_err(),
            "a socket cannot be opened"
        );
        assert!(receive(fd.into_raw_fd()).unwrap() == secret);
    }
}
