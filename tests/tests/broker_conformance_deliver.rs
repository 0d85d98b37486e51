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
    an_answer_reaches_the_channel_that_asked_without_a_queue,
    waiting_for_answers_without_a_queue_has_its_rules,
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
    s.ask(c, 1, confirm_select());
    s.quietly(|s| s.publish(c, to("", "q"), plain().with_user_id(user.clone().into()), b"mine"));
    s.hear(c);
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

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// The name by which a question asks for its answer, read by another connection.
fn asked_of(s: &mut Stage, c: usize, q: &str) -> String {
    let mut name = String::new();
    s.quietly(|s| {
        s.say(c, 1, get(q, true));
        let (_, properties, _) = s.hear_content(c);
        name = properties.reply_to().as_ref().expect("a name").to_string();
    });
    assert!(name.starts_with("amq.rabbitmq.reply-to."), "{name}");
    s.mask(&name, "asker");
    name
}

fn wait_for_replies(tag: &str) -> basic::Consume {
    basic::Consume { no_ack: true, ..consume(REPLY_TO, tag) }
}

fn an_answer_reaches_the_channel_that_asked_without_a_queue(s: &mut Stage) {
    let (asks, answers) = (s.enter(), s.enter());
    s.ask(asks, 1, declare(queue("q")));
    s.ask(asks, 1, confirm_select());
    s.ask(asks, 1, passive(REPLY_TO));
    s.ask(asks, 1, start(wait_for_replies("t")));
    s.publish(
        asks,
        to("", "q"),
        plain().with_reply_to(REPLY_TO.into()).with_message_id("7".into()),
        b"question",
    );
    s.hear(asks);
    let name = asked_of(s, answers, "q");
    s.ask(answers, 1, passive(&name));
    s.ask(answers, 1, declare(queue(&name)));
    for answer in [b"one", b"two"] {
        s.publish(answers, to("", &name), plain().with_correlation_id("7".into()), answer);
        s.hear(asks);
    }
    s.publish(answers, mandatory("amq.direct", &name), plain(), b"not by this exchange");
    s.hear(answers);
    s.ask(asks, 1, cancel("t"));
    s.publish(answers, mandatory("", &name), plain(), b"too late");
    s.hear(answers);
    s.ask(asks, 1, start(wait_for_replies("again")));
    s.ask(answers, 1, passive(&name));
}

fn waiting_for_answers_without_a_queue_has_its_rules(s: &mut Stage) {
    let c = s.enter();
    s.ask_each(
        c,
        [
            passive("amq.rabbitmq.reply-to.nobody"),
            start(consume(REPLY_TO, "t")),
            get(REPLY_TO, true),
            purge(REPLY_TO),
        ],
    );
    s.open_channel(c, 20);
    s.ask(c, 20, start(wait_for_replies("a")));
    s.ask(c, 20, start(wait_for_replies("b")));
    // Who does not wait cannot ask.
    s.publish(c, to("", "q"), plain().with_reply_to(REPLY_TO.into()), b"question");
    s.hear(c);
}
