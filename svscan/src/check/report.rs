//! Saying it: a line for each entry, one for each finding, names printed safely. Pure.

use super::judge::{Finding, Verdict};
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// The report on the directory called `dir`, and whether anything is wrong.
pub fn report(dir: &OsStr, svscan: Option<i32>, general: &[Finding], verdicts: &[Verdict]) -> (String, bool) {
    let services = verdicts.iter().filter(|verdict| verdict.service).count();
    let runs = svscan.map_or("no svscan runs here".into(), |pid| format!("svscan runs here (pid {pid})"));
    let mut text = format!("{}: {runs}, {}\n", name(dir), counted(services, "service"));
    let mut line = |name: &str, log: bool, words: &str| {
        let log = if log { "/log" } else { "" };
        // Writing to a string never fails.
        let _ = writeln!(text, "{name}{log}: {words}");
    };
    let told =
        |finding: &Finding| format!("{}: {}", if finding.wrong { "wrong" } else { "note" }, finding.words);
    general.iter().for_each(|finding| line(&name(dir), finding.log, &told(finding)));
    for verdict in verdicts {
        line(&name(&verdict.name), false, &verdict.fate);
        verdict.findings.iter().for_each(|finding| line(&name(&verdict.name), finding.log, &told(finding)));
    }
    let findings = || general.iter().chain(verdicts.iter().flat_map(|verdict| &verdict.findings));
    let bad = findings().filter(|finding| finding.wrong).count();
    let notes = findings().count() - bad;
    let _ = writeln!(text, "{bad} wrong, {}", counted(notes, "note"));
    (text, bad > 0)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn name(name: &OsStr) -> String {
    safe(name.as_bytes())
}

/// Any bytes, as one can read them on a line: what is no printable character is written as Rust and C write it.
pub fn safe(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '"' => out.push(c),
                c => out.extend(c.escape_debug()),
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printed_safely_and_on_one_line() {
        for (bytes, text) in [
            (&b"plain name"[..], "plain name"),
            ("größe".as_bytes(), "größe"),
            (b"a\nb\t\x1b[31m", r"a\nb\t\u{1b}[31m"),
            (b"a\xff\xfeb", r"a\xff\xfeb"),
            (b"a\\n'\"", r#"a\\n'""#),
        ] {
            assert_eq!(safe(bytes), text);
        }
    }

    #[test]
    fn the_report_has_a_line_for_each_entry_and_each_finding() {
        let finding = |wrong, log, words: &str| Finding { wrong, log, words: words.into() };
        let verdict = |name: &str, service, findings| Verdict {
            name: name.into(),
            fate: "started".into(),
            service,
            findings,
        };
        let a =
            verdict("a", true, vec![finding(true, false, "there is no run"), finding(false, true, "well")]);
        let b = verdict("b", false, vec![]);
        let (text, wrong) = report("scan".as_ref(), Some(7), &[], &[a, b.clone()]);
        assert_eq!(
            text,
            "scan: svscan runs here (pid 7), 1 service\na: started\na: wrong: there is no run\na/log: note: well\n\
             b: started\n1 wrong, 1 note\n"
        );
        assert!(wrong);
        let (text, wrong) = report("scan".as_ref(), None, &[], &[b]);
        assert_eq!(text, "scan: no svscan runs here, 0 services\nb: started\n0 wrong, 0 notes\n");
        assert!(!wrong);
    }
}
