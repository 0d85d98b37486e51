"""aio-pika, as it comes from PyPI, with its robust connection and its patterns: URL in, "fine" out."""

import asyncio
import sys

import aio_pika
from aio_pika.patterns import RPC, Master


async def main(url):
    line = await aio_pika.connect_robust(url)
    async with line:
        channel = await line.channel(publisher_confirms=True)
        await channel.set_qos(prefetch_count=10)
        queue = await channel.declare_queue("aio", durable=True)

        # Many at once, confirmed, and taken by an iterator.
        message = lambda n: aio_pika.Message(b"%d" % n, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await asyncio.gather(*(channel.default_exchange.publish(message(n), "aio") for n in range(100)))
        seen = set()
        async with queue.iterator(timeout=20) as messages:
            async for incoming in messages:
                async with incoming.process():
                    seen.add(int(incoming.body))
                if len(seen) == 100:
                    break
        assert seen == set(range(100))

        # A message that lives no longer than its time.
        await channel.default_exchange.publish(aio_pika.Message(b"old", expiration=0.001), "aio")
        await asyncio.sleep(0.05)
        assert await queue.get(fail=False) is None

        # Calls.
        rpc = await RPC.create(channel)

        async def add(*, a, b):
            return a + b

        await rpc.register("add", add, auto_delete=True)
        assert await asyncio.gather(*(rpc.call("add", {"a": n, "b": 1}) for n in range(20))) == list(range(1, 21))

        # Work for others.
        master, done = Master(channel), asyncio.Queue()

        async def work(*, n):
            await done.put(n)

        worker = await master.create_worker("tasks", work, auto_delete=True)
        for n in range(10):
            await master.create_task("tasks", {"n": n})
        assert sorted([await asyncio.wait_for(done.get(), 20) for _ in range(10)]) == list(range(10))
        await worker.close()

        # Everybody hears of it.
        fanout = await channel.declare_exchange("news", aio_pika.ExchangeType.FANOUT, auto_delete=True)
        listeners = [await channel.declare_queue(exclusive=True) for _ in range(3)]
        for listener in listeners:
            await listener.bind(fanout)
        await fanout.publish(aio_pika.Message(b"n"), "")
        for listener in listeners:
            incoming = await listener.get(timeout=20)
            assert incoming.body == b"n"
            await incoming.ack()
    print("fine")


asyncio.run(main(sys.argv[1]))
