"""The gateway's log on Kafka: an idempotent producer with acks=all, and a thread that receives its reports.

librdkafka reports each event to a thread that does nothing else. The thread hands all reports of one poll to the event
loop at once. While Kafka is away, events wait in librdkafka, which fails them when their time is over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from typing_extensions import override

from bridge.gateway.event_log import EventLog, NotRecordedError
from bridge.gateway.incoming import Encoded

_client_log = logging.getLogger("bridge.kafka.client")

_WAKE_S = 0.5
_SCAN_S = 1.0  # librdkafka looks for events whose time is over once a second
_SLACK_S = 5.0

_CHOSEN: dict[str, Any] = {
    "client.id": "flowbridge-gateway",
    "linger.ms": 1,
    "partitioner": "murmur2_random",
    "reconnect.backoff.max.ms": 1_000,  # ten seconds by default: too long for a publisher that waits
    "message.max.bytes": 2 << 20,  # a payload of 1 MiB and its headers
    "queue.buffering.max.messages": 1_000_000,  # the gateway's own bounds are far below
    "queue.buffering.max.kbytes": 1 << 20,
    "topic.metadata.refresh.interval.ms": 30_000,
}


class KafkaEventLog(EventLog):
    """See :class:`~bridge.gateway.event_log.EventLog`.

    Args:
        properties: librdkafka's, with ``bootstrap.servers``.
        patience: Seconds that an event may wait for its acknowledgement.

    """

    def __init__(self, properties: Mapping[str, Any], patience: float = 50.0) -> None:
        needed = {
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": int(max(patience - _SCAN_S, 1.0) * 1_000),
            # A broker that is away for now: librdkafka tries again, and each event is reported by itself.
            "error_cb": lambda _: None,
        }
        self._producer = Producer({**_CHOSEN, **properties, **needed}, logger=_client_log)
        self._produce: Any = self._producer.produce  # its stubs refuse what it accepts
        self._patience = patience
        self._reports: deque[tuple[asyncio.Future[None], KafkaError | None]] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._hear, name="gateway-reports", daemon=True)
        self._loop: asyncio.AbstractEventLoop

    @override
    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    @override
    def append(self, topic: str, event: Encoded) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        try:
            self._produce(
                topic,
                event.value,
                event.key,
                headers=event.headers,
                on_delivery=lambda error, _message: self._reports.append((future, error)),
            )
        except (BufferError, KafkaException) as error:
            future.set_exception(NotRecordedError(str(error)))
        return future

    @override
    async def close(self) -> None:
        await asyncio.to_thread(self._producer.flush, self._patience + _SLACK_S)
        self._closing.set()
        await asyncio.to_thread(self._thread.join, _SLACK_S)
        self._settle()

    def _hear(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_WAKE_S)
            if self._reports:
                self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        reports = self._reports
        while reports:
            future, error = reports.popleft()
            if future.done():  # the request has given it up
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(NotRecordedError(error.str()))
