"""The tasks that tests/clients/with_celery.py has done: BROKER_URL in the environment."""

import os

from celery import Celery

app = Celery("celery_app", broker=os.environ["BROKER_URL"], backend="rpc://")
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    result_expires=60,
    worker_hijack_root_logger=False,
)


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def boom():
    raise ValueError("boom")
