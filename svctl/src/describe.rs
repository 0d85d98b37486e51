//! What svstat says beyond daemontools' line: `-v` for people, `--json` for programs.

use servicedir::status::{State, Status, Want};
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};
use unix::process::Exit;
use unix::tai64n::Tai64n;

/// The present moment by both clocks: one labels, the other one decides.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// What people's clocks say.
    pub wall: Tai64n,
    /// As [`unix::clock::monotonic`] counts.
    pub monotonic: Duration,
}

impl Now {
    /// Looks at the clocks.
    pub fn look() -> Self {
        Self { wall: Tai64n::now(), monotonic: unix::clock::monotonic() }
    }

    fn left_until(self, moment: Duration) -> Duration {
        moment.saturating_sub(self.monotonic)
    }
}

/// What `-v` adds to the line. Nothing where daemontools wrote the status.
pub fn verbose(status: &Status, now: Now) -> String {
    let Some(more) = &status.more else { return String::new() };
    let mut line = String::new();
    let mut add = |remark: String| line += &format!(", {remark}");
    match more.state {
        State::Backoff => {
            // The label is wrong once the clock of the wall was set; earlier versions tell nothing else.
            let by_label = || more.backoff_until.map_or(Duration::ZERO, |until| now.wall.age_at(until));
            let left = more.starts_at.map_or_else(by_label, |at| now.left_until(at));
            add(format!("starts in {} seconds", left.as_secs()));
        }
        State::Up => match more.ready {
            Some(ready) => add(format!("ready {} seconds", ready.seconds_at(now.wall))),
            None => add("not ready".into()),
        },
        State::Failed => add("failed for good".into()),
        State::Starting | State::Stopping | State::Finishing => add(more.state.name().into()),
        State::Down => {}
    }
    if let Some(at) = more.kill_at {
        add(format!("killed in {} seconds", now.left_until(at).as_secs()));
    }
    if let Some(script) = more.script {
        add(format!("script (pid {script})"));
    }
    add(format!("restarts {}", more.restarts));
    match more.last_exit {
        None => {}
        Some(Exit::Code(code)) => add(format!("last exit code {code}")),
        Some(Exit::Signal(signal)) => add(format!("last exit signal {signal}")),
        Some(Exit::Unknown) => add("last exit unknown".into()),
    }
    if more.adopted {
        add("adopted".into());
    }
    line
}

/// A service directory that nothing can be said of, as a JSON object.
pub fn json_trouble(name: &[u8], trouble: &str) -> String {
    format!("{{\"service\":{},\"error\":{}}}", quoted(name), quoted(trouble.as_bytes()))
}

/// A service as a JSON object, on one line.
pub fn json(name: &[u8], status: &Status, normally_up: bool, now: Now) -> String {
    let mut out = format!("{{\"service\":{}", quoted(name));
    let mut add = |key: &str, value: String| {
        // Writing to a string never fails.
        let _ = write!(out, ",\"{key}\":{value}");
    };
    let null = || "null".to_owned();
    add("up", status.pid.is_some().to_string());
    add("pid", status.pid.map_or_else(null, |pid| pid.cast_unsigned().to_string()));
    add("since", unix_time(status.since));
    add("seconds", status.since.seconds_at(now.wall).to_string());
    add("normally_up", normally_up.to_string());
    add("paused", (status.paused && status.pid.is_some()).to_string());
    add(
        "want",
        match status.want {
            Want::Up => "\"up\"".into(),
            Want::Down => "\"down\"".into(),
            Want::Nothing => null(),
        },
    );
    if let Some(more) = &status.more {
        add("state", format!("\"{}\"", more.state.name()));
        add("ready", more.ready.is_some().to_string());
        add("ready_since", more.ready.map_or_else(null, unix_time));
        add("restarts", more.restarts.to_string());
        add(
            "last_exit",
            match more.last_exit {
                None => null(),
                Some(Exit::Code(code)) => format!("{{\"code\":{code}}}"),
                Some(Exit::Signal(signal)) => format!("{{\"signal\":{signal}}}"),
                Some(Exit::Unknown) => "{}".into(),
            },
        );
        add("backoff_until", more.backoff_until.map_or_else(null, unix_time));
        let left = |at| format!("{:.3}", now.left_until(at).as_secs_f64());
        add("kill_in", more.kill_at.map_or_else(null, left));
        add("adopted", more.adopted.to_string());
        add("script_pid", more.script.map_or_else(null, |pid| pid.to_string()));
    }
    out + "}"
}

