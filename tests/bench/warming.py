"""Loads the broker before anything is measured, until it gets no faster.

A new broker interprets its code. Its just-in-time compiler takes half a minute of load to do its work, and the same
router is nearly twice as fast afterwards. All groups then find the same warm broker.
"""

from __future__ import annotations

import sys

from bench.bed import Bed
from bench.filling import fill_events
from bench.groups.throughput import Pairs, route
from bench.material import EVENT, MAPPED, PARTITIONS, PARTNER
from bench.scale import Scale

_FASTER = 1.05
"""A round that is less than this much faster than the fastest before it ends the load."""
_SHARE = 2
"""A round of the load has half of the events of a measured round."""


def warm(bed: Bed, scale: Scale) -> None:
    """Publish events, route them to runs, and route and match pairs, as the measured clients do.

    Each round's speed goes to stderr: events a second from ``bench.order`` to ``runs``.
    """
    events, pairs = scale.events // _SHARE, scale.pairs // _SHARE
    fastest = 0.0
    for number in range(scale.warm_ups):
        bed.empty()
        fill_events(bed.bootstrap, bed.schemas, [EVENT], events, PARTITIONS)
        rate = route(bed, MAPPED, {"matched": events}, None).rate
        print(f"warming the broker, round {number + 1}: {rate:,.0f} events/s", file=sys.stderr)
        bed.empty()
        fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], pairs, PARTITIONS)
        turns = Pairs(bed, pairs)
        turns.route(None)
        turns.match(None)
        if rate < fastest * _FASTER:
            return
        fastest = max(fastest, rate)
