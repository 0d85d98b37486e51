//! skynet-broker says what Debian's RabbitMQ says, frame by frame: declaring, routing, delivering, settling, and
//! wrong use. Each scenario is played before both, and the transcripts are the same.

mod broker;

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::protocol::{AMQPClass, channel, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use broker::*;
use tests::stage::{CHANNELS, Heard, Stage};

scenarios![
    a_queue_is_declared_again_with_the_same_properties_only,
    a_queue_is_declared_again_with_the_same_arguments_only,
    arguments_that_are_nonsense_are_refused,
    a_passive_declaration_asks_and_makes_nothing,
    names_that_begin_with_amq_are_reserved,
    a_queue_without_a_name_gets_one_which_the_empty_name_then_means,
    an_exclusive_queue_is_its_connections_own_and_goes_with_it,
    an_auto_delete_queue_goes_with_its_last_consumer,
    a_queue_is_deleted_only_if_it_is_unused_or_empty_where_that_is_asked,
    purging_takes_what_is_ready_and_counts_it,
    a_queue_with_a_time_to_live_forgets,
    a_queue_that_nobody_uses_is_gone_after_its_time,
    a_message_with_a_time_to_live_is_forgotten,
    an_expiration_that_is_no_number_is_refused,
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
    a_message_keeps_its_properties,
    bodies_of_all_sizes_arrive,
    a_mandatory_message_that_nothing_takes_comes_back_before_it_is_confirmed,
    a_message_to_an_exchange_that_is_not_there_closes_the_channel,
    confirms_count_from_one_per_channel,
    get_tells_what_is_left,
    prefetch_holds_back_per_consumer,
    prefetch_of_the_channel_holds_back_all_its_consumers,
    consumers_take_turns,
    acknowledging_settles_one_or_all_up_to_it,
    an_unknown_delivery_tag_closes_the_channel,
    an_acknowledgement_twice_closes_the_channel,
    what_is_given_back_returns_to_its_place_marked,
    what_is_thrown_away_is_gone,
    recover_gives_everything_back,
    what_a_closed_channel_had_returns_to_its_place_marked,
    what_a_dead_connection_had_returns,
    without_acknowledgements_nothing_is_owed,
    a_cancelled_consumer_keeps_what_it_has,
    a_consumer_is_told_that_its_queue_is_gone,
    an_exclusive_consumer_is_alone,
    a_consumer_tag_is_used_once_per_channel,
    a_channel_that_is_not_open_closes_the_connection,
    a_channel_opened_twice_closes_the_connection,
    a_channel_more_than_was_agreed_closes_the_connection,
    a_closed_channel_can_be_opened_again,
    a_method_in_the_middle_of_a_message_closes_the_connection,
    content_without_a_publish_closes_the_connection,
    the_immediate_flag_is_not_implemented,
    flow_cannot_be_stopped,
    nowait_is_not_answered,
    a_wrong_password_is_refused,
    an_unknown_vhost_is_refused,
    wrong_use_on_one_channel_leaves_the_others_alone,
    a_connection_that_wants_signs_of_life_gets_them,
];

fn a_queue_is_declared_again_with_the_same_properties_only(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, declare(durable("q")));
    for (n, other) in [
        queue("q"),
        queue::Declare { auto_delete: true, ..durable("q") },
        queue::Declare { exclusive: true, ..durable("q") },
    ]
    .into_iter()
    .enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(c, channel);
        s.ask(c, channel, declare(other));
    }
}

fn a_queue_is_declared_again_with_the_same_arguments_only(s: &mut Stage) {
    let c = s.enter();
    let with =
        |name: &str, value: AMQPValue| queue::Declare { arguments: table(&[(name, value)]), ..durable("q") };
    let number = AMQPValue::LongInt;
    let text = |t: &str| AMQPValue::LongString(t.into());
    s.ask(c, 1, declare(with("x-message-ttl", number(60_000))));
    s.ask(c, 1, declare(with("x-message-ttl", AMQPValue::LongLongInt(60_000))));
    s.ask(c, 1, passive("q"));
    for (n, other) in [durable("q"), with("x-message-ttl", number(5)), with("x-expires", number(60_000))]
        .into_iter()
        .enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(c, channel);
        s.ask(c, channel, declare(other));
    }
    s.ask(c, 1, declare(durable("plain")));
    s.ask(
        c,
        1,
        declare(queue::Declare {
            arguments: table(&[("x-queue-type", text("classic"))]),
            ..durable("plain")
        }),
    );
    s.ask(c, 1, declare(queue::Declare { arguments: table(&[("note", text("n"))]), ..durable("plain") }));
    s.ask(
        c,
        1,
        declare(queue::Declare { arguments: table(&[("x-queue-type", text("quorum"))]), ..durable("plain") }),
    );
}

