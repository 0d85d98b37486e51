//! `skynet test NAME`: a participant's unit tests, then one workitem through a throw-away home.

use crate::child;
use crate::cli::author::Test;
use crate::name;
use crate::participant::{self, Participant};
use crate::progress;
use crate::say::{self, say};
use crate::send::fields;
use crate::settings::change;
use crate::throwaway::Throwaway;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// The fields of the workitem, in a participant's folder.
const SAMPLE: &str = "sample.json";
/// A unit test has no limit of ours: ^C ends it.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

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
        let reply = reply.map(|(_, reply)| reply);
        let result =
            json!({ "participant": participant.name, "unit_tests": units, "reply": reply, "passed": good });
        say::json(&result).map_err(cannot("write", "the result"))?;
    }
    say!("{}: {}", participant.name, if good { "all is well" } else { "something failed" });
    Ok(u8::from(!good))
}

/// Runs every `test*` file of the folder: Python, or executable. True when all are good.
fn unit_tests(tree: &Tree, participant: &Participant) -> Result<bool, Trouble> {
    let mut tests = vec![];
    for entry in fs::read_dir(&participant.dir).map_err(cannot("read", participant.dir.display()))? {
        let path = entry.map_err(cannot("read", participant.dir.display()))?.path();
        let executable =
            fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("test") && (name.ends_with(".py") || executable) {
            tests.push((name, path));
        }
    }
    tests.sort();
    if tests.is_empty() {
        say!("{} has no unit tests (a file test_{0}.py, or an executable one)", participant.name);
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
        let done = child::run(&mut command, &name, FOR_EVER)?;
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

/// Runs `skynet`, which must succeed; a failure is told with what it said.
fn must(home: &Throwaway, words: &[&str]) -> Result<(), Trouble> {
    let done = home.skynet(words)?;
    if done.status.success() {
        return Ok(());
    }
    print_indented(&done);
    Err(Trouble::Failed(format!("skynet {} failed in the throw-away home (see above)", words.join(" "))))
}

/// Sends one workitem; true and the reply when it was answered without an error.
fn workitem(tree: &Tree, participant: &Participant, args: &Test) -> Result<(bool, Value), Trouble> {
    let sample = participant.dir.join(SAMPLE);
    let file = args.fields_json.clone().or_else(|| Some(sample).filter(|sample| sample.exists()));
    let fields = fields::gather(file.as_deref(), &args.fields)?;
    let _progress = progress::during("waiting for the throw-away home");
    let home = Throwaway::new()?;
    say!("one workitem through a throw-away home …");
    take_over_settings(tree, &home.home())?;
    take_over_variables(tree, &home.home(), &participant.name)?;
    must(&home, &["local", "up", "--broker", "embedded"])?;
    let dir = participant.dir.to_string_lossy().into_owned();
    must(&home, &["enable", &dir])?;
    let queue =
        participant::settings(tree, &participant.dir)?.map_or(participant.name.clone(), |(s, _)| s.queue);
    let file = home.folder.join("fields.json");
    let text = Value::Object(fields).to_string();
    fs::File::create(&file)
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .map_err(cannot("write", file.display()))?;
    let file = file.to_string_lossy().into_owned();
    let timeout = format!("{}ms", args.timeout.as_millis());
    let sent =
        home.skynet(&["send", &queue, "--fields-json", &file, "--wait", "--timeout", &timeout, "--json"])?;
    let reply: Value = serde_json::from_slice(&sent.stdout).unwrap_or(Value::Null);
    tell(&text, &reply, &sent);
    if !sent.status.success() {
        say!("its log:");
        print_indented(&home.skynet(&["log", name::participant(&participant.name)])?);
    }
    Ok((sent.status.success(), reply))
}

fn tell(sent: &str, reply: &Value, done: &Output) {
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let before = object(&serde_json::from_str(sent).unwrap_or(Value::Null));
    let mut after = object(&reply["fields"]);
    // What sending adds is no work of the participant.
    for key in ["params", "dispatched_at"] {
        // The order of the others stays.
        after.shift_remove(key);
    }
    fields::changes(&before, &after).iter().for_each(|change| say!("  {change}"));
    match &reply["error"] {
        Value::Null if done.status.success() => say!("workitem: good"),
        Value::Null => print_indented(done),
        error => say!("workitem: FAILED: {}", error["message"].as_str().unwrap_or_default()),
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

fn print_indented(done: &Output) {
    for text in [&done.stdout, &done.stderr] {
        indented(&String::from_utf8_lossy(text));
    }
}

fn indented(text: &str) {
    text.lines().for_each(|line| say!("  {line}"));
}
