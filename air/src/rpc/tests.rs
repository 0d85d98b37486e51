//! Callers and services on a carrier in memory.

use super::memory::Hub;
use super::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

struct Echo;
#[derive(Serialize, Deserialize)]
struct EchoArgs {
    text: String,
    #[serde(default)]
    wait_ms: u64,
}
impl Command for Echo {
    const NAME: &'static str = "echo";
    const SINCE: &'static str = "0.1";
    const ABOUT: &'static str = "says it again";
    const FAULTS: &'static [&'static str] = &["TooLong"];
    type Args = EchoArgs;
    type Out = Value;
}

struct Missing;
impl Command for Missing {
    const NAME: &'static str = "missing";
    const SINCE: &'static str = "0.1";
    const ABOUT: &'static str = "";
    type Args = Value;
    type Out = Value;
}

/// What goes wrong depends on the text.
async fn echo(args: EchoArgs, asked: Asked) -> Result<Value, Failure> {
    sleep(Duration::from_millis(args.wait_ms)).await;
    match args.text.as_str() {
        "panic" => panic!("as asked"),
        "declared" => Err(Failure::declared("TooLong", "more than it may be")),
        "undeclared" => Err(std::io::Error::other("the disk is gone").into()),
        "odd code" => Err(Failure::declared("Surprise", "not in the list")),
        text => Ok(json!({"text": text, "key": asked.key})),
    }
}

async fn serve(hub: &Hub, instance: &str, keys: &[&str]) -> JoinHandle<()> {
    let service = Arc::new(Service::new(instance, "h").with::<Echo, _, _>(echo));
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let inbox = hub.listen(Exchange::Request, format!("q-{instance}"), keys).await.unwrap();
    tokio::spawn(service.serve(hub.clone(), inbox))
}

fn args(text: &str, wait_ms: u64) -> EchoArgs {
    EchoArgs { text: text.into(), wait_ms }
}

fn wfid() -> Target {
    Target::Wfid("w1".into())
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_by_whoever_serves_the_key() {
    let hub = Hub::default();
    let _server = serve(&hub, "a", &["wfid.w1"]).await;
    let caller = Caller::over(hub.clone()).await.unwrap();
    let out = caller.call::<Echo>(&wfid(), &args("hi", 0), SECOND).await.unwrap();
    assert_eq!(out, json!({"text": "hi", "key": "wfid.w1"}));
}

/// "A panic or undeclared error answers `Internal` with a ref and the server lives on."
#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_told_by_code_and_the_server_lives_on() {
    let hub = Hub::default();
    let _server = serve(&hub, "a", &["wfid.w1"]).await;
    let caller = Caller::over(hub.clone()).await.unwrap();
    for (text, code, has_ref) in [
        ("panic", "Internal", true),
        ("undeclared", "Internal", true),
        ("odd code", "Internal", true),
        ("declared", "TooLong", false),
    ] {
        let e = caller.call::<Echo>(&wfid(), &args(text, 0), SECOND).await.unwrap_err();
        let Unanswered::Refused { from, fault } = e else { panic!("{text}: {e:?}") };
        assert_eq!((from.as_str(), fault.code.as_str()), ("a", code), "{text}");
        let prefix = format!("h:{}:echo:", std::process::id());
        assert_eq!(fault.reference.is_some_and(|r| r.starts_with(&prefix)), has_ref, "{text}");
        assert!(!fault.message.contains("disk"), "what is not declared stays in the log");
    }
    let e = caller.call::<Missing>(&wfid(), &json!({}), SECOND).await.unwrap_err();
    assert_eq!(e.to_string(), "a: UnknownCommand: no command \"missing\" here; there are echo");
    assert!(caller.call::<Echo>(&wfid(), &args("hi", 0), SECOND).await.is_ok());
}

/// "Unroutable = `NoSuchService` at once, not after the timeout."
#[tokio::test(start_paused = true)]
async fn nobody_is_told_at_once_and_silence_at_the_deadline() {
    let hub = Hub::default();
    let _server = serve(&hub, "a", &["wfid.w1"]).await;
    let caller = Caller::over(hub.clone()).await.unwrap();
    let begun = Instant::now();
    let nobody = Target::Participant("x".into());
    let e = caller.call::<Echo>(&nobody, &args("hi", 0), SECOND).await.unwrap_err();
    assert_eq!((e, begun.elapsed()), (Unanswered::NoSuchService(nobody), Duration::ZERO));
    let e = caller.call::<Echo>(&wfid(), &args("hi", 5000), SECOND).await.unwrap_err();
    assert_eq!((e.code(), begun.elapsed()), ("DeadlineExceeded", SECOND));
}

/// "`gather` sends once and streams `(instance, result)` as answers come, then names who did not answer."
#[tokio::test(start_paused = true)]
async fn gather_streams_answers_as_they_come_and_names_who_kept_silent() {
    let hub = Hub::default();
    let _a = serve(&hub, "a", &["all"]).await;
    let _b = serve(&hub, "b", &["all"]).await;
    // It has the request, and never answers: its server dies in the middle.
    let c = serve(&hub, "c", &["all"]).await;
    let caller = Caller::over(hub.clone()).await.unwrap();
    let mut gather = caller.gather::<Echo>(&Target::All, &args("hi", 10), SECOND).await.unwrap().expect("d");
    tokio::spawn(async move {
        sleep(Duration::from_millis(5)).await;
        c.abort();
    });
    let begun = Instant::now();
    let mut from = vec![gather.next().await.unwrap().from, gather.next().await.unwrap().from];
    from.sort();
    assert_eq!((from, begun.elapsed()), (vec!["a".to_owned(), "b".into()], Duration::from_millis(10)));
    assert_eq!(gather.next().await, None);
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!((gather.silent(), gather.is_lost()), (vec!["c".to_owned(), "d".into()], false));
}

