//! `svok DIR`: exits 0 when a supervise runs in the service directory, 100 when not, 111 on trouble.
#![forbid(unsafe_code)]

use servicedir::{client, names};
use std::path::Path;
use std::process::ExitCode;
use svctl::visit::{bytes, complain};
use unix::words::Words;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        complain(&[b"svok: usage: svok dir"]);
        return ExitCode::from(100);
    };
    if let Err(e) = std::env::set_current_dir(&dir) {
        let words = Words(&e).to_string();
        complain(&[b"svok: fatal: unable to chdir to ", bytes(&dir), b": ", words.as_bytes()]);
        return ExitCode::from(111);
    }
    match client::is_running(Path::new(".")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(100),
        Err(e) => {
            let (ok, words) = (names::OK.as_bytes(), Words(&e).to_string());
            complain(&[b"svok: fatal: unable to open ", bytes(&dir), b"/", ok, b": ", words.as_bytes()]);
            ExitCode::from(111)
        }
    }
}
