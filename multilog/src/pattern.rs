//! Which lines a pattern matches.

/// Whether `pattern` matches the whole of `text`. Characters stand for themselves. `*` skips to the first
/// occurrence of the character that follows it, which stays unread, and there is no way back; at the end of the
/// pattern it matches everything.
pub fn matches(pattern: &[u8], mut text: &[u8]) -> bool {
    let mut pattern = pattern.iter().copied().peekable();
    while let Some(c) = pattern.next() {
        if c == b'*' {
            let Some(&wanted) = pattern.peek() else { return true };
            match memchr::memchr(wanted, text) {
                Some(at) => text = &text[at..],
                None => return false,
            }
        } else {
            match text.split_first() {
                Some((first, rest)) if *first == c => text = rest,
                _ => return false,
            }
        }
    }
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_goes_to_the_first_occurrence_of_the_next_character_and_never_back() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "x", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "abc", true),
            ("*b", "aab", true),
            ("*b", "aabb", false),
            ("* ERROR *", "x ERROR y", true),
            ("* ERROR *", "x y ERROR z", false),
            ("*: *", "a: b", true),
            ("**", "a*b", true),
            ("**", "ab", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
