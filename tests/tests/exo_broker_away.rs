//! A broker that goes away, stands still, ends the consumer, or wants TLS: said once, waited out, nothing run twice.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::broker::{Broker, free_port};
use tests::{Running, Sandbox};
use unix::process::Signal;

const WORKER: &str = "
import time
class ParticipantHandler(object):
    def handle_wi(self, wid):
        print('begun', wid.wfid)
        time.sleep(wid.fields.sleep or 0)
        print('ended', wid.wfid)
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    // The handler runs as another user when the tests run as root.
    fs::set_permissions(sandbox.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.set("SKYNET_HOME", sandbox.dir().to_str().unwrap());
    sandbox.write("sizer/sizer.py", WORKER);
    sandbox.write("sizer/config.exo", "");
    sandbox
}

fn start(sandbox: &Sandbox, amqp: &str) -> Running {
    sandbox.write("boss.conf", format!("[amqp]\n{amqp}\n"));
    sandbox.start("sh", &["-c", "cd sizer && exec exo 2>&1"])
}

fn workitem(wfid: &str, fields: Value) -> String {
    json!({"fields": fields, "fei": {"engine_id": "e", "wfid": wfid, "subid": "s", "expid": "0_0"}})
        .to_string()
}

/// "Consumer cancelled (queue deleted) …: recovered by a new channel, never silently idle"; the reply of what runs
/// meanwhile is not held back, and nothing is run twice.
#[test]
fn a_work_queue_that_is_deleted_is_declared_again_while_the_work_goes_on() {
    let sandbox = sandbox();
    let broker = Broker::rabbitmq();
    let mut exo = start(&sandbox, &format!("url = \"{}\"", broker.url()));
    exo.wait_until_it_says("consuming from sizer at");
    let client = broker.client();
    let mut replies = client.replies();
    client.publish("sizer", workitem("w1", json!({"sleep": 2})));
    exo.wait_until_it_says("begun w1");
    client.delete("sizer");
    exo.wait_until_it_says("consuming from sizer again");
    sandbox
        .wait_until("the queue is there", || client.queue("sizer").is_some_and(|queue| queue.consumers == 1));
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w1");
    client.publish("sizer", workitem("w2", json!({})));
    assert_eq!(replies.receive_json()["fei"]["wfid"], "w2");
    assert_eq!((exo.out().matches("begun w1").count(), exo.out().matches("trying again").count()), (1, 0));
}

/// "Own reconnect loop … one log line per change of state, handlers keep running and their replies are published
/// after the reconnect; deliveries known to be running are adopted, not run twice."
#[test]
fn connections_that_an_administrator_closes_are_made_again_and_what_runs_is_adopted() {
    let sandbox = sandbox();
    let broker = Broker::rabbitmq();
    let mut exo = start(&sandbox, &format!("url = \"{}\"", broker.url()));
    exo.wait_until_it_says("consuming from sizer at");
    {
        let client = broker.client();
        client.declare("ruote_workitems");
        client.publish("sizer", workitem("w1", json!({"sleep": 8})));
        exo.wait_until_it_says("begun w1");
    }
    broker.close_connections();
    sandbox.wait_until("it consumes again", || exo.out().matches("consuming from sizer at").count() == 2);
    let client = broker.client();
    assert_eq!(client.replies().receive_json()["fei"]["wfid"], "w1");
    sandbox.wait_until("it is acknowledged", || exo.out().contains("w1: done"));
    let out = exo.out();
    assert_eq!((out.matches("begun w1").count(), out.matches("trying again").count()), (1, 1), "{out}");
    exo.signal(Signal::SIGTERM);
    assert_eq!(exo.finish().told().0, 0);
    assert_eq!(client.depth("sizer"), 0);
}

