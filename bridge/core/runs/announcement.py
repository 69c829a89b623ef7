"""Announcements: events that tell about runs, so that a trigger can wait for the end of another trigger's run.

An announcement is made of a run's final entry in the ledger, and says nothing that is not there. Which entry makes
which announcement is one table:

================================================  =================  ==========================
entry of the ledger                               event              ``payload.phase``
================================================  =================  ==========================
its Workflow was created                          ``run.created``    ``running``, ``unknown``
its Workflow has ended                            ``run.succeeded``  ``succeeded``
the same                                          ``run.failed``     ``failed``, ``error``
the run was given up: it is a dead letter         ``run.failed``     ``dead``
it was skipped, or its Workflow is ``gone``       none
================================================  =================  ==========================

The names begin with the installation's prefix, ``flowbridge.`` by default: two installations on one Kafka do not start
each other's triggers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bridge.core.event import EventIdentity, moment
from bridge.core.runs.run import RunFacts, RunPhase

VERSION = 1
"""Version of the payload. A later one may have more fields. One that changes a field has another number."""

EVENTS_LIMIT = 32_768
"""Bytes of the list of events in an announcement, as JSON."""

DEAD = "dead"
"""The phase of a run that was given up."""

_CREATED, _SUCCEEDED, _FAILED = _NAMES = ("run.created", "run.succeeded", "run.failed")
_OF_PHASE = {
    RunPhase.RUNNING: _CREATED,
    RunPhase.UNKNOWN: _CREATED,
    RunPhase.SUCCEEDED: _SUCCEEDED,
    RunPhase.FAILED: _FAILED,
    RunPhase.ERROR: _FAILED,
}


class Announcement(NamedTuple):
    """An event about a run.

    Attributes:
        name: Its name.
        id: Its id, which follows from the run and its phase.
        time: When what it tells has happened: the run was made or given up, or its end was seen.
        payload: Its payload.

    """

    name: str
    id: str
    time: datetime
    payload: dict[str, Any]


def announced_names(installation: str) -> tuple[str, ...]:
    """Return the names of all announcements of an installation; ``installation`` is the bridge's internal prefix."""
    return tuple(installation + name for name in _NAMES)


def announcement(
    installation: str,
    run_key: str,
    entry: dict[str, Any],
    facts: RunFacts,
    *,
    hides_key: bool = False,
    hides_parameters: bool = False,
) -> Announcement | None:
    """Return the announcement of a final entry of the ledger; None for an entry that makes none.

    Args:
        installation: The bridge's internal prefix.
        run_key: The key of the run.
        entry: The fields of its entry, a record of kind ``ledger_entry``.
        facts: The facts about the run in that entry.
        hides_key: Its correlation key is made of a sensitive field.
        hides_parameters: Its parameters may have values of sensitive fields.

    """
    is_dead = entry["state"] == DEAD
    name = _FAILED if is_dead else _OF_PHASE.get(facts.phase) if facts.phase is not None else None
    if name is None:
        return None
    phase = DEAD if facts.phase is None else facts.phase.value
    decided, ended = moment(entry["at"]), None if facts.ended is None else moment(facts.ended)
    namespace, _, workflow = entry["workflow"].partition("/")
    events, left_out = _shown(facts.events)
    payload = {
        "version": VERSION,
        "trigger": entry["trigger"],
        "key": None if hides_key and facts.key else facts.key,
        "run_key": run_key,
        "namespace": namespace,
        "workflow": workflow,
        "phase": phase,
        "message": entry["reason"] if is_dead else "",
        "events": events,
        "events_left_out": left_out,
        "created": None if is_dead else decided,
        "ended": decided if is_dead else ended,
        "parameters": None if hides_parameters or facts.parameters is None else dict(facts.parameters),
        "replay": facts.replay,
        "replay_id": facts.replay_id,
        "repeats": facts.repeats,
    }
    return Announcement(installation + name, f"{run_key}-{phase}", ended or decided, payload)


def _shown(used: Sequence[tuple[str, EventIdentity]]) -> tuple[list[dict[str, str]], int]:
    """Return as many events of a match as the limit takes, and how many are left out."""
    events: list[dict[str, str]] = []
    left = EVENTS_LIMIT
    for slot, event in used:
        shown = {"slot": slot, "name": event.name, "source": event.source, "id": event.id}
        left -= len(json.dumps(shown))
        if left < 0:
            break
        events.append(shown)
    return events, len(used) - len(events)
