//! skynet-broker says what Debian's RabbitMQ says, frame by frame, of the protocol's
//! exchanges and bindings: declared, deleted, routing, dead letters. Each scenario is played before both, and the
//! transcripts are the same.

mod broker;

use amq_protocol::protocol::basic;
use amq_protocol::protocol::{AMQPClass, exchange, queue};
use amq_protocol::types::AMQPValue;
use broker::*;
use tests::stage::{Heard, Stage};

scenarios![
    exchanges_are_declared_again_with_the_same_properties_only,
    the_default_exchange_is_left_alone,
    an_exchange_is_deleted_only_if_it_is_unused_where_that_is_asked,
    an_auto_delete_exchange_goes_with_its_last_binding,
    direct_fanout_and_topic_route,
    headers_route,
    what_is_thrown_away_goes_to_the_exchange_of_dead_letters,
    what_becomes_too_old_goes_to_the_exchange_of_dead_letters,
    dead_letters_do_not_go_in_circles,
    bindings_come_and_go,
    binding_what_is_not_there_is_refused,
];

fn exchanges_are_declared_again_with_the_same_properties_only(s: &mut Stage) {
    let c = s.enter();
    let durable = || exchange::Declare { durable: true, ..exchange("e", "topic") };
    s.ask(c, 1, declare_exchange(durable()));
    s.ask(c, 1, declare_exchange(durable()));
    s.ask_each(
        c,
        [
            exchange("e", "topic"),
            exchange::Declare { kind: "direct".into(), ..durable() },
            exchange::Declare { auto_delete: true, ..durable() },
        ]
        .map(declare_exchange),
    );
}

fn the_default_exchange_is_left_alone(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask_each(
        c,
        [
            declare_exchange(exchange("", "direct")),
            delete_exchange("", false),
            bind("q", "", "k"),
            unbind("q", "", "q"),
        ],
    );
}

fn an_exchange_is_deleted_only_if_it_is_unused_where_that_is_asked(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare_exchange(exchange("e", "fanout")));
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, bind("q", "e", ""));
    s.open_channel(c, 2);
    s.ask(c, 2, delete_exchange("e", true));
    s.ask(c, 1, delete_exchange("e", false));
    s.ask(c, 1, delete_exchange("never-was", true));
    s.publish(c, to("e", ""), plain(), b"x");
    s.hear(c);
}

fn an_auto_delete_exchange_goes_with_its_last_binding(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare_exchange(exchange::Declare { auto_delete: true, ..exchange("e", "fanout") }));
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, declare(durable("r")));
    // Not with one that it never had.
    s.ask(c, 1, unbind("q", "e", "none"));
    s.ask(c, 1, delete("q", false, false));
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, bind("q", "e", ""));
    s.ask(c, 1, bind("r", "e", ""));
    s.ask(c, 1, unbind("q", "e", ""));
    s.ask(c, 1, declare_exchange(exchange::Declare { passive: true, ..exchange("e", "fanout") }));
    s.ask(c, 1, delete("r", false, false));
    s.ask(c, 1, declare_exchange(exchange::Declare { passive: true, ..exchange("e", "fanout") }));
}

fn direct_fanout_and_topic_route(s: &mut Stage) {
    let c = s.enter();
    for name in ["a", "b", "c"] {
        s.ask(c, 1, declare(durable(name)));
    }
    s.ask(c, 1, declare_exchange(exchange("d", "direct")));
    s.ask(c, 1, declare_exchange(exchange("f", "fanout")));
    s.ask(c, 1, declare_exchange(exchange("t", "topic")));
    for (name, source, key) in [
        ("a", "d", "x"),
        ("b", "d", "x"),
        ("c", "d", "y"),
        ("a", "f", "ignored"),
        ("b", "f", ""),
        ("a", "t", "wfid.*"),
        ("b", "t", "#"),
        ("c", "t", "wfid.#.end"),
        ("c", "t", "#.end"),
    ] {
        s.ask(c, 1, bind(name, source, key));
    }
    s.ask(c, 1, confirm_select());
    for (source, key) in [
        ("d", "x"),
        ("d", "y"),
        ("d", "z"),
        ("f", "whatever"),
        ("t", "wfid.1"),
        ("t", "wfid"),
        ("t", "wfid.a.b.end"),
        ("t", ""),
        ("t", "."),
        ("t", "wfid..end"),
    ] {
        s.publish(c, mandatory(source, key), plain(), format!("{source} {key}").as_bytes());
        if let Heard::Method(_, AMQPClass::Basic(basic::AMQPMethod::Return(_))) = s.hear(c) {
            s.hear(c);
        }
        for name in ["a", "b", "c"] {
            s.ask(c, 1, purge(name));
        }
    }
}

