"""Speeds of the matcher for each kind of window, next to the keyed two-slot match, in the same rounds.

Each kind works on the same pairs of events, under a key a pair, and makes one match of each; that of an absence is of
the pair's first event alone. Matches are counted, from the first decision to the last. Windows that time ends are over
before a matcher begins, since all events are published before the rounds: none of them is waited for.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.bed import Bed
from bench.child import measured
from bench.figures import at_least
from bench.filling import fill_events
from bench.material import EVENT, HEAD, PARTITIONS, PARTNER, Measured, place
from bench.rounds import Side, Speed, Trial, speed
from bench.scale import Scale
from kinds import KINDS

_MEASURED = {name: condition for kind in KINDS.values() for name, condition in kind.measured.items()}
_KEYED = next(iter(_MEASURED))
"""The keyed two-slot match, which is the first of the first kind."""


def kinds(bed: Bed, scale: Scale) -> Trial:
    """Measure a matcher on each kind of window; a real router makes its arrivals."""
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], scale.kind_pairs, PARTITIONS)
    sides = {}
    for name, condition in _MEASURED.items():
        turn = partial(_match, bed, condition, scale.kind_pairs)
        what = f"matcher, {name} (matches)"
        if name == _KEYED:
            sides[name] = Side(what, turn)
        else:
            sides[name] = Side(what, turn, ("two slots within", _KEYED), at_least(50, "50 %"))
    return Trial(scale.kind_rounds, sides)


def _match(bed: Bed, condition: Measured, pairs: int, checkout: Path | None) -> Speed:
    """Return the speed of matches."""
    trigger = f"{HEAD}{condition.text}  key: payload.order_id\n  run: {{workflowTemplate: bench}}\n"
    topics, _ = bed.installation(trigger)
    where = place(bed.bootstrap, topics.prefix, bed.schemas)
    measured("arrivals", checkout, **where, count=condition.arrivals * pairs)
    decisions = {reason: count * pairs for reason, count in condition.decisions.items()}
    decided = measured("stage", checkout, stage="matcher", **where, reasons=decisions)
    return speed(decided, worth=1 / sum(condition.decisions.values()))
