//! `skynet wi status|cancel|watch WFID`: the workitems in hand of a process, over AIR.

use crate::brokers;
use crate::cli::author::{Asked, Cancel, Wi};
use crate::log::deaf;
use crate::paint::{self, Colour};
use crate::progress::during;
use crate::say::{self, complain, say};
use crate::table::{Cell, Column, render, terminal_width};
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::units::time;
use air::amqp::carrier::Air;
use air::rpc::workitems::{self, CancelArgs, ParticipantStatus, StatusArgs, WorkitemStatus};
use air::rpc::{Caller, Command, Target, Unanswered};
use serde_json::{Value, json};
use std::time::Duration;

/// When everybody who is known has answered, wait this long for somebody who is not.
const QUIET: Duration = Duration::from_millis(150);
/// How often to look again.
const AGAIN: Duration = Duration::from_secs(1);
/// Exit code when nobody has a workitem of the process in hand.
const NOBODY: u8 = 1;

/// What came back: answers, and what went wrong with the others.
struct Gathered<Out> {
    answers: Vec<Out>,
    troubles: Vec<String>,
}

/// Asks.
pub fn run(tree: &Tree, wanted: &Wi, json: bool) -> Outcome {
    let (Wi::Status(asked) | Wi::Watch(asked) | Wi::Cancel(Cancel { asked, .. })) = wanted;
    if workitem::safe_name(&asked.wfid) != asked.wfid {
        let line = format!("{:?} is no wfid: 1 to 200 letters, digits, \"_\", \"-\" or \"!\"", asked.wfid);
        return Err(Trouble::Usage(line));
    }
    let brokers = brokers::of_tree(tree)?;
    brokers::runtime()?.block_on(async {
        let progress = during(brokers::WAITED_FOR);
        let air = Air::connect(&brokers.urls, "skynet wi", &brokers.tls).await;
        let air = air.map_err(|e| brokers::away(tree, &e))?;
        let caller = Caller::over(air).await.map_err(|e| Trouble::System(e.to_string()))?;
        drop(progress);
        match wanted {
            Wi::Status(asked) => status(&caller, asked, json).await,
            Wi::Watch(asked) => watch(&caller, asked, json).await,
            Wi::Cancel(args) => cancel(&caller, args, json).await,
        }
    })
}

async fn gather<Q: Command>(
    caller: &Caller<Air>,
    asked: &Asked,
    args: &Q::Args,
) -> Result<Gathered<Q::Out>, Trouble> {
    let mut gathered = Gathered { answers: vec![], troubles: vec![] };
    let target = Target::Wfid(asked.wfid.clone());
    let _progress = during("waiting for answers");
    let mut gather = match caller.gather::<Q>(&target, args, asked.timeout).await {
        Ok(gather) => gather.settle(QUIET),
        Err(Unanswered::NoSuchService(_)) => return Ok(gathered),
        Err(e) => return Err(Trouble::System(e.to_string())),
    };
    while let Some(answer) = gather.next().await {
        match answer.result {
            Ok(out) => gathered.answers.push(out),
            // It was done with it before it could answer.
            Err(fault) if fault.code == air::rpc::codes::NO_SUCH_WORKITEM => {}
            Err(fault) => gathered.troubles.push(format!("{}: {fault}", answer.from)),
        }
    }
    let silent = gather.silent().into_iter();
    gathered
        .troubles
        .extend(silent.map(|who| format!("{who} did not answer within {}", time(asked.timeout))));
    Ok(gathered)
}

async fn ask(caller: &Caller<Air>, asked: &Asked) -> Result<Gathered<ParticipantStatus>, Trouble> {
    let mut gathered = gather::<workitems::Status>(caller, asked, &StatusArgs::default()).await?;
    // Who answers first is chance.
    gathered.answers.sort_by(|a, b| (&a.participant, &a.host, a.pid).cmp(&(&b.participant, &b.host, b.pid)));
    Ok(gathered)
}

/// The answers as JSON: times as everywhere, null for what a handler did not say.
fn as_json(answers: &[ParticipantStatus]) -> Value {
    let mut all = json!(answers);
    for answer in all.as_array_mut().into_iter().flatten() {
        answer["since"] = iso(&answer["since"]);
        for wi in answer["workitems"].as_array_mut().into_iter().flatten() {
            wi["since"] = iso(&wi["since"]);
            for key in ["progress", "handler", "handler_trouble"] {
                // Reading what is not there makes it null.
                let said = wi[key].take();
                wi[key] = said;
            }
        }
    }
    all
}

fn iso(time: &Value) -> Value {
    time.as_str().map(|time| time.replacen(' ', "T", 1).replace(" UTC", "Z")).into()
}

async fn status(caller: &Caller<Air>, asked: &Asked, json: bool) -> Outcome {
    let gathered = ask(caller, asked).await?;
    if json {
        say::json(&as_json(&gathered.answers)).map_err(cannot("write", "the result"))?;
    } else if !gathered.answers.is_empty() {
        show(&gathered.answers);
    }
    Ok(told(&gathered.troubles, gathered.answers.is_empty(), asked))
}