#[tokio::test(start_paused = true)]
async fn a_gather_that_settles_ends_when_all_who_have_it_have_answered() {
    let hub = Hub::default();
    let _a = serve(&hub, "a", &["all"]).await;
    let _b = serve(&hub, "b", &["all"]).await;
    let caller = Caller::over(hub.clone()).await.unwrap();
    let begun = Instant::now();
    let quiet = Duration::from_millis(100);
    let mut gather =
        caller.gather::<Echo>(&Target::All, &args("hi", 300), 30 * SECOND).await.unwrap().settle(quiet);
    let mut count = 0;
    while gather.next().await.is_some() {
        count += 1;
    }
    assert_eq!((count, begun.elapsed()), (2, Duration::from_millis(400)));
}

#[tokio::test(start_paused = true)]
async fn a_gather_that_is_dropped_leaves_nothing_behind_and_disturbs_no_other_call() {
    let hub = Hub::default();
    let _a = serve(&hub, "a", &["all"]).await;
    let caller = Caller::over(hub.clone()).await.unwrap();
    let gather = caller.gather::<Echo>(&Target::All, &args("late", 500), SECOND).await.unwrap();
    drop(gather);
    let out = caller.call::<Echo>(&Target::All, &args("hi", 600), SECOND).await.unwrap();
    assert_eq!(out["text"], "hi");
    drop(caller);
    sleep(SECOND).await;
    assert_eq!(hub.queues(), 1, "the caller's queue goes with it");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_dies_while_its_request_is_worked_on_does_not_hurt_the_server() {
    let hub = Hub::default();
    let _a = serve(&hub, "a", &["all"]).await;
    let caller = Caller::over(hub.clone()).await.unwrap();
    let call = tokio::spawn(async move { caller.call::<Echo>(&Target::All, &args("x", 100), SECOND).await });
    sleep(Duration::from_millis(10)).await;
    call.abort();
    sleep(Duration::from_millis(200)).await;
    let another = Caller::over(hub.clone()).await.unwrap();
    assert!(another.call::<Echo>(&Target::All, &args("hi", 0), SECOND).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_breaks_ends_calls_and_gathers_at_once_and_says_why() {
    let hub = Hub::default();
    let _a = serve(&hub, "a", &["all"]).await;
    let caller = Caller::over(hub.clone()).await.unwrap();
    let mut gather = caller.gather::<Echo>(&Target::All, &args("x", 500), SECOND).await.unwrap();
    let breaking = hub.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(100)).await;
        breaking.break_down("gone");
    });
    let e = caller.call::<Echo>(&Target::All, &args("x", 500), SECOND).await.unwrap_err();
    assert_eq!(e, Unanswered::Lost("the connection to the broker is gone".into()));
    assert_eq!((gather.next().await, gather.is_lost()), (None, true));
    let e = caller.call::<Echo>(&Target::All, &args("x", 0), SECOND).await.unwrap_err();
    assert_eq!(e.code(), "Disconnected");
}

/// "The remaining milliseconds travel": what takes longer than the caller waits is abandoned.
#[tokio::test(start_paused = true)]
async fn a_request_is_not_worked_on_after_its_deadline_and_what_is_no_request_is_refused() {
    let hub = Hub::default();
    let _a = serve(&hub, "a", &["all"]).await;
    let reply_to = Some("me".to_owned());
    let mut inbox = hub.listen(Exchange::Response, "me".into(), vec!["me".into()]).await.unwrap();
    let ask = |version, body: &str| Message {
        key: "all".into(),
        id: Some("1".into()),
        reply_to: reply_to.clone(),
        kind: Some("echo".into()),
        deadline: Some(Duration::from_millis(50)),
        version,
        body: body.into(),
        ..Message::default()
    };
    for (version, body, says) in [
        (None, r#"{"args":{"text":"x"}}"#, "header v is none, not 1"),
        (Some(2), r#"{"args":{"text":"x"}}"#, "header v is 2, not 1"),
        (Some(1), "[", "the body is no JSON object"),
        (Some(1), r#"[{"text":"x"}]"#, "the body is no JSON object"),
        (Some(1), r#"{"args":{"text":"x","wait_ms":100}}"#, ""),
        (Some(1), r#"{"args":{"text":"x"}}"#, r#"{"ok":{"#),
    ] {
        hub.send(Exchange::Request, ask(version, body)).await.unwrap();
        let answer = tokio::time::timeout(SECOND, futures_util::StreamExt::next(&mut inbox)).await;
        let text = answer.map_or(String::new(), |m| String::from_utf8(m.unwrap().body).unwrap());
        assert!(text.contains(says) && text.is_empty() == says.is_empty(), "{body}: {text}");
    }
}