fn arguments_that_are_nonsense_are_refused(s: &mut Stage) {
    let c = s.enter();
    for (n, (name, value)) in [
        ("x-expires", AMQPValue::LongInt(0)),
        ("x-message-ttl", AMQPValue::LongInt(-1)),
        ("x-message-ttl", AMQPValue::LongString("soon".into())),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(c, channel);
        s.ask(c, channel, declare(queue::Declare { arguments: table(&[(name, value)]), ..durable("q") }));
    }
}

fn a_passive_declaration_asks_and_makes_nothing(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2"]);
    s.ask(c, 1, start(consume("other", "t")));
    s.open_channel(c, 1);
    s.ask(c, 1, passive("q"));
    s.ask(c, 1, declare(queue::Declare { passive: true, durable: false, exclusive: true, ..queue("q") }));
    s.ask(c, 1, passive("none"));
    s.open_channel(c, 2);
    s.ask(c, 2, declare_exchange(exchange::Declare { passive: true, ..exchange("amq.topic", "direct") }));
    s.ask(c, 2, declare_exchange(exchange::Declare { passive: true, ..exchange("none", "direct") }));
}

fn names_that_begin_with_amq_are_reserved(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("amq.mine")));
    s.open_channel(c, 2);
    s.ask(c, 2, declare_exchange(exchange("amq.mine", "direct")));
    s.open_channel(c, 3);
    s.ask(c, 3, delete_exchange("amq.topic", false));
    s.open_channel(c, 4);
    s.ask(c, 4, passive("amq.none"));
}

fn a_queue_without_a_name_gets_one_which_the_empty_name_then_means(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(queue::Declare { exclusive: true, ..queue("") }));
    s.ask(c, 1, bind("", "amq.direct", "k"));
    s.ask(c, 1, confirm_select());
    s.publish(c, to("amq.direct", "k"), plain(), b"x");
    s.hear(c);
    s.ask(c, 1, get("", true));
    s.ask(c, 1, purge(""));
    s.ask(c, 1, delete("", false, false));
    for (n, nameless) in
        [purge(""), passive(""), bind("", "amq.direct", "k"), get("", true)].into_iter().enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(c, channel);
        s.ask(c, channel, nameless);
    }
}

fn an_exclusive_queue_is_its_connections_own_and_goes_with_it(s: &mut Stage) {
    let (c, other) = (s.enter(), s.enter());
    s.ask(c, 1, declare(queue::Declare { exclusive: true, ..queue("mine") }));
    for (n, wrong) in [
        passive("mine"),
        start(consume("mine", "t")),
        get("mine", false),
        purge("mine"),
        delete("mine", false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(other, channel);
        s.ask(other, channel, wrong);
    }
    s.ask(other, 1, confirm_select());
    s.publish(other, mandatory("", "mine"), plain(), b"anybody may publish");
    s.hear(other);
    let close = amq_protocol::protocol::connection::Close { reply_code: 200, ..Default::default() };
    s.ask(c, 0, AMQPClass::Connection(amq_protocol::protocol::connection::AMQPMethod::Close(close)));
    s.open_channel(other, 9);
    s.ask(other, 9, passive("mine"));
}

fn an_auto_delete_queue_goes_with_its_last_consumer(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(queue::Declare { auto_delete: true, ..queue("q") }));
    s.ask(c, 1, start(consume("q", "a")));
    s.ask(c, 1, start(consume("q", "b")));
    s.ask(c, 1, cancel("a"));
    s.ask(c, 1, passive("q"));
    s.ask(c, 1, cancel("b"));
    s.ask(c, 1, passive("q"));
}

