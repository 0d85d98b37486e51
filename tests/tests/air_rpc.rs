//! AIR over a real broker: Debian's RabbitMQ and our own.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use air::Tls;
use air::amqp::carrier::Air;
use air::rpc::{Asked, Caller, Carrier, Command, Exchange, Failure, Message, Service, Target, Unanswered};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::Sandbox;
use tests::broker::Broker;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const LONG: Duration = Duration::from_secs(100);

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
    type Args = EchoArgs;
    type Out = Value;
}

async fn echo(args: EchoArgs, asked: Asked) -> Result<Value, Failure> {
    tokio::time::sleep(Duration::from_millis(args.wait_ms)).await;
    assert_ne!(args.text, "panic", "as asked");
    Ok(json!({"text": args.text, "key": asked.key}))
}

fn args(text: &str, wait_ms: u64) -> EchoArgs {
    EchoArgs { text: text.into(), wait_ms }
}

async fn connect(broker: &Broker, name: &str) -> Air {
    Air::connect(&[broker.url()], name, &Tls::default()).await.unwrap()
}

/// Serves these keys on a connection of its own.
async fn serve(broker: &Broker, instance: &str, keys: &[&str]) -> JoinHandle<()> {
    let carrier = connect(broker, instance).await;
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let inbox = carrier.listen(Exchange::Request, format!("air.{instance}"), keys).await.unwrap();
    let service = Arc::new(Service::new(instance, "h").with::<Echo, _, _>(echo));
    tokio::spawn(service.serve(carrier, inbox))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn wfid() -> Target {
    Target::Wfid("20261120-1953-be".into())
}

fn a_call_is_answered_and_what_goes_wrong_is_told(broker: &Broker) {
    runtime().block_on(async {
        let _server = serve(broker, "a", &[&wfid().key()]).await;
        let caller = Caller::over(connect(broker, "caller").await).await.unwrap();
        let out = caller.call::<Echo>(&wfid(), &args("hi", 0), LONG).await.unwrap();
        assert_eq!(out, json!({"text": "hi", "key": "wfid.20261120-1953-be"}));
        let e = caller.call::<Echo>(&wfid(), &args("panic", 0), LONG).await.unwrap_err();
        assert_eq!(e.code(), "Internal");
        let begun = Instant::now();
        let nobody = Target::Participant("nobody".into());
        let e = caller.call::<Echo>(&nobody, &args("hi", 0), LONG).await.unwrap_err();
        assert_eq!(e, Unanswered::NoSuchService(nobody));
        assert!(begun.elapsed() < LONG / 2, "at once, not after the timeout");
        let e =
            caller.call::<Echo>(&wfid(), &args("hi", 60_000), Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(e.code(), "DeadlineExceeded");
        assert!(caller.call::<Echo>(&wfid(), &args("hi", 0), LONG).await.is_ok(), "the server lives on");
    });
}

/// A hundred at once, half of them to nobody: none is told what is another's.
fn many_calls_at_once_each_get_their_own_answer(broker: &Broker) {
    runtime().block_on(async {
        let _server = serve(broker, "a", &["all"]).await;
        let caller = Caller::over(connect(broker, "caller").await).await.unwrap();
        let calls = (0..100).map(|n| {
            let caller = &caller;
            async move {
                let target = if n % 2 == 0 { Target::All } else { Target::Wfid(format!("w{n}")) };
                let out = caller.call::<Echo>(&target, &args(&n.to_string(), n % 7), LONG).await;
                match out {
                    Ok(out) => {
                        assert!(n % 2 == 0 && out["text"].as_str() == Some(&n.to_string()), "{n}: {out}")
                    }
                    Err(e) => assert!(n % 2 == 1 && e == Unanswered::NoSuchService(target), "{n}: {e}"),
                }
            }
        });
        futures_util::future::join_all(calls).await;
    });
}

fn gather_streams_names_the_silent_and_a_dropped_one_disturbs_nobody(broker: &Broker) {
    runtime().block_on(async {
        let _a = serve(broker, "a", &["all"]).await;
        let _b = serve(broker, "b", &["all"]).await;
        // It dies with the request in its hands.
        serve_and_die(broker.url());
        let caller = Caller::over(connect(broker, "caller").await).await.unwrap();
        let dropped = caller.gather::<Echo>(&Target::All, &args("first", 300), LONG).await.unwrap();
        drop(dropped);
        let within = Duration::from_secs(6);
        let mut gather = caller.gather::<Echo>(&Target::All, &args("hi", 300), within).await.unwrap();
        let mut from = vec![];
        while let Some(answer) = gather.next().await {
            assert_eq!(answer.result.unwrap()["text"], "hi");
            from.push(answer.from);
        }
        from.sort();
        assert_eq!((from, gather.is_lost()), (vec!["a".to_owned(), "b".to_owned()], false));
        assert_eq!(gather.silent(), ["c"]);
    });
}

/// A server `c` on a thread, whose connection is dropped once it works on "hi".
fn serve_and_die(url: String) {
    let (held, holds) = std::sync::mpsc::channel();
    let (ready, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let carrier = Air::connect(&[url], "c", &Tls::default()).await.unwrap();
            let inbox = carrier.listen(Exchange::Request, "air.c".into(), vec!["all".into()]).await.unwrap();
            let work = move |args: EchoArgs, asked| {
                let held = held.clone();
                async move {
                    if args.text == "hi" {
                        held.send(()).unwrap();
                        return std::future::pending().await;
                    }
                    echo(args, asked).await
                }
            };
            let service = Arc::new(Service::new("c", "h").with::<Echo, _, _>(work));
            tokio::spawn(service.serve(carrier, inbox));
        });
        ready.send(()).unwrap();
        holds.recv().unwrap();
        runtime.shutdown_background();
    });
    wait.recv().unwrap();
}

