//! skynet-broker says what Debian's RabbitMQ says, frame by frame, of the protocol's
//! basic and confirm: published, returned, confirmed, and given to consumers. Each scenario is played before both, and the
//! transcripts are the same.

mod broker;

use amq_protocol::protocol::basic::{self, AMQPProperties};
use amq_protocol::types::AMQPValue;
use broker::*;
use tests::stage::Stage;

scenarios![
    a_message_keeps_its_properties,
    a_message_in_the_name_of_another_user_closes_the_channel,
    bodies_of_all_sizes_arrive,
    a_mandatory_message_that_nothing_takes_comes_back_before_it_is_confirmed,
    a_message_to_an_exchange_that_is_not_there_closes_the_channel,
    confirms_count_from_one_per_channel,
    get_tells_what_is_left,
    prefetch_holds_back_per_consumer,
    prefetch_of_the_channel_holds_back_all_its_consumers,
    consumers_take_turns,
];

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

fn a_message_in_the_name_of_another_user_closes_the_channel(s: &mut Stage) {
    let c = s.enter();
    let (user, _) = s.account();
    s.ask(c, 1, declare(queue("q")));
    s.quietly(|s| s.publish(c, to("", "q"), plain().with_user_id(user.clone().into()), b"mine"));
    s.ask(c, 1, passive("q"));
    s.publish(c, to("", "q"), plain().with_user_id("other".into()), b"of another");
    s.hear(c);
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
