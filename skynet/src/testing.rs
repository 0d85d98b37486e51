//! `skynet test NAME`: a participant's unit tests, then one workitem through a throw-away home.

use crate::child;
use crate::cli::author::Test;
use crate::name;
use crate::participant::{self, Participant};
use crate::progress;
use crate::say::{self, say};
use crate::send::{error_of, fields, fields_of};
use crate::settings::change;
use crate::throwaway::Throwaway;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use workitem::entries::Entries;

/// The fields of the workitem, in a participant's folder.
const SAMPLE: &str = "sample.json";
/// A unit test has no limit of ours: ^C ends it.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// What came of it. The schema stands in docs/reference/json.md.
#[derive(Serialize)]
struct Tested<'a> {
    participant: &'a str,
    unit_tests: bool,
    reply: Option<Box<RawValue>>,
    passed: bool,
}

/// Tests a participant. Exit code 1 when a test fails, or the workitem does.
pub fn run(tree: &Tree, args: &Test, json: bool) -> Outcome {
    let participant = Participant::find(tree, &args.name)?;
    let units = unit_tests(tree, &participant)?;
    let reply = match units {
        false if !args.anyway => {
            say!("no workitem was sent, as its unit tests fail (--anyway sends one)");
            None
        }
        _ => Some(workitem(tree, &participant, args)?),
    };
    let good = units && reply.as_ref().is_some_and(|(good, _)| *good);
    if json {
        let reply = reply.and_then(|(_, reply)| reply);
        let result = Tested { participant: &participant.name, unit_tests: units, reply, passed: good };
        say::json(&result).map_err(cannot("write", "the result"))?;
    }
    say!("{}: {}", participant.name, if good { "all is well" } else { "something failed" });
    Ok(u8::from(!good))
}

/// Runs every `test*` file of the folder: Python, or executable. True when all are good.
fn unit_tests(tree: &Tree, participant: &Participant) -> Result<bool, Trouble> {
    let (mut tests, mut closed) = (vec![], None);
    for entry in fs::read_dir(&participant.dir).map_err(cannot("read", participant.dir.display()))? {
        let path = entry.map_err(cannot("read", participant.dir.display()))?.path();
        let executable =
            fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("test") && (name.ends_with(".py") || executable) {
            tests.push((name, path));
        } else if name.starts_with("test") && path.is_file() {
            closed = Some(name);
        }
    }
    tests.sort();
    match closed {
        _ if !tests.is_empty() => {}
        Some(file) => say!("{} has no unit tests: {file} is neither Python nor executable", participant.name),
        None => say!("{} has no unit tests (a file test_{0}.py, or an executable one)", participant.name),
    }
    let settings = participant::settings(tree, &participant.dir)?;
    let python = settings.map_or_else(|| "python3".to_owned(), |(settings, _)| settings.python);
    let mut good = true;
    for (name, path) in tests {
        let mut command = if name.ends_with(".py") { Command::new(&python) } else { Command::new(&path) };
        if name.ends_with(".py") {
            command.arg(&path).env("PYTHONDONTWRITEBYTECODE", "1");
        }
        command.current_dir(&participant.dir).env("PATH", path_with_ours());
        let program = command.get_program().display().to_string();
        let what = if name.ends_with(".py") { format!("{name} with {program}") } else { name.clone() };
        let done = child::run(&mut command, &what, FOR_EVER)?;
        let passed = done.status.is_some_and(|status| status.success());
        say!("{name}: {}", if passed { "good" } else { "FAILED" });
        if !passed {
            good = false;
            indented(&done.output);
        }
    }
    Ok(good)
}

/// Our own programs first, so that `exo` is found, and beside it the package SkyNET.
pub fn path_with_ours() -> std::ffi::OsString {
    let own = fs::read_link("/proc/self/exe").ok();
    let bin = own.as_deref().and_then(Path::parent).unwrap_or(Path::new("/usr/lib/skynet/bin"));
    let mut path = bin.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
    path
}

/// Runs `skynet`, which must succeed; a failure is told with what it said, but for advice about what is thrown away.
fn must(home: &Throwaway, words: &[&str], else_told: &str) -> Result<(), Trouble> {
    let done = home.skynet(words)?;
    if done.status.success() {
        return Ok(());
    }
    let folder = home.folder.to_string_lossy();
    for line in String::from_utf8_lossy(&done.stderr).lines() {
        let of_the_home = line.contains(&*folder);
        indented(line.split_once("; ").filter(|_| of_the_home).map_or(line, |(what, _)| what));
    }
    Err(Trouble::Failed(format!("{else_told} (see above)")))
}

