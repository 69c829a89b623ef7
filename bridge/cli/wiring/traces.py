"""Export spans by OTLP over HTTP, with OpenTelemetry's SDK: imported only where an endpoint is set.

Exporting never holds up a stage. The SDK's batch processor has a bounded queue and a thread of its own. While the
collector is away, the oldest spans of the queue are dropped.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bridge.errors import SettingProblem, SettingsError
from bridge.kafka.loop import Trace
from bridge.settings.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from bridge.core.spans import Span

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PATH = "/v1/traces"
_REQUEST_S = 5.0
_CLOSING_S = 5.0  # for what is in the queue when the process ends


@contextmanager
def exported_spans(settings: Settings) -> Iterator[Trace | None]:
    """Yield what exports spans; None if no endpoint is set. At the end the queue is sent, for a few seconds at most.

    Raises:
        SettingsError: An endpoint is set, and OpenTelemetry is not installed.

    """
    endpoint = settings.traces_endpoint
    if endpoint is None and not any(os.environ.get(name) for name in _ENDPOINTS):
        yield None
        return
    address = None if endpoint is None else endpoint.rstrip("/").removesuffix(_PATH) + _PATH
    try:
        export = _Export(address, settings.member)
    except ImportError as error:
        found = f"an endpoint for traces is set, and {error.name} is not installed"
        raise SettingsError([SettingProblem("traces_endpoint", found, "pip install 'flowbridge[traces]'")]) from error
    try:
        yield export
    finally:
        export.close()


class _Export:
    """Gives spans to OpenTelemetry.

    Args:
        endpoint: Where they go; None for the one of OpenTelemetry's own variables.
        member: The name of this process.

    """

    def __init__(self, endpoint: str | None, member: str) -> None:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        # It would warn of each span that a full queue drops. The exporter says that the collector is away.
        logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "flowbridge"}
        self._resource = Resource.create({**name, "service.instance.id": member})
        self._scope = InstrumentationScope("flowbridge")
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=_REQUEST_S))
        self._api: Any = trace
        self._span = ReadableSpan

    def __call__(self, spans: Sequence[Span]) -> None:
        for span in spans:
            self._processor.on_end(
                self._span(
                    span.name,
                    self._context(span.context, is_remote=False),
                    self._context(span.parent, is_remote=True),
                    self._resource,
                    span.attributes,
                    links=[self._api.Link(self._context(link, is_remote=True)) for link in span.links],
                    kind=self._api.SpanKind.PRODUCER if span.is_publication else self._api.SpanKind.CONSUMER,
                    start_time=span.start * 1_000,
                    end_time=span.end * 1_000,
                    instrumentation_scope=self._scope,
                )
            )

    def close(self) -> None:
        """Send what is in the queue. A collector that is away is not waited for longer than a few seconds."""
        closing = threading.Thread(target=self._processor.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(_CLOSING_S)

    def _context(self, text: str, *, is_remote: bool) -> SpanContext:
        _, trace, span, flags = text.split("-")
        context: SpanContext = self._api.SpanContext(
            int(trace, 16), int(span, 16), is_remote, self._api.TraceFlags(int(flags, 16))
        )
        return context
