//! What comes on a work queue, and what a program answers: read, or named as unusable. What can be answered can carry an
//! error, stays the workitem that it was, and keeps its other entries as they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use workitem::{ErrorInfo, Fei, Incoming, Unusable, answer, fields, forget, parse, safe_name, with_error};

/// Whom to answer.
fn fei(body: &[u8]) -> Option<Fei> {
    match parse(body) {
        Ok(Incoming::Workitem(header)) => Some(header.fei),
        Err(Unusable::Malformed { fei, .. }) => Some(*fei),
        _ => None,
    }
}

fuzz_target!(|bytes: &[u8]| {
    // Both what came and what a program answers, cut at the first NUL.
    let cut = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (came, said) = (&bytes[..cut], bytes.get(cut + 1..).unwrap_or_default());
    let _ = forget(came);
    let rule = fields::Rule { name: "a".into(), kind: Some("integer".into()), required: true, pattern: None };
    let _ = fields::violations(&[rule], came);
    let Some(fei) = self::fei(came) else { return };
    assert!(safe_name(&fei.wfid).len() <= 200);
    let error = ErrorInfo { class: "E".into(), message: "m".into(), trace: vec![] };
    let once = with_error(came, &error).expect("what can be answered can carry an error");
    assert_eq!(self::fei(&once).as_ref(), Some(&fei));
    assert_eq!(
        with_error(&once, &error).expect("as before"),
        once,
        "a second error takes the place of the first"
    );
    if let Ok(reply) = answer::answer(came, &fei, said) {
        assert_eq!(self::fei(&reply), Some(fei), "a program answers the workitem that it was given");
    }
});