fn a_queue_is_deleted_only_if_it_is_unused_or_empty_where_that_is_asked(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1"]);
    s.open_channel(c, 2);
    s.ask(c, 2, delete("q", false, true));
    s.open_channel(c, 3);
    s.ask(c, 3, declare(durable("used")));
    s.ask(c, 3, start(consume("used", "t")));
    s.open_channel(c, 4);
    s.ask(c, 4, delete("used", true, false));
    s.ask(c, 1, delete("q", true, false));
    s.ask(c, 1, delete("q", false, false));
    s.ask(c, 1, delete("never-was", true, true));
}

fn purging_takes_what_is_ready_and_counts_it(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2", "3"]);
    s.ask(c, 1, get("q", false));
    s.ask(c, 1, purge("q"));
    s.say(c, 1, nack(1, false, true));
    s.ask(c, 1, get("q", true));
    s.ask(c, 1, purge("q"));
    s.ask(c, 1, purge("none"));
}

fn a_queue_with_a_time_to_live_forgets(s: &mut Stage) {
    let c = s.enter();
    let arguments = table(&[("x-message-ttl", AMQPValue::LongInt(0))]);
    s.ask(c, 1, declare(queue::Declare { arguments, ..durable("q") }));
    fill(s, c, "q", &["1", "2"]);
    s.ask(c, 1, get("q", true));
    s.ask(c, 1, passive("q"));
}

fn a_queue_that_nobody_uses_is_gone_after_its_time(s: &mut Stage) {
    let c = s.enter();
    let arguments = table(&[("x-expires", AMQPValue::LongInt(300))]);
    s.ask(c, 1, declare(queue::Declare { arguments, ..durable("q") }));
    // Publishing is no use of a queue: it comes back when the queue is gone.
    s.quietly(|s| {
        s.ask(c, 1, confirm_select());
        tests::wait_until("the queue is gone", || {
            s.publish(c, mandatory("", "q"), plain(), b"x");
            let back = matches!(s.hear(c), Heard::Method(_, AMQPClass::Basic(basic::AMQPMethod::Return(_))));
            if back {
                s.hear(c);
            }
            back
        });
    });
    s.ask(c, 1, passive("q"));
}

fn a_message_with_a_time_to_live_is_forgotten(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, confirm_select());
    s.publish(c, to("", "q"), plain().with_expiration("0".into()), b"old");
    s.hear(c);
    s.publish(c, to("", "q"), plain().with_expiration("60000".into()), b"young");
    s.hear(c);
    s.ask(c, 1, get("q", true));
    s.ask(c, 1, get("q", true));
}

fn an_expiration_that_is_no_number_is_refused(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.publish(c, to("", "q"), plain().with_expiration("soon".into()), b"x");
    s.hear(c);
    s.open_channel(c, 1);
    s.publish(c, to("", "q"), plain().with_expiration("-1".into()), b"x");
    s.hear(c);
}

fn exchanges_are_declared_again_with_the_same_properties_only(s: &mut Stage) {
    let c = s.enter();
    let durable = || exchange::Declare { durable: true, ..exchange("e", "topic") };
    s.ask(c, 1, declare_exchange(durable()));
    s.ask(c, 1, declare_exchange(durable()));
    for (n, other) in [
        exchange("e", "topic"),
        exchange::Declare { kind: "direct".into(), ..durable() },
        exchange::Declare { auto_delete: true, ..durable() },
    ]
    .into_iter()
    .enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(c, channel);
        s.ask(c, channel, declare_exchange(other));
    }
}

fn the_default_exchange_is_left_alone(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    for (n, wrong) in [
        declare_exchange(exchange("", "direct")),
        delete_exchange("", false),
        bind("q", "", "k"),
        unbind("q", "", "q"),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(c, channel);
        s.ask(c, channel, wrong);
    }
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
    for (n, wrong) in [
        bind("none", "amq.direct", "k"),
        bind("q", "none", "k"),
        unbind("none", "amq.direct", "k"),
        unbind("q", "none", "k"),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(c, channel);
        s.ask(c, channel, wrong);
    }
}