fn a_caller_that_dies_does_not_hurt_the_server(broker: &Broker) {
    runtime().block_on(async {
        let _server = serve(broker, "a", &["all"]).await;
        let caller = Caller::over(connect(broker, "dying").await).await.unwrap();
        let call = async { caller.call::<Echo>(&Target::All, &args("x", 600_000), LONG).await };
        assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err(), "still at work");
        drop(caller);
        let caller = Caller::over(connect(broker, "caller").await).await.unwrap();
        assert!(caller.call::<Echo>(&Target::All, &args("hi", 400), LONG).await.is_ok());
    });
}

/// The wire form, with the properties as any other client would set and read them.
fn the_wire_form_is_as_written(broker: &Broker) {
    runtime().block_on(async {
        let _server = serve(broker, "a", &["participant.sizer"]).await;
        let raw = connect(broker, "raw").await;
        let mut inbox =
            raw.listen(Exchange::Response, "my.queue".into(), vec!["my.queue".into()]).await.unwrap();
        let request = Message {
            key: "participant.sizer".into(),
            id: Some("id-1".into()),
            reply_to: Some("my.queue".into()),
            kind: Some("echo".into()),
            deadline: Some(LONG),
            version: Some(1),
            body: br#"{"args":{"text":"hi","surprise":1}}"#.to_vec(),
            ..Message::default()
        };
        assert!(raw.send(Exchange::Request, request.clone()).await.unwrap());
        let response = inbox.next().await.unwrap();
        assert_eq!((response.answers.as_deref(), response.from.as_deref()), (Some("id-1"), Some("a")));
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        let message = r#"echo: unknown argument "surprise""#;
        assert_eq!(body, json!({"error": {"code": "BadArguments", "message": message}}));
        let nobody = Message { key: "participant.none".into(), ..request };
        assert!(!raw.send(Exchange::Request, nobody).await.unwrap(), "mandatory, and returned");
    });
}

/// "The broker expires what nobody fetched": a request that is too old is not worked on.
fn a_request_that_nobody_fetched_in_time_is_expired_by_the_broker(broker: &Broker) {
    runtime().block_on(async {
        let carrier = connect(broker, "slow").await;
        // Nobody takes from it yet, and 32 may be outstanding.
        let mut inbox =
            carrier.listen(Exchange::Request, "air.slow".into(), vec!["all".into()]).await.unwrap();
        let caller = Caller::over(connect(broker, "caller").await).await.unwrap();
        for n in 0..40 {
            let within = Duration::from_millis(50);
            let e = caller.call::<Echo>(&Target::All, &args(&n.to_string(), 0), within).await.unwrap_err();
            assert_eq!(e.code(), "DeadlineExceeded");
        }
        // The broker may be behind: once it has returned this it has all of them, and each is too old after a second.
        let nobody = Target::Participant("nobody".into());
        let e = caller.call::<Echo>(&nobody, &args("", 0), LONG).await.unwrap_err();
        assert_eq!(e, Unanswered::NoSuchService(nobody));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _last = caller.gather::<Echo>(&Target::All, &args("last", 0), LONG).await.unwrap();
        let mut taken = 0;
        loop {
            let message = tokio::time::timeout(LONG, inbox.next()).await.unwrap().unwrap();
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            if body["args"]["text"] == "last" {
                break;
            }
            taken += 1;
        }
        assert_eq!(taken, 32, "of 40");
    });
}

macro_rules! on_both_brokers {
    ($($name:ident),* $(,)?) => {
        mod rabbitmq {
            use super::*;
            $(#[test] fn $name() { super::$name(&Broker::rabbitmq()); })*
        }
        mod skynet {
            use super::*;
            $(#[test] fn $name() {
                let sandbox = Sandbox::new();
                super::$name(&Broker::skynet(&sandbox));
            })*
        }
    };
}

on_both_brokers!(
    a_call_is_answered_and_what_goes_wrong_is_told,
    many_calls_at_once_each_get_their_own_answer,
    gather_streams_names_the_silent_and_a_dropped_one_disturbs_nobody,
    a_caller_that_dies_does_not_hurt_the_server,
    the_wire_form_is_as_written,
    a_request_that_nobody_fetched_in_time_is_expired_by_the_broker,
);