/// "Heartbeats stop (a frozen broker, SIGSTOP)": "says so in its log within one heartbeat".
#[test]
fn a_broker_that_stands_still_is_noticed_and_waited_out() {
    let sandbox = sandbox();
    let mut broker = Broker::skynet(&sandbox);
    let mut exo = start(&sandbox, &format!("url = \"{}?heartbeat=2\"", broker.url()));
    exo.wait_until_it_says("consuming from sizer at");
    {
        let client = broker.client();
        client.declare("ruote_workitems");
        client.publish("sizer", workitem("w1", json!({"sleep": 6})));
        exo.wait_until_it_says("begun w1");
    }
    broker.process().signal(Signal::SIGSTOP);
    exo.wait_until_it_says("; trying again until it works");
    // It is asked before its heartbeats are missed, unless exo itself was held up.
    let reasons = ["the broker has not answered for 1 s;", "the broker's heartbeats stopped;"];
    assert!(reasons.iter().any(|reason| exo.out().contains(reason)), "{}", exo.out());
    exo.wait_until_it_says("ended w1");
    broker.process().signal(Signal::SIGCONT);
    sandbox.wait_until("it consumes again", || exo.out().matches("consuming from sizer at").count() >= 2);
    assert_eq!(broker.client().replies().receive_json()["fei"]["wfid"], "w1");
    sandbox.wait_until("it is acknowledged", || exo.out().contains("w1: done"));
    assert_eq!(exo.out().matches("begun w1").count(), 1, "{}", exo.out());
}

/// "`send_to_engine` returns when its message is confirmed", and not when the grace ends without that; "USR1 = write what is
/// in flight to the log", also what waits for the broker; what was not confirmed is not called replied.
#[test]
fn what_the_broker_has_not_confirmed_when_the_process_ends_is_not_said_to_be_sent() {
    const SENDER: &str = "
import os, time
from SkyNET import Workitem
class ParticipantHandler(object):
    def handle_wi(self, wid):
        print('begun', wid.wfid)
        while not os.path.exists('../away'): time.sleep(0.05)
        if wid.fields.send:
            self.send_to_engine(Workitem(wid.to_h()))
            print('sent', wid.wfid)
            open(wid.fields.send, 'w').close()
        print('ended', wid.wfid)
";
    let sandbox = sandbox();
    fs::set_permissions(sandbox.folder("sent"), fs::Permissions::from_mode(0o777)).unwrap();
    sandbox.write("sizer/sizer.py", SENDER);
    sandbox.write("sizer/config.exo", "concurrency = 2\nprefetch = 3\ngrace = \"7s\"\n");
    let mut broker = Broker::skynet(&sandbox);
    let mut exo = start(&sandbox, &format!("url = \"{}\"", broker.url()));
    exo.wait_until_it_says("consuming from sizer at");
    {
        let client = broker.client();
        client.declare("ruote_workitems");
        client.publish("sizer", workitem("w1", json!({"send": sandbox.path("sent/w1")})));
        client.publish("sizer", workitem("w2", json!({})));
        client.publish("sizer", workitem("w3", json!({})));
        exo.wait_until_it_says("begun w1");
        exo.wait_until_it_says("begun w2");
        sandbox.wait_until("the third is there", || {
            exo.signal(Signal::SIGUSR1);
            exo.out().contains("w3: 0_0!s!w3 waits for a worker")
        });
    }
    broker.process().terminate();
    sandbox.write("away", "");
    exo.wait_until_it_says("ended w2");
    exo.signal(Signal::SIGTERM);
    exo.wait_until_it_says("TERM: taking no more work, 2 in hand");
    // What the handler has said last comes before it has returned.
    sandbox.wait_until("both are told of", || {
        exo.signal(Signal::SIGUSR1);
        let told = ["w1: 0_0!s!w1 running for ", "w2: 0_0!s!w2 is done, its reply waits for the broker"];
        told.iter().all(|line| exo.out().contains(line))
    });
    let done = exo.finish();
    assert_eq!(done.code, Some(0), "{}", done.out);
    assert!(!done.out.contains("sent w1") && !sandbox.has("sent/w1"), "{}", done.out);
    assert!(!done.out.contains(", replied"), "{}", done.out);
    assert!(done.out.contains("WARN sizer w2: done in "), "{}", done.out);
    assert!(done.out.contains("the broker has not confirmed the reply"), "{}", done.out);
    broker.start_again(&sandbox);
    let mut exo = start(&sandbox, &format!("url = \"{}\"", broker.url()));
    exo.wait_until_it_says("w2: was done before: answered from the journal");
    exo.wait_until_it_says("w1: done in ");
    exo.wait_until_it_says("w3: done in ");
    assert!(sandbox.has("sent/w1"));
    let mut replies: Vec<_> = {
        let client = broker.client();
        let mut replies = client.replies();
        let wfid = |reply: Value| reply["fei"]["wfid"].as_str().unwrap().to_owned();
        (0..4).map(|_| wfid(replies.receive_json())).collect()
    };
    replies.sort();
    assert_eq!(replies, ["w1", "w1", "w2", "w3"]);
    let out = exo.terminate().out;
    assert!(!out.contains("begun w2"), "{out}");
}

