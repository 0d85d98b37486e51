//! Counts, error rates and quantiles per participant, and a picture of the runs over time.

use super::rows::{micros, milliseconds, quoted};
use super::{Args, NOTHING, Printed, picture};
use crate::paint::{self, Colour};
use crate::say::{self, say};
use crate::table::{Cell, Column, render, terminal_width};
use crate::trouble::cannot;
use crate::units::iso;
use serde_json::{Map, Value, json};
use state::history::{Filter, History, Quantiles, Stats};
use state::moment;

/// The columns of CSV that are no times.
const PLAIN: [&str; 6] = ["participant", "count", "problems", "error_rate", "first", "last"];
const QUANTILES: [&str; 6] = ["min", "p50", "p90", "p99", "max", "mean"];

/// Prints the numbers of each participant.
pub fn print(histories: &[(String, History)], filter: &Filter, args: &Args, json: bool) -> Printed {
    let (mut all, mut troubles) = (vec![], vec![]);
    for (name, history) in histories {
        match history.stats(filter) {
            Ok(stats) if stats.count > 0 => all.push((name, history, stats)),
            Ok(_) => {}
            Err(e) => troubles.push((name.clone(), e.to_string())),
        }
    }
    if args.csv {
        let all: Vec<_> = all.iter().map(|(name, _, stats)| as_json(name, stats)).collect();
        say::result(&csv(&all)).map_err(cannot("write", "the result"))?;
    } else if json {
        let all: Vec<_> = all.iter().map(|(name, _, stats)| as_json(name, stats)).collect();
        say::json(&all).map_err(cannot("write", "the result"))?;
    } else if all.is_empty() {
        say!("{NOTHING}");
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

/// The numbers of [`as_json`] in columns: `run_ms.p50` is `run_ms_p50`.
fn csv(all: &[Value]) -> String {
    let times = |of: &'static str| QUANTILES.map(|quantile| (of, quantile));
    let times: Vec<_> = ["run_ms", "wait_ms"].into_iter().flat_map(times).collect();
    let head = PLAIN.iter().map(ToString::to_string).chain(times.iter().map(|(of, q)| format!("{of}_{q}")));
    let mut text = head.collect::<Vec<_>>().join(",") + "\n";
    for one in all {
        let cells = PLAIN.iter().map(|key| &one[key]).chain(times.iter().map(|(of, q)| &one[of][q]));
        let cells = cells.map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => quoted(text),
            number => number.to_string(),
        });
        text += &(cells.collect::<Vec<_>>().join(",") + "\n");
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_a_line_of_csv_for_each_participant() {
        let run = Some(Quantiles { min: 1000, p50: 2500, p90: 3000, p99: 4000, max: 4000, mean: 2000.0 });
        let stats = Stats { count: 4, span: Some((0, 1)), run, ..Stats::default() };
        let text = csv(&[as_json("a,b", &stats)]);
        let expected = "participant,count,problems,error_rate,first,last,run_ms_min,run_ms_p50,run_ms_p90,run_ms_p99,\
                        run_ms_max,run_ms_mean,wait_ms_min,wait_ms_p50,wait_ms_p90,wait_ms_p99,wait_ms_max,wait_ms_mean\n\
                        \"a,b\",4,0,0.0,1970-01-01T00:00:00.000000Z,1970-01-01T00:00:00.000001Z,\
                        1.0,2.5,3.0,4.0,4.0,2.0,,,,,,\n";
        assert_eq!(text, expected);
    }
}