fn a_message_keeps_its_properties(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, confirm_select());
    let headers = table(&[
        ("n", AMQPValue::LongLongInt(-5)),
        ("t", AMQPValue::FieldTable(table(&[("inner", AMQPValue::Boolean(true))]))),
        ("v", AMQPValue::Void),
    ]);
    let all = AMQPProperties::default()
        .with_content_type("application/octet-stream".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(3)
        .with_correlation_id("".into())
        .with_reply_to("r".into())
        .with_message_id("m".into())
        .with_timestamp(1_700_000_000)
        .with_type("status".into())
        .with_app_id("app".into());
    for properties in [all, plain().with_delivery_mode(1), plain()] {
        s.publish(c, to("", "q"), properties, b"{}");
        s.hear(c);
        s.ask(c, 1, get("q", true));
    }
}

fn bodies_of_all_sizes_arrive(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, confirm_select());
    for size in [0, 1, 4096, 131_064, 131_072, 1_000_000] {
        let body: Vec<u8> = (0..size).map(|n| b'a' + (n % 26) as u8).collect();
        s.publish(c, to("", "q"), plain(), &body);
        s.hear(c);
        s.ask(c, 1, get("q", true));
    }
}

fn a_mandatory_message_that_nothing_takes_comes_back_before_it_is_confirmed(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, confirm_select());
    s.publish(c, mandatory("", "nowhere"), plain().with_message_id("m".into()), b"x");
    s.hear_all(c, 2);
    s.publish(c, to("", "nowhere"), plain(), b"dropped");
    s.hear(c);
    s.publish(c, mandatory("amq.topic", "nowhere"), plain(), b"");
    s.hear_all(c, 2);
}

fn a_message_to_an_exchange_that_is_not_there_closes_the_channel(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, confirm_select());
    s.publish(c, to("none", "k"), plain(), b"x");
    s.hear(c);
    s.open_channel(c, 1);
    s.ask(c, 1, passive("none"));
}

fn confirms_count_from_one_per_channel(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.publish(c, to("", "q"), plain(), b"before");
    s.ask(c, 1, confirm_select());
    s.ask(c, 1, confirm_select());
    for _ in 0..3 {
        s.publish(c, to("", "q"), plain(), b"x");
        s.hear(c);
    }
    s.ask(c, 1, purge("q"));
}

fn get_tells_what_is_left(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, get("q", false));
    fill(s, c, "q", &["1", "2", "3"]);
    for _ in 0..4 {
        s.ask(c, 1, get("q", false));
    }
    s.ask(c, 1, get("none", false));
}

fn prefetch_holds_back_per_consumer(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2", "3", "4", "5"]);
    s.ask(c, 1, qos(2, false));
    s.ask(c, 1, start(consume("q", "a")));
    s.hear_all(c, 2);
    s.ask(c, 1, start(consume("q", "b")));
    s.hear_all(c, 2);
    s.ask(c, 1, passive("q"));
    s.say(c, 1, ack(3, false));
    s.hear(c);
    s.ask(c, 1, passive("q"));
}

fn prefetch_of_the_channel_holds_back_all_its_consumers(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, declare(durable("r")));
    fill(s, c, "q", &["1", "2", "3"]);
    s.ask(c, 1, qos(2, true));
    s.ask(c, 1, start(consume("q", "a")));
    s.hear_all(c, 2);
    s.ask(c, 1, start(consume("r", "b")));
    s.say(c, 1, ack(1, false));
    s.hear(c);
    s.publish(c, to("", "r"), plain(), b"r");
    s.hear(c);
    s.ask(c, 1, passive("r"));
    s.say(c, 1, ack(2, false));
    s.hear(c);
}

fn consumers_take_turns(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, start(basic::Consume { no_ack: true, ..consume("q", "a") }));
    s.ask(c, 1, start(basic::Consume { no_ack: true, ..consume("q", "b") }));
    for body in ["1", "2", "3", "4"] {
        s.publish(c, to("", "q"), plain(), body.as_bytes());
        s.hear(c);
    }
}

fn acknowledging_settles_one_or_all_up_to_it(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2", "3", "4", "5"]);
    for _ in 0..5 {
        s.ask(c, 1, get("q", false));
    }
    s.say(c, 1, ack(2, false));
    s.say(c, 1, ack(3, true));
    s.ask(c, 1, recover(true));
    s.ask(c, 1, get("q", false));
    s.say(c, 1, ack(0, true));
    s.ask(c, 1, recover(true));
    s.ask(c, 1, get("q", false));
    s.say(c, 1, ack(0, true));
    s.say(c, 1, ack(0, true));
    s.ask(c, 1, get("q", false));
}

