"""Publishing with the SDK, and the bare client library with the same bytes: rates, processor time and memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from bench.clients.progress import processor_seconds
from bench.clients.restoring import resident
from bench.material import order
from flowbridge_sdk import EventEncoder, Publisher
from flowbridge_sdk.delivery.settings import PublisherSettings

if TYPE_CHECKING:
    from collections.abc import Callable

_PAYLOADS = 10_000
"""Different payloads, made beforehand, which take turns."""

_WARM = 2_000
_SOURCE, _KEY = "bench", "customer-7"
_SECONDS = 60
_BUFFER = 100_000  # librdkafka's default of queue.buffering.max.messages


def publish(*, bootstrap: str, name: str, schemas: str, count: int) -> dict[str, float]:
    """Publish ``count`` events, and wait for their acknowledgements."""
    payloads = [order(number) for number in range(_PAYLOADS)]
    with Publisher(bootstrap, source=_SOURCE, schemas=schemas) as publisher:

        def send(number: int) -> None:
            for at in range(number):
                publisher.publish(name, payloads[at % _PAYLOADS], key=_KEY)

        return _measured(send, publisher.flush, count)


def produce(*, bootstrap: str, name: str, schemas: str, count: int) -> dict[str, float]:
    """Produce ready-made records of the same events, with the same properties of librdkafka and nothing else."""
    encoder = EventEncoder(_SOURCE, schemas=schemas)
    records = [encoder.encode(name, order(number), key=_KEY) for number in range(_PAYLOADS)]
    producer = Producer({**PublisherSettings.of(bootstrap).kafka, "delivery.report.only.error": True})

    def send(number: int) -> None:
        for at in range(number):
            topic, key, value, headers, _ = records[at % _PAYLOADS]
            given: Any = headers
            while True:
                try:
                    producer.produce(topic, value, key, headers=given)
                except BufferError:
                    producer.poll(0.05)
                else:
                    break

    def flush() -> None:
        assert producer.flush(_SECONDS) == 0, "Kafka does not acknowledge"

    return _measured(send, flush, count)


def _measured(send: Callable[[int], None], flush: Callable[[], None], count: int) -> dict[str, float]:
    send(_WARM)  # connections, metadata, the producer's id
    flush()
    began, used = time.perf_counter(), processor_seconds()
    send(count)
    flush()
    seconds, spent = time.perf_counter() - began, processor_seconds() - used
    return {"rate": count / seconds, "per_core": count / spent}


def footprint(*, bootstrap: str, name: str, count: int) -> dict[str, float]:
    """Return how many bytes and threads a publisher adds to a process: made, in use, and after ``count`` events.

    A second publisher, of a Kafka that is away, holds as many events as its buffer takes.
    """
    before, threads = resident(), _threads()
    publisher = Publisher(bootstrap, source=_SOURCE)
    found: dict[str, float] = {"made": resident() - before, "made threads": _threads() - threads}
    publisher.publish(name, order(0))
    publisher.flush()
    found |= {"used": resident() - before, "threads": _threads() - threads}
    most = 0
    for number in range(count):
        publisher.publish(name, order(number))
        if number % 50_000 == 0:
            most = max(most, resident() - before)
    publisher.flush()
    found |= {"busy": most, "after": resident() - before}
    publisher.close()
    before, timeout = resident(), {"delivery.timeout.ms": 5_000}
    with Publisher("127.0.0.1:1", source=_SOURCE, config=timeout, on_failure=lambda _: None) as away:
        for number in range(_BUFFER):
            away.publish(name, order(number))
        found["full"] = resident() - before
    return found


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
