//! `readproctitle L… D`: shows the last bytes of its input in its own argument D, where ps(1) finds them.
//!
//! D is five bytes or longer: three dots, then the input. Exit codes: 0 end of input; silently 100 without such a D,
//! 111 trouble with reading.
#![forbid(unsafe_code)]

use nix::errno::Errno;
use nix::unistd::read;
use std::io;
use std::process::ExitCode;
use tools::ring::Ring;
use unix::before_main::{self, LastArgument};

fn main() -> ExitCode {
    before_main::restore();
    let argument = (std::env::args_os().len() > 1).then(LastArgument::take).flatten();
    let Some(mut argument) = argument else { return ExitCode::from(100) };
    let Some(mut ring) = Ring::new(argument.length()) else { return ExitCode::from(100) };
    let mut input = [0; 4096];
    loop {
        argument.write(ring.text());
        match read(io::stdin(), &mut input) {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(length) => ring.push(&input[..length]),
            Err(Errno::EINTR) => {}
            Err(_) => return ExitCode::from(111),
        }
    }
}