fn an_unknown_delivery_tag_closes_the_channel(s: &mut Stage) {
    let c = s.enter();
    for (n, wrong) in [ack(7, false), ack(7, true), nack(7, false, true), reject(7, false), ack(0, false)]
        .into_iter()
        .enumerate()
    {
        let channel = n as u16 + 2;
        s.open_channel(c, channel);
        s.ask(c, channel, wrong);
    }
}

fn an_acknowledgement_twice_closes_the_channel(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2"]);
    s.ask(c, 1, get("q", false));
    s.ask(c, 1, get("q", false));
    s.say(c, 1, ack(1, false));
    s.ask(c, 1, ack(1, false));
    s.open_channel(c, 1);
    s.ask(c, 1, get("q", false));
}

fn what_is_given_back_returns_to_its_place_marked(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2", "3", "4"]);
    for _ in 0..3 {
        s.ask(c, 1, get("q", false));
    }
    s.say(c, 1, reject(2, true));
    s.ask(c, 1, get("q", false));
    s.say(c, 1, nack(4, true, true));
    for _ in 0..5 {
        s.ask(c, 1, get("q", true));
    }
}

fn what_is_thrown_away_is_gone(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2", "3"]);
    for _ in 0..3 {
        s.ask(c, 1, get("q", false));
    }
    s.say(c, 1, reject(1, false));
    s.say(c, 1, nack(3, true, false));
    s.ask(c, 1, recover(true));
    s.ask(c, 1, get("q", false));
}

fn recover_gives_everything_back(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2"]);
    s.ask(c, 1, get("q", false));
    s.ask(c, 1, get("q", false));
    s.ask(c, 1, recover(true));
    s.ask(c, 1, get("q", true));
    s.ask(c, 1, get("q", true));
    s.ask(c, 1, recover(false));
}

fn what_a_closed_channel_had_returns_to_its_place_marked(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2", "3"]);
    s.open_channel(c, 2);
    s.ask(c, 2, get("q", false));
    s.ask(c, 2, get("q", false));
    s.say(c, 2, ack(1, false));
    s.ask(c, 2, close_channel());
    for _ in 0..3 {
        s.ask(c, 1, get("q", true));
    }
}

fn what_a_dead_connection_had_returns(s: &mut Stage) {
    let (c, other) = (s.enter(), s.enter());
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2"]);
    s.ask(other, 1, start(consume("q", "t")));
    s.hear_all(other, 2);
    s.ask(c, 1, start(consume("q", "next")));
    s.die(other);
    s.hear_all(c, 2);
}

fn without_acknowledgements_nothing_is_owed(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2", "3"]);
    s.ask(c, 1, qos(1, false));
    s.ask(c, 1, start(basic::Consume { no_ack: true, ..consume("q", "t") }));
    s.hear_all(c, 3);
    s.ask(c, 1, ack(1, false));
}

fn a_cancelled_consumer_keeps_what_it_has(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1", "2"]);
    s.ask(c, 1, qos(1, false));
    s.ask(c, 1, start(consume("q", "t")));
    s.hear(c);
    s.ask(c, 1, cancel("t"));
    s.ask(c, 1, cancel("t"));
    s.ask(c, 1, passive("q"));
    s.say(c, 1, ack(1, false));
    s.ask(c, 1, passive("q"));
}

fn a_consumer_is_told_that_its_queue_is_gone(s: &mut Stage) {
    let (c, other) = (s.enter(), s.enter());
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, start(consume("q", "t")));
    s.ask(other, 1, delete("q", false, false));
    s.hear(c);
    s.ask(c, 1, cancel("t"));
    s.ask(c, 1, start(consume("q", "t")));
}

fn an_exclusive_consumer_is_alone(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, start(basic::Consume { exclusive: true, ..consume("q", "t") }));
    s.open_channel(c, 2);
    s.ask(c, 2, start(consume("q", "u")));
    s.ask(c, 1, cancel("t"));
    s.ask(c, 1, start(consume("q", "t")));
    s.open_channel(c, 2);
    s.ask(c, 2, start(basic::Consume { exclusive: true, ..consume("q", "u") }));
}

