"""Liveness and readiness of this process, from the reports of its stages.

A stage *beats* each time it has gone around its loop. It is alive while its last beat is younger than the patience. A
stage that hangs inside a call does not beat, and a restart of the process hands its partitions on. A stage is *ready*
once it has joined its group and has restored its assignment. The assignment may be empty: with more processes than
partitions, some processes stand by. The verdicts are pure functions of these reports and of the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

PATIENCE = 60.0
"""Seconds without a beat after which a stage counts as dead. A loop turns about once a second at least. A commit that
waits for a broker may take ten seconds, and a fenced stage restarts by itself within this time."""

_JOINING = "joining its group, or restoring"


@dataclass(frozen=True, slots=True)
class StageState:
    """The last report of a stage.

    Attributes:
        beat: When it last went around its loop, in seconds of a monotonic clock.
        ready: Whether it is ready.
        waits_for: What it waits for while it is not ready.
        remark: What a person should know while it is ready; empty for nothing.

    """

    beat: float
    ready: bool = False
    waits_for: str = _JOINING
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all stages are well, with a text for each stage."""

    ok: bool
    stages: Mapping[str, str]


def liveness(states: Mapping[str, StageState], now: float, patience: float = PATIENCE) -> Verdict:
    """Return whether every stage has beaten within ``patience`` seconds."""
    silent = {stage: now - state.beat for stage, state in states.items()}
    return Verdict(
        all(seconds <= patience for seconds in silent.values()),
        {stage: "alive" if seconds <= patience else f"silent for {seconds:.0f} s" for stage, seconds in silent.items()},
    )


def readiness(states: Mapping[str, StageState]) -> Verdict:
    """Return whether every stage has joined and restored."""
    return Verdict(
        all(state.ready for state in states.values()),
        {
            stage: ": ".join(filter(None, ("ready", state.remark))) if state.ready else state.waits_for
            for stage, state in states.items()
        },
    )


class Health:
    """The reports of all stages of this process. Safe for several threads."""

    def __init__(
        self,
        stages: Iterable[str],
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with every stage alive, and not ready."""
        self._clock = clock
        self._patience = patience
        self._lock = threading.Lock()
        self._states = {str(stage): StageState(clock()) for stage in stages}

    def stage(self, stage: str) -> StageHealth:
        """Return the object through which this stage reports.

        Raises:
            KeyError: The process has no such stage.

        """
        if stage not in self._states:
            raise KeyError(stage)
        return StageHealth(self, str(stage))

    def beat(self, stage: str) -> None:
        """Note that the stage has gone around its loop."""
        with self._lock:
            self._states[stage] = replace(self._states[stage], beat=self._clock())

    def ready(self, stage: str, ready: bool, waits_for: str = _JOINING, remark: str = "") -> None:  # noqa: FBT001 - the value is the report
        """Note whether the stage has joined and restored, and what it waits for if not, or what to know if so."""
        with self._lock:
            self._states[stage] = replace(self._states[stage], ready=ready, waits_for=waits_for, remark=remark)

    def live(self) -> Verdict:
        """Return whether this process is alive."""
        return liveness(self._now(), self._clock(), self._patience)

    def is_ready(self) -> Verdict:
        """Return whether this process is ready. A dead process is not."""
        live = self.live()
        return readiness(self._now()) if live.ok else live

    def _now(self) -> Mapping[str, StageState]:
        with self._lock:
            return dict(self._states)


class StageHealth:
    """One stage's part of :class:`Health`."""

    def __init__(self, health: Health, stage: str) -> None:
        self._health = health
        self._stage = stage

    def beat(self) -> None:
        """Note that the stage has gone around its loop."""
        self._health.beat(self._stage)

    def ready(self, ready: bool, waits_for: str = _JOINING, remark: str = "") -> None:  # noqa: FBT001 - the value is the report
        """Note whether the stage has joined and restored, and what it waits for if not, or what to know if so."""
        self._health.ready(self._stage, ready, waits_for, remark)
