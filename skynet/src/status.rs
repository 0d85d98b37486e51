//! `skynet status [NAME…]`: a table of participants, with systemctl's exit codes.

use crate::cli::admin;
use crate::name;
use crate::paint::{self, Colour};
use crate::participant;
use crate::queues::{self, Queues};
use crate::say::{self, complain, say};
use crate::service::{Condition, Service};
use crate::starting;
use crate::table::{Cell, Column, render, terminal_width};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::units::{age, iso};
use crate::waiting::{Waiting, Woken};
use serde::Serialize;
use state::live::Live;
use state::moment;
use std::time::Duration;

/// Exit codes: all up; something is down; no such participant.
const ALL_UP: u8 = 0;
const SOMETHING_DOWN: u8 = 3;
const NO_SUCH: u8 = 4;

const COLUMNS: [Column; 11] = [
    Column { head: "NAME", right: false, rank: 0 },
    Column { head: "STATE", right: false, rank: 1 },
    Column { head: "SINCE", right: true, rank: 2 },
    Column { head: "PID", right: true, rank: 5 },
    Column { head: "RESTARTS", right: true, rank: 7 },
    Column { head: "IN HAND", right: true, rank: 3 },
    Column { head: "DONE", right: true, rank: 9 },
    Column { head: "FAILED", right: true, rank: 6 },
    Column { head: "QUEUE", right: true, rank: 4 },
    Column { head: "LISTENS", right: false, rank: 10 },
    Column { head: "BOOT", right: false, rank: 8 },
];

/// What is told of one service. The schema stands in docs/reference/json.md.
#[derive(Debug, Serialize)]
pub struct Row {
    name: String,
    participant: String,
    state: &'static str,
    once: bool,
    since: Option<String>,
    seconds: Option<u64>,
    pid: Option<i32>,
    restarts: u32,
    enabled: bool,
    in_flight: Option<usize>,
    done: Option<u64>,
    failed: Option<u64>,
    consuming: Option<bool>,
    consuming_since: Option<String>,
    work: Option<String>,
    queue: Option<String>,
    queue_ready: Option<u32>,
    queue_consumers: Option<u32>,
    #[serde(skip)]
    condition: Condition,
}

/// Prints the table, once or again and again.
pub fn run(tree: &Tree, args: &admin::Status, json: bool) -> Outcome {
    let Some(seconds) = args.watch else { return once(tree, &args.names, json) };
    let waiting = Waiting::at_most(Duration::from_secs(u32::MAX.into()));
    loop {
        if terminal_width().is_some() && !json {
            // Home, and everything below it away: no flicker.
            say::result("\x1b[H\x1b[J").map_err(cannot("write", "the table"))?;
        }
        let code = once(tree, &args.names, json)?;
        if code == NO_SUCH {
            if let [number] = args.names.as_slice()
                && number.parse::<u64>().is_ok()
            {
                complain!("note: every {number} seconds is written --watch={number}");
            }
            return Ok(code);
        }
        if deaf() || !pause(&waiting, tree, seconds) {
            return Ok(code);
        }
    }
}

/// Waits for the time, or until a service changes; false when the user has seen enough.
fn pause(waiting: &Waiting, tree: &Tree, seconds: u64) -> bool {
    waiting.watch(&tree.scan_dir());
    for name in tree.services().unwrap_or_default() {
        waiting.watch(&tree.service(&name).join(servicedir::names::SUPERVISE));
    }
    let end = std::time::Instant::now() + Duration::from_secs(seconds);
    let before = states(tree);
    while std::time::Instant::now() < end {
        match waiting.next() {
            Woken::Look if states(tree) == before => {}
            Woken::Look => return true,
            Woken::Interrupted(_) | Woken::Over => return false,
        }
    }
    true
}

fn states(tree: &Tree) -> Vec<Condition> {
    let names = tree.services().unwrap_or_default();
    names.iter().map(|name| Service::look(&tree.service(name)).condition()).collect()
}

/// Whether nobody reads our standard output any more.
fn deaf() -> bool {
    crate::log::deaf()
}

fn once(tree: &Tree, names: &[String], json: bool) -> Outcome {
    let picked = match tree.pick(names) {
        Err(Trouble::NoSuch(line)) => {
            complain!("{line}");
            return Ok(NO_SUCH);
        }
        picked => picked?,
    };
    let (rows, trouble) = rows(tree, &picked);
    if json {
        say::json(&rows).map_err(cannot("write", "the result"))?;
    } else if rows.is_empty() {
        say!("no participant in {} (next: skynet new NAME, skynet enable ./NAME)", tree.scan_dir().display());
    } else {
        let cells: Vec<_> = rows.iter().map(Row::cells).collect();
        render(&COLUMNS, &cells, terminal_width(), paint::wanted()).lines().for_each(|line| say!("{line}"));
        rows.iter().filter_map(Row::hindrance).for_each(|line| say!("{line}"));
    }
    if let Some(trouble) = trouble {
        complain!("note: no lengths of queues: {trouble}");
    }
    if rows.iter().any(|row| row.condition == Condition::Hidden) {
        complain!("note: states of services are for their owner and root to see (sudo skynet status)");
    }
    if rows.iter().any(|row| row.condition == Condition::Unsupervised) && !starting::svscan_runs(tree) {
        complain!("note: {}", starting::not_running(tree));
    }
    let all_up = rows.iter().all(|row| matches!(row.condition, Condition::Up(_)));
    Ok(if all_up { ALL_UP } else { SOMETHING_DOWN })
}

