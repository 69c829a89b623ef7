"""What a person asks a replay for, and the errors of what cannot be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bridge.core.event import Micros
from bridge.kafka.log import Partition

Mode = Literal["missing", "missing+failed", "all"]
Only = Literal["suspended", "filtered"]

NAME_LIMIT = 63
"""Characters of the name of a replay, which is the value of a label."""

RATE = 10.0
"""Runs a second that a replay sends, if nobody says otherwise."""

CONCURRENCY = 4
"""Runs of a replay on their way to a Workflow at a time, if nobody says otherwise: half of the live bridge's."""


class ReplayError(Exception):
    """A replay that cannot be done as it was asked for.

    Args:
        found: What is wrong.
        remedy: What to do.

    """

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}: {remedy}")
        self.found = found
        self.remedy = remedy


@dataclass(frozen=True)
class Bound:
    """The beginning or the end of a range.

    Attributes:
        time: The moment; None for the beginning of the topics, or the frozen end.
        offsets: Offsets of partitions that stand in place of the moment.
        text: As it was written.

    """

    time: Micros | None = None
    offsets: Mapping[Partition, int] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Request:
    """What a replay is asked for.

    Attributes:
        trigger: ``namespace/name``.
        start: Where the range begins: by record time, which is when events reached us.
        end: Where it ends, not included.
        key: Correlation key that is replayed alone; None for all.
        where: CEL over ``payload`` and ``event``: only matches with an event of which it is true; None for all.
        only: Only matches with an event that the definition of that time decided so; None for all.
        mode: The matches that get a run: those without an entry in the ledger, also those whose run failed, or all.
        definition: The definition that decides: the one in force, or the one that was in force at the time.
        replay_id: Id of a second set of runs; empty for the runs that the live bridge would have made.
        limit: Most runs; None for no bound.
        newest_first: The newest match gets the first run.
        rate: Runs a second, at most; None for no bound.
        concurrency: Runs on their way to a Workflow at a time.
        reason: Why, for people.

    """

    trigger: str
    start: Bound
    end: Bound = field(default_factory=Bound)
    key: str | None = None
    where: str | None = None
    only: Only | None = None
    mode: Mode = "missing"
    definition: Literal["now", "then"] = "now"
    replay_id: str = ""
    limit: int | None = None
    newest_first: bool = False
    rate: float | None = RATE
    concurrency: int = CONCURRENCY
    reason: str = ""
