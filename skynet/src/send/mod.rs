//! `skynet send QUEUE`: a workitem as the engine would send it, and its reply.
//!
//! | file | idea |
//! |---|---|
//! | `fields.rs` | fields from the command line; what a reply changed; pure |
//! | `replies.rs` | whose reply it is, in a queue that others share; pure |

pub mod fields;
mod replies;

use crate::brokers::{self, REPLIES};
use crate::cli::author;
use crate::interrupt::goes_on;
use crate::name;
use crate::participant;
use crate::progress;
use crate::say::{self, complain, say};
use crate::service::{Condition, Service};
use crate::status;
use crate::tree::Tree;
use crate::trouble::{Outcome, Trouble, cannot};
use crate::units::time;
use air::line::{Deliveries, Delivery, Line};
use replies::{Verdict, Wait};
use serde_json::Value;
use serde_json::value::RawValue;
use std::time::{Duration, Instant, SystemTime};
use workitem::entries::Entries;
use workitem::{Fei, compose};

/// Where every waiting send consumes, too: so many consumers of the replies are senders like us.
const WAITING: &str = "skynet-send-waiting";

/// How long a sender that is done may take to be gone.
const PATIENCE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(50);

/// Exit code of an error reply, and of one that did not come.
const NO_GOOD_REPLY: u8 = 1;

/// Sends a workitem; with `--wait` prints what its reply changed.
pub fn run(tree: &Tree, args: &author::Send, json: bool) -> Outcome {
    brokers::check_queue(&args.queue)?;
    let fields = fields::gather(args.fields_json.as_deref(), &args.fields)?;
    let fei = new_fei(args.wfid.as_deref())?;
    let brokers = brokers::of_tree(tree)?;
    brokers::runtime()?.block_on(async {
        let line = brokers::open(tree, &brokers).await?;
        let outcome = send(tree, args, &line, &fei, &fields, json).await;
        line.close().await;
        outcome
    })
}

async fn send(
    tree: &Tree,
    args: &author::Send,
    line: &Line,
    fei: &Fei,
    fields: &RawValue,
    json: bool,
) -> Outcome {
    let mut replies = if args.wait { Some(listen(line, fei).await?) } else { None };
    let body = compose::workitem(&args.queue, fei, fields, SystemTime::now())
        .map_err(cannot("compose", "the workitem"))?;
    // Asked before: the workitem may be what ends whoever listens.
    if line.queue(&args.queue).await?.is_some_and(|queue| queue.consumers == 0) {
        complain!("note: nobody listens to {} now: the workitem waits there (skynet status {0})", args.queue);
    }
    if !brokers::publish(line, &args.queue, &body, args.timeout).await? {
        return Err(no_such_queue(tree, &args.queue));
    }
    let Some(replies) = &mut replies else {
        if json {
            say::json(&serde_json::json!({ "wfid": fei.wfid, "sid": fei.sid() }))
                .map_err(cannot("write", "the result"))?;
        } else {
            say!("{}", fei.wfid);
        }
        return Ok(0);
    };
    say!("{}", fei.wfid);
    let _goes_on =
        goes_on(format!("{} is sent; its reply will wait in {REPLIES} (skynet trace {0})", fei.wfid));
    let _progress = progress::during(format!("waiting for the reply of {}", args.queue));
    let reply = tokio::time::timeout(args.timeout, reply(line, &mut replies.0, fei)).await;
    match reply {
        Ok(reply) => print(&body, &reply?, &fei.wfid, json),
        Err(_) => {
            complain!(
                "no reply from {} within {}; the workitem is waiting or in work (skynet status, \
                 skynet log --wfid {})",
                args.queue,
                time(args.timeout),
                fei.wfid
            );
            for (name, words) in hindrances(tree, &args.queue) {
                complain!("{name} is {words}; why: skynet log {name} -n 20");
            }
            Ok(NO_GOOD_REPLY)
        }
    }
}

/// The services of this tree that should work on the queue and do not run, each with its state.
fn hindrances(tree: &Tree, queue: &str) -> Vec<(String, String)> {
    let works_on = |name: &String| match participant::settings(tree, &tree.service(name)) {
        Ok(Some((settings, _))) => settings.queue == queue,
        _ => name == queue,
    };
    let services = tree.services().unwrap_or_default().into_iter().filter(works_on);
    let state = |name: String| {
        let service = Service::look(&tree.service(&name));
        let idle = !matches!(service.condition(), Condition::Up(_) | Condition::Hidden);
        idle.then(|| (name, status::words(&service)))
    };
    services.filter_map(state).collect()
}

