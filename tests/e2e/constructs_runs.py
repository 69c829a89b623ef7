"""Stories of what a trigger says of its runs: how many, until when, and what Argo is told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from e2e.constructs import DOWN, FIRST, Construct, Match, Plan, Sent, slots

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 3
"""Runs that may start before a minute is over."""

LIMITED = timedelta(minutes=1)

_RUNS = 2 * AT_ONCE


def runs(plan: Plan) -> Iterator[Construct]:
    """Yield the stories."""
    yield _limited(
        "rate",
        {"rate": f"{AT_ONCE}/m"},
        "so many start in a minute, also if the bridge was restarted meanwhile, and none that waits is lost",
    )
    yield _limited(
        "storm",
        {"storm": {"count": AT_ONCE, "within": "1m"}},
        "more than so many hold the trigger until it has calmed down, also if the bridge was restarted meanwhile",
    )
    yield Construct(
        "start-deadline",
        "a run that the outage has held back for too long is skipped",
        slots("a"),
        {},
        {FIRST: [Sent("a-1")], DOWN: [Sent("a-2")]},
        [Match("a-1")],
        {"matched": "a-1 a-2"},
        run={"startDeadline": plan.short()},
        skipped=1,
    )
    yield Construct(
        "synchronization",
        "what Argo is to queue by stands in the Workflow",
        slots("a"),
        {},
        {FIRST: [Sent("a-1")], DOWN: [Sent("a-2")]},
        [Match("a-1"), Match("a-2")],
        {"matched": "a-1 a-2"},
        run={
            "synchronization": {
                "mutexes": [{"name": "retrain"}],
                "semaphores": [{"configMapKeyRef": {"name": "gpus", "key": "training"}}],
            }
        },
    )


def _limited(name: str, limits: dict[str, object], promise: str) -> Construct:
    ids = [f"a-{number}" for number in range(_RUNS)]
    return Construct(
        name,
        promise,
        slots("a"),
        {},
        {FIRST: [Sent(event_id, index) for index, event_id in enumerate(ids)]},
        [Match(event_id) for event_id in ids],
        {"matched": " ".join(ids)},
        run={"limits": limits},
    )
