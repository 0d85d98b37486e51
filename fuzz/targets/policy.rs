//! The lines that service-config writes for supervise: any text is settings or refused, and settles when written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use servicedir::policy::Policy;

fuzz_target!(|text: &str| {
    if let Some(policy) = Policy::from_lines(text) {
        assert_eq!(Policy::from_lines(&policy.to_lines()), Some(policy));
    }
});
