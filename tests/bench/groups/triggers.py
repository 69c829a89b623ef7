"""Many triggers on one topic: what one more of them costs an event."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_most, ratios
from bench.filling import fill_events
from bench.material import EVENT, PARTITIONS, PARTNER, place
from bench.rounds import Side, Speed, Speeds, Trial, speed
from bench.scale import Scale

_NUMBERS = (1, 10, 100, 1_000)
_SLOW = 4  # with the most filters that are all evaluated, this part of the events is enough
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


_ASKING, _COMPARING = "that ask for a value", "that compare"
_KINDS: dict[str, Callable[[int], str]] = {_ASKING: _ask, _COMPARING: _compare}


def triggers(bed: Bed, scale: Scale) -> Trial:
    """Measure routers that filter out all events, with more and more triggers."""
    few = scale.filtered // _SLOW
    fill_events(bed.bootstrap, bed.schemas, [EVENT], scale.filtered, PARTITIONS)
    fill_events(bed.bootstrap, bed.schemas, [PARTNER], few, PARTITIONS)
    sides = {}
    for kind, where in _KINDS.items():
        for number in _NUMBERS:
            is_slow = (kind, number) == (_COMPARING, _NUMBERS[-1])
            events, count = (PARTNER, few) if is_slow else (EVENT, scale.filtered)
            turn = partial(_route, bed, number, where, events, count)
            sides[f"{kind}, {number}"] = Side(f"router, {number:,} filters {kind} (events)", turn)
    return Trial(scale.filter_rounds, sides, _costs)


def _route(bed: Bed, number: int, where: Callable[[int], str], events: str, count: int, checkout: Path | None) -> Speed:
    """Return the speed of events; each trigger makes a decision about each."""
    texts = [_TRIGGER.format(number=each, event=events, where=f"'{where(each)}'") for each in range(number)]
    topics, _ = bed.installation("---\n".join(texts))
    reasons = {"filtered": number * count}
    where_ = place(bed.bootstrap, topics.prefix, bed.schemas)
    return speed(measured("stage", checkout, stage="router", **where_, reasons=reasons), worth=1 / number)


def _costs(found: Speeds) -> list[Figure]:
    """Return what more filters cost, from the processor time of an event."""
    spent = {name: [turn.cpu for turn in turns] for name, turns in found.items()}
    figures = []
    for number in _NUMBERS[1:]:
        times = [share / 100 for share in ratios(spent[f"{_ASKING}, {number}"], spent[f"{_ASKING}, {_NUMBERS[0]}"])]
        what = f"CPU with {number:,} filters {_ASKING}, of that with one"
        figures.append(Figure(what, "times", times, at_most(1.5, "1.5 times")))
    most = _NUMBERS[-1]
    one, all_ = spent[f"{_COMPARING}, 1"], spent[f"{_COMPARING}, {most}"]
    each = [(many - single) / (most - 1) for many, single in zip(all_, one, strict=True)]
    figures.append(Figure(f"CPU of one more filter {_COMPARING}", "µs", each, at_most(_MOST, f"{_MOST:.0f} µs")))
    return figures
