//! Variables for the next program, changed as daemontools changes them: also the order is the same.

use std::ffi::CString;

/// An environment: entries, usually `NAME=VALUE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<CString>);

impl Environment {
    /// That of this process, entry by entry as it was given.
    pub fn inherited() -> Self {
        Self(unix::execution::environment())
    }

    /// The value of a variable: of its first entry.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.iter().find_map(|entry| value(entry, name))
    }

    /// Sets a variable. Of a name with `=` in it, what follows goes to the value.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.change(&[name, b"=", value].concat());
    }

    /// Removes a variable; nothing happens when there is none. A name with `=` in it cannot be removed: it is an
    /// entry, and set.
    pub fn remove(&mut self, name: &[u8]) {
        self.change(name);
    }

    /// The entries, for `execve`.
    pub fn into_entries(self) -> Vec<CString> {
        self.0
    }

    /// Takes every entry of that name out, the last one of all filling the gap; then, if there is a value, appends.
    fn change(&mut self, entry: &[u8]) {
        let equals = entry.iter().position(|byte| *byte == b'=');
        let name = &entry[..equals.unwrap_or(entry.len())];
        while let Some(at) = self.0.iter().position(|entry| value(entry, name).is_some()) {
            self.0.swap_remove(at);
        }
        if equals.is_some() {
            // NUL would end the entry for whoever reads it.
            let whole: Vec<u8> = entry.iter().copied().filter(|byte| *byte != 0).collect();
            self.0.extend(CString::new(whole));
        }
    }
}

fn value<'a>(entry: &'a CString, name: &[u8]) -> Option<&'a [u8]> {
    entry.as_bytes().strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: &str, change: impl Fn(&mut Environment)) -> String {
        let mut environment =
            Environment(before.split(' ').map(|entry| CString::new(entry).unwrap()).collect());
        change(&mut environment);
        let entries: Vec<_> = environment.0.iter().map(|entry| entry.to_str().unwrap()).collect();
        entries.join(" ")
    }

    #[test]
    fn a_variable_is_replaced_at_the_end_and_the_last_fills_its_gap() {
        for (before, name, value, expected) in [
            ("A=1 B=2 C=3", "A", Some("x"), "C=3 B=2 A=x"),
            ("A=1 B=2 C=3", "C", Some("x"), "A=1 B=2 C=x"),
            ("A=1 B=2 C=3", "D", Some("x"), "A=1 B=2 C=3 D=x"),
            ("A=1 B=2 C=3", "A", None, "C=3 B=2"),
            ("A=1 B=2", "D", None, "A=1 B=2"),
            ("A=1 AB=2 A", "A", None, "A AB=2"),
            ("A=1 B=2 A=3 C=4", "A", Some("x"), "C=4 B=2 A=x"),
            ("A=1 X=2", "X=Y", Some("z"), "A=1 X=Y=z"),
            ("A=1", "X=Y", None, "A=1 X=Y"),
            ("A=1", "", Some("z"), "A=1 =z"),
        ] {
            let done = after(before, |environment| match value {
                Some(value) => environment.set(name.as_bytes(), value.as_bytes()),
                None => environment.remove(name.as_bytes()),
            });
            assert_eq!(done, expected, "{before}: {name} {value:?}");
        }
    }

    #[test]
    fn the_first_entry_of_a_name_counts() {
        let environment =
            Environment(vec![c"PATH".into(), c"PATHS=0".into(), c"PATH=1".into(), c"PATH=2".into()]);
        assert_eq!(environment.get(b"PATH"), Some(b"1".as_slice()));
        assert_eq!(environment.get(b"HOME"), None);
    }
}
