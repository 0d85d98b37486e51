"""The peers that exo is measured beside: what each would be as a worker of the same workitems."""

import json
import os
import sys

URL = os.environ.get("BENCH_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")


def with_pika(queue, prefetch):
    """pika's blocking connection: reply confirmed, then the acknowledgement."""
    import pika
    channel = pika.BlockingConnection(pika.URLParameters(URL)).channel()
    channel.queue_declare(queue, durable=True)
    channel.basic_qos(prefetch_count=prefetch)
    channel.confirm_delivery()
    persistent = pika.BasicProperties(delivery_mode=2)

    def work(channel, method, properties, body):
        workitem = json.loads(body)
        workitem["fields"]["__result__"] = True
        channel.basic_publish("", "ruote_workitems", json.dumps(workitem), persistent)
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(queue, work)
    channel.start_consuming()


def celery_app():
    from celery import Celery
    app = Celery("peers", broker=URL, backend="rpc://")
    app.conf.update(
        task_serializer="json", result_serializer="json", accept_content=["json"], task_acks_late=True,
        task_reject_on_worker_lost=True, worker_prefetch_multiplier=1, task_default_queue="bench-celery",
        result_persistent=True, worker_hijack_root_logger=False, worker_send_task_events=False,
        broker_connection_retry_on_startup=True)

    @app.task(name="echo")
    def echo(workitem):
        workitem["fields"]["__result__"] = True
        return workitem

    return app


def dramatiq_actor():
    import dramatiq
    import pika
    import threading
    from dramatiq.brokers.rabbitmq import RabbitmqBroker
    dramatiq.set_broker(RabbitmqBroker(url=URL))
    local, persistent = threading.local(), pika.BasicProperties(delivery_mode=2)

    @dramatiq.actor(queue_name="bench-dramatiq")
    def echo(workitem):
        workitem["fields"]["__result__"] = True
        if not hasattr(local, "channel"):
            local.channel = pika.BlockingConnection(pika.URLParameters(URL)).channel()
        local.channel.basic_publish("", "ruote_workitems", json.dumps(workitem), persistent)


kind = os.environ.get("BENCH_PEER")
if kind == "celery":
    app = celery_app()
elif kind == "dramatiq":
    dramatiq_actor()
elif __name__ == "__main__":
    with_pika(sys.argv[1], int(sys.argv[2]))
