//! `skynet failed [NAME [ENTRY]]`: workitems that could not be handled: listed, shown, put back, dropped.

use crate::brokers;
use crate::cli::admin::Failed as Args;
use crate::history;
use crate::paint;
use crate::participant;
use crate::say::{self, complain, say};
use crate::states;
use crate::table::{Cell, Column, render, terminal_width};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::units::iso;
use nix::unistd::{User, geteuid};
use serde_json::{Value, json};
use state::failed::{About, Entry, FailedStore, Kind};
use state::moment;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use workitem::answer::answer;
use workitem::compose::timestamp;
use workitem::{Incoming, parse};

/// What is to be done with entries, and to which participant they belong.
type Entries = Vec<(String, Entry)>;

/// What is said where there is none.
const NOTHING: &str = "no failed workitem";

/// Lists, shows, retries or drops.
pub fn run(tree: &Tree, args: &Args, json: bool) -> Outcome {
    let Found { entries, named } = look(tree, args)?;
    if args.retry || args.drop {
        if !named && !args.all {
            let line = "which ones? name an entry, a sid or a wfid, or say --all";
            return Err(Trouble::Usage(line.to_owned()));
        }
        if entries.is_empty() {
            say!("{NOTHING}");
        }
        let done = if args.retry { retry(tree, entries)? } else { drop_all(entries)? };
        if json {
            let all: Vec<_> = done.iter().map(|done| done.as_json(args.retry)).collect();
            say::json(&all).map_err(cannot("write", "the result"))?;
        }
        return Ok(u8::from(done.iter().any(|done| !done.good)));
    }
    let whole = named || args.all;
    match (json, whole && !entries.is_empty()) {
        (true, whole) => {
            let all: Vec<_> =
                entries.iter().map(|entry| if whole { all_as_json(entry) } else { as_json(entry) }).collect();
            say::json(&all).map_err(cannot("write", "the result"))?;
        }
        (false, true) => entries.iter().try_for_each(show)?,
        (false, false) => list(&entries),
    }
    Ok(0)
}

/// The entries that are meant, the oldest first, and whether they were named one by one.
struct Found {
    entries: Entries,
    named: bool,
}

/// Looks for them. A single word that is no participant's name may be what names an entry.
fn look(tree: &Tree, args: &Args) -> Result<Found, Trouble> {
    let names: Vec<_> = args.name.iter().cloned().collect();
    let (states, entry) = match (states::of(tree, &names), &args.name, &args.entry) {
        (Err(unknown @ Trouble::NoSuch(_)), Some(word), None) if !args.all => {
            let entries = gather(states::of(tree, &[])?, Some(word))?;
            return if entries.is_empty() { Err(unknown) } else { Ok(Found { entries, named: true }) };
        }
        (states, _, entry) => (states?, entry.as_deref()),
    };
    let entries = gather(states, entry)?;
    match entry.filter(|_| entries.is_empty()) {
        Some(entry) => {
            Err(Trouble::Failed(format!("no failed workitem {entry:?} (skynet failed lists them)")))
        }
        None => Ok(Found { entries, named: entry.is_some() }),
    }
}

fn gather(states: BTreeMap<String, PathBuf>, entry: Option<&str>) -> Result<Entries, Trouble> {
    let mut entries: Entries = vec![];
    for (name, state) in states {
        entries.extend(find(&state, entry)?.into_iter().map(|entry| (name.clone(), entry)));
    }
    entries.sort_by_key(|(_, entry)| entry.about.when);
    Ok(entries)
}

fn find(state: &Path, entry: Option<&str>) -> Result<Vec<Entry>, Trouble> {
    let found = match entry {
        None => FailedStore::list(state),
        Some(entry) => FailedStore::find(state, entry),
    };
    found.map_err(cannot("read", state.join("failed").display()))
}

fn as_json((participant, entry): &(String, Entry)) -> Value {
    let about = &entry.about;
    json!({
        "participant": participant,
        "entry": entry.name,
        "place": entry.place,
        "when": iso(moment::time(about.when)),
        "kind": about.kind.word(),
        "reason": about.reason,
        "sid": about.sid,
        "wfid": about.wfid,
        "workflow": about.workflow,
        "attempt": about.attempt,
        "answered": about.answered,
        "retries": entry.retries().iter().map(|retry| json!({
            "when": iso(moment::time(retry.when)), "by": retry.by,
        })).collect::<Vec<_>>(),
    })
}

