//! skynet-broker where much comes, slowly goes, or the disk is full: its memory stays bounded, and nothing is
//! confirmed that is not on disk.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod broker;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame};
use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{AMQPClass, connection};
use broker::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tests::Sandbox;
use tests::broker::Broker;
use tests::stage::{Heard, Stage};

/// Far above what the broker needs, far below what it is sent.
const BOUND_MIB: u64 = 400;

fn peak_mib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// The frames of one published message.
fn frames(queue: &str, body: &[u8], delivery_mode: u8) -> Vec<u8> {
    let properties = AMQPProperties::default().with_delivery_mode(delivery_mode);
    let mut frames = vec![
        AMQPFrame::Method(1, AMQPClass::Basic(basic::AMQPMethod::Publish(to("", queue)))),
        AMQPFrame::Header(1, AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties }),
    ];
    frames.extend(body.chunks(100_000).map(|piece| AMQPFrame::Body(1, piece.to_vec())));
    frames.iter().fold(vec![], |out, frame| gen_frame(frame)(WriteContext::from(out)).unwrap().into_inner().0)
}

/// Asks, and passes over what the broker says of having to wait: the disk may be slower than the test.
fn answer(stage: &mut Stage, line: usize, class: AMQPClass) -> AMQPClass {
    stage.say(line, 1, class);
    loop {
        match stage.hear(line) {
            Heard::Method(0, _) => {}
            Heard::Method(_, answer) => return answer,
            Heard::Closed => panic!("closed"),
        }
    }
}

/// Waits until the broker has dealt with all that was sent on this connection.
fn catch_up(stage: &mut Stage, line: usize) {
    answer(stage, line, qos(0, false));
}

#[test]
fn many_small_and_large_messages_lie_on_disk_and_come_back_in_order() {
    let sandbox = Sandbox::new();
    let mut broker = Broker::skynet(&sandbox);
    let mut stage = Stage::new(&broker);
    let c = stage.enter();
    stage.ask(c, 1, declare(durable("small")));
    stage.ask(c, 1, declare(durable("large")));
    let hundred = frames("small", &[b's'; 50], 1).repeat(100);
    (0..1000).for_each(|_| stage.raw(c, &hundred));
    for n in 0..300_u32 {
        let mut body = vec![0; 1 << 20];
        body[..4].copy_from_slice(&n.to_be_bytes());
        stage.raw(c, &frames("large", &body, 2));
    }
    catch_up(&mut stage, c);
    let ready = |stage: &mut Stage, queue: &str| match answer(stage, c, passive(queue)) {
        AMQPClass::Queue(amq_protocol::protocol::queue::AMQPMethod::DeclareOk(ok)) => ok.message_count,
        other => panic!("{other:?}"),
    };
    assert_eq!((ready(&mut stage, "small"), ready(&mut stage, "large")), (100_000, 300));
    let peak = peak_mib(broker.process().pid());
    assert!(peak < BOUND_MIB, "{peak} MiB");
    let client = broker.client();
    let mut messages = client.consume("large");
    for n in 0..300_u32 {
        assert_eq!(messages.receive()[..4], n.to_be_bytes());
    }
    let peak = peak_mib(broker.process().pid());
    assert!(peak < BOUND_MIB, "{peak} MiB after they were taken");
}

#[test]
fn the_largest_message_passes_and_one_byte_more_closes_the_channel() {
    let sandbox = Sandbox::new();
    let broker = Broker::skynet(&sandbox);
    let mut stage = Stage::new(&broker);
    let c = stage.enter();
    stage.ask(c, 1, declare(durable("q")));
    let largest = vec![b'x'; 128 << 20];
    stage.ask(c, 1, confirm_select());
    stage.raw(c, &frames("q", &largest, 2));
    let heard = stage.hear(c);
    assert!(matches!(heard, Heard::Method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(_)))), "{heard:?}");
    stage.raw(c, &frames("q", &[largest.as_slice(), b"x"].concat(), 2));
    stage.hear(c);
    stage.open_channel(c, 1);
    stage.ask(c, 1, get("q", true));
    let transcript = stage.transcript();
    let refusal = "PRECONDITION_FAILED - message size 134217729 is larger than configured max size 134217728";
    assert!(transcript.contains(refusal), "{transcript}");
}

