"""Many triggers on one topic: what one more of them costs an event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_most, ratios
from bench.filling import fill_events
from bench.material import EVENT, PARTITIONS, PARTNER, place
from bench.rounds import Side, Speed, Speeds, Trial, speed
from bench.scale import Scale

_MOST = 3.0  # microseconds a trigger, where each filter has to be evaluated

_TRIGGER = """apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: many-{number}}}
spec:
  startFrom: earliest
  events: [{{name: {event}, where: {where}}}]
  run: {{workflowTemplate: bench}}
"""


def _ask(number: int) -> str:
    """Return a filter that asks for a value, which all events have for two of the triggers."""
    return f'payload.country == "{"nz" if number < 2 else f"c{number}"}" && payload.quantity < 0'


def _compare(number: int) -> str:
    """Return a filter that has to be evaluated for each event."""
    return f"payload.amount > {1_000 + number}.0 && payload.quantity > 0"


def _compute(number: int) -> str:
    """Return a filter that computes a value for each event."""
    return f"payload.amount * 2.0 > {2_000 + number}.0 && payload.quantity > 0"


def _match(number: int) -> str:
    """Return a filter that searches a value of each event for a pattern."""
    return f'payload.customer.matches("^c.*-{number}x$") && payload.quantity > 0'


def _evaluate(number: int) -> str:
    """Return a filter that only the engine of expressions can evaluate."""
    return f'payload.customer.upperAscii() == "{number}" && payload.quantity > 0'


_ASKING, _COMPARING, _COMPUTING = "that ask for a value", "that compare", "that compute"
_MATCHING = "that match a pattern"
_EVALUATING = "that only the engine evaluates"
_KINDS: dict[str, tuple[Callable[[int], str], str, tuple[int, ...]]] = {
    _ASKING: (_ask, EVENT, (1, 10, 100, 1_000, 10_000)),
    _COMPARING: (_compare, PARTNER, (1_000,)),
    _COMPUTING: (_compute, PARTNER, (100,)),
    _MATCHING: (_match, PARTNER, (100,)),
    _EVALUATING: (_evaluate, PARTNER, (100,)),
}
"""The filters of each kind, what they filter, and how many there are of them."""


def triggers(bed: Bed, scale: Scale) -> Trial:
    """Measure routers that filter out all events, with more and more triggers."""
    counts = {EVENT: scale.filtered, PARTNER: scale.evaluated}
    for event, count in counts.items():
        fill_events(bed.bootstrap, bed.schemas, [event], count, PARTITIONS)
    sides = {}
    for kind, (where, event, numbers) in _KINDS.items():
        for number in (number for number in numbers if number <= scale.most_filters):
            texts = [_TRIGGER.format(number=each, event=event, where=f"'{where(each)}'") for each in range(number)]
            turn = partial(_route, bed, texts, counts[event])
            sides[f"{kind}, {number}"] = Side(f"router, filters {kind}: {number:,} (events)", turn)
    return Trial(scale.filter_rounds, sides, _costs)


def _route(bed: Bed, texts: Sequence[str], count: int, checkout: Path | None) -> Speed:
    """Return the speed of events; each trigger makes a decision about each."""
    topics, _ = bed.installation("---\n".join(texts))
    reasons = {"filtered": len(texts) * count}
    where_ = place(bed.bootstrap, topics.prefix, bed.schemas)
    return speed(measured("stage", checkout, stage="router", **where_, reasons=reasons), worth=1 / len(texts))


def _costs(found: Speeds) -> list[Figure]:
    """Return what more filters cost, from the processor time of an event."""
    spent = {name: [turn.cpu for turn in turns] for name, turns in found.items()}
    figures = []
    _, _, numbers = _KINDS[_ASKING]
    for number in (number for number in numbers[1:] if f"{_ASKING}, {number}" in spent):
        times = [share / 100 for share in ratios(spent[f"{_ASKING}, {number}"], spent[f"{_ASKING}, 1"])]
        what = f"CPU with {number:,} filters {_ASKING}, of that with one"
        figures.append(Figure(what, "times", times, at_most(1.5, "1.5 times")))
    for kind in (_COMPARING, _COMPUTING, _MATCHING, _EVALUATING):
        _, _, numbers = _KINDS[kind]
        one, all_ = spent[f"{_ASKING}, 1"], spent[f"{kind}, {numbers[-1]}"]
        each = [(many - single) / (numbers[-1] - 1) for many, single in zip(all_, one, strict=True)]
        judged = at_most(_MOST, f"{_MOST:.0f} µs")
        figures.append(Figure(f"CPU of one more of the filters {kind}", "µs", each, judged))
    return figures
