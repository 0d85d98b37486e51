//! `tai64nlocal`: shows TAI64N labels at the start of lines as local time.
//!
//! Exit codes: 0 end of input; silently 111 trouble with reading or writing.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use tools::filter;
use tools::unstamp::Unstamper;
use unix::local_time::{self, LocalTime};

fn main() -> ExitCode {
    local_time::read_zone();
    let mut unstamper = Unstamper::default();
    filter::run(|piece, output| unstamper.convert(piece, LocalTime::of, output))
}