#[test]
fn a_consumer_that_never_reads_takes_no_memory_and_no_time_from_others() {
    let sandbox = Sandbox::new();
    let mut broker = Broker::skynet(&sandbox);
    let mut stage = Stage::new(&broker);
    let (lazy, busy) = (stage.enter(), stage.enter());
    stage.ask(busy, 1, declare(durable("q")));
    stage.ask(lazy, 1, start(basic::Consume { no_ack: true, ..consume("q", "lazy") }));
    let large = frames("q", &vec![0; 1 << 20], 1);
    (0..400).for_each(|_| stage.raw(busy, &large));
    catch_up(&mut stage, busy);
    answer(&mut stage, busy, declare(durable("other")));
    stage.raw(busy, &frames("other", b"x", 1));
    answer(&mut stage, busy, get("other", true));
    let peak = peak_mib(broker.process().pid());
    assert!(peak < BOUND_MIB, "{peak} MiB");
}

#[test]
fn a_publisher_of_what_must_stay_in_memory_waits_until_somebody_takes_it() {
    let sandbox = Sandbox::new();
    let mut broker = Broker::skynet(&sandbox);
    let mut stage = Stage::new(&broker);
    let (publisher, taker) = (stage.enter(), stage.enter());
    stage.ask(publisher, 1, declare(queue("in-memory")));
    let large = frames("in-memory", &vec![0; 8 << 20], 1);
    (0..32).for_each(|_| stage.raw(publisher, &large));
    let blocked = stage.hear(publisher);
    let said = |heard: &Heard, method: &str| format!("{heard:?}").contains(method);
    assert!(said(&blocked, "Blocked"), "{blocked:?}");
    stage.say(publisher, 1, passive("in-memory"));
    stage.ask(taker, 1, purge("in-memory"));
    let unblocked = stage.hear(publisher);
    assert!(matches!(
        unblocked,
        Heard::Method(0, AMQPClass::Connection(connection::AMQPMethod::Unblocked(_)))
    ));
    stage.hear(publisher);
    let peak = peak_mib(broker.process().pid());
    assert!(peak < BOUND_MIB, "{peak} MiB");
}

#[test]
fn on_a_full_disk_nothing_is_confirmed_until_there_is_room_and_then_all_is() {
    let sandbox = Sandbox::new();
    let port = tests::broker::free_port();
    sandbox.folder("disk");
    let settings = format!("listen = '127.0.0.1:{port}'\nuser = 'u'\npassword = 'p'\nvhosts = ['v']\n");
    sandbox.write("broker.toml", settings);
    let script = "mount -t tmpfs -o size=4m,mode=700 none disk && install -m 600 broker.toml disk/ \
                  && head -c 3m /dev/zero >disk/filler && exec skynet-broker disk";
    if sandbox.run("unshare", &["-rm", "sh", "-c", "mount -t tmpfs none disk"]).code != Some(0) {
        eprintln!("not tested: this machine allows no mount namespace");
        return;
    }
    let mut process = sandbox.start("unshare", &["-rm", "sh", "-c", script]);
    let login = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    sandbox.wait_until("it listens", || login(port));
    let broker = Broker::somebody(port, "u", "p", "v");
    let mut stage = Stage::new(&broker);
    let c = stage.enter();
    stage.ask(c, 1, declare(durable("q")));
    stage.ask(c, 1, confirm_select());
    let message = frames("q", &vec![0; 100_000], 2);
    for _ in 0..20 {
        stage.raw(c, &message);
    }
    sandbox.wait_until("it says so", || process.out().contains("cannot write to disk"));
    // It still answers, and says it once.
    let mut confirmed = 0;
    stage.say(c, 1, passive("q"));
    while let Heard::Method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(_))) = stage.hear(c) {
        confirmed += 1;
    }
    assert!(confirmed < 20, "{confirmed} of 20 confirmed on a full disk");
    fs::remove_file(format!("/proc/{}/root{}", process.pid(), sandbox.path("disk/filler").display()))
        .unwrap();
    while confirmed < 20 {
        let heard = stage.hear(c);
        assert!(matches!(heard, Heard::Method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(_)))), "{heard:?}");
        confirmed += 1;
    }
    sandbox.wait_until("it says that it can again", || process.out().contains("can write to disk again"));
    assert_eq!(process.out().matches("cannot write to disk").count(), 1, "{}", process.out());
    assert_eq!(process.terminate().code, Some(0));
}

