//! Random argument lists and inputs: the programs of Debian's daemontools and ours say and do the same.
//!
//! What ours alone understands (docs/reference) is left out of the lists. SKYNET_RANDOM_CASES says how many cases there are
//! per program; SKYNET_CHAOS_SEED tells the seed, which is printed when something differs.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use tests::chaos::{self, Chance};
use tests::{Programs, Sandbox, mask};

type Words = Vec<Vec<u8>>;

/// One case: the words of the command line, the input, and the files that are there.
struct Case {
    words: Words,
    input: Vec<u8>,
    files: Vec<(String, Vec<u8>)>,
}

impl Case {
    fn of(words: Words) -> Self {
        Self { words, input: vec![], files: vec![] }
    }
}

/// Runs as many cases of a program as are wanted on both sides. `same` makes of a transcript what is compared.
fn compare(program: &str, case: impl Fn(&mut Chance) -> Case, same: impl Fn(String) -> String) {
    let cases = std::env::var("SKYNET_RANDOM_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let seed = chaos::seed();
    let mut chance = Chance::new(seed);
    let sandbox = Sandbox::new();
    sandbox.set("PATH", "/usr/bin:/bin");
    sandbox.set("TZ", "UTC");
    for number in 0..cases {
        let case = case(&mut chance);
        let [theirs, ours] = [Programs::theirs(), Programs::ours()].map(|programs| {
            let folder = format!("{number}-{}", programs.are_ours());
            same(transcript(&sandbox, &programs.path(program), &folder, &case))
        });
        let words: Vec<_> = case.words.iter().map(|word| word.escape_ascii().to_string()).collect();
        let input = case.input.escape_ascii();
        assert!(
            theirs == ours,
            "seed {seed}, {program} {words:?} <{input}\n--- theirs\n{theirs}\n--- ours\n{ours}"
        );
    }
}

/// How it ended, what it said, and what files there are then.
fn transcript(sandbox: &Sandbox, program: &Path, folder: &str, case: &Case) -> String {
    let place = sandbox.folder(folder);
    for (name, bytes) in &case.files {
        sandbox.write(format!("{folder}/{name}"), bytes);
    }
    sandbox.write("input", &case.input);
    let mut command = sandbox.command(program, &[]);
    command.args(case.words.iter().cloned().map(OsString::from_vec)).current_dir(&place);
    command.stdin(fs::File::open(sandbox.path("input")).unwrap());
    let done = sandbox.spawn(command).finish();
    let mut text = format!("code {:?} signal {:?}\n{}\n{}\n", done.code, done.signal, done.out, done.err);
    list(&place, "", &mut text);
    let text = mask::labels(&text).replace(place.to_str().unwrap(), "PLACE");
    fs::remove_dir_all(place).unwrap();
    text
}

fn list(dir: &Path, before: &str, text: &mut String) {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let (path, name) = (dir.join(&name), format!("{before}{}", name.display()));
        if path.is_dir() {
            list(&path, &format!("{name}/"), text);
        } else {
            *text += &format!("{name}: {}\n", fs::read(&path).unwrap().escape_ascii());
        }
    }
}

/// Up to so many words out of these.
fn words(chance: &mut Chance, most: u64, list: &[&str]) -> Words {
    (0..chance.below(most + 1)).map(|_| word(chance, list)).collect()
}

fn word(chance: &mut Chance, list: &[&str]) -> Vec<u8> {
    chance.pick(list).unwrap().as_bytes().to_vec()
}

fn bytes(chance: &mut Chance, most: u64, alphabet: &[u8]) -> Vec<u8> {
    (0..chance.below(most + 1)).map(|_| *chance.pick(alphabet).unwrap()).collect()
}

/// A word of options: letters that there are, more often than those that there are not.
fn letters(chance: &mut Chance, known: &[u8], unknown: &[u8]) -> Vec<u8> {
    let letter = |chance: &mut Chance| {
        let list = if chance.once_in(8) { unknown } else { known };
        *chance.pick(list).unwrap()
    };
    let more = chance.below(3);
    [b'-', letter(chance)].into_iter().chain((0..more).map(|_| letter(chance))).collect()
}

#[test]
fn softlimit_with_random_options() {
    let child = ["/bin/sh", "-c", "ulimit -a; exit 3"].map(|word| word.as_bytes().to_vec());
    let case = |chance: &mut Chance| {
        let mut list = vec![];
        for _ in 0..chance.below(4) {
            // What the shell needs to run at all is not made scarce.
            let (letter, values): (_, &[&str]) = match chance.below(10) {
                0..4 => (b"amsldr"[chance.below(6) as usize], &["=", "500000000", "9999999999", "x", "-1"]),
                9 => (b"zAq1"[chance.below(4) as usize], &["1"]),
                _ => (
                    b"copt"[chance.below(4) as usize],
                    &["=", "20", "64", "0100", "7x", " 8", "+5", "99999999999"],
                ),
            };
            let value = word(chance, values);
            match chance.once_in(2) {
                true => list.push([&[b'-', letter][..], &value].concat()),
                false => list.extend([vec![b'-', letter], value]),
            }
        }
        list.extend(words(chance, 1, &["--", "-"]).into_iter().filter(|_| chance.once_in(6)));
        list.extend(child.iter().filter(|_| !chance.once_in(12)).cloned());
        Case::of(list)
    };
    compare("softlimit", case, |text| text);
}

