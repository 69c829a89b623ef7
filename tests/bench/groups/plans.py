"""How long ``flowbridge plan`` takes to compare an edited trigger with the deployed one over a million events."""

from __future__ import annotations

import json
from datetime import timedelta

from bench.bed import Bed
from bench.child import measured
from bench.figures import Figure, at_most
from bench.filling import fill_events
from bench.material import EVENT, FEW_OF_PAST, PAIRS, PARTITIONS, PARTNER, PAST, place
from bench.scale import Scale

_SPREAD = timedelta(days=1)
_MOST = at_most(120, "120 s")
_STRICTER = PAIRS.replace(f"    - name: {PARTNER}\n", f"    - name: {PARTNER}\n      where: payload.amount > 100.0\n")
_LONGER = PAIRS.replace("within: 1h", "within: 2h")
_OTHER_KEY = PAIRS.replace("key: payload.order_id", "key: payload.customer")


def plans(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure plans of edits of a trigger of one slot, and of pairs."""
    pairs = scale.planned // 2
    fill_events(bed.bootstrap, bed.schemas, [PAST], 2 * pairs, PARTITIONS, _SPREAD)
    fill_events(bed.bootstrap, bed.schemas, [EVENT, PARTNER], pairs, PARTITIONS, _SPREAD)
    edits = {
        "one slot that 1 % pass, a stricter `where`": (FEW_OF_PAST, FEW_OF_PAST.replace("247.5", "249.0"), 1),
        "pairs, a stricter `where`, two processes": (PAIRS, _STRICTER, 2),
        "pairs, a longer window, two processes": (PAIRS, _LONGER, 2),
        "pairs, another key, two processes": (PAIRS, _OTHER_KEY, 2),
        "pairs, a longer window, one process": (PAIRS, _LONGER, 1),
    }
    figures = []
    for what, (before, after, workers) in edits.items():
        specs = {}
        for name, text in (("before", before), ("after", after)):
            topics, definition = bed.installation(text)
            if definition is None:
                raise ValueError("no definition")
            specs[name] = json.dumps(definition.trigger.to_json())
        made = measured("compare", **place(bed.bootstrap, topics.prefix, bed.schemas), **specs, workers=workers)
        per_million = made["seconds"] * 1_000_000 / made["read"]
        label = f"plan of an edit, for a million events (measured over {made['read']:,}): {what}"
        figures.append(Figure(label, "s", [per_million], None if what.endswith("one process") else _MOST))
    return figures
