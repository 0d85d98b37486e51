//! Single workitems: a table, CSV or JSON.

use super::{Args, NOTHING, Printed};
use crate::paint::{self, Colour};
use crate::say::{self, complain, say};
use crate::table::{Cell, Column, render, terminal_width};
use crate::trouble::cannot;
use crate::units::{iso, time};
use serde_json::{Value, json};
use state::history::{Filter, History, Order, Row};
use state::moment;
use std::time::Duration;

/// How many a table shows unless more are asked for.
const SHOWN: usize = 50;

/// Prints rows, the newest last; or the slowest first.
pub fn print(histories: &[(String, History)], filter: &Filter, args: &Args, json: bool) -> Printed {
    let (order, limit) = match (args.slowest, args.lines) {
        (Some(count), _) => (Order::Slowest, count),
        (None, Some(count)) => (Order::Newest, count),
        (None, None) if args.csv || json => (Order::Newest, usize::MAX),
        (None, None) => (Order::Newest, SHOWN),
    };
    let (mut rows, mut troubles) = (vec![], vec![]);
    for (name, history) in histories {
        match history.rows(filter, order, limit) {
            Ok(found) => rows.extend(found),
            Err(e) => troubles.push((name.clone(), e.to_string())),
        }
    }
    match order {
        Order::Slowest => rows.sort_by_key(|row| std::cmp::Reverse(row.ended - row.started)),
        Order::Newest => rows.sort_by_key(|row| std::cmp::Reverse(row.started)),
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    if order == Order::Newest {
        rows.reverse();
    }
    if args.csv {
        say::result(&csv(&rows)).map_err(cannot("write", "the result"))?;
    } else if json {
        say::json(&rows.iter().map(as_json).collect::<Vec<_>>()).map_err(cannot("write", "the result"))?;
    } else if !rows.is_empty() || troubles.is_empty() {
        table(&rows);
        if order == Order::Newest && args.lines.is_none() && (more || rows.len() == SHOWN) {
            complain!("the last {} are shown (more: -n COUNT)", rows.len());
        }
    }
    Ok(troubles)
}

/// A row as JSON; the schema stands in docs/reference/json.md.
pub fn as_json(row: &Row) -> Value {
    json!({
        "participant": row.participant,
        "sid": row.sid,
        "wfid": row.wfid,
        "workflow": row.workflow,
        "started": iso(moment::time(row.started)),
        "ended": iso(moment::time(row.ended)),
        "run_ms": milliseconds(row.ended - row.started),
        "wait_ms": row.wait.map(milliseconds),
        "outcome": row.outcome.word(),
        "attempt": row.attempt,
        "error": Some(&row.error).filter(|error| !error.is_empty()),
    })
}

/// Milliseconds with three digits behind the point.
pub fn milliseconds(micros: i64) -> f64 {
    micros as f64 / 1000.0
}

fn csv(rows: &[Row]) -> String {
    let mut text =
        String::from("participant,sid,wfid,workflow,started,ended,run_ms,wait_ms,outcome,attempt,error\n");
    for row in rows {
        let cells = [
            row.participant.clone(),
            row.sid.clone(),
            row.wfid.clone(),
            row.workflow.clone(),
            iso(moment::time(row.started)),
            iso(moment::time(row.ended)),
            milliseconds(row.ended - row.started).to_string(),
            row.wait.map_or_else(String::new, |wait| milliseconds(wait).to_string()),
            row.outcome.word().to_owned(),
            row.attempt.to_string(),
            row.error.clone(),
        ];
        text += &(cells.map(|cell| quoted(&cell)).join(",") + "\n");
    }
    text
}

/// RFC 4180.
pub fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn table(rows: &[Row]) {
    if rows.is_empty() {
        say!("{NOTHING}");
        return;
    }
    let columns = [
        Column { head: "STARTED", right: false, rank: 4 },
        Column { head: "PARTICIPANT", right: false, rank: 0 },
        Column { head: "OUTCOME", right: false, rank: 0 },
        Column { head: "RUN", right: true, rank: 1 },
        Column { head: "WAIT", right: true, rank: 5 },
        Column { head: "ATTEMPT", right: true, rank: 6 },
        Column { head: "WFID", right: false, rank: 2 },
        Column { head: "ERROR", right: false, rank: 3 },
    ];
    let row = |row: &Row| {
        let colour = if row.outcome.is_problem() { Colour::Bad } else { Colour::Good };
        vec![
            Cell::plain(when(row.started, terminal_width())),
            Cell::plain(&row.participant),
            Cell::coloured(row.outcome.word(), colour),
            Cell::plain(micros(row.ended - row.started)),
            Cell::number(row.wait.map(micros)),
            Cell::plain(row.attempt),
            Cell::plain(&row.wfid),
            Cell::plain(&row.error),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    render(&columns, &rows, terminal_width(), paint::wanted()).lines().for_each(|line| say!("{line}"));
}

/// A time in a table: on a terminal, where room is short, without fractions of a second.
pub fn when(at: i64, width: Option<usize>) -> String {
    let whole = iso(moment::time(at));
    match (width, whole.split_once('.')) {
        (Some(_), Some((seconds, _))) => format!("{seconds}Z"),
        _ => whole,
    }
}

/// Microseconds as people read them; clocks that were set may make them negative, which is zero here.
pub fn micros(micros: i64) -> String {
    time(Duration::from_micros(micros.max(0).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_terminal_times_are_short() {
        assert_eq!(when(1_500_000, None), "1970-01-01T00:00:01.500000Z");
        assert_eq!(when(1_500_000, Some(80)), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let row = Row {
            participant: "a".into(),
            error: "ValueError: \"x\", y\nz".into(),
            ended: 1500,
            ..Row::default()
        };
        let text = csv(&[row]);
        let line = text.split_once('\n').unwrap().1;
        let expected = "a,,,,1970-01-01T00:00:00.000000Z,1970-01-01T00:00:00.001500Z,1.5,,replied,0,\"ValueError: \"\"x\"\", y\nz\"\n";
        assert_eq!(line, expected);
    }
}