/// "a persistent one … is confirmed only after it is on disk": seen by strace. What the disk need not have is not synced.
#[test]
fn a_persistent_message_is_confirmed_after_its_transaction_is_synced() {
    if !std::path::Path::new("/usr/bin/strace").exists() {
        return;
    }
    for (delivery_mode, synced) in [(2, true), (1, false)] {
        let sandbox = Sandbox::new();
        let port = tests::broker::free_port();
        let folder = sandbox.folder("data");
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        let settings = format!("listen = '127.0.0.1:{port}'\nuser = 'u'\npassword = 'p'\nvhosts = ['v']\n");
        let settings = sandbox.write("data/broker.toml", settings);
        fs::set_permissions(settings, Permissions::from_mode(0o600)).unwrap();
        let program = sandbox.programs().path("skynet-broker");
        let calls = "trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg";
        let words = ["-f", "-y", "-s", "64", "-o", "trace", "-e", calls, program.to_str().unwrap(), "data"];
        let mut process = sandbox.start("strace", &words);
        sandbox.wait_until("it listens", || {
            assert!(process.runs(), "{}", process.told());
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let mut stage = Stage::new(&Broker::somebody(port, "u", "p", "v"));
        let c = stage.enter();
        stage.ask(c, 1, declare(durable("q")));
        stage.ask(c, 1, confirm_select());
        for number in 0..3 {
            stage.raw(c, &frames("q", format!("message {number}").as_bytes(), delivery_mode));
            let heard = stage.hear(c);
            assert!(
                matches!(heard, Heard::Method(1, AMQPClass::Basic(basic::AMQPMethod::Ack(_)))),
                "{heard:?}"
            );
        }
        // strace may write what it has seen later than the client hears of it.
        sandbox.wait_until("all is traced", || order(&sandbox.read("trace")).matches('c').count() == 3);
        let order = order(&sandbox.read("trace"));
        // The first may be written together with the queue, which is synced; then, for each: written, synced, confirmed.
        let (before, messages) = order.split_at(order.find('c').unwrap());
        let each = if synced { "cwsc" } else { "cwc" };
        assert!(messages.starts_with(each) && messages[each.len() - 1..].starts_with(each), "{order}");
        assert!(!synced || before.ends_with("ws"), "{order}");
    }
}

/// What strace saw, a letter for each and one for several in a row: w = written to the log of the store, s = that was
/// synced, c = a message was confirmed.
fn order(trace: &str) -> String {
    let mut order = String::new();
    let mut syncing = std::collections::HashSet::new();
    // The last line may be half written.
    for line in trace.rsplit_once('\n').map_or("", |(whole, _)| whole).lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let sync = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        let of_log = call.contains("-wal>");
        let letter = if call.starts_with("pwrite64(") && of_log {
            'w'
        } else if sync && of_log && call.contains("<unfinished") {
            syncing.insert(pid);
            continue;
        } else if sync && of_log || call.contains("sync resumed>") && syncing.remove(pid) {
            assert!(call.ends_with("= 0"), "{line}");
            's'
        } else if call.contains("\\0<\\0P\\0\\0\\0\\0") && !call.starts_with("pwrite64(") {
            'c'
        } else {
            continue;
        };
        if !order.ends_with(letter) {
            order.push(letter);
        }
    }
    order
}