fn headers_route(s: &mut Stage) {
    let c = s.enter();
    let (one, two) = (|| AMQPValue::LongInt(1), || AMQPValue::LongInt(2));
    let how = |how: &str| ("x-match", AMQPValue::LongString(how.into()));
    s.ask(c, 1, declare_exchange(exchange("h", "headers")));
    for (name, arguments) in [
        ("none", table(&[])),
        ("all", table(&[how("all"), ("a", one()), ("b", two())])),
        ("any", table(&[how("any"), ("a", one()), ("b", two())])),
        ("there", table(&[("a", AMQPValue::Void)])),
    ] {
        s.ask(c, 1, declare(durable(name)));
        let (queue, exchange, routing_key) = (name.into(), "h".into(), "ignored".into());
        let bind = queue::Bind { queue, exchange, routing_key, nowait: false, arguments };
        s.ask(c, 1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
    }
    s.ask(c, 1, confirm_select());
    for headers in [
        table(&[]),
        table(&[("a", one())]),
        table(&[("a", two()), ("b", two())]),
        table(&[("a", one()), ("b", two()), ("c", one())]),
    ] {
        s.publish(c, to("h", ""), plain().with_headers(headers), b"x");
        s.hear(c);
        for name in ["none", "all", "any", "there"] {
            s.ask(c, 1, purge(name));
        }
    }
}

fn with_dead_letters(name: &str, more: &[(&str, AMQPValue)]) -> AMQPClass {
    let text = |t: &str| AMQPValue::LongString(t.into());
    let mut pairs = vec![("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    pairs.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    declare(queue::Declare { arguments: table(&pairs), ..durable(name) })
}

fn what_is_thrown_away_goes_to_the_exchange_of_dead_letters(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("dead")));
    s.ask(c, 1, with_dead_letters("q", &[]));
    s.ask(c, 1, confirm_select());
    s.publish(c, to("", "q"), plain().with_message_id("m".into()).with_expiration("60000".into()), b"x");
    s.hear(c);
    s.ask(c, 1, get("q", false));
    s.ask(c, 1, start(basic::Consume { no_ack: true, ..consume("dead", "t") }));
    s.say(c, 1, reject(1, false));
    s.hear(c);
    s.ask(c, 1, passive("q"));
}

fn what_becomes_too_old_goes_to_the_exchange_of_dead_letters(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("dead")));
    s.ask(c, 1, with_dead_letters("q", &[("x-message-ttl", AMQPValue::LongInt(1))]));
    s.ask(c, 1, start(basic::Consume { no_ack: true, ..consume("dead", "t") }));
    s.publish(c, to("", "q"), plain().with_delivery_mode(2), b"of the queue's age");
    s.hear(c);
    s.publish(c, to("", "q"), plain().with_expiration("0".into()), b"of its own age");
    s.hear(c);
}

fn dead_letters_do_not_go_in_circles(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, with_dead_letters("dead", &[("x-message-ttl", AMQPValue::LongInt(0))]));
    s.ask(c, 1, confirm_select());
    s.publish(c, to("", "dead"), plain(), b"x");
    s.hear(c);
    s.ask(c, 1, get("dead", true));
}

fn bindings_come_and_go(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, bind("q", "amq.direct", "k"));
    s.ask(c, 1, bind("q", "amq.direct", "k"));
    s.ask(c, 1, confirm_select());
    s.publish(c, mandatory("amq.direct", "k"), plain(), b"1");
    s.hear(c);
    s.ask(c, 1, unbind("q", "amq.direct", "k"));
    s.ask(c, 1, unbind("q", "amq.direct", "k"));
    s.publish(c, mandatory("amq.direct", "k"), plain(), b"2");
    s.hear_all(c, 2);
    s.ask(c, 1, purge("q"));
}

fn binding_what_is_not_there_is_refused(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask_each(
        c,
        [
            bind("none", "amq.direct", "k"),
            bind("q", "none", "k"),
            unbind("none", "amq.direct", "k"),
            unbind("q", "none", "k"),
            // Of two faults the exchange's is told.
            bind("none", "none", "k"),
            bind("none", "", "k"),
            unbind("none", "none", "k"),
            unbind("none", "", "k"),
        ],
    );
}
