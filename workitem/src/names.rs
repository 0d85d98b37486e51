//! Names from the wire that become part of a file name or a routing key.

use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The name itself where it is harmless (`[A-Za-z0-9_!-]{1,200}`), else its SHA-256 in lower-case hexadecimal:
/// a wfid of `#` would listen to everybody, `../` would write anywhere.
pub fn safe_name(name: &str) -> Cow<'_, str> {
    let harmless = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'!' | b'-');
    if (1..=200).contains(&name.len()) && name.bytes().all(harmless) {
        return Cow::Borrowed(name);
    }
    let digest = Sha256::digest(name.as_bytes());
    Cow::Owned(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_names_stay_and_others_become_a_digest() {
        let wfid = "20261120-1953-bejoroku-rebejubo";
        assert_eq!(safe_name(wfid), wfid);
        let longest = "x".repeat(200);
        assert_eq!(safe_name(&longest), longest);
        for name in ["", "#", "..", "../../x", "a.b", "a/b", "é", "a b", &"x".repeat(201)] {
            let safe = safe_name(name);
            assert_eq!(safe.len(), 64, "{name}");
            assert!(safe.bytes().all(|c| c.is_ascii_hexdigit()), "{name}");
        }
        assert_eq!(safe_name("#"), "334359b90efed75da5f0ada1d5e6b256f4a6bd0aee7eb39c0f90182a021ffc8b");
    }
}
