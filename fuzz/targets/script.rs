//! multilog's script: any arguments (separated by NUL, as in /proc/PID/cmdline) are a script.
#![no_main]

use libfuzzer_sys::fuzz_target;
use multilog::script::{Action, parse};

fuzz_target!(|bytes: &[u8]| {
    let arguments: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    match parse(&arguments) {
        Ok(script) => {
            assert!(script.actions.len() <= arguments.len());
            for action in &script.actions {
                if let Action::Log(_, limits) = action {
                    assert!(limits.size >= 4096 && limits.number >= 2, "{limits:?}");
                    assert!(limits.suffix.len() < 230 && !limits.suffix.contains(&b'/'), "{limits:?}");
                }
            }
        }
        // Only what daemontools 0.76 has no meaning for may be refused.
        Err(misused) => assert!(misused.argument.starts_with(b"w") && arguments.contains(&misused.argument)),
    }
});