/// Sends one workitem; true when it was answered without an error, and the reply if there is one.
fn workitem(
    tree: &Tree,
    participant: &Participant,
    args: &Test,
) -> Result<(bool, Option<Box<RawValue>>), Trouble> {
    let sample = participant.dir.join(SAMPLE);
    let file = args.fields_json.clone().or_else(|| Some(sample).filter(|sample| sample.exists()));
    let fields = fields::gather(file.as_deref(), &args.fields)?;
    let _progress = progress::during("waiting for the throw-away home");
    let home = Throwaway::new()?;
    say!("one workitem through a throw-away home …");
    take_over_settings(tree, &home.home())?;
    take_over_variables(tree, &home.home(), &participant.name)?;
    must(&home, &["local", "up", "--broker", "embedded"], "the throw-away home does not start")?;
    let dir = participant.dir.to_string_lossy().into_owned();
    must(&home, &["enable", &dir], &format!("{} does not run in the throw-away home", participant.name))?;
    let queue =
        participant::settings(tree, &participant.dir)?.map_or(participant.name.clone(), |(s, _)| s.queue);
    let file = home.folder.join("fields.json");
    fs::File::create(&file)
        .and_then(|mut f| f.write_all(fields.get().as_bytes()))
        .map_err(cannot("write", file.display()))?;
    let file = file.to_string_lossy().into_owned();
    let timeout = format!("{}ms", args.timeout.as_millis());
    let sent =
        home.skynet(&["send", &queue, "--fields-json", &file, "--wait", "--timeout", &timeout, "--json"])?;
    let reply = RawValue::from_string(String::from_utf8_lossy(&sent.stdout).into_owned()).ok();
    tell(&fields, reply.as_deref(), &sent);
    if !sent.status.success() {
        say!("its log:");
        let log = home.skynet(&["log", name::participant(&participant.name)])?;
        for text in [&log.stdout, &log.stderr] {
            indented(&without_place(&String::from_utf8_lossy(text), &home.folder));
        }
    }
    Ok((sent.status.success(), reply))
}

fn tell(sent: &RawValue, reply: Option<&RawValue>, done: &Output) {
    let reply = reply.and_then(|reply| Entries::read(reply.get()).ok()).unwrap_or_default();
    let mut before = Entries::read(sent.get()).unwrap_or_default();
    let mut after = fields_of(&reply);
    for fields in [&mut before, &mut after] {
        // What sending adds is no work of the participant.
        fields.0.retain(|(key, _)| !["params", "dispatched_at"].contains(&key.as_str()));
    }
    fields::changes(&before, &after).iter().for_each(|change| say!("  {change}"));
    match error_of(&reply) {
        None if done.status.success() => say!("workitem: good"),
        None => print_indented(done),
        Some(error) => say!("workitem: FAILED: {error}"),
    }
}

/// `boss.conf` of the real tree without its broker: tables that participants share are part of their settings.
fn take_over_settings(tree: &Tree, home: &Path) -> Result<(), Trouble> {
    let Ok(mut text) = fs::read_to_string(tree.boss_conf()) else { return Ok(()) };
    for key in ["amqp", "boss"] {
        if let Ok(without) = change::unset(&text, key) {
            text = without.text;
        }
    }
    if config::file::check(Path::new("boss.conf"), &text).is_err() {
        return Ok(());
    }
    let path = home.join("boss.conf");
    fs::create_dir_all(home).and_then(|()| fs::write(&path, text)).map_err(cannot("write", path.display()))
}

/// The variables that the original's files give all participants, and this one.
fn take_over_variables(tree: &Tree, home: &Path, name: &str) -> Result<(), Trouble> {
    let from = config::Home::at(tree.home().map(Path::to_owned)).original();
    let to = config::Home::at(Some(home.to_owned())).original();
    for file in ["skynet.env".to_owned(), format!("{name}.env")] {
        let (from, to) = (from.join(&file), to.join(&file));
        if from.exists() {
            let copied = fs::create_dir_all(to.parent().unwrap_or(home)).and_then(|()| fs::copy(&from, &to));
            copied.map_err(cannot("copy", from.display()))?;
        }
    }
    Ok(())
}

/// A log that does not say where things were kept that are thrown away.
fn without_place(log: &str, folder: &Path) -> String {
    let kept = format!("; kept in {}", folder.display());
    let one = |line: &str| line.split_once(&kept).map_or(line, |(what, _)| what).to_owned() + "\n";
    log.lines().map(one).collect()
}

fn print_indented(done: &Output) {
    for text in [&done.stdout, &done.stderr] {
        indented(&String::from_utf8_lossy(text));
    }
}

fn indented(text: &str) {
    text.lines().for_each(|line| say!("  {line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_does_not_name_what_is_thrown_away() {
        let log =
            "1 ERROR a w: KeyError: 'x'; kept in /tmp/t-1/home/participants/a/failed/w\n2  INFO a: stopped\n";
        let told = "1 ERROR a w: KeyError: 'x'\n2  INFO a: stopped\n";
        assert_eq!(without_place(log, Path::new("/tmp/t-1")), told);
        assert_eq!(without_place(log, Path::new("/tmp/t-2")), log);
    }
}
