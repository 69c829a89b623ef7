"""A gateway on logs in memory, asked without a network: what its unit tests stand on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from bridge.core.spans import Span
from bridge.gateway.event_topics import EventTopics, TopicRules
from bridge.gateway.gateway import Bounds, Gateway
from bridge.gateway.memory_log import MemoryEventLog
from bridge.gateway.metrics import GatewayMetrics
from bridge.gateway.tokens import NoTokens, Tokens
from bridge.kafka.log import TopicSpec
from bridge.kafka.memory.log import MemoryBroker, MemoryLog
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.headers import EventHead, read_headers

WEBHOOK = "/metaflow-event"
CLOUDEVENTS = "/cloudevents"
_DEADLINE_S = 10.0


class House:
    """A gateway and all that it stands on.

    Attributes:
        log: Where its events go.
        broker: What it asks for topics.
        gateway: The gateway.

    """

    def __init__(
        self,
        bounds: Bounds | None = None,
        rules: TopicRules | None = None,
        tokens: Path | None = None,
        *,
        keeps_sources: bool = True,
        spans: list[Span] | None = None,
    ) -> None:
        bounds = bounds or Bounds()
        self.log = MemoryEventLog(bounds.hold)
        self.broker = MemoryBroker(clock=lambda: 0)
        self.metrics = GatewayMetrics()
        self.gateway = Gateway(
            self.log,
            EventTopics(MemoryLog(self.broker).admin(), rules or creating()),
            Tokens(tokens) if tokens else NoTokens(),
            self.metrics,
            bounds,
            keeps_sources=keeps_sources,
            trace=None if spans is None else spans.extend,
        )

    async def post(
        self,
        body: Any,
        headers: Mapping[str, str] | None = None,
        path: str = WEBHOOK,
        method: str = "POST",
        client: tuple[str, int] = ("127.0.0.1", 123),
    ) -> httpx.Response:
        """Send one request of a client; ``body`` is bytes as they are, or something that becomes JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        transport = httpx.ASGITransport(self.gateway, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as publisher:
            return await publisher.request(method, path, content=content, headers=headers)

    async def ready(self) -> int:
        """Return the status of ``/readyz``."""
        return (await self.post(b"", path="/readyz", method="GET")).status_code

    def events(self, topic: str) -> list[tuple[EventHead, dict[str, Any]]]:
        """Return the events of a topic as a router reads them."""
        return [
            (
                read_headers(event.headers, topic, 0, 0, 0),
                Decoder().decode(topic, event.value, None),
            )
            for event in self.log.events[topic]
        ]

    def counted(self, outcome: str) -> float:
        """Return how many requests ended so."""
        found = self.metrics.registry.get_sample_value("flowbridge_gateway_requests_total", {"outcome": outcome})
        assert found is not None
        return found


def creating(most: int = 1_000, shared: Mapping[str, str] | None = None) -> TopicRules:
    """Return rules by which new names get topics."""
    return TopicRules("flowbridge.", SharedTopics(shared), new_topic, most, new_topic)


def new_topic(name: str) -> TopicSpec:
    """Return how a topic is created."""
    return TopicSpec(name, 4)


def metaflow_body(name: str, /, **payload: Any) -> dict[str, Any]:
    """Return what ArgoEvent posts."""
    given = {"name": name, "id": "e-1", "timestamp": 1_769_860_800, "utc_date": "20260131"}
    return {"name": name, "payload": {**given, "generated-by-metaflow": True, **payload}}


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run a test's work on an event loop."""

    async def whole() -> None:
        await work()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)
