"""Fills topics before anything is measured: with the formats of the real writers, without their transactions."""

from __future__ import annotations

import hashlib
import time
from base64 import b32encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from bench.material import order
from bridge.core.event import SECOND, EventIdentity
from bridge.core.runs.identity import workflow_name
from bridge.core.runs.run import Run
from bridge.core.windows.window import Arrival
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.stages.matcher.window_records import Place, WindowKey, encode_waiting, place_key
from bridge.stages.shared.arrival_records import ArrivalRecord, encode_arrival
from bridge.stages.shared.run_records import encode_run
from bridge.stages.submitter.ledger.ledger import encode_entry
from bridge.stages.submitter.open_run import OpenRun
from flowbridge_sdk.codec import Encoder
from flowbridge_sdk.headers import write_headers
from flowbridge_sdk.schemas import EventSchemas

_PAYLOAD_BYTES = 200


class _Filler:
    """A plain producer that waits while its buffer is full."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": "20",
                "queue.buffering.max.kbytes": "65536",
                "delivery.report.only.error": True,
            }
        )
        self._produce: Callable[..., None] = self._producer.produce  # its own types refuse what it accepts
        self._failures: list[KafkaError] = []

    def send(
        self, topic: str, partition: int, key: bytes, value: bytes, headers: Any = None, timestamp: int = 0
    ) -> None:
        while True:
            try:
                self._produce(
                    topic, value, key, partition, headers=headers, timestamp=timestamp, on_delivery=self._reported
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def flush(self) -> None:
        left = self._producer.flush(60)
        if left or self._failures:
            raise TimeoutError(f"{left + len(self._failures)} records could not be written: {self._failures[:1]}")

    def _reported(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failures.append(error)


def fill_events(
    bootstrap: str,
    schemas: Path,
    names: Iterable[str],
    count: int,
    partitions: int,
    past: timedelta = timedelta(0),
    *,
    is_keyed: bool = False,
) -> None:
    """Fill the topics of events, ``count`` in each; the n-th of each has the same order.

    Args:
        bootstrap: Where Kafka answers.
        schemas: The folder of schemas.
        names: The events, which are also their topics.
        count: Events of each name.
        partitions: Of each topic.
        past: The time over which the events are spread, up to now.
        is_keyed: Kafka's key is the order. Without, all events have the same key.

    """
    encoder, filler, now = Encoder(EventSchemas.load(schemas)), _Filler(bootstrap), datetime.now(UTC)
    for number in range(count):
        payload, time_ = order(number), now - past * ((count - number) / count)
        timestamp = int(time_.timestamp() * 1000)
        key = str(payload["order_id"]).encode() if is_keyed else b"key"
        for name in names:
            headers = write_headers(name, f"{name}-{number}", "bench", time_)
            filler.send(name, number % partitions, key, encoder.encode(name, payload), headers, timestamp)
    filler.flush()


def bench_run(namespace: str, number: int) -> Run:
    """Return a run, another one for each number."""
    key = _run_key(number)
    identity = EventIdentity("bench.order", "bench", f"bench.order-{number}")
    now = time.time_ns() // 1000
    return Run(
        run_key=key,
        trigger=f"{namespace}/bench",
        definition_hash="0" * 16,
        key="",
        namespace=namespace,
        name=workflow_name("bench", key),
        template="bench",
        parameters=(("order", f"order-{number:09d}"), ("amount", "12.5")),
        payload=None,
        labels=(),
        annotations=(),
        events=(("bench_order", identity),),
        event_time=now,
        reached=now,
    )


def fill_runs(bootstrap: str, topics: InternalTopics, namespace: str, count: int, *, start: int = 0) -> None:
    """Fill ``runs`` with the runs from number ``start`` on."""
    filler = _Filler(bootstrap)
    for number in range(start, start + count):
        run = bench_run(namespace, number)
        # of one trigger, and yet in all partitions, as those of many triggers would be
        filler.send(topics.runs, number % topics.partitions, run.run_key.encode(), encode_run(run))
    filler.flush()


def fill_windows(bootstrap: str, topics: InternalTopics, condition: str, definition: str, count: int) -> None:
    """Fill ``windows`` with ``count`` windows in each of which one arrival waits."""
    filler, now = _Filler(bootstrap), time.time_ns() // 1000
    for number in range(count):
        key = WindowKey("default/bench", condition, f"order-{number:09d}")
        place = Place(key, 0, EventIdentity("bench.order", "bench", f"bench.order-{number}"))
        event, body = place.event, number.to_bytes(8, "big") + bytes(_PAYLOAD_BYTES - 8)
        arrived = ArrivalRecord(key.trigger, definition, 0, key.key, event.source, event.id, now, now, "key", body)
        arrival = Arrival(now, number, 0, event, now, definition, "key", body)
        value = encode_waiting(arrival, encode_arrival(arrived))
        partition = partition_of(f"{key.trigger}\0{key.key}", topics.partitions)
        filler.send(topics.windows, partition, place_key(place), value)
    filler.flush()


def fill_ledger(bootstrap: str, topics: InternalTopics, count: int) -> None:
    """Fill the ledger with ``count`` runs that have ended."""
    filler, now = _Filler(bootstrap), time.time_ns() // 1000
    run = OpenRun(bench_run("default", 0), 0, since=now, attempts=1, reason="created")
    for number in range(count):
        # the same entry a thousand times, under keys of its own
        if number % 1_000 == 0:
            value = encode_entry("done", run, now + number * SECOND // 100)
        filler.send(topics.ledger, number % topics.partitions, _run_key(number).encode(), value)
    filler.flush()


def _run_key(number: int) -> str:
    return b32encode(hashlib.sha256(str(number).encode()).digest()).decode().rstrip("=").lower()