#[test]
fn setlock_with_random_options() {
    let case = |chance: &mut Chance| {
        let mut list: Words = (0..chance.below(3)).map(|_| letters(chance, b"nNxX", b"zl-")).collect();
        list.extend(words(chance, 1, &["lock", "lock", "dir/lock", "none/lock", ".", "", "-", "--"]));
        // By their names: what comes where the file is expected is opened to be written, and nobody may run it then.
        list.extend(words(chance, 2, &["true", "false", "echo", "nothing", "", "lock"]));
        Case { files: vec![("dir/file".into(), vec![])], ..Case::of(list) }
    };
    compare("setlock", case, |text| text);
}

#[test]
fn svc_and_svstat_with_random_arguments() {
    let dirs = ["empty", "file", "nowhere", "", ".", "broken", "a b", "../.."];
    let files = || {
        let file = |name: &str| (name.to_owned(), vec![]);
        ["empty/x", "file", "broken/supervise", "a b/x"].map(file).to_vec()
    };
    let svc = |chance: &mut Chance| {
        let mut list: Words =
            (0..chance.below(3)).map(|_| letters(chance, b"udopchaitkx", b"zZ,5")).collect();
        list.extend(words(chance, 3, &dirs));
        Case { files: files(), ..Case::of(list) }
    };
    // Ours has more options to tell of.
    let short = |text: String| match text.split_once(", k kill") {
        Some((before, rest)) => {
            format!("{before}, k kill\n{}", rest.split_once('\n').map_or("", |(_, rest)| rest))
        }
        None => text,
    };
    compare("svc", svc, short);
    let svstat = |chance: &mut Chance| Case { files: files(), ..Case::of(words(chance, 4, &dirs)) };
    compare("svstat", svstat, |text| text);
}

#[test]
fn envdir_with_random_folders() {
    let case = |chance: &mut Chance| {
        let mut list = words(chance, 1, &["env", "env", "env", "none", "file"]);
        let child: Words = [&b"/bin/sh"[..], b"-c", b"env -0 | sort -z; exit 7"].map(<[u8]>::to_vec).into();
        list.extend(child.into_iter().filter(|_| !chance.once_in(15)));
        let file = |chance: &mut Chance| {
            let name =
                String::from_utf8(word(chance, &["A", "B", "HOME", ".C", "D E", "PATH.x", "f"])).unwrap();
            (format!("env/{name}"), bytes(chance, 8, b"ab=\n\0 \t\xff"))
        };
        let files =
            (0..1 + chance.below(4)).map(|_| file(chance)).chain([("file".to_owned(), vec![])]).collect();
        Case { files, ..Case::of(list) }
    };
    compare("envdir", case, |text| text.split("\nenv/").next().unwrap_or_default().to_owned());
}

#[test]
fn tai64n_and_tai64nlocal_with_random_input() {
    let input = |chance: &mut Chance| {
        let mut input = vec![];
        for _ in 0..chance.below(6) {
            if chance.once_in(2) {
                // A time from 1970 to 2038: 0.76 crashes on others, on an @ that
                // begins no label, and on more digits; a label at the very end it drops.
                input.extend(
                    format!(
                        "@40000000{:08x}{:08x} ",
                        10 + chance.below(0x7fff_fff0),
                        chance.below(1_000_000_000)
                    )
                    .bytes(),
                );
            }
            input.extend(bytes(chance, 6, b"xy \xff\0"));
            input.extend(word(chance, &["\n", "\n", "\n", ""]));
        }
        Case { input, ..Case::of(words(chance, 2, &["-x", "word"])) }
    };
    compare("tai64n", input, |text| text);
    compare("tai64nlocal", input, |text| text);
}

#[test]
fn multilog_with_random_scripts() {
    let script = [
        "t", "t", "-*", "+*", "-a*", "+*b*", "+a b", "s4096", "s", "s5000x", "n3", "n", "n2", "=status", "e",
        "x", "tx", "./one", "./two", "./three", "!cat", "", "-", "+",
    ];
    let case = |chance: &mut Chance| {
        let mut input: Vec<u8> = vec![];
        // Too few for a rotation, whose place is not promised.
        for _ in 0..chance.below(35) {
            input.extend(bytes(chance, 30, b"ab *\xff"));
            input.push(b'\n');
        }
        input.extend(bytes(chance, 3, b"ab"));
        Case { input, ..Case::of(words(chance, 7, &script)) }
    };
    compare("multilog", case, |text| text);
}
