"""The trace context of an event (W3C Trace Context): read from its headers, given by a publisher, or of its span.

OpenTelemetry is never imported here. Where a span is active, the program has imported it already.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from flowbridge_sdk.errors import BadAttributeError

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACEPARENT = "traceparent"
"""The header of an event's trace context."""

CE_TRACEPARENT = "ce_traceparent"
"""The same as the distributed tracing extension of CloudEvents writes it; the other header counts where both stand."""

_CONTEXT = re.compile(r"(?!ff)[0-9a-f]{2}(-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})")
_LENGTH = 55
_EXPECTED = "as W3C Trace Context writes it, 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read_traceparent(by_name: Mapping[str, bytes | None]) -> str:
    """Return the trace context in a record's headers; empty without one, and for a malformed one, which costs no event.

    A version of Trace Context after 00 is read as 00, which all later ones begin like.
    """
    content = by_name.get(TRACEPARENT) or by_name.get(CE_TRACEPARENT)
    return _read(content.decode("latin-1")) if content else ""


def checked_traceparent(text: object) -> str:
    """Return a trace context that a publisher gives an event.

    Raises:
        BadAttributeError: It is none.

    """
    read = _read(text) if isinstance(text, str) else ""
    if not read:
        raise BadAttributeError(f"an event's traceparent: expected it {_EXPECTED}; found {str(text)[:60]!r}")
    return read


def begin_span(name: str) -> Any:
    """Begin and return the span of a publication, where a span is active in this program; else return None.

    The caller ends it. Its context is :func:`context_of`.
    """
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or not api.get_current_span().get_span_context().is_valid:
        return None
    attributes = {"messaging.system": "kafka", "messaging.operation.type": "send", "messaging.destination.name": name}
    return api.get_tracer("flowbridge_sdk").start_span(
        f"publish {name}", kind=api.SpanKind.PRODUCER, attributes=attributes
    )


def context_of(span: Any) -> str:
    """Return the trace context of a span."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _read(text: str) -> str:
    found = _CONTEXT.match(text)
    more = text[_LENGTH:]
    if found is None or (more and (text[:2] == "00" or more[0] != "-")):
        return ""
    return "00" + found[1]