/// Says what went wrong; the exit code.
fn told(troubles: &[String], nobody: bool, asked: &Asked) -> u8 {
    for trouble in troubles {
        complain!("{trouble}");
    }
    if nobody && troubles.is_empty() {
        complain!("nobody has a workitem of {} in hand (what became of it: skynet trace {0})", asked.wfid);
    }
    if nobody || !troubles.is_empty() { NOBODY } else { 0 }
}

async fn watch(caller: &Caller<Air>, asked: &Asked, json: bool) -> Outcome {
    let mut seen = false;
    loop {
        let gathered = ask(caller, asked).await?;
        if terminal_width().is_some() && !json {
            say::result("\x1b[H\x1b[J").map_err(cannot("write", "the table"))?;
        }
        if gathered.answers.is_empty() {
            if seen {
                say!("nobody has a workitem of {} in hand any more", asked.wfid);
                return Ok(0);
            }
            return Ok(told(&gathered.troubles, true, asked));
        }
        seen = true;
        match json {
            true => say::result(&format!("{}\n", as_json(&gathered.answers)))
                .map_err(cannot("write", "the result"))?,
            false => show(&gathered.answers),
        }
        if deaf() {
            return Ok(0);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn cancel(caller: &Caller<Air>, args: &Cancel, json: bool) -> Outcome {
    let wanted = CancelArgs { wfid: None, sid: None, force: args.force, reason: args.reason.clone() };
    let gathered = gather::<workitems::Cancel>(caller, &args.asked, &wanted).await?;
    if json {
        say::json(&gathered.answers).map_err(cannot("write", "the result"))?;
    } else {
        for answer in &gathered.answers {
            for sid in &answer.cancelled {
                say!(
                    "{} (pid {} on {}) is told to cancel {sid}",
                    answer.participant,
                    answer.pid,
                    answer.host
                );
            }
        }
        if !gathered.answers.is_empty() && !args.force {
            say!("a handler that does not listen goes on: skynet wi status {}, or --force", args.asked.wfid);
        }
    }
    Ok(told(&gathered.troubles, gathered.answers.is_empty(), &args.asked))
}

fn show(answers: &[ParticipantStatus]) {
    let columns = [
        Column { head: "PARTICIPANT", right: false, rank: 0 },
        Column { head: "STATE", right: false, rank: 1 },
        Column { head: "FOR", right: true, rank: 2 },
        Column { head: "ATTEMPT", right: true, rank: 5 },
        Column { head: "HOST", right: false, rank: 7 },
        Column { head: "PID", right: true, rank: 6 },
        Column { head: "SID", right: false, rank: 8 },
        Column { head: "PROGRESS", right: false, rank: 3 },
    ];
    let rows = answers.iter().flat_map(|answer| answer.workitems.iter().map(move |wi| row(answer, wi)));
    let text = render(&columns, &rows.collect::<Vec<_>>(), terminal_width(), paint::wanted());
    text.lines().for_each(|line| say!("{line}"));
}

fn row(answer: &ParticipantStatus, wi: &WorkitemStatus) -> Vec<Cell> {
    let state = match wi.cancelled {
        true => Cell::coloured(format!("{}, cancelled", wi.state), Colour::Odd),
        false => Cell::plain(&wi.state),
    };
    vec![
        Cell::plain(&answer.participant),
        state,
        Cell::plain(time(Duration::from_millis(wi.running_ms))),
        Cell::plain(wi.attempt),
        Cell::plain(&answer.host),
        Cell::plain(answer.pid),
        Cell::plain(&wi.sid),
        Cell::plain(progress(wi)),
    ]
}

/// What the handler said: by `wid.progress`, by its `status`, or why it said nothing.
fn progress(wi: &WorkitemStatus) -> String {
    let reported = wi.progress.as_ref().map(|progress| match progress.fraction {
        Some(fraction) => format!("{:.0} % {}", fraction * 100.0, progress.text).trim_end().to_owned(),
        None => progress.text.clone(),
    });
    let said = match &wi.handler {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let trouble = wi.handler_trouble.as_ref().map(|why| format!("({why})"));
    [reported, said, trouble].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_said_is_one_line() {
        let wi = |more: Value| {
            let mut wi = json!({
                "sid": "0!s!w", "wfid": "w", "state": "running", "since": "", "running_ms": 1, "attempt": 1,
                "redelivered": false, "cancelled": false,
            });
            wi.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            progress(&serde_json::from_value(wi).unwrap())
        };
        assert_eq!(wi(json!({})), "");
        assert_eq!(
            wi(json!({"progress": {"fraction": 0.5, "text": "half"}, "handler": "fine"})),
            "50 % half; fine"
        );
        assert_eq!(wi(json!({"handler": {"n": 1}})), "{\"n\":1}");
        assert_eq!(
            wi(json!({"handler_trouble": "it did not answer in time"})),
            "(it did not answer in time)"
        );
    }
}
