//! skynet-broker says what Debian's RabbitMQ says, frame by frame, of the protocol's
//! basic: acknowledged, given back, thrown away, and consumers that go. Each scenario is played before both, and the
//! transcripts are the same.

mod broker;

use amq_protocol::protocol::basic;
use broker::*;
use tests::stage::Stage;

scenarios![
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
];

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
    s.ask_each(c, [ack(7, false), ack(7, true), nack(7, false, true), reject(7, false), ack(0, false)]);
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
