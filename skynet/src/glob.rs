//! Patterns of names, as a shell has them: `*` is any letters, `?` one of them.

/// Whether a word is a pattern and no name.
pub fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?'])
}

/// Whether a name matches a pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.chars().next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            matches(rest, name)
                || name.char_indices().skip(1).any(|(i, _)| matches(rest, &name[i..]))
                || matches(rest, "")
        }
        Some(c) => {
            let mut letters = name.chars();
            letters.next().is_some_and(|letter| c == '?' || c == letter)
                && matches(&pattern[c.len_utf8()..], letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_letters_and_a_question_mark_one() {
        for (pattern, name, yes) in [
            ("*", "", true),
            ("*", "sizer", true),
            ("size?", "sizer", true),
            ("size?", "size", false),
            ("s*r", "sizer", true),
            ("s*z*r", "sizer", true),
            ("*er", "sizer", true),
            ("*x*", "sizer", false),
            ("sizer", "sizer", true),
            ("sizer*", "sizer@2", true),
            ("gr??e", "größe", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), yes, "{pattern} {name}");
        }
    }
}
