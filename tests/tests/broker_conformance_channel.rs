//! skynet-broker says what Debian's RabbitMQ says, frame by frame, of the protocol's
//! channel and connection: opened, closed, wrong use, and who may come in. Each scenario is played before both, and the
//! transcripts are the same.

mod broker;

use amq_protocol::protocol::basic;
use amq_protocol::protocol::{AMQPClass, access, channel, exchange, queue};
use amq_protocol::types::FieldTable;
use broker::*;
use tests::stage::{CHANNELS, Heard, Stage};

scenarios![
    a_channel_that_is_not_open_closes_the_connection,
    a_channel_opened_twice_closes_the_connection,
    a_channel_that_the_broker_closes_cannot_be_opened_before_that_is_answered,
    a_channel_more_than_was_agreed_closes_the_connection,
    a_closed_channel_can_be_opened_again,
    a_method_in_the_middle_of_a_message_closes_the_connection,
    content_without_a_publish_closes_the_connection,
    the_immediate_flag_is_not_implemented,
    flow_cannot_be_stopped,
    nowait_is_not_answered,
    a_wrong_password_is_refused,
    a_password_may_come_in_a_table,
    version_0_9_is_spoken_as_0_9_1,
    version_0_8_is_spoken,
    a_ticket_is_given_to_whom_asks_for_one,
    an_unknown_vhost_is_refused,
    wrong_use_on_one_channel_leaves_the_others_alone,
    a_connection_that_wants_signs_of_life_gets_them,
];

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

/// (rabbitpy does so.)
fn a_channel_that_the_broker_closes_cannot_be_opened_before_that_is_answered(s: &mut Stage) {
    let c = s.enter();
    s.say(c, 1, passive("none"));
    s.say(c, 1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    s.hear_all(c, 2);
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

/// AMQPLAIN, which PHP's php-amqplib and Python's aioamqp, amqplib and amqpy take where they are not told otherwise.
fn a_password_may_come_in_a_table(s: &mut Stage) {
    let (user, password) = s.account();
    for password in [password.as_str(), "not this"] {
        let c = s.knock_as(b"AMQP\0\0\x09\x01", "AMQPLAIN", &login_table(&user, password), "", 0);
        s.hear(c);
    }
}

fn version_0_9_is_spoken_as_0_9_1(s: &mut Stage) {
    let (user, password) = s.account();
    let c = s.knock_as(b"AMQP\x01\x01\0\x09", "AMQPLAIN", &login_table(&user, &password), "", 0);
    s.hear(c);
    s.ask(c, 1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    s.ask(c, 1, declare(queue("q")));
}

/// What the original's client, python-amqplib, speaks.
fn version_0_8_is_spoken(s: &mut Stage) {
    let (user, password) = s.account();
    for greeting in [b"AMQP\x01\x01\x08\0", b"AMQP\x01\x01\x09\x01"] {
        let c = s.knock_as(greeting, "AMQPLAIN", &login_table(&user, &password), "", 0);
        s.hear(c);
        s.ask_in_bytes(c, 1, &[0, 20, 0, 10, 0]); // channel.open
        s.ask(c, 1, declare(queue("q")));
        s.ask_in_bytes(c, 1, &[0, 60, 0, 20, 0, 0, 1, b'q', 1, b't', 0]); // basic.consume
        s.publish(c, to("", "q"), plain(), b"x");
        s.hear(c);
        s.say(c, 1, ack(1, false));
        s.ask(c, 1, cancel("t"));
        s.ask(c, 1, delete("q", false, false));
        s.ask_in_bytes(c, 0, &[0, 10, 0, 60, 0, 200, 0, 0, 0, 0, 0]); // connection.close
    }
}

fn a_ticket_is_given_to_whom_asks_for_one(s: &mut Stage) {
    let c = s.enter();
    let heard = s.ask(c, 1, AMQPClass::Access(access::AMQPMethod::Request(access::Request::default())));
    assert!(matches!(heard, Heard::Method(1, AMQPClass::Access(_))), "{heard:?}");
}

fn login_table(user: &str, password: &str) -> Vec<u8> {
    let text = |text: &str| [b"S", &(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    [b"\x05LOGIN", &text(user)[..], b"\x08PASSWORD", &text(password)].concat()
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
