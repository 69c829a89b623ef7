"""Stories of what a trigger says of its runs: how many, until when, and what Argo is told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from e2e.constructs import BACK, DOWN, FIRST, Construct, Match, Sent, slots

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE_RUNS = 9
STORM_COUNT = 3
STORM_RUNS = 6
STORM_WITHIN = timedelta(seconds=30)


def runs() -> Iterator[Construct]:
    """Yield the stories."""
    yield _limited("rate", RATE_RUNS, {"rate": "1/s"}, "so many start in a second, and a crash loses none that waits")
    storm = {"storm": {"count": STORM_COUNT, "within": "30s"}}
    yield _limited(
        "storm", STORM_RUNS, storm, "more than so many hold the trigger until it has calmed down, also over a crash"
    )
    yield Construct(
        "start-deadline",
        "a run that the outage has held back for too long is skipped",
        slots("a"),
        {},
        {FIRST: [Sent("a-1")], DOWN: [Sent("a-2")], BACK: [Sent("a-3")]},
        [Match("a-1"), Match("a-3")],
        {"matched": "a-1 a-2 a-3"},
        run={"startDeadline": "10s"},
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


def _limited(name: str, number: int, limits: dict[str, object], promise: str) -> Construct:
    ids = [f"a-{one}" for one in range(number)]
    return Construct(
        name,
        promise,
        slots("a"),
        {},
        {FIRST: [Sent(one, index) for index, one in enumerate(ids)]},
        [Match(one) for one in ids],
        {"matched": " ".join(ids)},
        run={"limits": limits},
    )
