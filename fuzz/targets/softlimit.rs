//! softlimit and setlock: any words (separated by NUL) are options and operands, or wrong in a way that can be told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use tools::limit::{Limit, OPTIONS};
use tools::options::parse;

fuzz_target!(|bytes: &[u8]| {
    let words = || bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let _ = parse(words(), |letter| b"nNxX".contains(&letter).then_some(false), |_| true);
    let takes = |letter| OPTIONS.iter().any(|(known, _)| *known == letter).then_some(true);
    let Ok(options) = parse(words(), takes, |_| true) else { return };
    assert!(options.operands.len() + options.given.len() <= words().count());
    for (_, argument) in options.given {
        let argument = argument.expect("each takes one");
        match Limit::parse(&argument) {
            Some(limit) => assert!(limit.below(1000) <= 1000),
            None => assert!(argument.iter().any(|byte| !byte.is_ascii_digit())),
        }
    }
});
