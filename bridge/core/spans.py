"""Spans: what happened to a traced event on its way, for a tracing system.

A span is a value, as a decision is. A stage tells it in the outbox of its batch, and it is exported once the batch is
committed. Only events whose publisher asked for it have spans: their trace context (W3C Trace Context) is *sampled*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bridge.core.event import Micros

_TRACE = slice(36)  # of a context: its version and the id of the trace
_FLAGS = slice(52, None)
_SAMPLED = 1


class Span(NamedTuple):
    """One step on the way of an event.

    Attributes:
        name: Its name.
        context: Its own trace context, which the next step has as its parent.
        parent: The trace context of the step before.
        links: The trace contexts of the other events that took part.
        start: When it began.
        end: When it was over.
        attributes: What it is about: names and ids, never a payload or a key.
        is_publication: It is that of the publisher, as the gateway tells it.

    """

    name: str
    context: str
    parent: str
    links: tuple[str, ...]
    start: Micros
    end: Micros
    attributes: Mapping[str, str]
    is_publication: bool = False


def is_sampled(context: str) -> bool:
    """Return whether a trace context asks for spans; an empty one does not."""
    return bool(context) and bool(int(context[_FLAGS].lstrip("-"), 16) & _SAMPLED)


def span_of(
    name: str, contexts: Sequence[str], start: Micros, end: Micros, number: int, attributes: Mapping[str, str]
) -> Span | None:
    """Return the span of a step; None if no context asks for one.

    Args:
        name: Its name.
        contexts: The trace contexts of the events that take part. The first sampled one is its parent, and the others
            are links.
        start: When it began, or later than ``end`` by a clock that is ahead.
        end: When it was over.
        number: Its id, not 0, of 64 bits at most.
        attributes: What it is about.

    """
    parent = next(filter(is_sampled, contexts), None)
    if parent is None:
        return None
    context = f"{parent[_TRACE]}{number:016x}{parent[_FLAGS]}"
    links = tuple([other for other in contexts if other != parent])
    return Span(name, context, parent, links, min(start, end), end, attributes)
