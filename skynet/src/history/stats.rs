//! Counts, error rates and quantiles per participant, and a picture of the runs over time.

use super::rows::{micros, milliseconds};
use super::{Printed, picture};
use crate::paint::{self, Colour};
use crate::say::{self, say};
use crate::table::{Cell, Column, render, terminal_width};
use crate::trouble::cannot;
use crate::units::iso;
use serde_json::{Map, Value, json};
use state::history::{Filter, History, Quantiles, Stats};
use state::moment;

/// Prints the numbers of each participant.
pub fn print(histories: &[(String, History)], filter: &Filter, json: bool) -> Printed {
    let (mut all, mut troubles) = (vec![], vec![]);
    for (name, history) in histories {
        match history.stats(filter) {
            Ok(stats) if stats.count > 0 => all.push((name, history, stats)),
            Ok(_) => {}
            Err(e) => troubles.push((name.clone(), e.to_string())),
        }
    }
    if json {
        let all: Vec<_> = all.iter().map(|(name, _, stats)| as_json(name, stats)).collect();
        say::json(&all).map_err(cannot("write", "the result"))?;
    } else if all.is_empty() {
        say!("no workitem has been handled that this asks for");
    } else {
        let stats: Vec<_> = all.iter().map(|(name, _, stats)| (name.as_str(), stats)).collect();
        table(&stats);
        if let Some(width) = terminal_width() {
            let histories: Vec<_> = all.iter().map(|(_, history, _)| *history).collect();
            draw(&histories, filter, &stats, width);
        }
    }
    Ok(troubles)
}

fn as_json(name: &str, stats: &Stats) -> Value {
    let outcomes: Map<String, Value> =
        stats.outcomes.iter().map(|(outcome, count)| (outcome.word().to_owned(), json!(count))).collect();
    json!({
        "participant": name,
        "count": stats.count,
        "problems": stats.problems(),
        "error_rate": stats.error_rate(),
        "outcomes": outcomes,
        "first": stats.span.map(|(first, _)| iso(moment::time(first))),
        "last": stats.span.map(|(_, last)| iso(moment::time(last))),
        "run_ms": stats.run.as_ref().map(quantiles),
        "wait_ms": stats.wait.as_ref().map(quantiles),
    })
}

fn quantiles(of: &Quantiles) -> Value {
    json!({
        "min": milliseconds(of.min), "p50": milliseconds(of.p50), "p90": milliseconds(of.p90),
        "p99": milliseconds(of.p99), "max": milliseconds(of.max), "mean": of.mean / 1000.0,
    })
}

fn table(all: &[(&str, &Stats)]) {
    let columns = [
        Column { head: "PARTICIPANT", right: false, rank: 0 },
        Column { head: "COUNT", right: true, rank: 0 },
        Column { head: "PROBLEMS", right: true, rank: 1 },
        Column { head: "RATE", right: true, rank: 2 },
        Column { head: "RUN p50", right: true, rank: 3 },
        Column { head: "p90", right: true, rank: 6 },
        Column { head: "p99", right: true, rank: 4 },
        Column { head: "max", right: true, rank: 7 },
        Column { head: "WAIT p50", right: true, rank: 5 },
        Column { head: "p99", right: true, rank: 8 },
    ];
    let row = |(name, stats): &(&str, &Stats)| {
        let problems = match stats.problems() {
            0 => Cell::plain(0),
            n => Cell::coloured(n, Colour::Bad),
        };
        let run = |of: fn(&Quantiles) -> i64| Cell::number(stats.run.as_ref().map(|q| micros(of(q))));
        let wait = |of: fn(&Quantiles) -> i64| Cell::number(stats.wait.as_ref().map(|q| micros(of(q))));
        vec![
            Cell::plain(name),
            Cell::plain(stats.count),
            problems,
            Cell::plain(format!("{:.1} %", stats.error_rate() * 100.0)),
            run(|q| q.p50),
            run(|q| q.p90),
            run(|q| q.p99),
            run(|q| q.max),
            wait(|q| q.p50),
            wait(|q| q.p99),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    render(&columns, &rows, terminal_width(), paint::wanted()).lines().for_each(|line| say!("{line}"));
}

fn draw(histories: &[&History], filter: &Filter, stats: &[(&str, &Stats)], width: usize) {
    let spans = stats.iter().filter_map(|(_, stats)| stats.span);
    let Some((first, last)) = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { return };
    let mut buckets = vec![(0, 0); picture::columns(width)];
    for history in histories {
        // The numbers stand above; a picture that cannot be drawn is no loss.
        let Ok(timeline) = history.timeline(filter, (first, last), buckets.len()) else { return };
        for (sum, one) in buckets.iter_mut().zip(timeline) {
            *sum = (sum.0 + one.0, sum.1 + one.1);
        }
    }
    let ends = (iso(moment::time(first)), iso(moment::time(last)));
    picture::draw(&buckets, &ends, paint::wanted()).iter().for_each(|line| say!("{line}"));
}
