//! `skynet trace WFID`: everything that is known of one process, in the order of time.

use crate::cli::writer::Trace as Args;
use crate::history::{self, micros};
use crate::log::{self, Wanted};
use crate::paint::{self, Colour};
use crate::say::{self, complain, say};
use crate::states;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::units::iso;
use serde::Serialize;
use state::failed::FailedStore;
use state::history::{Filter, History, Order};
use state::{live, moment};
use std::path::Path;

/// Exit code when nothing is known of the process.
const NOTHING: u8 = 1;

/// Something that happened to a workitem of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Event {
    #[serde(serialize_with = "as_iso")]
    time: i64,
    participant: String,
    what: &'static str,
    text: String,
}

/// Prints the events.
pub fn run(tree: &Tree, args: &Args, json: bool) -> Outcome {
    let mut events = vec![];
    for (name, state) in states::of(tree, &[])? {
        if let Err(why) = from_history(&name, &state, &args.wfid, &mut events) {
            history::not_read(&state, &why);
        }
        match from_failed(&name, &state, &args.wfid) {
            Ok(kept) => events.extend(kept),
            Err(trouble) => complain!("{trouble}"),
        }
        events.extend(from_live(&name, &state, &args.wfid));
    }
    let wanted = Wanted::new(Some(&args.wfid), None, None).map_err(Trouble::Usage)?;
    for (service, at, text) in log::lines(tree, &wanted)? {
        let time = at.and_then(|at| at.to_system_time()).map_or(0, moment::micros);
        let text = String::from_utf8_lossy(&text).into_owned();
        events.push(Event { time, participant: service, what: "log", text });
    }
    events.sort_by_key(|event| event.time);
    if json {
        say::json(&events).map_err(cannot("write", "the result"))?;
    } else {
        print(&events);
    }
    if events.is_empty() {
        complain!("nothing is known of {} here (it may wait in a queue: skynet queues)", args.wfid);
        return Ok(NOTHING);
    }
    Ok(0)
}

fn from_history(name: &str, state: &Path, wfid: &str, events: &mut Vec<Event>) -> Result<(), String> {
    let Some(history) = History::open(state).map_err(|e| e.to_string())? else { return Ok(()) };
    let filter = Filter { wfid: Some(wfid.to_owned()), ..Filter::default() };
    for row in history.rows(&filter, Order::Newest, usize::MAX).map_err(|e| e.to_string())? {
        let mut event =
            |time, what, text| events.push(Event { time, participant: name.to_owned(), what, text });
        if let Some(wait) = row.wait {
            event(row.started - wait, "queued", format!("{} sent by the engine", row.sid));
        }
        let waited =
            row.wait.map_or_else(String::new, |wait| format!(" after {} in the queue", micros(wait)));
        event(row.started, "started", format!("{} attempt {}{waited}", row.sid, row.attempt));
        let error = if row.error.is_empty() { String::new() } else { format!(": {}", row.error) };
        let took = micros(row.ended - row.started);
        event(row.ended, row.outcome.word(), format!("{} after {took}{error}", row.sid));
    }
    Ok(())
}

fn from_failed(name: &str, state: &Path, wfid: &str) -> Result<Vec<Event>, Trouble> {
    let entries = FailedStore::list(state).map_err(cannot("read", state.join("failed").display()))?;
    let mut events = vec![];
    for entry in entries.into_iter().filter(|entry| entry.about.wfid == wfid) {
        let kept = format!("{} (all of it: skynet failed {name} {wfid})", entry.about.reason);
        let event = |time, what, text| Event { time, participant: name.to_owned(), what, text };
        events.push(event(entry.about.when, "kept", kept));
        let retries = entry.retries();
        events.extend(
            retries.into_iter().map(|retry| event(retry.when, "retried", format!("by {}", retry.by))),
        );
    }
    Ok(events)
}

fn from_live(name: &str, state: &Path, wfid: &str) -> Vec<Event> {
    let mut events = vec![];
    for process in live::read(state) {
        for wi in process.in_flight.iter().filter(|wi| wi.wfid == wfid) {
            let text =
                format!("{} attempt {}, in hand now (pid {})", wi.sid, wi.attempt, process.process.pid);
            events.push(Event { time: wi.since, participant: name.to_owned(), what: "started", text });
        }
    }
    events
}

fn print(events: &[Event]) {
    let width = events.iter().map(|event| event.participant.chars().count()).max().unwrap_or(0);
    let colours = paint::wanted();
    for event in events {
        let colour = match event.what {
            "failed" | "crashed" | "timeout" | "invalid" | "kept" => Colour::Bad,
            "replied" | "forgotten" => Colour::Good,
            "log" => Colour::Voice(0),
            _ => Colour::Odd,
        };
        let what = paint::paint(colours, colour, format!("{:9}", event.what));
        let text = say::one_line(&event.text);
        say!("{} {:width$}  {what}  {text}", iso(moment::time(event.time)), event.participant);
    }
}

fn as_iso<S: serde::Serializer>(time: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&iso(moment::time(*time)))
}
