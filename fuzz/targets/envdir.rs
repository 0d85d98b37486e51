//! envdir: any bytes in a file of any name are a variable, or remove one. Input: the name, NUL, the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tools::environment::Environment;
use tools::value::{first_line, of_line};

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (name, file) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let line = first_line(file).expect("memory can be read");
    assert_eq!(line.is_none(), file.is_empty());
    let mut environment = Environment::default();
    environment.set(b"OTHER", b"kept");
    environment.set(name, b"old");
    let Some(line) = line else {
        environment.remove(name);
        assert!(name.contains(&b'=') || environment.get(name).is_none());
        return;
    };
    let value = of_line(&line);
    assert!(!value.contains(&0) && !matches!(value.last(), Some(b' ' | b'\t')));
    environment.set(name, &value);
    let (variable, rest) = match name.iter().position(|byte| *byte == b'=') {
        Some(at) => (&name[..at], [&name[at + 1..], b"="].concat()),
        None => (name, vec![]),
    };
    assert_eq!(environment.get(variable), Some([rest, value].concat().as_slice()));
    assert!(variable == b"OTHER" || environment.get(b"OTHER") == Some(b"kept"));
});
