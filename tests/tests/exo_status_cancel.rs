//! Status and cancel of workitems in hand, over AIR, with real handlers, on both brokers.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use air::Tls;
use air::amqp::carrier::Air;
use air::rpc::workitems::{Cancel, CancelArgs, Cancelled, ParticipantStatus, Status, StatusArgs};
use air::rpc::{Caller, Target, Unanswered};
use serde_json::{Value, json};
use state::failed::FailedStore;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tests::broker::Broker;
use tests::{Running, Sandbox};
use tokio::runtime::Runtime;
use unix::process::Signal;

const LONG: Duration = Duration::from_secs(100);

struct Scene {
    sandbox: Sandbox,
    broker: Broker,
}

impl Scene {
    fn new(sandbox: Sandbox, broker: Broker) -> Self {
        // The handler runs as another user when the tests run as root.
        fs::set_permissions(sandbox.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        sandbox.set("SKYNET_HOME", sandbox.dir().to_str().unwrap());
        sandbox.write("boss.conf", format!("[amqp]\nurl = \"{}\"\n", broker.url()));
        Self { sandbox, broker }
    }

    fn start(&self, name: &str, handler: &str, config: &str) -> Running {
        self.sandbox.write(format!("{name}/{name}.py"), handler);
        self.sandbox.write(format!("{name}/config.exo"), config);
        let mut exo = self.sandbox.start("sh", &["-c", &format!("cd {name} && exec exo 2>&1")]);
        exo.wait_until_it_says(&format!("consuming from {name}"));
        exo
    }

    fn asks(&self) -> Asking {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let caller = runtime.block_on(async {
            let air = Air::connect(&[self.broker.url()], "test", &Tls::default()).await.unwrap();
            Caller::over(air).await.unwrap()
        });
        Asking { runtime, caller }
    }
}

/// Somebody who asks.
struct Asking {
    runtime: Runtime,
    caller: Caller<Air>,
}

impl Asking {
    fn status(&self, target: &Target) -> Result<ParticipantStatus, Unanswered> {
        self.runtime.block_on(self.caller.call::<Status>(target, &StatusArgs::default(), LONG))
    }

    fn cancel(&self, target: &Target, force: bool) -> Result<Cancelled, Unanswered> {
        self.cancel_because(target, force, "by the test")
    }

    fn cancel_because(&self, target: &Target, force: bool, reason: &str) -> Result<Cancelled, Unanswered> {
        let args = CancelArgs { force, reason: Some(reason.into()), ..CancelArgs::default() };
        self.runtime.block_on(self.caller.call::<Cancel>(target, &args, LONG))
    }

    /// Whether the process has no queue. A question that comes while one is being removed is lost with it.
    fn nobody_has(&self, name: &str) -> bool {
        let (target, args, soon) = (wfid(name), StatusArgs::default(), Duration::from_millis(500));
        let asked = self.runtime.block_on(self.caller.call::<Status>(&target, &args, soon));
        matches!(asked, Err(Unanswered::NoSuchService(_)))
    }

    /// Waits until the process has a queue, without a question to any handler.
    fn wait_until_there_is(&self, scene: &Scene, wfid: &str) {
        // Nobody holds this workitem: those who hold others of the process say so themselves.
        let args = StatusArgs { sid: Some("none".into()), ..StatusArgs::default() };
        let target = Target::Wfid(wfid.into());
        scene.sandbox.wait_until(&format!("{wfid} has a queue"), || {
            let asked = self.runtime.block_on(self.caller.call::<Status>(&target, &args, LONG));
            asked.unwrap_err().code() == "NoSuchWorkitem"
        });
    }

    /// Waits until the process has a queue, and returns what its first holder says.
    fn status_when_there(&self, scene: &Scene, wfid: &str) -> ParticipantStatus {
        self.status_when(scene, &Target::Wfid(wfid.into()), |_| true)
    }

