"""Many triggers on one topic: what one more of them costs an event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_most, ratios
from bench.filling import fill_events
from bench.material import EVENT, PARTITIONS, place
from bench.scale import Scale

_NUMBERS = (1, 10, 100, 1_000)
_EVENTS = 20_000
_MOST = 3.0  # microseconds a trigger, where each filter has to be evaluated

_TRIGGER = """apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: many-{number}}}
spec:
  startFrom: earliest
  events: [{{name: {event}, where: {where}}}]
  run: {{workflowTemplate: bench}}
"""


def _asking(number: int) -> str:
    """Return a filter that asks for a value, which all events have for two of the triggers."""
    return f'payload.country == "{"nz" if number < 2 else f"c{number}"}" && payload.quantity < 0'


def _comparing(number: int) -> str:
    """Return a filter that has to be evaluated for each event."""
    return f"payload.amount > {1_000 + number}.0 && payload.quantity > 0"


def many(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure routers that filter out all events, with more and more triggers."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT], _EVENTS, PARTITIONS)
    spent: dict[tuple[str, int], list[float]] = defaultdict(list)
    kinds: dict[str, Callable[[int], str]] = {"that ask for a value": _asking, "that compare": _comparing}
    for _ in range(scale.kind_rounds):
        for kind, where in kinds.items():
            for number in _NUMBERS:
                spent[kind, number].append(_router(bed, number, where))
    figures = []
    for kind in kinds:
        for number in _NUMBERS:
            figures.append(Figure(f"router, {number:,} filters {kind}, an event", "µs", spent[kind, number]))
            if kind == "that ask for a value" and number > 1:
                times = [share / 100 for share in ratios(spent[kind, number], spent[kind, 1])]
                figures.append(Figure("… of one filter", "times", times, at_most(1.5, "1.5 times")))
    most = _NUMBERS[-1]
    one, all_ = spent["that compare", 1], spent["that compare", most]
    each = [(many - single) / (most - 1) for many, single in zip(all_, one, strict=True)]
    figures.append(Figure("… one more filter that compares", "µs", each, at_most(_MOST, f"{_MOST:.0f} µs")))
    return figures


def _router(bed: Bed, number: int, where: Callable[[int], str]) -> float:
    """Return the processor time of an event, in microseconds."""
    texts = [_TRIGGER.format(number=each, event=EVENT, where=f"'{where(each)}'") for each in range(number)]
    topics, _ = bed.installation("---\n".join(texts))
    reasons = {"filtered": number * _EVENTS}
    made = measured("stage", stage="router", **place(bed.bootstrap, topics.prefix, bed.schemas), reasons=reasons)
    return 1e6 / (float(made["per_core"]) / number)
