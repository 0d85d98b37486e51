//! Questions to the history: rows, and how long, how often, how many problems.

use super::row::{OUTCOMES, Outcome, Row};
use super::schema;
use crate::moment::Micros;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;
use std::path::Path;

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only this participant's.
    pub participant: Option<String>,
    /// Only of this process instance.
    pub wfid: Option<String>,
    /// Only those that started then or later.
    pub since: Option<Micros>,
    /// Only problems.
    pub problems: bool,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// Those that took longest first.
    Slowest,
}

/// How often, how long, how many problems. Times are microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// How many workitems.
    pub count: u64,
    /// How many ended each way; those that never happened are left out.
    pub outcomes: Vec<(Outcome, u64)>,
    /// When the first and the last one started.
    pub span: Option<(Micros, Micros)>,
    /// How long handlers took.
    pub run: Option<Quantiles>,
    /// How long they waited in the queue, where the engine said when it sent them.
    pub wait: Option<Quantiles>,
}

impl Stats {
    /// How many are problems.
    pub fn problems(&self) -> u64 {
        self.outcomes.iter().filter(|(outcome, _)| outcome.is_problem()).map(|(_, n)| n).sum()
    }

    /// Which part are problems, from 0 to 1.
    pub fn error_rate(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.problems() as f64 / self.count as f64 }
    }
}

/// The middle and the ends of many times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// The shortest.
    pub min: Micros,
    /// Half are shorter.
    pub p50: Micros,
    /// Nine of ten are shorter.
    pub p90: Micros,
    /// 99 of 100 are shorter.
    pub p99: Micros,
    /// The longest.
    pub max: Micros,
    /// On average.
    pub mean: f64,
}

/// The history of a participant, open for reading.
#[derive(Debug)]
pub struct History {
    db: Connection,
}

impl History {
    /// Opens the history of a state folder; `None` where there is none yet.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn open(state: &Path) -> rusqlite::Result<Option<Self>> {
        Ok(schema::open_to_read(&state.join(super::FILE))?.map(|db| Self { db }))
    }

    /// At most so many rows.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn rows(&self, filter: &Filter, order: Order, limit: usize) -> rusqlite::Result<Vec<Row>> {
        let (condition, mut values) = filter.sql();
        let order = match order {
            Order::Newest => "started DESC, id DESC",
            Order::Slowest => "ended - started DESC",
        };
        let sql = format!(
            "SELECT participant, sid, wfid, workflow, started, ended, wait, outcome, attempt, error
             FROM work {condition} ORDER BY {order} LIMIT ?"
        );
        values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let mut statement = self.db.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok(Row {
                participant: row.get(0)?,
                sid: row.get(1)?,
                wfid: row.get(2)?,
                workflow: row.get(3)?,
                started: row.get(4)?,
                ended: row.get(5)?,
                wait: row.get(6)?,
                outcome: Outcome::from_number(row.get(7)?),
                attempt: row.get(8)?,
                error: row.get(9)?,
            })
        })?;
        rows.collect()
    }

    /// How often, how long, how many problems.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn stats(&self, filter: &Filter) -> rusqlite::Result<Stats> {
        let (condition, values) = filter.sql();
        let sql = format!("SELECT started, ended, wait, outcome FROM work {condition}");
        let mut statement = self.db.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut run, mut wait, mut counts) = (vec![], vec![], [0; OUTCOMES.len()]);
        let (mut first, mut last) = (Micros::MAX, Micros::MIN);
        while let Some(row) = rows.next()? {
            let (started, ended): (Micros, Micros) = (row.get(0)?, row.get(1)?);
            (first, last) = (first.min(started), last.max(started));
            run.push(ended - started);
            wait.extend(row.get::<_, Option<Micros>>(2)?);
            counts[Outcome::from_number(row.get(3)?) as usize] += 1;
        }
        let outcomes = OUTCOMES.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        let span = (!run.is_empty()).then_some((first, last));
        Ok(Stats { count: run.len() as u64, outcomes, span, run: quantiles(run), wait: quantiles(wait) })
    }
}

impl History {
    /// How many started in each of so many equal stretches of a span of time, and how many of them were problems.
    ///
    /// # Errors
    /// What SQLite reports.
    pub fn timeline(
        &self,
        filter: &Filter,
        (first, last): (Micros, Micros),
        stretches: usize,
    ) -> rusqlite::Result<Vec<(u64, u64)>> {
        let (condition, mut values) = filter.sql();
        let length = (last - first) / i64::try_from(stretches).unwrap_or(1).max(1) + 1;
        let sql = format!(
            "SELECT (started - ?) / ?, count(*), sum(outcome NOT IN (0, 1)) FROM work {condition} GROUP BY 1"
        );
        values.splice(0..0, [Value::Integer(first), Value::Integer(length)]);
        let mut statement = self.db.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut timeline = vec![(0, 0); stretches];
        while let Some(row) = rows.next()? {
            let place = usize::try_from(row.get::<_, i64>(0)?).ok().and_then(|at| timeline.get_mut(at));
            if let Some(place) = place {
                let (runs, problems): (i64, i64) = (row.get(1)?, row.get(2)?);
                *place = (runs.unsigned_abs(), problems.unsigned_abs());
            }
        }
        Ok(timeline)
    }
}

impl Filter {
    fn sql(&self) -> (String, Vec<Value>) {
        let (mut parts, mut values) = (vec![], vec![]);
        if let Some(participant) = &self.participant {
            parts.push("participant = ?");
            values.push(Value::Text(participant.clone()));
        }
        if let Some(wfid) = &self.wfid {
            parts.push("wfid = ?");
            values.push(Value::Text(wfid.clone()));
        }
        if let Some(since) = self.since {
            parts.push("started >= ?");
            values.push(Value::Integer(since));
        }
        if self.problems {
            // Outcome 0 and 1 are none.
            parts.push("outcome > 1");
        }
        let condition =
            if parts.is_empty() { String::new() } else { format!("WHERE {}", parts.join(" AND ")) };
        (condition, values)
    }
}

fn quantiles(mut times: Vec<Micros>) -> Option<Quantiles> {
    let (min, max) = (*times.iter().min()?, *times.iter().max()?);
    let mean = times.iter().map(|time| *time as f64).sum::<f64>() / times.len() as f64;
    let mut at = |part: f64| {
        // The smallest time that so many are not longer than.
        let rank = (times.len() as f64 * part).ceil() as usize;
        let last = times.len() - 1;
        *times.select_nth_unstable(rank.saturating_sub(1).min(last)).1
    };
    Some(Quantiles { min, p50: at(0.5), p90: at(0.9), p99: at(0.99), max, mean })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_times_that_so_many_do_not_exceed() {
        assert_eq!(quantiles(vec![]), None);
        let one = quantiles(vec![7]).unwrap();
        assert_eq!((one.min, one.p50, one.p90, one.p99, one.max), (7, 7, 7, 7, 7));
        let many = quantiles((1..=100).rev().collect()).unwrap();
        assert_eq!((many.min, many.p50, many.p90, many.p99, many.max), (1, 50, 90, 99, 100));
        assert!((many.mean - 50.5).abs() < 1e-9);
    }
}