fn a_consumer_tag_is_used_once_per_channel(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, start(consume("q", "")));
    s.ask(c, 1, start(consume("q", "t")));
    s.open_channel(c, 2);
    s.ask(c, 2, start(consume("q", "t")));
    s.ask(c, 1, start(consume("q", "t")));
    s.hear(c);
}

fn a_channel_that_is_not_open_closes_the_connection(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 9, passive("q"));
    s.hear(c);
}

fn a_channel_opened_twice_closes_the_connection(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    s.hear(c);
}

fn a_channel_more_than_was_agreed_closes_the_connection(s: &mut Stage) {
    let c = s.enter();
    // By the number of those that are open, whatever their own numbers are.
    let open = || AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
    s.quietly(|s| (1..CHANNELS).for_each(|number| s.open_channel(c, 1000 + number)));
    s.ask(c, 1, close_channel());
    s.ask(c, 5000, open());
    s.ask(c, 1, open());
    s.hear(c);
}

fn a_closed_channel_can_be_opened_again(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(queue("q")));
    s.ask(c, 1, close_channel());
    s.ask(c, 1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    s.ask(c, 1, passive("none"));
    s.ask(c, 1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    s.ask(c, 1, passive("q"));
}

fn a_method_in_the_middle_of_a_message_closes_the_connection(s: &mut Stage) {
    let c = s.enter();
    s.say(c, 1, AMQPClass::Basic(basic::AMQPMethod::Publish(to("", "q"))));
    s.ask(c, 1, passive("q"));
    s.hear(c);
}

fn content_without_a_publish_closes_the_connection(s: &mut Stage) {
    let c = s.enter();
    s.raw(c, &[3, 0, 1, 0, 0, 0, 1, b'x', 0xce]);
    s.hear_all(c, 2);
}

fn the_immediate_flag_is_not_implemented(s: &mut Stage) {
    let c = s.enter();
    s.publish(c, basic::Publish { immediate: true, ..to("", "q") }, plain(), b"x");
    s.hear_all(c, 2);
}

fn flow_cannot_be_stopped(s: &mut Stage) {
    let c = s.enter();
    let flow = |active| AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active }));
    s.ask(c, 1, flow(true));
    s.ask(c, 1, flow(false));
    s.hear(c);
}

fn nowait_is_not_answered(s: &mut Stage) {
    let c = s.enter();
    s.say(c, 1, declare(queue::Declare { nowait: true, ..durable("q") }));
    s.say(c, 1, declare_exchange(exchange::Declare { nowait: true, ..exchange("e", "direct") }));
    let bind = queue::Bind {
        queue: "q".into(),
        exchange: "e".into(),
        routing_key: "k".into(),
        nowait: true,
        arguments: FieldTable::default(),
    };
    s.say(c, 1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
    s.say(c, 1, start(basic::Consume { nowait: true, no_ack: true, ..consume("q", "t") }));
    s.publish(c, to("e", "k"), plain(), b"x");
    s.hear(c);
    s.ask(c, 1, passive("q"));
}

fn a_wrong_password_is_refused(s: &mut Stage) {
    let c = s.knock(b"\0guest\0not this", "/", 0);
    s.hear(c);
}

fn an_unknown_vhost_is_refused(s: &mut Stage) {
    let c = s.enter_other_vhost("no such vhost");
    s.hear_all(c, 2);
}

fn wrong_use_on_one_channel_leaves_the_others_alone(s: &mut Stage) {
    let c = s.enter();
    s.open_channel(c, 2);
    s.ask(c, 1, declare(durable("q")));
    fill(s, c, "q", &["1"]);
    s.ask(c, 1, start(consume("q", "t")));
    s.hear(c);
    s.ask(c, 2, passive("none"));
    s.say(c, 1, ack(1, false));
    s.ask(c, 1, passive("q"));
}

fn a_connection_that_wants_signs_of_life_gets_them(s: &mut Stage) {
    let c = s.enter_with_heartbeat(1);
    s.hear(c);
    let alive = s.hears_a_heartbeat(c);
    s.remark(if alive { "alive" } else { "silent" });
}
