"""pika, as it comes from PyPI, through everything a participant's author would do with it: URL in, "fine" out."""

import sys

import pika
from pika.exceptions import ChannelClosedByBroker, UnroutableError


def main(url):
    line = pika.BlockingConnection(pika.URLParameters(url))
    channel = line.channel()
    channel.queue_declare("work", durable=True)
    channel.confirm_delivery()

    # Published with confirms, taken with a prefetch, half of it given back once.
    for n in range(50):
        channel.basic_publish("", "work", b"%d" % n, pika.BasicProperties(delivery_mode=2, headers={"n": n}), mandatory=True)
    channel.basic_qos(prefetch_count=7)
    seen, again = [], set()
    for method, properties, body in channel.consume("work", inactivity_timeout=20):
        assert method is not None, "nothing more is delivered after %r" % seen
        n = int(body)
        assert properties.headers == {"n": n}
        if n % 2 and n not in again:
            again.add(n)
            channel.basic_nack(method.delivery_tag, requeue=True)
            continue
        assert method.redelivered or n not in again
        channel.basic_ack(method.delivery_tag)
        seen.append(n)
        if len(seen) == 50:
            break
    channel.cancel()
    assert sorted(seen) == list(range(50)), seen

    # What nothing takes comes back; what is not there closes the channel, not the connection.
    try:
        channel.basic_publish("", "nowhere", b"x", mandatory=True)
        raise AssertionError("it was taken")
    except UnroutableError:
        pass
    other = line.channel()
    try:
        other.queue_declare("nowhere", passive=True)
        raise AssertionError("it is there")
    except ChannelClosedByBroker as closed:
        assert closed.reply_code == 404

    # A question and its answer, through an exclusive queue.
    asking = line.channel()
    mine = asking.queue_declare("", exclusive=True).method.queue
    answers = []
    asking.basic_consume(mine, lambda c, m, p, body: answers.append((p.correlation_id, body)), auto_ack=True)
    channel.basic_consume(
        "work",
        lambda c, m, p, body: (
            c.basic_publish("", p.reply_to, body[::-1], pika.BasicProperties(correlation_id=p.correlation_id)),
            c.basic_ack(m.delivery_tag),
        ),
    )
    asking.basic_publish("", "work", b"abc", pika.BasicProperties(reply_to=mine, correlation_id="7"))
    while not answers:
        line.process_data_events(time_limit=1)
    assert answers == [("7", b"cba")], answers

    # Topics.
    channel.exchange_declare("t", "topic", durable=True)
    channel.queue_bind(mine, "t", "wfid.#")
    channel.basic_publish("t", "wfid.1.status", b"routed", mandatory=True)
    while len(answers) < 2:
        line.process_data_events(time_limit=1)
    assert answers[1] == (None, b"routed"), answers

    # A large message, and a heartbeat's worth of silence is not needed to close in order.
    large = bytes(range(256)) * 8192
    channel.queue_declare("large", durable=True)
    channel.basic_publish("", "large", large)
    method, _, body = channel.basic_get("large", auto_ack=True)
    assert body == large and method.message_count == 0
    line.close()
    print("fine")


main(sys.argv[1])
