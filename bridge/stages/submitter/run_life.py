"""The life of a run: its states, the events that can happen in each, and their effects.

This module is pure. It knows no log, no queue and no cluster. :data:`LIFE` is the whole table: for each state the
events that may happen in it, the state that follows, and the effects that the submitter carries out, in their order.
:func:`advance` is the only way from one state to another. An event that the table does not have for a state is an error
of the program and raises :class:`IllegalEventError`.

========= ======================================================= ================ ====================================
state     meaning                                                 the ledger has   where the run book keeps the run
========= ======================================================= ================ ====================================
new       it was read from the log in the batch being made        nothing          lane of its trigger, or nowhere yet
queued    it waits for its turn                                   *parked*         lane, in memory or on the shelf
asking    a worker reads its WorkflowTemplate                     *parked*         with a worker
put off   it waits until it is due                                *parked*         shelf
ahead     a worker creates its Workflow while the batch is made   nothing          with a worker
begun     its intent is in the batch being made                   *intent*         ``begun``, until the commit
sent      a worker creates its Workflow, or looks for it          *intent*         with a worker
doubtful  an earlier create may have made its Workflow            *intent*         shelf until due, then its namespace
ended     its final entry is written; one whose replay was        *done*, *dead*   only its key is kept
          cancelled has no entry any more
dropped   its partition has another owner                         as it was        nowhere
========= ======================================================= ================ ====================================
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from bridge.stages.submitter.open_run import OpenRun, RunState
from bridge.stages.submitter.run_events import (
    BecameDue,
    Buried,
    Cancelled,
    Created,
    IntentCommitted,
    LeftInDoubt,
    LeftWaiting,
    NothingMade,
    Postponed,
    RefusedTooLong,
    Revoked,
    RunEvent,
    SeenAbsent,
    Skipped,
    TakenForTried,
    TemplateAsked,
    TemplateAwaited,
    TemplateRead,
    TemplateRefused,
    TurnGiven,
    TurnGivenAtOnce,
    Unanswered,
    Withdrawn,
)


class Effect(StrEnum):
    """An action of the submitter because of an event."""

    WRITE_PARKED = "write *parked*"
    WRITE_INTENT = "write *intent*"
    WRITE_FINAL = "write *done* or *dead*"
    ERASE = "erase its entry"
    WRITE_LETTER = "write a dead letter"
    DECIDE = "decide"
    COUNT_START = "count its start"
    GIVE_BACK = "give its start back"
    STOP_LANE = "stop its lane"
    FREE_LANE = "free its lane"
    QUEUE_FIRST = "queue it first"
    QUEUE_DUE = "queue it if few are at hand"
    SHELVE = "shelve it"
    HOLD = "hold it until the commit"
    FORGET = "forget it"
    READ_TEMPLATE = "read its template"
    CREATE = "create or look"


class Move(NamedTuple):
    """A transition: the next state, and the effects in their order."""

    to: RunState
    effects: tuple[Effect, ...] = ()


_S, _E = RunState, Effect
_BURIED = Move(_S.ENDED, (_E.WRITE_LETTER, _E.WRITE_FINAL, _E.DECIDE))
_SKIPPED = Move(_S.ENDED, (_E.GIVE_BACK, _E.WRITE_FINAL, _E.DECIDE))
_CANCELLED = Move(_S.ENDED, (_E.GIVE_BACK, _E.ERASE, _E.DECIDE))
_REVOKED = Move(_S.DROPPED)

LIFE: Mapping[RunState, Mapping[type[RunEvent], Move]] = {
    _S.NEW: {
        TurnGiven: Move(_S.BEGUN, (_E.COUNT_START, _E.WRITE_INTENT, _E.HOLD)),
        TurnGivenAtOnce: Move(_S.AHEAD, (_E.COUNT_START, _E.CREATE)),
        TakenForTried: Move(_S.DOUBTFUL, (_E.COUNT_START, _E.WRITE_INTENT, _E.SHELVE)),
        LeftWaiting: Move(_S.QUEUED, (_E.DECIDE, _E.WRITE_PARKED)),
        TemplateAsked: Move(_S.ASKING, (_E.STOP_LANE, _E.WRITE_PARKED, _E.READ_TEMPLATE)),
        TemplateAwaited: Move(_S.PUT_OFF, (_E.WRITE_PARKED, _E.SHELVE)),
        TemplateRefused: Move(_S.PUT_OFF, (_E.WRITE_PARKED, _E.DECIDE, _E.SHELVE)),
        Skipped: _SKIPPED,
        Cancelled: _CANCELLED,
        Buried: _BURIED,
        Revoked: _REVOKED,
    },
    _S.QUEUED: {
        TurnGiven: Move(_S.BEGUN, (_E.COUNT_START, _E.WRITE_INTENT, _E.HOLD)),
        TemplateAsked: Move(_S.ASKING, (_E.STOP_LANE, _E.READ_TEMPLATE)),
        TemplateAwaited: Move(_S.PUT_OFF, (_E.SHELVE,)),
        TemplateRefused: Move(_S.PUT_OFF, (_E.WRITE_PARKED, _E.DECIDE, _E.SHELVE)),
        Skipped: _SKIPPED,
        Cancelled: _CANCELLED,
        Buried: _BURIED,
        Revoked: _REVOKED,
    },
    _S.ASKING: {
        TemplateRead: Move(_S.QUEUED, (_E.FREE_LANE, _E.QUEUE_FIRST)),
        TemplateAwaited: Move(_S.PUT_OFF, (_E.FREE_LANE, _E.SHELVE)),
        TemplateRefused: Move(_S.PUT_OFF, (_E.FREE_LANE, _E.WRITE_PARKED, _E.DECIDE, _E.SHELVE)),
        Buried: Move(_S.ENDED, (_E.FREE_LANE, *_BURIED.effects)),
        Revoked: _REVOKED,
    },
    _S.PUT_OFF: {
        BecameDue: Move(_S.QUEUED, (_E.QUEUE_DUE,)),
        Skipped: _SKIPPED,
        Revoked: _REVOKED,
    },
    _S.AHEAD: {
        Created: Move(_S.ENDED, (_E.WRITE_FINAL, _E.DECIDE)),
        Unanswered: Move(_S.SENT, (_E.WRITE_INTENT,)),
        Revoked: _REVOKED,
    },
    _S.BEGUN: {
        IntentCommitted: Move(_S.SENT, (_E.CREATE,)),
        Revoked: _REVOKED,
    },
    _S.SENT: {
        Created: Move(_S.ENDED, (_E.WRITE_FINAL, _E.DECIDE)),
        NothingMade: Move(_S.PUT_OFF, (_E.GIVE_BACK, _E.WRITE_PARKED, _E.SHELVE, _E.DECIDE)),
        LeftInDoubt: Move(_S.DOUBTFUL, (_E.SHELVE, _E.DECIDE)),
        SeenAbsent: Move(_S.DOUBTFUL, (_E.WRITE_INTENT, _E.SHELVE, _E.DECIDE)),
        Skipped: _SKIPPED,
        Cancelled: _CANCELLED,
        Buried: _BURIED,
        RefusedTooLong: Move(_S.ENDED, (_E.GIVE_BACK, *_BURIED.effects)),
        Withdrawn: Move(_S.DROPPED, (_E.GIVE_BACK, _E.WRITE_PARKED, _E.FORGET)),
        Revoked: _REVOKED,
    },
    _S.DOUBTFUL: {
        BecameDue: Move(_S.DOUBTFUL, (_E.QUEUE_DUE,)),
        Postponed: Move(_S.DOUBTFUL, (_E.SHELVE,)),
        TurnGiven: Move(_S.BEGUN, (_E.COUNT_START, _E.HOLD)),
        Buried: _BURIED,
        Revoked: _REVOKED,
    },
    _S.ENDED: {},
    _S.DROPPED: {},
}
"""The life of a run."""


class IllegalEventError(ValueError):
    """An event happened to a run that cannot happen to it in its state: an error of the program."""

    def __init__(self, run: OpenRun, event: RunEvent, where: str = "") -> None:
        legal = ", ".join(sorted(kind.__name__ for kind in LIFE[run.state])) or "none"
        super().__init__(
            f"{type(event).__name__} happened to run {run.run.run_key}, which is {run.state}{where}; "
            f"expected one of these events: {legal}"
        )


def advance(run: OpenRun, event: RunEvent) -> tuple[Effect, ...]:
    """Have an event happen to a run; return its effects, to be carried out in their order.

    Raises:
        IllegalEventError: The event cannot happen to a run in this state. The run is unchanged.

    """
    move = LIFE[run.state].get(type(event))
    if move is None:
        raise IllegalEventError(run, event)
    event.change(run)
    run.state = move.to
    return move.effects
