//! multilog's patterns: the fast matcher agrees with the rule written down plainly. Input: pattern, newline, text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use multilog::pattern::matches;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (pattern, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    assert_eq!(matches(pattern, text), plainly(pattern, text));
    assert!(matches(b"*", text));
});

/// A star takes characters until the one that follows it in the pattern, which it leaves; nothing is tried twice.
fn plainly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) | ([b'*'], _) => true,
        ([b'*', next, ..], [first, ..]) if next == first => plainly(&pattern[1..], text),
        ([b'*', ..], [_, rest @ ..]) => plainly(pattern, rest),
        ([wanted, pattern @ ..], [first, text @ ..]) if *wanted != b'*' && wanted == first => {
            plainly(pattern, text)
        }
        _ => false,
    }
}