/// "Over a list of hosts": the first that works is taken, and each reason is told once.
#[test]
fn brokers_are_tried_in_turn_and_each_reason_is_told_once() {
    let sandbox = sandbox();
    let dead = [free_port(), free_port()];
    let mut broker = Broker::skynet(&sandbox);
    let urls = format!(
        "urls = [\"amqp://a:s3cret@127.0.0.1:{}/x\", \"amqp://a:s3cret@127.0.0.1:{}/x\", \"{}\"]",
        dead[0],
        dead[1],
        broker.url()
    );
    broker.process().terminate();
    let mut exo = start(&sandbox, &urls);
    sandbox.wait_until("all three are told of", || exo.out().matches("onnection refused").count() == 3);
    std::thread::sleep(std::time::Duration::from_millis(1500)); // several more rounds
    assert_eq!(exo.out().matches("onnection refused").count(), 3, "{}", exo.out());
    broker.start_again(&sandbox);
    exo.wait_until_it_says("consuming from sizer at");
    exo.signal(Signal::SIGTERM);
    let done = exo.finish();
    assert!(done.told().0 == 0 && !done.out.contains("s3cret"), "{}", done.out);
}

/// Lets everything through to a broker, until that has opened the first channel of a connection: then nothing at all.
const MUTE: &str = "
import socket, sys, threading
OPENED = b'\\x01\\x00\\x01\\x00\\x00\\x00\\x08\\x00\\x14\\x00\\x0b'
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
kept = []
def pump(a, b):
    said = b''
    while True:
        data = a.recv(65536)
        said += data
        if not data or OPENED in said:
            return
        b.sendall(data)
while True:
    near, far = listener.accept()[0], socket.create_connection(('127.0.0.1', int(sys.argv[2])))
    kept += [near, far]
    for way in ((near, far), (far, near)):
        threading.Thread(target=pump, args=way, daemon=True).start()
";

/// "Never silently idle": a broker that falls silent before there is a consumer is given up, and the next one taken,
/// before it has missed two heartbeats, so also where there are none to miss.
#[test]
fn a_broker_that_falls_silent_while_it_is_being_connected_to_is_given_up() {
    let sandbox = sandbox();
    sandbox.write("mute.py", MUTE);
    let broker = Broker::skynet(&sandbox);
    let (mute, behind) = (free_port().to_string(), broker.port.to_string());
    sandbox.start("python3", &["mute.py", &mute, &behind]);
    sandbox.wait_until("it is listened for", || {
        std::net::TcpStream::connect(("127.0.0.1", mute.parse::<u16>().unwrap())).is_ok()
    });
    let silent =
        format!("{}?heartbeat=8", broker.url().replace(&format!(":{behind}/"), &format!(":{mute}/")));
    let mut exo = start(&sandbox, &format!("urls = [\"{silent}\", \"{}\"]", broker.url()));
    let place = format!("amqp://127.0.0.1:{mute}/boss");
    exo.wait_until_it_says(&format!(
        "WARN sizer: cannot publish at {place}: no answer within 10 s; trying again"
    ));
    exo.wait_until_it_says(&format!("consuming from sizer at amqp://127.0.0.1:{behind}/boss"));
}

