//! Standard input through a function to standard output: what one read brought is written before the next read.

use nix::errno::Errno;
use std::io;
use std::process::ExitCode;

const BLOCK: usize = 64 * 1024;

/// Runs the filter until the end of input. `change` gets what one read brought (nothing: the end of input) and appends
/// what is to be written. Exit codes are those of tai64n: 0 at the end of input, silently 111 on trouble with reading
/// or writing. The buffers grow to what the longest read needs and then stay.
pub fn run(change: impl FnMut(&[u8], &mut Vec<u8>)) -> ExitCode {
    unix::before_main::restore();
    match pump(change) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(111),
    }
}

fn pump(mut change: impl FnMut(&[u8], &mut Vec<u8>)) -> io::Result<()> {
    let (mut input, mut output) = (vec![0; BLOCK], Vec::with_capacity(2 * BLOCK));
    loop {
        let length = match read(&mut input) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        output.clear();
        change(&input[..length], &mut output);
        write(&output)?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// Not `io::stdin()`, which buffers, and which takes a closed descriptor for the end of input.
fn read(block: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(io::stdin(), block)?)
}

/// Not `io::stdout()`, for the same reasons.
fn write(mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match nix::unistd::write(io::stdout(), text) {
            Ok(length) => text = &text[length..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