/// Begins to listen for replies, unless somebody else than waiting senders does.
async fn listen(line: &Line, fei: &Fei) -> Result<(Deliveries, Deliveries), Trouble> {
    let tag = format!("skynet-send-{}", fei.subid);
    // First counted, then listening: the count is never too low.
    let counted = line.consume(WAITING, &tag, true).await?;
    let patience = Instant::now() + PATIENCE;
    while somebody_else_listens(line).await? {
        // It may be a sender that is just closing its line.
        if patience <= Instant::now() {
            return Err(Trouble::Failed(format!(
                "cannot wait for the reply: somebody else (BOSS?) takes replies from {REPLIES}; nothing was sent \
                 (send without --wait, and see: skynet log --wfid)"
            )));
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok((line.consume(REPLIES, &tag, false).await?, counted))
}

/// Whether the replies have a consumer that is no waiting sender (we are counted, but do not listen yet).
async fn somebody_else_listens(line: &Line) -> Result<bool, Trouble> {
    let senders = line.queue(WAITING).await?.map_or(0, |queue| queue.consumers).max(1);
    Ok(line.queue(REPLIES).await?.is_some_and(|queue| queue.consumers >= senders))
}

/// Waits for the reply; others' replies go back.
async fn reply(line: &Line, replies: &mut Deliveries, fei: &Fei) -> Result<Vec<u8>, Trouble> {
    let mut wait = Wait::<Delivery>::new(fei.clone());
    loop {
        while let Some(held) = wait.take_due(Instant::now()) {
            held.give_back();
        }
        let due = wait.next_due().map(tokio::time::Instant::from_std);
        let until_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let delivery = tokio::select! {
            () = until_due => continue,
            delivery = replies.next() => delivery,
        };
        let delivery = delivery.ok_or_else(|| line.trouble("wait for the reply", "the connection broke"))?;
        match wait.judge(Instant::now(), &delivery.body) {
            Verdict::Ours => return Ok(delivery.take()),
            Verdict::GiveBack => delivery.give_back(),
            Verdict::Hold(until) => wait.hold(until, delivery),
        }
    }
}

fn print(sent: &[u8], reply: &[u8], wfid: &str, json: bool) -> Outcome {
    let (sent, reply) = (String::from_utf8_lossy(sent), String::from_utf8_lossy(reply));
    if json {
        // As it came, with numbers and texts that can only be passed on.
        say::result(&format!("{reply}\n")).map_err(cannot("write", "the reply"))?;
    }
    let read = |body| Entries::read(body).map_err(cannot("read", "the reply"));
    let (sent, reply) = (read(&sent)?, read(&reply)?);
    let error = error_of(&reply);
    if !json {
        for change in fields::changes(&fields_of(&sent), &fields_of(&reply)) {
            say!("{change}");
        }
        if let Some(error) = &error {
            complain!("the participant failed: {error}");
            complain!("what is known of it: skynet trace {wfid}");
        }
    }
    Ok(if error.is_some() { NO_GOOD_REPLY } else { 0 })
}

/// The fields of a workitem; none where they are no object.
pub fn fields_of<'a>(workitem: &Entries<'a>) -> Entries<'a> {
    workitem.get("fields").and_then(|fields| Entries::read(fields.get()).ok()).unwrap_or_default()
}

/// The error of a reply in a line: its message, or all of it where it has none.
pub fn error_of(reply: &Entries) -> Option<String> {
    let error = reply.get("error")?.get();
    match serde_json::from_str::<Value>(error) {
        Ok(Value::Null) => None,
        Ok(value) => Some(say::one_line(value["message"].as_str().unwrap_or(error))),
        // Halves of surrogates, as Python writes them.
        Err(_) => Some(say::one_line(error)),
    }
}

fn new_fei(wfid: Option<&str>) -> Result<Fei, Trouble> {
    let id = uuid::Uuid::new_v4();
    let wfid = match wfid {
        Some(wfid) if workitem::safe_name(wfid) == wfid => wfid.to_owned(),
        Some(wfid) => {
            let line = format!("{wfid:?} is no wfid: 1 to 200 letters, digits, \"_\", \"-\" or \"!\"");
            return Err(Trouble::Usage(line));
        }
        None => compose::wfid(SystemTime::now(), id.as_u64_pair().0),
    };
    let subid = id.simple().to_string();
    Ok(Fei { engine_id: "skynet-send".to_owned(), wfid, subid, expid: "0".to_owned() })
}

fn no_such_queue(tree: &Tree, queue: &str) -> Trouble {
    let known = tree.pick(&[]).unwrap_or_default();
    let hint = match name::nearest(queue, known.iter().map(String::as_str)) {
        Some(near) if near != queue => format!("did you mean {near:?}?"),
        _ => "is the participant enabled? skynet status".to_owned(),
    };
    Trouble::Failed(format!("no such queue {queue:?} ({hint})"))
}
