"""The gateway's metrics for Prometheus. No label holds a text that a publisher chose."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_OUTCOMES = (
    "published",
    "malformed",
    "too-large",
    "wrong-method",
    "unauthorized",
    "forbidden",
    "no-topic",
    "not-recorded",
    "disconnected",
    "bug",
)
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class GatewayMetrics:
    """The metrics of one gateway."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Count into ``registry``, or into one of its own."""
        self.registry = registry or CollectorRegistry()
        requests = Counter(
            "flowbridge_gateway_requests",
            "Requests to publish, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._requests = {outcome: requests.labels(outcome) for outcome in _OUTCOMES}
        self._seconds = Histogram(
            "flowbridge_gateway_seconds",
            "Seconds from a request's head to its answer, of events that were published.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._held = Gauge(
            "flowbridge_gateway_held",
            "Events that wait for Kafka's acknowledgement.",
            registry=self.registry,
        )
        self._dropped = Counter(
            "flowbridge_gateway_dropped_connections",
            "Connections that were too slow, or spoke no HTTP.",
            ["reason"],
            registry=self.registry,
        )

    def answered(self, outcome: str, seconds: float) -> None:
        """Count a request; ``seconds`` are those since its head came."""
        self._requests[outcome].inc()
        if outcome == "published":
            self._seconds.observe(seconds)

    def holding(self, count: Callable[[], float]) -> None:
        """Read the number of waiting events from ``count`` at each scrape."""
        self._held.set_function(count)

    def dropped(self, reason: str) -> None:
        """Count a connection that was closed: ``slow``, ``no-room``, ``no-http`` or ``no-tls``."""
        self._dropped.labels(reason).inc()
