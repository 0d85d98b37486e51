//! Telling the kernel to begin writing to disk, so that a later fsync has little left to wait for.

use std::os::fd::{AsFd, AsRawFd};

/// Has the kernel begin to write what is dirty of these bytes of a file. It waits for nothing and promises nothing;
/// where it cannot be done, nothing is lost.
pub fn begin(file: impl AsFd, from: u64, bytes: u64) {
    let (Ok(from), Ok(bytes)) = (from.try_into(), bytes.try_into()) else { return };
    // SAFETY: the call takes integers only, and the descriptor is open as long as it is borrowed.
    unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), from, bytes, libc::SYNC_FILE_RANGE_WRITE) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn what_cannot_be_done_is_passed_over() {
        begin(File::open("/dev/null").unwrap(), 0, 1 << 20);
        begin(File::open("/proc/self/exe").unwrap(), u64::MAX, 1);
    }
}
