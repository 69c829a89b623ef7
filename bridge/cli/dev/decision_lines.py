"""Decisions as lines for people, or as JSON objects, which scroll by in ``flowbridge dev``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from bridge.cli.output import Output
from bridge.core.decision import Decision, Reason, RunDecision, RunReason
from bridge.plain_text import visible

_PENDING = frozenset({RunReason.WAITING, RunReason.RETRYING})
_COLOURS: dict[Reason | RunReason, str] = {
    **dict.fromkeys((Reason.MATCHED, RunReason.CREATED), "green"),
    **dict.fromkeys((Reason.UNDECODABLE, Reason.OVERSIZE, Reason.UNKEYED, Reason.OVER_BOUND), "red"),
    **dict.fromkeys((Reason.FAILED, Reason.POISON), "red"),
    **dict.fromkeys((RunReason.REFUSED, RunReason.OUTCOME_UNKNOWN, RunReason.FAILED), "red"),
    **dict.fromkeys((Reason.LATE, Reason.EXPIRED, RunReason.RETRYING, RunReason.SKIPPED), "yellow"),
}
_INDENT = " " * 35  # parameters stand below the name of their Workflow's trigger


class DecisionLines:
    """Shows decisions as they are made. Safe for several threads.

    Args:
        output: Prints them.
        parameters_of: Returns the parameters of a created Workflow, by ``namespace/name``; None where asking for them
            would hold up the stage that calls.

    Attributes:
        runs: The decisions on runs so far.

    """

    def __init__(self, output: Output, parameters_of: Callable[[str], Mapping[str, str] | None] | None = None) -> None:
        self._output = output
        self._parameters_of = parameters_of
        self._lock = threading.Lock()
        self._events = 0
        self.runs: list[RunDecision] = []

    def show(self, stage: str, decisions: Sequence[Decision | RunDecision]) -> None:
        """Show the decisions of a stage in one batch."""
        with self._lock:
            for decision in decisions:
                record = decision_record(stage, decision)
                lines = [decision_text(stage, decision)]
                if isinstance(decision, RunDecision):
                    self.runs.append(decision)
                    if decision.reason is RunReason.CREATED and self._parameters_of is not None:
                        parameters = self._parameters_of(decision.workflow)
                        record["parameters"] = parameters
                        lines += [visible(f"{_INDENT}{name} = {value}") for name, value in (parameters or {}).items()]
                else:
                    self._events += 1
                self._output.result(lines, record, styled=True)

    def runs_ended(self) -> int:
        """Return how many decisions on runs were final."""
        with self._lock:
            return sum(run.reason not in _PENDING for run in self.runs)

    def events_decided(self) -> int:
        """Return how many decisions there were on events."""
        with self._lock:
            return self._events


def decision_text(stage: str, decision: Decision | RunDecision) -> str:
    """Return a decision as one line: time, stage, reason, trigger, event or Workflow, and its evidence."""
    now = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
    if isinstance(decision, RunDecision):
        about = f"workflow {decision.workflow}"
    else:
        key = f" key {decision.key}" if decision.key else ""
        about = f"{decision.slot} <- {decision.event.name} {decision.event.id}{key}"
    about = visible(f"{decision.trigger:<20} {about}")
    evidence = ", ".join(f"{name}: {value}" for name, value in decision.evidence.items())
    reason = click.style(f"{decision.reason:<11}", fg=_COLOURS.get(decision.reason))
    line = f"{now} {stage:<9} {reason} {about}"
    return f"{line}  ({visible(evidence)})" if evidence else line


def decision_record(stage: str, decision: Decision | RunDecision) -> dict[str, Any]:
    """Return a decision as plain values."""
    record: dict[str, Any] = {"stage": stage, "reason": decision.reason.value, "trigger": decision.trigger}
    if isinstance(decision, RunDecision):
        record |= {"run_key": decision.run_key, "workflow": decision.workflow}
    else:
        record |= {"slot": decision.slot, "event": decision.event._asdict(), "key": decision.key}
    return record | {"evidence": dict(decision.evidence)}