/// "406": a queue that somebody declared otherwise is named, and waited for.
#[test]
fn a_queue_that_is_of_another_kind_is_named_and_used_once_it_has_gone() {
    let sandbox = sandbox();
    let broker = Broker::rabbitmq();
    let client = broker.client();
    client.declare("sizer");
    sandbox.write("sizer/config.exo", "queue_type = \"quorum\"\n");
    let mut exo = start(&sandbox, &format!("url = \"{}\"", broker.url()));
    exo.wait_until_it_says("PRECONDITION_FAILED");
    client.delete("sizer");
    exo.wait_until_it_says("consuming from sizer at");
    assert_eq!(exo.out().matches("trying again").count(), 1, "{}", exo.out());
}

/// Ends TLS before a broker, as its own listener does; with `MUTUAL` it wants a certificate of the client's.
const TLS_FRONT: &str = "
import socket, ssl, sys, threading
port, behind, mutual = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == 'mutual'
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('server.pem', 'server.key')
if mutual:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations('ca.pem')
listener = socket.create_server(('127.0.0.1', port))
def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data:
                break
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(plain):
    try:
        inside = context.wrap_socket(plain, server_side=True)
        inside.getpeername()
        outside = socket.create_connection(('127.0.0.1', behind))
    except (OSError, ssl.SSLError):
        plain.close()
        return
    threading.Thread(target=pump, args=(inside, outside), daemon=True).start()
    pump(outside, inside)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";

/// An authority, a certificate of the broker for localhost, and one of the client.
fn certificates(sandbox: &Sandbox) {
    let script = "set -e
new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \"$@\" 2>/dev/null; }
new -keyout ca.key -out ca.pem -subj /CN=test-authority
new -keyout other.key -out other.pem -subj /CN=other-authority
for who in server client; do
    new -CA ca.pem -CAkey ca.key -keyout $who.key -out $who.pem -subj /CN=$who \\
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE
done
chmod 644 *.key";
    assert_eq!(sandbox.run("sh", &["-c", script]).told().0, 0);
}

/// "`amqps://` really is TLS …, with CA, client certificate, and a clear error on mismatch."
#[test]
fn amqps_is_tls_with_authority_and_client_certificate_and_says_what_does_not_match() {
    let sandbox = sandbox();
    certificates(&sandbox);
    sandbox.write("front.py", TLS_FRONT);
    let broker = Broker::skynet(&sandbox);
    let ports = [free_port(), free_port()];
    for (port, kind) in ports.iter().zip(["plain", "mutual"]) {
        let (port, behind) = (port.to_string(), broker.port.to_string());
        sandbox.start("python3", &["front.py", &port, &behind, kind]);
        sandbox.wait_until("TLS is listened for", || {
            std::net::TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap())).is_ok()
        });
    }
    let url = |host: &str, port: u16| {
        let url = broker.url().replace("amqp://", "amqps://");
        format!("url = \"{}\"", url.replace(&format!("127.0.0.1:{}", broker.port), &format!("{host}:{port}")))
    };
    let file = |name: &str| sandbox.path(name).display().to_string();
    let ca = format!("[amqp.tls]\nca = \"{}\"\n", file("ca.pem"));
    let client = format!("{ca}cert = \"{}\"\nkey = \"{}\"\n", file("client.pem"), file("client.key"));
    let other = format!("[amqp.tls]\nca = \"{}\"\n", file("other.pem"));
    for (url, tls, says) in [
        (url("localhost", ports[0]), ca.as_str(), "consuming from sizer at amqps://localhost"),
        (url("localhost", ports[1]), &client, "consuming from sizer at amqps://localhost"),
        (url("localhost", ports[0]), &other, "amqp.tls.ca does not name the authority"),
        (url("127.0.0.1", ports[0]), &ca, "certificate is for another host name"),
        (url("localhost", broker.port), &ca, "the broker speaks no TLS on this port"),
        (url("localhost", ports[1]), &ca, "trying again"),
    ] {
        let mut exo = start(&sandbox, &format!("{url}\n{tls}"));
        exo.wait_until_it_says(says);
        exo.signal(Signal::SIGTERM);
        let done = exo.finish();
        assert!(done.told().0 == 0 && !done.out.contains("a-test"), "{}", done.out);
    }
}