/// Seconds since 1970, with milliseconds.
fn unix_time(label: Tai64n) -> String {
    let since = label.to_system_time().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or_else(|| "null".into(), |since| format!("{}.{:03}", since.as_secs(), since.subsec_millis()))
}

/// A JSON string. Bytes that are no UTF-8 become U+FFFD.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use servicedir::status::More;

    fn now() -> Now {
        Now { wall: at(107), monotonic: Duration::from_secs(1000) }
    }

    fn at(seconds: u64) -> Tai64n {
        (UNIX_EPOCH + Duration::from_secs(seconds)).into()
    }

    fn up() -> Status {
        let more = More {
            state: State::Up,
            adopted: true,
            restarts: 3,
            last_exit: Some(Exit::Signal(9)),
            ready: Some(at(102)),
            ..More::default()
        };
        Status { since: at(100), pid: Some(42), paused: false, want: Want::Up, more: Some(more) }
    }

    fn backoff() -> Status {
        let mut status = Status { pid: None, ..up() };
        if let Some(more) = &mut status.more {
            (more.state, more.backoff_until, more.ready) = (State::Backoff, Some(at(111)), None);
            (more.last_exit, more.adopted) = (Some(Exit::Code(7)), false);
        }
        status
    }

    #[test]
    fn people_are_told_readiness_restarts_last_exit_and_backoff() {
        assert_eq!(verbose(&up(), now()), ", ready 5 seconds, restarts 3, last exit signal 9, adopted");
        assert_eq!(verbose(&backoff(), now()), ", starts in 4 seconds, restarts 3, last exit code 7");
        assert_eq!(verbose(&Status { more: None, ..up() }, now()), "");
    }

    #[test]
    fn the_rest_of_a_backoff_is_that_of_the_clock_that_nobody_sets() {
        let mut status = backoff();
        for (starts_at, left) in [(1003, 3), (1200, 200), (900, 0)] {
            status.more.iter_mut().for_each(|more| more.starts_at = Some(Duration::from_secs(starts_at)));
            let line = format!(", starts in {left} seconds, restarts 3, last exit code 7");
            assert_eq!(verbose(&status, now()), line);
        }
    }

    #[test]
    fn what_stops_is_told_when_it_is_killed() {
        for (kill_at, line, key) in [
            (Some(1029), ", stopping, killed in 29 seconds, restarts 3", "\"kill_in\":29.000,"),
            (Some(900), ", stopping, killed in 0 seconds, restarts 3", "\"kill_in\":0.000,"),
            (None, ", stopping, restarts 3", "\"kill_in\":null,"),
        ] {
            let mut status = up();
            if let Some(more) = &mut status.more {
                (more.state, more.kill_at) = (State::Stopping, kill_at.map(Duration::from_secs));
                (more.last_exit, more.adopted) = (None, false);
            }
            assert_eq!(verbose(&status, now()), line);
            assert!(json(b"s", &status, true, now()).contains(key), "{key}");
        }
    }

    #[test]
    fn programs_get_an_object_on_one_line() {
        assert_eq!(
            json(b"a\"\n\xff", &up(), true, now()),
            "{\"service\":\"a\\\"\\u000a\u{fffd}\",\"up\":true,\"pid\":42,\"since\":100.000,\"seconds\":7,\
             \"normally_up\":true,\"paused\":false,\"want\":\"up\",\"state\":\"up\",\"ready\":true,\
             \"ready_since\":102.000,\"restarts\":3,\"last_exit\":{\"signal\":9},\"backoff_until\":null,\
             \"kill_in\":null,\"adopted\":true,\"script_pid\":null}"
        );
        let plain = Status { more: None, ..backoff() };
        assert_eq!(
            json(b"s", &plain, false, now()),
            "{\"service\":\"s\",\"up\":false,\"pid\":null,\"since\":100.000,\"seconds\":7,\"normally_up\":false,\
             \"paused\":false,\"want\":\"up\"}"
        );
        assert_eq!(
            json_trouble(b"s", "supervise not running"),
            "{\"service\":\"s\",\"error\":\"supervise not running\"}"
        );
    }
}
