//! service.toml: any bytes are settings, or refused with a line for each mistake; what is read reaches supervise as it is.
#![no_main]

// service-config is a program; its readers are taken as they stand.
#[path = "../../supervise/src/bin/service-config/keys.rs"]
#[allow(dead_code)]
mod keys;
#[path = "../../supervise/src/bin/service-config/toml_file.rs"]
mod toml_file;

use libfuzzer_sys::fuzz_target;
use servicedir::policy::Policy;

fuzz_target!(|text: &[u8]| {
    let (mut policy, mut troubles) = (Policy::default(), vec![]);
    toml_file::read(text, &mut policy, &mut troubles);
    for trouble in &troubles {
        assert!(trouble.starts_with("service.toml:") && !trouble.contains('\n'), "{trouble:?}");
    }
    if troubles.is_empty() {
        assert_eq!(Policy::from_lines(&policy.to_lines()), Some(policy));
    }
});
