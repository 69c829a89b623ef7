"""Speeds of the matcher for each kind of window, next to the keyed two-slot match, in the same rounds.

Each kind works on the same pairs of events, under a key a pair, and makes one match of each; that of an absence is of
the pair's first event alone. Matches are counted, from the first decision to the last. Windows that time ends are over
before a matcher begins, since all events are published before the rounds: none of them is waited for.
"""

from __future__ import annotations

from collections import defaultdict

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, ratios
from bench.filling import fill_events
from bench.material import EVENT, HEAD, PARTITIONS, PARTNER, Measured, place
from bench.scale import Scale
from kinds import KINDS

_MEASURED = {name: condition for kind in KINDS.values() for name, condition in kind.measured.items()}
_KEYED = next(iter(_MEASURED))
"""The keyed two-slot match, which is the first of the first kind."""


def kinds(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure a matcher on each kind of window; a real router makes its arrivals."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], scale.kind_pairs, PARTITIONS)
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(scale.kind_rounds):
        for name, condition in _MEASURED.items():
            rates[name].append(_rate(bed, condition, scale.kind_pairs))
    figures = [Figure(f"matcher, {_KEYED} (matches)", "/s", rates[_KEYED])]
    for name in list(_MEASURED)[1:]:
        figures += [
            Figure(f"matcher, {name} (matches)", "/s", rates[name]),
            Figure("… of two slots within", "%", ratios(rates[name], rates[_KEYED]), at_least(50, "50 %")),
        ]
    return figures


def _rate(bed: Bed, condition: Measured, pairs: int) -> float:
    trigger = f"{HEAD}{condition.text}  key: payload.order_id\n  run: {{workflowTemplate: bench}}\n"
    topics, _ = bed.installation(trigger)
    where = place(bed.bootstrap, topics.prefix, bed.schemas)
    measured("arrivals", **where, count=condition.arrivals * pairs)
    decisions = {reason: count * pairs for reason, count in condition.decisions.items()}
    decided = float(measured("stage", stage="matcher", **where, reasons=decisions)["rate"])
    return decided / sum(condition.decisions.values())
