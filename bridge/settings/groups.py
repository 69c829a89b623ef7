"""Settings as the stages and the gateway take them: frozen groups, in the units that the code counts in.

A field has the name of its setting in :class:`bridge.settings.settings.Settings`, and its default stands here. What a
setting means for a person, and which values it may have, stands there. Lengths of time are microseconds. The groups
need no pydantic, so a stage that takes one imports nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Literal, Self

from bridge.core.event import DAY, HOUR, SECOND, Micros

NO_SETTING = {"is_setting": False}
"""Metadata of a field that stands in a group and that only tests set."""


@dataclass(frozen=True)
class SettingsGroup:
    """Settings that one part of the bridge takes together."""

    @classmethod
    def of(cls, settings: object) -> Self:
        """Return the group with the values of the attributes of ``settings`` that have the names of its fields."""
        values = {item.name: getattr(settings, item.name) for item in fields(cls) if item.metadata != NO_SETTING}
        micros = timedelta(microseconds=1)
        return cls(
            **{name: value // micros if isinstance(value, timedelta) else value for name, value in values.items()}
        )


@dataclass(frozen=True)
class ControllerSettings(SettingsGroup):
    """How the controller reads the sources of triggers.

    Attributes:
        reload: Time between two readings.
        hold_off: How long a trigger must be gone before it is retired.
        sensitive: Payload fields that no decision shows, of any trigger.
        topic_bound: The number of topics in the cluster at which no more are created for the events of a name.

    """

    reload: Micros = SECOND
    hold_off: Micros = 10 * SECOND
    sensitive: tuple[str, ...] = ()
    topic_bound: int = 1_000


@dataclass(frozen=True)
class RouterSettings(SettingsGroup):
    """How a router reads events.

    Attributes:
        lost_offsets: What to do about an offset that the log no longer holds.

    """

    lost_offsets: Literal["hold", "continue"] = "hold"


@dataclass(frozen=True)
class WindowSettings(SettingsGroup):
    """How much a matcher holds, and how far it trusts clocks. An arrival that would be more is ``over-bound``.

    Attributes:
        window_bound: Arrivals that wait in one window.
        remembered_bound: Events of one condition that one partition remembers.
        window_bytes: Bytes that the windows of all partitions take in memory. Each partition has an equal share.
        window_disk_bytes: Bytes of windows that are on disk beyond that, counted as in memory; 0 keeps all in memory.
        clock_skew: Bound on the difference between clocks.

    """

    window_bound: int = 10_000
    remembered_bound: int = 1_000_000
    window_bytes: int = 1024**3
    window_disk_bytes: int = 4 * 1024**3
    clock_skew: Micros = 2 * SECOND


@dataclass(frozen=True)
class SubmitterSettings(SettingsGroup):
    """How the submitter behaves under load and trouble.

    Attributes:
        concurrency: Creates that the API server is asked to do at a time.
        waiting_runs: Runs of one trigger that may wait, on disk. A run beyond that is a dead letter.
        waiting_bytes: Their bytes. A run beyond that is a dead letter, too.
        retry_for: How long after its first refusal a run that is refused is tried again before it is a dead letter.
        ledger_horizon: How long run keys are remembered.
        workflow_lifetime: How long a finished Workflow lives at least, when its template says nothing.
        followed_runs: Created runs whose Workflows one process follows to their end at most; 0 follows none.
        outcome_pace: How long an outcome waits for others, or for new runs, to share a transaction with, while more
            creates are in flight; a twentieth of that when none is.
        backlog: Runs that may wait while the API server is unreachable. Beyond it the log is held back.
        prompt_runs: Batches of at most so many runs create the first of each partition before they are committed; 0
            for none.
        answer_wait: How long such a batch waits for the answers.

    """

    concurrency: int = 8
    waiting_runs: int = 1_000_000
    waiting_bytes: int = 2 * 1024**3
    retry_for: Micros = DAY
    ledger_horizon: Micros = 7 * DAY
    workflow_lifetime: Micros = HOUR
    followed_runs: int = 100_000
    outcome_pace: Micros = field(default=SECOND, metadata=NO_SETTING)
    backlog: int = field(default=1_000, metadata=NO_SETTING)
    prompt_runs: int = field(default=8, metadata=NO_SETTING)
    answer_wait: Micros = field(default=SECOND // 50, metadata=NO_SETTING)


@dataclass(frozen=True)
class GatewaySettings(SettingsGroup):
    """Where the gateway takes events, and how much it holds while Kafka is away.

    Attributes:
        gateway_hold: How long a request is held.
        gateway_held: Requests that are held at once.
        gateway_path: The path of Argo Events' webhook contract.
        gateway_cloudevents_path: The path that takes CloudEvents.

    """

    gateway_hold: Micros = 50 * SECOND
    gateway_held: int = 1_000
    gateway_path: str = "/metaflow-event"
    gateway_cloudevents_path: str = "/cloudevents"
