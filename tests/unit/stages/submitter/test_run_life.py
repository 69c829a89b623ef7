"""What can happen to a run in each of its states, and what follows."""

from __future__ import annotations

import re
from itertools import product

import pytest

from bridge.argo.doubt import Doubt
from bridge.argo.memory import MemoryWorkflowApi
from bridge.core.decision import RunReason
from bridge.core.event import HOUR, SECOND
from bridge.kafka.internal_topics import InternalTopics
from bridge.stages.submitter import run_events, run_life
from bridge.stages.submitter.ledger.followed_runs import FollowedRuns
from bridge.stages.submitter.ledger.ledger import LedgerPartition
from bridge.stages.submitter.ledger.ledger_writer import LedgerWriter
from bridge.stages.submitter.open_run import OpenRun, RunState
from bridge.stages.submitter.run_book import RunBook
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
    TriedAgain,
    TurnGiven,
    TurnGivenAtOnce,
    Unanswered,
    Withdrawn,
)
from bridge.stages.submitter.run_life import LIFE, Effect, IllegalEventError, advance
from drawings.run_life import PAGE, page_with
from drawings.run_life import run_life as drawn
from unit.stages.submitter.ledger.test_ledger_restoring import NOW, run

DOUBT = Doubt(NOW, NOW, HOUR)
EVENTS: tuple[RunEvent, ...] = (
    LeftWaiting(None),
    TurnGiven(NOW, run(1)),
    TurnGivenAtOnce(NOW, run(1)),
    Unanswered(),
    TakenForTried(NOW, NOW),
    TemplateAsked(),
    TemplateRead(),
    TemplateAwaited(NOW + SECOND),
    TemplateRefused(NOW, NOW + SECOND, "there is none"),
    IntentCommitted(),
    NothingMade(NOW, NOW + SECOND, "no answer", is_refused=False),
    LeftInDoubt(NOW, NOW + SECOND, "no answer", is_refused=False, doubt=DOUBT),
    SeenAbsent(NOW, NOW + SECOND, "no answer", is_refused=False, doubt=DOUBT),
    BecameDue(),
    Postponed(NOW + SECOND),
    Created(RunReason.CREATED, {}),
    Skipped({"storm": "over"}),
    Cancelled(),
    Buried(RunReason.REFUSED, "no"),
    RefusedTooLong(RunReason.REFUSED, "no"),
    Withdrawn(),
    Revoked(),
)


@pytest.mark.parametrize(("state", "event"), [*product(RunState, EVENTS)])
def test_only_the_events_of_the_table_happen_and_lead_where_it_says(state: RunState, event: RunEvent) -> None:
    taken = OpenRun(run(1), 0, NOW, state=state)
    move = LIFE[state].get(type(event))
    if move is not None:
        assert (advance(taken, event), taken.state) == (move.effects, move.to)
        return
    with pytest.raises(
        IllegalEventError, match=f"{type(event).__name__} happened to run .* which is {state}; expected"
    ):
        advance(taken, event)
    assert (taken.state, taken.attempts, taken.reason, taken.due) == (state, 0, "", None)


def test_every_event_and_every_state_is_in_the_table() -> None:
    named = {event for moves in LIFE.values() for event in moves}
    public = {
        kind
        for kind in vars(run_events).values()
        if isinstance(kind, type) and issubclass(kind, RunEvent) and kind not in (RunEvent, TriedAgain)
    }
    assert named == public == {type(event) for event in EVENTS}
    assert set(LIFE) == set(RunState)


def test_each_effect_has_one_place_that_carries_it_out() -> None:
    places = set(RunBook(lambda *_: pytest.fail("no lane is asked for")).places)
    entries = set(
        LedgerWriter(InternalTopics(), {}, lambda _: None, FollowedRuns(MemoryWorkflowApi(), 0, lambda: 0)).entries
    )
    assert not places & entries
    assert set(Effect) - places - entries == {Effect.READ_TEMPLATE, Effect.CREATE}
    assert {effect for moves in LIFE.values() for move in moves.values() for effect in move.effects} == set(Effect)


def test_each_state_is_reached_and_only_ended_and_dropped_are_final() -> None:
    reached = {move.to for moves in LIFE.values() for move in moves.values()}
    assert reached == set(RunState) - {RunState.NEW}
    assert {state for state, moves in LIFE.items() if not moves} == {RunState.ENDED, RunState.DROPPED}


def test_a_run_that_ends_is_written_as_ended_and_decided() -> None:
    for moves in LIFE.values():
        for move in moves.values():
            is_ended = Effect.DECIDE in move.effects and bool({Effect.WRITE_FINAL, Effect.ERASE} & set(move.effects))
            assert (move.to is RunState.ENDED) == is_ended


def test_only_a_cancelled_run_of_a_replay_leaves_no_entry() -> None:
    erased = {event for moves in LIFE.values() for event, move in moves.items() if Effect.ERASE in move.effects}
    assert erased == {Cancelled}


def test_the_ledger_has_an_entry_of_each_run_before_its_record_is_passed() -> None:
    """A run that is new, or sent ahead, leaves that state only by an entry, or with its partition."""
    entries = {Effect.WRITE_PARKED, Effect.WRITE_INTENT, Effect.WRITE_FINAL, Effect.ERASE}
    for state in (RunState.NEW, RunState.AHEAD):
        without = {event for event, move in LIFE[state].items() if not entries & set(move.effects)}
        assert without - {Revoked} == ({TurnGivenAtOnce} if state is RunState.NEW else set())


def test_a_create_is_sent_after_its_intent_is_committed_or_ahead_of_the_batch_that_takes_it_up() -> None:
    sending = {(state, event) for state, moves in LIFE.items() for event in moves if _sends(state, event)}
    assert sending == {(RunState.BEGUN, IntentCommitted), (RunState.NEW, TurnGivenAtOnce)}
    assert [state for state, moves in LIFE.items() if TurnGivenAtOnce in moves] == [RunState.NEW]
    to_begun = [state for state, moves in LIFE.items() for move in moves.values() if move.to is RunState.BEGUN]
    for state in to_begun:
        has_intent = state is RunState.DOUBTFUL
        assert has_intent or Effect.WRITE_INTENT in LIFE[state][TurnGiven].effects


def _sends(state: RunState, event: type[RunEvent]) -> bool:
    return Effect.CREATE in LIFE[state][event].effects


def test_a_run_that_is_not_in_memory_any_more_does_nothing() -> None:
    book = RunBook(lambda _trigger, _made_by: pytest.fail("no lane is asked for"))
    book.ledger[0] = LedgerPartition(0, HOUR)
    stale = OpenRun(run(1), 0, NOW, state=RunState.QUEUED)
    with pytest.raises(IllegalEventError, match="which is queued and not in the run book's memory"):
        book.advance(stale, TurnGiven(NOW, stale.run))
    book.ledger[0].open[stale.run.run_key] = stale
    assert book.advance(stale, TurnGiven(NOW, stale.run)) == LIFE[RunState.QUEUED][TurnGiven].effects


def test_the_states_of_the_module_s_first_page_are_those_of_the_table() -> None:
    rows = re.findall(r"^(\w[\w ]*?)  +\w.*$", run_life.__doc__ or "", re.MULTILINE)
    assert rows == ["state", *RunState]


def test_the_table_in_the_documentation_is_the_table_of_the_code() -> None:
    assert PAGE.read_text() == page_with(drawn()), "run: make drawings"
