"""Speeds of the matcher for each kind of window, next to the keyed two-slot match, in the same rounds.

Each kind works on the same pairs of events, under a key a pair, and makes one match of each; that of an absence is of
the pair's first event alone. Matches are counted, from the first decision to the last. Windows that time ends are over
before a matcher begins, since all events are published before the rounds: none of them is waited for.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_least, ratios
from bench.filling import fill_events
from bench.material import EVENT, HEAD, NEVER, PARTITIONS, PARTNER, place
from bench.scale import Scale

_KEYED = "within, two slots"


class _Kind(NamedTuple):
    """One kind of window.

    Attributes:
        condition: The condition of its trigger, as YAML.
        arrivals: Arrivals of each pair.
        decisions: Decisions of each pair, by reason.

    """

    condition: str
    arrivals: int
    decisions: dict[str, int]


_BOTH = f"  events: [{{name: {EVENT}}}, {{name: {PARTNER}}}]\n"
_PAIRED = {"waiting": 1, "matched": 2}
_GATHERED = {"waiting": 2, "matched": 2}
_KINDS = {
    _KEYED: _Kind(_BOTH + "  window: {within: 1h}\n", 2, _PAIRED),
    "within, order: sequence": _Kind(_BOTH + "  order: sequence\n  window: {within: 1h}\n", 2, _PAIRED),
    "within, reset": _Kind(_BOTH + '  window: {within: 1h, reset: {cron: "0 0 1 1 *", timezone: UTC}}\n', 2, _PAIRED),
    "within, absent": _Kind(
        f"  events: [{{name: {EVENT}}}, {{name: {NEVER}, absent: true}}]\n  window: {{within: 1s}}\n  grace: 0s\n",
        1,
        {"waiting": 1, "matched": 1},
    ),
    "every": _Kind(_BOTH + "  window: {every: 365d}\n", 2, _PAIRED),
    "until": _Kind(_BOTH + '  window: {until: {cron: "0 0 1 1 *"}}\n', 2, _PAIRED),
    "session": _Kind(_BOTH + "  window: {session: 30s}\n  grace: 0s\n", 2, _GATHERED),
    "batch": _Kind(_BOTH + "  window: {batch: {size: 2}}\n", 2, _PAIRED),
    "settle": _Kind(_BOTH + "  window: {settle: 1s}\n", 2, _GATHERED),
}


def kinds(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure a matcher on each kind of window; a real router makes its arrivals."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], scale.kind_pairs, PARTITIONS)
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(scale.kind_rounds):
        for name, kind in _KINDS.items():
            rates[name].append(_rate(bed, kind, scale.kind_pairs))
    figures = [Figure(f"matcher, {_KEYED} (matches)", "/s", rates[_KEYED])]
    for name in list(_KINDS)[1:]:
        figures += [
            Figure(f"matcher, {name} (matches)", "/s", rates[name]),
            Figure("… of two slots within", "%", ratios(rates[name], rates[_KEYED]), at_least(50, "50 %")),
        ]
    return figures


def _rate(bed: Bed, kind: _Kind, pairs: int) -> float:
    trigger = f"{HEAD}{kind.condition}  key: payload.order_id\n  run: {{workflowTemplate: bench}}\n"
    topics, _ = bed.installation(trigger)
    where = place(bed.bootstrap, topics.prefix, bed.schemas)
    measured("arrivals", **where, count=kind.arrivals * pairs)
    decisions = {reason: count * pairs for reason, count in kind.decisions.items()}
    decided = float(measured("stage", stage="matcher", **where, reasons=decisions)["rate"])
    return decided / sum(kind.decisions.values())
