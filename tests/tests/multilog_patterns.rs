//! multilog's patterns: random scripts on random lines select the same with Debian's multilog and ours.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod multilog;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::{SystemTime, UNIX_EPOCH};
use tests::{Programs, Sandbox, mask};

/// Scripts that one multilog is given, and how often that is done.
const TOGETHER: usize = 100;
const ROUNDS: usize = 8;
const LINES: usize = 250;

/// "literal characters; `*` matches up to the first occurrence of the character that follows it in the pattern (no
/// backtracking); at the end it matches everything"; "the selection as it is at their place".
#[test]
fn random_patterns_select_the_same_lines_as_with_daemontools() {
    compare(b"", b"ab*\xff", b"ab*\xff");
}

/// "Patterns see the first 1000 characters (label included)". Characters that no label holds, as labels differ.
#[test]
fn random_patterns_select_the_same_labelled_lines_as_with_daemontools() {
    compare(b"t", b"@xy* ", b"xy* ");
}

fn compare(first: &[u8], of_patterns: &[u8], of_lines: &[u8]) {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    let mut random = Random(seed);
    for round in 0..ROUNDS {
        let scripts: Vec<_> = (0..TOGETHER).map(|_| random.script(of_patterns)).collect();
        let input: Vec<u8> = (0..LINES).flat_map(|_| random.line(of_lines)).collect();
        let theirs = selected(Programs::theirs(), first, &scripts, &input);
        let ours = selected(Programs::ours(), first, &scripts, &input);
        for ((script, theirs), ours) in scripts.iter().zip(theirs).zip(ours) {
            let shown: Vec<_> = script.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect();
            assert!(theirs == ours, "seed {seed}, round {round}, {shown:?}:\n{theirs:?}\n{ours:?}");
        }
    }
}

/// What each of these scripts selects.
fn selected(programs: Programs, first: &[u8], scripts: &[Vec<Vec<u8>>], input: &[u8]) -> Vec<String> {
    let sandbox = Sandbox::with(programs);
    let place = multilog::memory_folder();
    let log = |number| place.path().join(format!("log{number}"));
    sandbox.write("input", input);
    let mut command = sandbox.command("multilog", &[]);
    command.arg(OsString::from_vec(first.to_vec())).arg("s16777215");
    for (number, script) in scripts.iter().enumerate() {
        command.arg("+*").args(script.iter().cloned().map(OsString::from_vec)).arg(log(number));
    }
    command.stdin(std::fs::File::open(sandbox.path("input")).unwrap());
    assert_eq!(sandbox.spawn(command).finish().told(), (0, "", ""));
    let text = |number| std::fs::read(log(number).join("current")).unwrap();
    let shown = |number| mask::labels(&text(number).escape_ascii().to_string());
    (0..scripts.len()).map(shown).collect()
}

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn text(&mut self, alphabet: &[u8], longest: usize) -> Vec<u8> {
        let length = self.below(longest + 1);
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    /// Some patterns, often behind `-*`.
    fn script(&mut self, alphabet: &[u8]) -> Vec<Vec<u8>> {
        let mut script = vec![];
        if self.below(2) == 0 {
            script.push(b"-*".to_vec());
        }
        for _ in 0..=self.below(3) {
            let sign = b"+-"[self.below(2)];
            script.push([&[sign][..], &self.text(alphabet, 6)].concat());
        }
        script
    }

    /// A line; some are about as long as patterns see.
    fn line(&mut self, alphabet: &[u8]) -> Vec<u8> {
        let mut line = vec![];
        if self.below(20) == 0 {
            line = vec![alphabet[self.below(alphabet.len())]; 968 + self.below(36)];
        }
        line.extend(self.text(alphabet, 8));
        line.push(b'\n');
        line
    }
}
