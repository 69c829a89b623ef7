"""Decisions in the log of ``flowbridge run``: a line for each Workflow, and at level debug one for each decision."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from bridge.core.decision import Decision, RunDecision, RunReason

logger = logging.getLogger(__name__)


def logged(
    sink: Callable[[str, Sequence[Decision | RunDecision]], None],
) -> Callable[[str, Sequence[Decision | RunDecision]], None]:
    """Return a sink that hands decisions on, and logs them.

    Only the submitter decides about runs, so the decisions of other stages are not looked at unless all are logged.
    """

    def take(stage: str, decisions: Sequence[Decision | RunDecision]) -> None:
        sink(stage, decisions)
        is_every = logger.isEnabledFor(logging.DEBUG)
        if not is_every and stage != "submitter":
            return
        for decision in decisions:
            if isinstance(decision, RunDecision) and decision.reason is RunReason.CREATED:
                logger.info("%s", _run_text(decision))
            elif is_every:
                logger.debug(
                    "%s: %s", stage, _run_text(decision) if isinstance(decision, RunDecision) else _text(decision)
                )

    return take


def _run_text(decision: RunDecision) -> str:
    return f"{decision.reason}: workflow {decision.workflow} of trigger {decision.trigger}{_evidence(decision)}"


def _text(decision: Decision) -> str:
    event = decision.event
    key = f", key {decision.key!r}" if decision.key else ""
    about = f"event {event.name} {event.id!r} from {event.source!r}"
    return f"{decision.reason}: {about} at {decision.slot} of trigger {decision.trigger}{key}{_evidence(decision)}"


def _evidence(decision: Decision | RunDecision) -> str:
    return "".join(f", {name} {text}" for name, text in decision.evidence.items())
