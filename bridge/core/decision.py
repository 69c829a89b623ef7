"""Decisions: what happened to an event at a slot, or to a run, as values to count, print and compare.

The set of reasons is closed. Every decision is *final* except ``waiting`` (of an event or a run) and ``retrying``. An
acknowledged event gets exactly one final decision at each slot of each trigger in force.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from typing_extensions import override

from bridge.core.event import EventIdentity


class Reason(StrEnum):
    """Why an event was decided as it was at a slot."""

    FILTERED = "filtered"
    UNDECODABLE = "undecodable"
    OVERSIZE = "oversize"
    FROM_THE_FUTURE = "from-the-future"
    DUPLICATE = "duplicate"
    LATE = "late"
    SUSPENDED = "suspended"
    WAITING = "waiting"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    RESET = "reset"
    OVER_BOUND = "over-bound"
    UNKEYED = "unkeyed"
    FAILED = "failed"
    POISON = "poison"
    MATCHED = "matched"


class RunReason(StrEnum):
    """Why a run was decided as it was."""

    CREATED = "created"
    ALREADY_RAN = "already-ran"
    WAITING = "waiting"
    RETRYING = "retrying"
    SKIPPED = "skipped"
    OUTCOME_UNKNOWN = "outcome-unknown"
    FAILED = "failed"
    REFUSED = "refused"


class EvidenceOnDemand(Mapping[str, str]):
    """Evidence that is made when somebody looks at it. Of hundreds of thousands of decisions, people read one."""

    __slots__ = ()

    @abstractmethod
    def made(self) -> dict[str, str]:
        """Return the evidence."""

    @override
    def __getitem__(self, name: str) -> str:
        return self.made()[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.made())

    @override
    def __len__(self) -> int:
        return len(self.made())

    @override
    def __repr__(self) -> str:
        return repr(self.made())


class Decision(NamedTuple):
    """What happened to an event at a slot.

    Attributes:
        reason: One of the closed set.
        trigger: ``namespace/name``.
        slot: The slot's variable.
        event: The event's identity.
        key: Correlation key in canonical text; empty without one, or before it is known.
        evidence: The values that it rests on, as text by name: ``where``, ``error``, ``duplicate_of``, ``run``, …

    """

    reason: Reason
    trigger: str
    slot: str
    event: EventIdentity
    key: str = ""
    evidence: Mapping[str, str] = {}


class RunDecision(NamedTuple):
    """What happened to a run.

    Attributes:
        reason: One of the closed set.
        trigger: ``namespace/name``.
        run_key: The run's identity.
        workflow: ``namespace/name`` of its Workflow.
        evidence: The values that it rests on, as text by name: ``api``, ``attempts``, …

    """

    reason: RunReason
    trigger: str
    run_key: str
    workflow: str
    evidence: Mapping[str, str] = {}
