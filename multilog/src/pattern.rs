//! Which lines a pattern matches, and which characters a line must hold to be matched at all.

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

/// The longest string that every line matched by `pattern` holds, labels aside: characters for which `label` is
/// true may come from the label, so a string does not begin with them. Empty: there is no such string.
///
/// Characters between two stars follow each other in every text that matches, as they stand for themselves.
pub fn needs(pattern: &[u8], label: impl Fn(u8) -> bool) -> &[u8] {
    let of_the_line = |run: &'_ [u8]| run.iter().position(|c| !label(*c)).unwrap_or(run.len());
    let runs = pattern.split(|c| *c == b'*').map(|run| &run[of_the_line(run)..]);
    runs.max_by_key(|run| run.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    #[test]
    fn a_pattern_needs_its_longest_run_without_what_may_be_of_the_label() {
        let of_a_label = |c| crate::label::Stamp::Tai64n.may_hold(c);
        for (pattern, plain, labelled) in [
            ("", "", ""),
            ("*", "", ""),
            ("**", "", ""),
            ("*ERROR*", "ERROR", "ERROR"),
            ("ab*cde", "cde", ""),
            ("* fatal: *", " fatal: ", "tal: "),
            ("@*x: y*", "x: y", "x: y"),
        ] {
            assert_eq!(needs(pattern.as_bytes(), |_| false), plain.as_bytes(), "{pattern}");
            assert_eq!(needs(pattern.as_bytes(), of_a_label), labelled.as_bytes(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn what_a_pattern_needs_is_in_every_line_that_it_matches(
            pattern in "[ab*]{0,6}", text in "[ab*]{0,8}"
        ) {
            let needed = needs(pattern.as_bytes(), |_| false);
            if matches(pattern.as_bytes(), text.as_bytes()) {
                prop_assert!(memchr::memmem::find(text.as_bytes(), needed).is_some());
            }
        }

        #[test]
        fn without_a_star_a_pattern_matches_itself_only(pattern in "[ab]{0,4}", text in "[ab]{0,4}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), pattern == text);
        }
    }
}
