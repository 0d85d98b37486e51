//! skynet-broker says what Debian's RabbitMQ says, frame by frame, of the protocol's
//! channel and connection: opened, closed, wrong use, and who may come in. Each scenario is played before both, and the
//! transcripts are the same.

mod broker;

use amq_protocol::protocol::basic;
use amq_protocol::protocol::{AMQPClass, channel, exchange, queue};
use amq_protocol::types::FieldTable;
use broker::*;
use tests::stage::{CHANNELS, Stage};

scenarios![
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
