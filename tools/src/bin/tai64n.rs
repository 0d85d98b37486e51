//! `tai64n`: puts a TAI64N label before each line of its input.
//!
//! Exit codes: 0 end of input; silently 111 trouble with reading or writing.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use tools::filter;
use tools::stamp::Stamper;
use unix::tai64n::Tai64n;

fn main() -> ExitCode {
    let mut stamper = Stamper::default();
    filter::run(|piece, output| stamper.stamp(piece, Tai64n::now(), output))
}