/// The rows of these services as JSON, after something was done to them; those that are gone have none.
///
/// # Errors
/// What writing reports.
pub fn print_json(tree: &Tree, names: &[String]) -> Result<(), Trouble> {
    let there: Vec<_> = names.iter().filter(|name| tree.service(name).exists()).cloned().collect();
    say::json(&rows(tree, &there).0).map_err(cannot("write", "the result"))
}

fn rows(tree: &Tree, names: &[String]) -> (Vec<Row>, Option<String>) {
    let queues = queues::look(tree, names);
    let row = |name: &String| Row::new(name, &Service::look(&tree.service(name)), &queues, live(tree, name));
    (names.iter().map(row).collect(), queues.trouble)
}

/// What the processes of the participant to which this service belongs say of themselves.
fn live(tree: &Tree, service: &str) -> Vec<Live> {
    let settings = participant::settings(tree, &tree.service(service)).ok().flatten();
    let usual = || tree.states().join(name::participant(service));
    state::live::read(&settings.map_or_else(usual, |(settings, _)| settings.state))
}

impl Row {
    fn new(name: &str, service: &Service, queues: &Queues, live: Vec<Live>) -> Self {
        let condition = service.condition();
        let (state, pid, _) = tell(condition);
        let known = !matches!(condition, Condition::Unsupervised | Condition::Hidden);
        let since =
            service.status.as_ref().filter(|_| known).and_then(|status| status.since.to_system_time());
        let queue = queues.of.get(name);
        // Instances share a state folder: whose it is is told by the process.
        let ours = |live: &Live| pid.is_some_and(|pid| i64::from(pid) == i64::from(live.process.pid));
        let live = live.into_iter().find(ours);
        let found = queue.and_then(|(_, found)| *found);
        Self {
            name: name.to_owned(),
            participant: name::participant(name).to_owned(),
            state,
            once: matches!(condition, Condition::Up(_)) && service.runs_once(),
            since: since.map(iso),
            seconds: service.age().filter(|_| known).map(|age| age.as_secs()),
            pid,
            restarts: service.restarts(),
            enabled: service.enabled,
            in_flight: live.as_ref().map(|live| live.in_flight.len()),
            done: live.as_ref().map(|live| live.done),
            failed: live.as_ref().map(|live| live.failed),
            consuming: live.as_ref().map(|live| live.consuming),
            consuming_since: live.as_ref().map(|live| iso(moment::time(live.consuming_since))),
            work: live.as_ref().map(|live| live.state.clone()),
            queue: queue.map(|(queue, _)| queue.clone()),
            queue_ready: found.map(|queue| queue.ready),
            queue_consumers: found.map(|queue| queue.consumers),
            condition,
        }
    }

    /// Why a process that runs does not do its work, in a line.
    fn hindrance(&self) -> Option<String> {
        let work = self.work.as_deref()?;
        // Of one that consumes, there is more to say where its replies have to wait.
        if !matches!(self.condition, Condition::Up(_)) || (self.consuming? && !work.contains("replies wait"))
        {
            return None;
        }
        let since = self.consuming_since.as_deref().filter(|_| self.consuming == Some(false));
        let since = since.map_or_else(String::new, |since| format!(" (since {since})"));
        Some(format!("{}: {}{since}", self.name, say::one_line(work)))
    }

    fn cells(&self) -> Vec<Cell> {
        let (word, _, colour) = tell(self.condition);
        // What the process says of itself comes first: another may consume from the same queue.
        let listens = match (self.condition, self.consuming, self.queue_consumers) {
            (Condition::Up(_), Some(false), _) | (Condition::Up(_), None, Some(0)) => {
                Cell::coloured("no", Colour::Bad)
            }
            (_, Some(false), _) | (_, None, Some(0)) => Cell::plain("no"),
            (_, Some(true), _) | (_, None, Some(_)) => Cell::plain("yes"),
            (_, None, None) => Cell::plain("-"),
        };
        vec![
            Cell::plain(&self.name),
            Cell::coloured(if self.once { "up once" } else { word }, colour),
            Cell::plain(self.seconds.map_or_else(|| "-".to_owned(), |s| age(Duration::from_secs(s)))),
            Cell::number(self.pid),
            Cell::plain(self.restarts),
            Cell::number(self.in_flight),
            Cell::number(self.done),
            match self.failed {
                Some(n) if n > 0 => Cell::coloured(n, Colour::Bad),
                n => Cell::number(n),
            },
            Cell::number(self.queue_ready),
            listens,
            Cell::plain(if self.enabled { "enabled" } else { "disabled" }),
        ]
    }
}

/// The state in a word or two, for a sentence.
pub fn words(service: &Service) -> String {
    match tell(service.condition()) {
        (word, Some(pid), _) => format!("{word} (pid {pid})"),
        (word, None, _) => word.to_owned(),
    }
}

/// The state in a word, as `--json` tells it.
pub fn state(service: &Service) -> &'static str {
    tell(service.condition()).0
}

fn tell(condition: Condition) -> (&'static str, Option<i32>, Colour) {
    match condition {
        Condition::Hidden => ("unknown", None, Colour::Odd),
        Condition::Unsupervised => ("unsupervised", None, Colour::Bad),
        Condition::Down => ("down", None, Colour::Odd),
        Condition::Restarting => ("restarting", None, Colour::Bad),
        Condition::Stopping(pid) => ("stopping", Some(pid), Colour::Odd),
        Condition::Paused(pid) => ("paused", Some(pid), Colour::Odd),
        Condition::Up(pid) => ("up", Some(pid), Colour::Good),
    }
}
