"""A bare idempotent produce with acks=all, with which the gateway is compared.

``python -m bench.clients.gateway_produce``. It encodes the gateway's event for each record, as the gateway does. So the
two differ by HTTP alone. Settings come as JSON on stdin; speed (with so many under way at once) or latencies
(one by one, at a rate) go to stdout.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from bench.cores import CLIENT, pin_self
from bridge.gateway.answers import Answer
from bridge.gateway.incoming import Encoded, encode
from bridge.gateway.webhook import read_webhook

_SECONDS = 30.0


def body(topic: str, number: int) -> bytes:
    """Return what Metaflow's client would post, as long as what the load generator posts."""
    payload = {
        "name": topic,
        "id": f"{number:08x}-0000-4000-8000-{number:012x}",
        "timestamp": int(time.time()),
        "utc_date": "20260131",
        "generated-by-metaflow": True,
        "table": "sales",
        "rows": number,
        "path": f"s3://bucket/prefix/part-{number}.parquet",
    }
    return json.dumps({"name": topic, "payload": payload}).encode()


class Bare:
    """A producer that counts and times its reports."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 1}
        )
        self._topic = topic
        self.under_way = 0
        self.seconds: list[float] = []

    def send(self, number: int) -> None:
        """Encode an event and hand it over; its report is timed from here."""
        began = time.perf_counter()
        event = _encoded(self._topic, number)

        def reported(error: KafkaError | None, _message: Message) -> None:
            assert error is None, error
            self.under_way -= 1
            self.seconds.append(time.perf_counter() - began)

        self.under_way += 1
        headers: Any = event.headers
        self._producer.produce(self._topic, event.value, headers=headers, on_delivery=reported)

    def wait_below(self, number: int) -> None:
        """Wait until fewer than ``number`` are under way."""
        deadline = time.monotonic() + _SECONDS
        while self.under_way >= number:
            self._producer.poll(0.1)
            assert time.monotonic() < deadline, "Kafka does not acknowledge"


def main() -> None:
    """Measure as the settings say."""
    pin_self(CLIENT)
    given = json.load(sys.stdin)
    bare = Bare(given["bootstrap"], given["topic"])
    for number in range(100):  # connections, metadata, the producer's id
        bare.send(number)
    bare.wait_below(1)
    bare.seconds.clear()
    began, spent = time.perf_counter(), time.process_time()
    for number in range(given["events"]):
        if given["rate"]:
            time.sleep(max(0.0, began + number / given["rate"] - time.perf_counter()))
        bare.send(number)
        bare.wait_below(1 if given["rate"] else given["under_way"])
    bare.wait_below(1)
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    found = {"seconds": seconds, "cpu": spent, "latencies": [1_000 * second for second in bare.seconds]}
    print(json.dumps(found))


def _encoded(topic: str, number: int) -> Encoded:
    event = read_webhook(body(topic, number))
    assert not isinstance(event, Answer)
    encoded = encode(event)
    assert not isinstance(encoded, Answer)
    return encoded


if __name__ == "__main__":
    main()
