"""What flows through the bridge while things break: events, and the runs that have to come of them.

Each pair has a key of its own, so that what must run is known beforehand: one Workflow for each pair and for each
single event, whatever the order in which they come, and nothing for those that are published twice.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

Parameters = tuple[tuple[str, str], ...]
"""The parameters of a Workflow, sorted by name."""

_TRIGGERS = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: ship}}
spec:
  events:
    - {{name: {prefix}.order, as: order, key: payload.order}}
    - {{name: {prefix}.payment, as: payment, key: payload.order}}
  window: {{within: 2h}}
  run:
    workflowTemplate: ship
    parameters: {{order: order.payload.order, price: order.payload.price, paid: payment.payload.paid}}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: notify}}
spec:
  events:
    - {{name: {prefix}.notice, as: notice}}
  run:
    workflowTemplate: notify
    parameters: {{notice: notice.payload.notice}}
"""


class Published(NamedTuple):
    """One event to publish."""

    name: str
    id: str
    payload: Mapping[str, int | str]


class Load(NamedTuple):
    """Events, in the order in which they are published, and the parameters of the Workflows that they ask for."""

    events: Sequence[Published]
    expected: Counter[Parameters]

    def pieces(self, count: int) -> Iterator[Sequence[Published]]:
        """Yield the events in so many pieces of about the same length."""
        for number in range(count):
            yield self.events[len(self.events) * number // count : len(self.events) * (number + 1) // count]


def triggers(prefix: str) -> str:
    """Return the triggers of the load, as they are written in a file; ``prefix`` begins the events' names."""
    return _TRIGGERS.format(prefix=prefix)


def make_load(prefix: str, random: Random, *, pairs: int, singles: int, repeats: int) -> Load:
    """Return a load in random order.

    Args:
        prefix: Begins the events' names.
        random: Shuffles; the halves of a pair may lie as far apart as the whole load is long.
        pairs: Two events each that make one run together.
        singles: Events that make a run each.
        repeats: How many of all these events are published twice, with the same id.

    """
    events, expected = [], Counter[Parameters]()
    for number in range(pairs):
        order = f"o-{number}"
        events.append(Published(f"{prefix}.order", order, {"order": order, "price": number}))
        events.append(Published(f"{prefix}.payment", order, {"order": order, "paid": 2 * number}))
        expected[("order", order), ("paid", str(2 * number)), ("price", str(number))] = 1
    for number in range(singles):
        notice = f"n-{number}"
        events.append(Published(f"{prefix}.notice", notice, {"notice": notice}))
        expected[("notice", notice),] = 1
    events.extend(random.sample(events, repeats))
    random.shuffle(events)
    return Load(events, expected)
