//! skynet-broker says what Debian's RabbitMQ says, frame by frame, of the protocol's
//! queues: declared, named, deleted, purged, and what grows old in them. Each scenario is played before both, and the
//! transcripts are the same.

mod broker;

use amq_protocol::protocol::basic;
use amq_protocol::protocol::{AMQPClass, exchange, queue};
use amq_protocol::types::AMQPValue;
use broker::*;
use tests::stage::{Heard, Stage};

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
];

fn a_queue_is_declared_again_with_the_same_properties_only(s: &mut Stage) {
    let c = s.enter();
    s.ask(c, 1, declare(durable("q")));
    s.ask(c, 1, declare(durable("q")));
    s.ask_each(
        c,
        [
            queue("q"),
            queue::Declare { auto_delete: true, ..durable("q") },
            queue::Declare { exclusive: true, ..durable("q") },
        ]
        .map(declare),
    );
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
    s.ask_each(
        c,
        [durable("q"), with("x-message-ttl", number(5)), with("x-expires", number(60_000))].map(declare),
    );
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
    s.ask_each(
        c,
        [
            ("x-expires", AMQPValue::LongInt(0)),
            ("x-message-ttl", AMQPValue::LongInt(-1)),
            ("x-message-ttl", AMQPValue::LongString("soon".into())),
        ]
        .map(|(name, value)| declare(queue::Declare { arguments: table(&[(name, value)]), ..durable("q") })),
    );
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
    s.ask_each(c, [purge(""), passive(""), bind("", "amq.direct", "k"), get("", true)]);
}

fn an_exclusive_queue_is_its_connections_own_and_goes_with_it(s: &mut Stage) {
    let (c, other) = (s.enter(), s.enter());
    s.ask(c, 1, declare(queue::Declare { exclusive: true, ..queue("mine") }));
    s.ask_each(
        other,
        [
            passive("mine"),
            start(consume("mine", "t")),
            get("mine", false),
            purge("mine"),
            delete("mine", false, false),
        ],
    );
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