    /// Waits until somebody there says so, and returns all of what he says.
    fn status_when(
        &self,
        scene: &Scene,
        target: &Target,
        so: impl Fn(&ParticipantStatus) -> bool,
    ) -> ParticipantStatus {
        scene.sandbox.wait_for(&format!("{target:?} has an answer"), || match self.status(target) {
            Ok(status) => so(&status).then_some(status),
            Err(Unanswered::NoSuchService(_)) => None,
            Err(e) => panic!("{e}"),
        })
    }
}

fn wfid(name: &str) -> Target {
    Target::Wfid(name.into())
}

fn workitem(wfid: &str, expid: &str, fields: Value) -> String {
    json!({"fields": fields, "fei": {"engine_id": "engine", "wfid": wfid, "subid": "s", "expid": expid}})
        .to_string()
}

/// Works until it is told to stop, and says how it stands.
const WORKER: &str = "
import time
class ParticipantHandler(object):
    ctrl_message = by_method = None
    def handle_wi(self, wid):
        wid.progress(0.25, 'a quarter')
        print('begun', wid.wfid)
        # It is told in another thread, after the mark is set.
        while not (wid.cancelled and self.ctrl_message and self.by_method):
            time.sleep(0.01)
        wid.fields.seen = [self.ctrl_message, self.ctrl_wid is wid, self.by_method is wid]
    def handle_wi_control(self, ctrl):
        if ctrl.message == 'cancel':
            self.ctrl_message, self.ctrl_wid = ctrl.message, ctrl.wid
    def status(self, wid):
        return {'looks': 'fine', 'wfid': wid.wfid}
    def cancel(self, wid):
        self.by_method = wid
        print('cancel called')
";

/// "`status`: participant, host, pid, fei, running since, attempt, progress, and the handler's own text";
/// "`cancel`: sets `wid.cancelled`, calls `handle_wi_control` … and `cancel()`; the workitem is answered as cancelled."
fn a_running_workitem_tells_how_it_stands_and_is_cancelled(scene: &Scene) {
    let client = scene.broker.client();
    let mut exo = scene.start("sizer", WORKER, "");
    let mut replies = client.replies();
    let asks = scene.asks();
    client.publish("sizer", workitem("w1", "0_0", json!({"text": "x"})));
    exo.wait_until_it_says("begun w1");
    // A handler has 400 ms for its words.
    let heard = |status: &ParticipantStatus| !status.workitems[0].handler.is_null();
    let status = asks.status_when(scene, &wfid("w1"), heard);
    assert_eq!((status.participant.as_str(), status.pid), ("sizer", exo.pid() as u32));
    let [one] = &status.workitems[..] else { panic!("{status:?}") };
    assert_eq!((one.sid.as_str(), one.state.as_str(), one.attempt), ("0_0!s!w1", "running", 1));
    assert_eq!(one.handler, json!({"looks": "fine", "wfid": "w1"}), "{one:?}");
    let progress = one.progress.clone().unwrap();
    assert_eq!((progress.fraction, progress.text.as_str()), (Some(0.25), "a quarter"));
    assert!(one.since.ends_with("UTC") && !one.cancelled, "{one:?}");

    let by_instance = asks.status_when(scene, &Target::Instance(status.instance.clone()), |_| true);
    let by_name = asks.status_when(scene, &Target::Participant("sizer".into()), |_| true);
    assert_eq!((by_instance.workitems.len(), by_name.workitems.len()), (1, 1));
    let e = asks.cancel(&Target::Participant("sizer".into()), false).unwrap_err();
    assert_eq!(e.code(), "BadArguments", "all workitems of a participant are not cancelled by accident");

    let cancelled = asks.cancel(&wfid("w1"), false).unwrap();
    assert_eq!(cancelled.cancelled, ["0_0!s!w1"]);
    let reply = replies.receive_json();
    assert_eq!(reply["error"]["message"], "Cancelled: by the test");
    assert_eq!(reply["fields"]["seen"], json!(["cancel", true, true]));
    scene.sandbox.wait_until("its queue is gone", || asks.nobody_has("w1"));
    assert!(asks.status(&Target::Participant("sizer".into())).unwrap().workitems.is_empty());
    // Both come after the reply that was received above, in their own time.
    exo.wait_until_it_says(", answered as cancelled");
    scene.sandbox.wait_until("it is acknowledged", || client.depth("sizer") == 0);
    exo.signal(Signal::SIGTERM);
    assert_eq!(exo.finish().told().0, 0);
}

/// "Answered by Rust within a second even when Python is stuck in C code" that holds the interpreter lock. It does so
/// until the answers are there: one that needed Python would never come. That the wait for Python's own words leaves
/// enough of the second is asserted where that is written down (`session::control`).
fn status_is_answered_while_c_code_holds_the_interpreter(scene: &Scene) {
    const STUCK: &str = "
import ctypes
class ParticipantHandler(object):
    def handle_wi(self, wid):
        wid.progress(0.5, 'into C')
        # PyDLL keeps the lock during the call.
        ctypes.PyDLL(None).system(b'echo it sits in C now; while [ ! -e ../answered ]; do sleep 0.05; done')
    def status(self, wid):
        return 'never heard'
";
    let client = scene.broker.client();
    let mut exo = scene.start("sizer", STUCK, "");
    let mut replies = client.replies();
    let asks = scene.asks();
    client.publish("sizer", workitem("w1", "0_0", json!({})));
    exo.wait_until_it_says("it sits in C now");
    asks.wait_until_there_is(scene, "w1");
    for question in 0..3 {
        let status = asks.status(&wfid("w1")).unwrap();
        let one = &status.workitems[0];
        let progress = one.progress.clone().unwrap();
        assert_eq!((progress.text.as_str(), &one.handler), ("into C", &Value::Null));
        let trouble = one.handler_trouble.clone().unwrap();
        let says = if question == 0 { "no answer within" } else { "an earlier question" };
        assert!(trouble.contains(says), "{trouble}");
    }
    scene.sandbox.write("answered", "");
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w1", "and the work goes on");
}

/// "With `force`, an exception is raised inside the handler": it ends one that only loops.
fn force_ends_a_handler_that_only_loops(scene: &Scene) {
    const LOOP: &str = "
class ParticipantHandler(object):
    def handle_wi(self, wid):
        print('begun', wid.wfid)
        try:
            while wid.fields.loops:
                pass
        finally:
            print('tidied up', wid.wfid)
";
    let client = scene.broker.client();
    let mut exo = scene.start("sizer", LOOP, "");
    let mut replies = client.replies();
    let asks = scene.asks();
    client.publish("sizer", workitem("w1", "0_0", json!({"loops": true})));
    exo.wait_until_it_says("begun w1");
    asks.status_when_there(scene, "w1");
    asks.cancel(&wfid("w1"), true).unwrap();
    let reply = replies.receive_json();
    assert_eq!(reply["error"]["message"], "Cancelled: by the test");
    exo.wait_until_it_says("tidied up w1");
    // The next one is not hit by it.
    client.publish("sizer", workitem("w2", "0_0", json!({})));
    assert_eq!(replies.receive_json().get("error"), None);
    // Nobody waits for this one: not for an error either.
    client.publish("sizer", workitem("w3", "0_0", json!({"loops": true, "forget": true})));
    exo.wait_until_it_says("begun w3");
    asks.status_when_there(scene, "w3");
    asks.cancel(&wfid("w3"), true).unwrap();
    client.publish("sizer", workitem("w4", "0_0", json!({})));
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w4");
    let kept = FailedStore::list(&scene.sandbox.path("participants/sizer")).unwrap();
    assert!(kept.iter().all(|entry| entry.about.wfid == "w1"), "{kept:?}");
}

/// "Several participants, instances and hosts may hold workitems of one wfid: all answer."
fn all_who_hold_a_process_answer_and_are_cancelled(scene: &Scene) {
    let client = scene.broker.client();
    let mut exos = [
        scene.start("sizer", WORKER, "concurrency = 2\n"),
        scene.start("other", WORKER, ""),
        scene.start("third", WORKER, ""),
    ];
    let mut replies = client.replies();
    let asks = scene.asks();
    for (queue, expid) in [("sizer", "0_0"), ("sizer", "0_1"), ("other", "0_2")] {
        client.publish(queue, workitem("w1", expid, json!({})));
    }
    client.publish("third", workitem("w2", "0_0", json!({})));
    exos[2].wait_until_it_says("begun w2");
    // Who is silent for 200 ms is missed.
    let gather = |wfid: &str| {
        let target = Target::Wfid(wfid.into());
        asks.runtime.block_on(async {
            let within = Duration::from_secs(5);
            let asked = asks.caller.gather::<Status>(&target, &StatusArgs::default(), within).await;
            let Ok(gather) = asked else { return vec![] };
            let mut gather = gather.settle(Duration::from_millis(200));
            let mut sids = vec![];
            while let Some(answer) = gather.next().await {
                let Ok(status) = answer.result else { continue };
                sids.extend(
                    status.workitems.into_iter().map(|w| format!("{} {}", status.participant, w.sid)),
                );
            }
            sids.sort();
            sids
        })
    };
    let all = ["other 0_2!s!w1", "sizer 0_0!s!w1", "sizer 0_1!s!w1"];
    scene.sandbox.wait_until("all three are told of", || gather("w1") == all);
    // Asked once, and waited for until all have answered: who is cancelled does not say so a second time.
    let cancelled: BTreeSet<_> = asks.runtime.block_on(async {
        let args = CancelArgs::default();
        let mut gather = asks.caller.gather::<Cancel>(&wfid("w1"), &args, LONG).await.unwrap();
        let mut cancelled = BTreeSet::new();
        while cancelled.len() < 3 {
            let answer = gather.next().await.expect("an answer");
            cancelled.extend(answer.result.unwrap().cancelled);
        }
        cancelled
    });
    assert!(cancelled.iter().eq(["0_0!s!w1", "0_1!s!w1", "0_2!s!w1"]), "{cancelled:?}");
    for _ in 0..3 {
        assert_eq!(replies.receive_json()["error"]["message"], "Cancelled: no reason given");
    }
    scene.sandbox.wait_until("another process goes on", || gather("w2") == ["third 0_0!s!w2"]);
}

/// "A cancelitem from the engine leads to the same cancel"; "acknowledge, never reply" to it. What the engine gets
/// for the workitem itself is no error: it has forgotten the expression and would keep that for ever.
fn the_engine_cancels_what_runs_here(scene: &Scene) {
    let client = scene.broker.client();
    let mut exo = scene.start("sizer", WORKER, "prefetch = 3\n");
    let mut replies = client.replies();
    client.publish("sizer", workitem("w1", "0_0", json!({"text": "x"})));
    exo.wait_until_it_says("begun w1");
    let fei = json!({"engine_id": "engine", "wfid": "w1", "subid": "s", "expid": "0_0"});
    client.publish("sizer", json!({"cancel": true, "fei": fei, "flavour": null}).to_string());
    let reply = replies.receive_json();
    assert_eq!((&reply["fei"], reply.get("error")), (&fei, None));
    assert_eq!(reply["fields"]["seen"], json!(["cancel", true, true]));
    exo.signal(Signal::SIGTERM);
    assert_eq!(exo.finish().told().0, 0);
    assert_eq!((client.depth("sizer"), client.depth("ruote_workitems")), (0, 0));
}

/// A prefetched workitem that waits for a worker has a queue, and is cancelled without being started. A reason has no
/// more than 1000 characters in the log and in the reply.
fn a_workitem_that_waits_can_be_cancelled_too(scene: &Scene) {
    let client = scene.broker.client();
    let mut exo = scene.start("sizer", WORKER, "prefetch = 2\n");
    let mut replies = client.replies();
    let asks = scene.asks();
    client.publish("sizer", workitem("w1", "0_0", json!({})));
    exo.wait_until_it_says("begun w1");
    client.publish("sizer", workitem("w2", "0_0", json!({"as": "it came"})));
    let status = asks.status_when_there(scene, "w2");
    assert_eq!(status.workitems[0].state, "waiting");
    asks.cancel_because(&wfid("w2"), false, &"é".repeat(5000)).unwrap();
    let reply = replies.receive_json();
    assert_eq!((&reply["fei"]["wfid"], &reply["fields"]["as"]), (&json!("w2"), &json!("it came")));
    assert_eq!(reply["error"]["message"], format!("Cancelled: {}…", "é".repeat(1000)));
    exo.wait_until_it_says(&format!("w2: cancelled: {}…\n", "é".repeat(1000)));
    // Nobody waits for this one: it is only acknowledged.
    client.publish("sizer", workitem("w3", "0_0", json!({"forget": true})));
    asks.status_when_there(scene, "w3");
    asks.cancel(&wfid("w3"), false).unwrap();
    exo.wait_until_it_says(", cancelled, no reply wanted");
    asks.cancel(&wfid("w1"), false).unwrap();
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w1");
    assert!(!exo.out().contains("begun w2") && !exo.out().contains("begun w3"), "{}", exo.out());
}

/// "`exec` … Cancel = TERM, then KILL."
fn a_program_is_cancelled_by_term_and_killed_if_it_does_not_listen(scene: &Scene) {
    let client = scene.broker.client();
    let script = "trap 'echo got TERM >&2; [ $SKYNET_WFID = deaf ] || exit 1' TERM; echo begun $SKYNET_WFID >&2; \
                  while :; do sleep 0.05; done";
    let config = format!("exec = [\"/bin/sh\", \"-c\", \"{script}\"]\nconcurrency = 2\n");
    let mut exo = scene.start("sizer", "", &config);
    let mut replies = client.replies();
    let asks = scene.asks();
    for (name, force) in [("good", false), ("deaf", true)] {
        client.publish("sizer", workitem(name, "0_0", json!({})));
        exo.wait_until_it_says(&format!("begun {name}"));
        let status = asks.status_when_there(scene, name);
        assert_eq!(
            (status.workitems[0].state.as_str(), &status.workitems[0].handler),
            ("running", &Value::Null)
        );
        asks.cancel(&wfid(name), force).unwrap();
        let reply = replies.receive_json();
        assert_eq!(reply["fei"]["wfid"], name);
        assert_eq!(reply["error"]["message"], "Cancelled: by the test");
    }
    // The other has a second for its words, which is not enough on every machine.
    exo.wait_until_it_says("sizer good: got TERM");
}

/// "TERM = Shutdown: stop consuming first …, keep answering status and cancel, let running handlers finish."
fn a_participant_that_ends_still_answers_for_what_runs(scene: &Scene) {
    let client = scene.broker.client();
    let mut exo = scene.start("sizer", WORKER, "");
    let asks = scene.asks();
    client.publish("sizer", workitem("w1", "0_0", json!({})));
    exo.wait_until_it_says("begun w1");
    asks.status_when_there(scene, "w1");
    exo.signal(Signal::SIGTERM);
    exo.wait_until_it_says("taking no more work, 1 in hand");
    assert_eq!(asks.status(&wfid("w1")).unwrap().workitems[0].state, "running");
    asks.cancel(&wfid("w1"), false).unwrap();
    assert_eq!(client.replies().receive_json()["error"]["message"], "Cancelled: by the test");
    assert_eq!(exo.finish().code, Some(0));
}

/// A wfid of `#` listens to nobody else's key, and is found by its own.
fn a_wfid_that_is_a_pattern_is_only_a_name(scene: &Scene) {
    let client = scene.broker.client();
    let mut exo = scene.start("sizer", WORKER, "concurrency = 2\n");
    let asks = scene.asks();
    client.publish("sizer", workitem("#", "0_0", json!({})));
    exo.wait_until_it_says("begun");
    assert_eq!(asks.status_when_there(scene, "#").workitems[0].wfid, "#");
    assert!(matches!(asks.status(&wfid("w1")), Err(Unanswered::NoSuchService(_))));
    asks.cancel(&wfid("#"), false).unwrap();
    assert_eq!(client.replies().receive_json()["fei"]["wfid"], "#");
}

/// A server that is killed with a question in its hands: the caller is told at its deadline, and later that there
/// is nobody.
fn a_participant_that_is_killed_leaves_no_key_behind(scene: &Scene) {
    let client = scene.broker.client();
    let mut exo = scene.start("sizer", WORKER, "");
    let asks = scene.asks();
    client.publish("sizer", workitem("w1", "0_0", json!({})));
    exo.wait_until_it_says("begun w1");
    asks.status_when_there(scene, "w1");
    exo.stop();
    let within = Duration::from_millis(500);
    let e = asks
        .runtime
        .block_on(asks.caller.call::<Status>(&wfid("w1"), &StatusArgs::default(), within))
        .unwrap_err();
    assert_eq!(e.code(), "DeadlineExceeded");
    exo.kill();
    scene.sandbox.wait_until("nobody is there", || asks.nobody_has("w1"));
}

macro_rules! on_both_brokers {
    ($($name:ident),* $(,)?) => {
        mod rabbitmq {
            use super::*;
            $(#[test] fn $name() { super::$name(&Scene::new(Sandbox::new(), Broker::rabbitmq())); })*
        }
        mod skynet {
            use super::*;
            $(#[test] fn $name() {
                let sandbox = Sandbox::new();
                let broker = Broker::skynet(&sandbox);
                super::$name(&Scene::new(sandbox, broker));
            })*
        }
    };
}

on_both_brokers!(
    a_running_workitem_tells_how_it_stands_and_is_cancelled,
    status_is_answered_while_c_code_holds_the_interpreter,
    force_ends_a_handler_that_only_loops,
    all_who_hold_a_process_answer_and_are_cancelled,
    the_engine_cancels_what_runs_here,
    a_workitem_that_waits_can_be_cancelled_too,
    a_program_is_cancelled_by_term_and_killed_if_it_does_not_listen,
    a_participant_that_ends_still_answers_for_what_runs,
    a_wfid_that_is_a_pattern_is_only_a_name,
    a_participant_that_is_killed_leaves_no_key_behind,
);