/// The same with all there is to know.
fn all_as_json(entry: &(String, Entry)) -> Value {
    let (about, mut all) = (&entry.1.about, as_json(entry));
    all["queue"] = json!(about.queue);
    all["redelivered"] = json!(about.redelivered);
    all["started"] = json!(about.started.map(|at| iso(moment::time(at))));
    all["host"] = json!(about.host);
    all["pid"] = json!(about.pid);
    all["versions"] = json!(about.versions);
    all["environment"] = json!(about.environment);
    all["traceback"] = json!(entry.1.traceback().ok());
    all["log"] = json!(entry.1.log().ok());
    all["message"] = json!(entry.1.workitem().ok().map(|body| String::from_utf8_lossy(&body).into_owned()));
    all
}

fn list(entries: &Entries) {
    if entries.is_empty() {
        say!("{NOTHING}");
        return;
    }
    let columns = [
        Column { head: "WHEN", right: false, rank: 4 },
        Column { head: "PARTICIPANT", right: false, rank: 0 },
        Column { head: "KIND", right: false, rank: 3 },
        Column { head: "WFID", right: false, rank: 1 },
        Column { head: "RETRIED", right: false, rank: 5 },
        Column { head: "REASON", right: false, rank: 2 },
    ];
    let row = |(name, entry): &(String, Entry)| {
        let retried = entry.retries().len();
        vec![
            Cell::plain(history::when(entry.about.when, terminal_width())),
            Cell::plain(name),
            Cell::plain(entry.about.kind.word()),
            Cell::plain(&entry.about.wfid),
            Cell::plain(if retried > 0 { format!("{retried}×") } else { String::new() }),
            Cell::plain(&entry.about.reason),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    render(&columns, &rows, terminal_width(), paint::wanted()).lines().for_each(|line| say!("{line}"));
    if let Some((name, entry)) = entries.last() {
        say!("all there is to know of one: skynet failed {name} {}", known_as(entry));
    }
}

fn show((name, entry): &(String, Entry)) -> Result<(), Trouble> {
    let about = &entry.about;
    say!("{name}: {}", shown(&about.reason));
    say!("  when       {} ({}, attempt {})", iso(moment::time(about.when)), about.kind.word(), about.attempt);
    if let Some(started) = about.started {
        let took = format!(", failed after {}", history::micros(about.when - started));
        let took = if about.kind == Kind::Crash { ", the last time" } else { &took };
        say!("  started    {}{took}", iso(moment::time(started)));
    }
    if !about.sid.is_empty() {
        let workflow = if about.workflow.is_empty() { "?" } else { &about.workflow };
        say!("  workitem   {} of {}", shown(&about.sid), shown(workflow));
    }
    say!(
        "  queue      {}{}",
        about.queue,
        if about.redelivered { ", had been delivered before" } else { "" }
    );
    say!("  process    {} on {}", about.pid, about.host);
    say!("  done       {}", what_was_done(about));
    for retry in entry.retries() {
        say!("  retried    {} by {}", iso(moment::time(retry.when)), retry.by);
    }
    for (program, version) in &about.versions {
        say!("  version    {program} {}", shown(version));
    }
    say!("  place      {}", entry.place.display());
    let reading = || cannot("read", entry.place.display());
    let variables =
        about.environment.iter().map(|(name, value)| format!("{name}={}\n", value.escape_debug()));
    section("environment", &variables.collect::<String>());
    section("traceback", &entry.traceback().map_err(reading())?);
    section("log", &entry.log().map_err(reading())?);
    let body = entry.workitem().map_err(reading())?;
    let readable =
        serde_json::from_slice::<Value>(&body).and_then(|value| serde_json::to_string_pretty(&value));
    section("workitem", &readable.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned()));
    say!("again: skynet failed {name} {} --retry; away with it: --drop", known_as(entry));
    Ok(())
}

/// What SkyNET did about it, in a few words.
fn what_was_done(about: &About) -> String {
    let engine = match (about.answered, about.kind) {
        (true, _) => "the engine was sent the error",
        (false, Kind::Unusable) => "taken from the queue; nobody could be answered",
        (false, _) => "nothing was sent to the engine, as the workitem asks for (forget)",
    };
    match about.kind {
        Kind::Crash => format!(
            "given up after {} attempts, so that others are worked on; {engine}",
            about.attempts.len()
        ),
        Kind::Timeout => format!("not waited for any longer; {engine}"),
        Kind::Exception | Kind::Invalid | Kind::Unusable => engine.to_owned(),
    }
}

fn section(title: &str, text: &str) {
    if !text.trim().is_empty() {
        say!("{title}:");
        text.lines().for_each(|line| say!("  {}", shown(line)));
    }
}

/// The text without what a terminal would obey.
fn shown(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}

/// What was done with an entry.
struct Done {
    participant: String,
    entry: String,
    sid: String,
    wfid: String,
    good: bool,
}

impl Done {
    fn new(participant: &str, entry: &Entry, good: bool) -> Self {
        let about = &entry.about;
        Self {
            participant: participant.to_owned(),
            entry: entry.name.clone(),
            sid: about.sid.clone(),
            wfid: about.wfid.clone(),
            good,
        }
    }

    fn as_json(&self, retried: bool) -> Value {
        let word = if retried { "retried" } else { "dropped" };
        json!({
            "participant": self.participant, "entry": self.entry, "sid": self.sid, "wfid": self.wfid, word: self.good,
        })
    }
}

/// Puts workitems back on their queues, as new work: with a new `dispatched_at`.
fn retry(tree: &Tree, entries: Entries) -> Result<Vec<Done>, Trouble> {
    let by = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
    let one = |(name, entry): &(String, Entry)| {
        let good = put_back(tree, name, entry, &by)?;
        Ok(Done::new(name, entry, good))
    };
    let done: Vec<Done> = entries.iter().map(one).collect::<Result<_, Trouble>>()?;
    if done.iter().any(|done| done.good) {
        say!("what is back stays in the store, too, until: skynet failed NAME WFID --drop");
    }
    if entries.iter().zip(&done).any(|((_, entry), done)| done.good && entry.about.answered) {
        complain!("note: the engine has had an error for it already, and may ignore another reply");
    }
    Ok(done)
}

/// What people call an entry: its process where that is known.
fn known_as(entry: &Entry) -> &str {
    if entry.about.wfid.is_empty() { &entry.name } else { &entry.about.wfid }
}

/// Puts one back; false, and said why, where that cannot be.
fn put_back(tree: &Tree, name: &str, entry: &Entry, by: &str) -> Result<bool, Trouble> {
    let body = entry.workitem().map_err(cannot("read", entry.place.display()))?;
    let Some(body) = dispatched_now(&body) else {
        complain!("{} cannot be put back: it is no workitem ({})", known_as(entry), entry.about.reason);
        return Ok(false);
    };
    let settings = participant::settings(tree, &tree.service(name)).ok().flatten();
    let (queue, brokers) = match settings {
        Some((settings, _)) => (settings.queue.clone(), brokers::of_participant(&settings)),
        None => (entry.about.queue.clone(), brokers::of_tree(tree)?),
    };
    // Before it is sent: what comes of it is later.
    let when = moment::now();
    let sent = brokers::runtime()?.block_on(async {
        let line = brokers::open(tree, &brokers).await?;
        let sent = brokers::publish(&line, &queue, &body, brokers::CONFIRMED).await;
        line.close().await;
        sent
    })?;
    if !sent {
        complain!("{} cannot be put back: there is no queue {queue:?}", known_as(entry));
        return Ok(false);
    }
    entry.mark_retried(by, when).map_err(cannot("write", entry.place.display()))?;
    say!("{name}: {} is back on the queue {queue:?}", known_as(entry));
    Ok(true)
}

/// The workitem as if it had been sent now; `None` for what is no workitem. All else keeps its bytes.
fn dispatched_now(body: &[u8]) -> Option<Vec<u8>> {
    let Ok(Incoming::Workitem(header)) = parse(body) else { return None };
    let now = json!({"fields": {"dispatched_at": timestamp(SystemTime::now())}});
    answer(body, &header.fei, now.to_string().as_bytes()).ok()
}

fn drop_all(entries: Entries) -> Result<Vec<Done>, Trouble> {
    let one = |(name, entry): (String, Entry)| {
        let (done, place) = (Done::new(&name, &entry, true), entry.place.clone());
        let what = known_as(&entry).to_owned();
        entry.drop().map_err(cannot("remove", place.display()))?;
        say!("{name}: {what} is dropped");
        Ok(done)
    };
    entries.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workitem_that_is_put_back_differs_in_its_time_only() {
        let body = r#"{"b":1,"fields":{"z":1e400,"dispatched_at":"old","a":"\ud800"},"fei":{"wfid":"w","expid":"0"}}"#;
        let back = String::from_utf8(dispatched_now(body.as_bytes()).unwrap()).unwrap();
        let (before, after) = body.split_once("old").unwrap();
        let now = back.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        assert!(now.is_some_and(|now| now.ends_with(" UTC")), "{back}");
        for bad in [&b"x"[..], b"{}", b"{\"fields\": 7}", br#"{"fields": {}}"#] {
            assert!(dispatched_now(bad).is_none());
        }
    }
}
