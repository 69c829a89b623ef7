"""The promises about trace contexts of publishers: one that is given or of the active span, and no cost without."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flowbridge_sdk import AsyncPublisher, Publisher
from flowbridge_sdk.attributes.trace import read_traceparent
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.errors import BadAttributeError, NotDeliveredError

if TYPE_CHECKING:
    from collections.abc import Iterable

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_AWAY = {"bootstrap.servers": "127.0.0.1:1", "delivery.timeout.ms": 100}


@pytest.fixture(scope="module")
def exported() -> InMemorySpanExporter:
    """The spans that this process ends: a process has one tracer provider for all its life."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider
    return exporter


def context(headers: Iterable[tuple[str, bytes]]) -> str:
    return dict(headers).get("traceparent", b"").decode()


def test_an_event_has_the_context_that_it_is_given() -> None:
    encoder = EventEncoder("shop", shared_topics={})
    assert context(encoder.encode("a", {}, traceparent=GIVEN).headers) == GIVEN
    assert context(encoder.encode("a", {}, traceparent="cc" + GIVEN[2:] + "-more").headers) == GIVEN
    assert context(encoder.encode("a", {}).headers) == ""


@pytest.mark.parametrize("wrong", ["", "none", GIVEN.upper(), GIVEN + "-more", 7])
def test_a_context_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(BadAttributeError, match="traceparent: expected it as W3C Trace Context writes it"):
        EventEncoder("shop", shared_topics={}).encode("a", {}, traceparent=wrong)


def test_an_event_that_is_published_in_a_span_has_the_context_of_a_span_of_its_own(
    exported: InMemorySpanExporter,
) -> None:
    encoder = EventEncoder("shop", shared_topics={})
    exported.clear()
    with trace.get_tracer("tests").start_as_current_span("the job") as job:
        headers = encoder.encode("order.created", {}).headers
        assert context(encoder.encode("order.created", {}, traceparent=GIVEN).headers) == GIVEN
        with pytest.raises(Exception, match="payload"):
            encoder.encode("order.created", {"object": object()})
    spans = exported.get_finished_spans()
    assert [span.name for span in spans] == ["publish order.created", "publish order.created", "the job"]
    published = spans[0]
    assert published.parent == job.get_span_context()
    assert published.kind is trace.SpanKind.PRODUCER
    ids = published.get_span_context()
    assert ids is not None
    assert context(headers) == f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{int(ids.trace_flags):02x}"
    assert context(encoder.encode("order.created", {}).headers) == ""


def test_publishers_pass_the_context_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []
    encode: Any = EventEncoder.encode

    def spied(self: EventEncoder, *arguments: object, traceparent: str | None = None, **more: object) -> object:
        seen.append(traceparent)
        return encode(self, *arguments, traceparent=traceparent, **more)

    monkeypatch.setattr(EventEncoder, "encode", spied)

    async def publish() -> None:
        async with AsyncPublisher(config=_AWAY) as publisher:
            await publisher.publish("a", {}, traceparent=GIVEN)

    with pytest.raises(NotDeliveredError), Publisher(config=_AWAY) as publisher:
        publisher.publish("a", {}, traceparent=GIVEN)
    with pytest.raises(NotDeliveredError):
        asyncio.run(publish())
    assert seen == [GIVEN, GIVEN]


def test_opentelemetry_is_not_imported_by_the_sdk() -> None:
    code = (
        "import sys; from flowbridge_sdk.encoder import EventEncoder; EventEncoder('s').encode('a', {}); "
        "import flowbridge_sdk.publisher; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        ({}, ""),
        ({"traceparent": GIVEN.encode()}, GIVEN),
        ({"ce_traceparent": GIVEN.encode()}, GIVEN),
        ({"traceparent": None, "ce_traceparent": GIVEN.encode()}, GIVEN),
        ({"traceparent": b"\xff" * 55}, ""),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01".encode()}, ""),
        ({"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01".encode()}, ""),
        ({"traceparent": b"01" + GIVEN.encode()[2:] + b"-x"}, GIVEN),
        ({"traceparent": b"01" + GIVEN.encode()[2:] + b"x"}, ""),
    ],
)
def test_a_context_is_read_from_either_header_and_a_malformed_one_is_none(
    headers: dict[str, bytes | None], read: str
) -> None:
    assert read_traceparent(headers) == read
