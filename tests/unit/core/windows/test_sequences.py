"""Any sequence of arrivals and ticks is decided as the naive reference decides it, and keeps the rules' promises."""

from __future__ import annotations

from collections import Counter
from itertools import chain, combinations, product

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.decision import Decision, Reason
from bridge.core.trigger import Trigger
from bridge.core.windows.window import Arrival, Window
from kinds import reference_of
from kinds.choice import Choice, fit, is_filled
from kinds.reference import Happened
from unit.core.stepping import Stepping
from unit.core.windows.sequences import (
    FAR,
    Happening,
    Tick,
    arrivals_of,
    assert_same_state,
    compared,
    events,
    happenings,
    key_of,
    outcomes,
    searched,
    triggers,
)


@compared
@given(triggers(), happenings, st.sampled_from([10_000, 10_000, 3]))
def test_every_sequence_is_decided_as_the_naive_reference_decides_it(
    trigger: Trigger, sequence: list[Happening], bound: int
) -> None:
    real, naive = Stepping(trigger, bound), reference_of(trigger, bound)
    offset = 0
    for happening in sequence:
        if isinstance(happening, Tick):
            assert_same(real, real.tick(happening.time), naive.tick(happening.time))
            assert_same_state(real, naive)
            continue
        for new in arrivals_of(trigger, happening, offset):
            offset += 1
            key = key_of(trigger, happening)
            assert_same(real, [*real.arrive(key, new).decisions], naive.arrive(key, new))
            assert_same_state(real, naive)
    assert_same(real, real.retire(), naive.retire())


def assert_same(real: Stepping, decided: list[Decision], happened: Happened) -> None:
    assert outcomes(real.trigger, decided) == Counter(happened.decided)
    assert Counter(real.matches) == Counter((match.key, match.choice, match.frame) for match in happened.matches)
    real.matches.clear()


def run(trigger: Trigger, sequence: list[Happening]) -> tuple[Stepping, list[Arrival], list[Decision]]:
    """Run a sequence to the end."""
    real = Stepping(trigger)
    arrivals: list[Arrival] = []
    decisions: list[Decision] = []
    for happening in sequence:
        if isinstance(happening, Tick):
            decisions += real.tick(happening.time)
            continue
        for new in arrivals_of(trigger, happening, len(arrivals)):
            arrivals.append(new)
            decisions += real.arrive(key_of(trigger, happening), new).decisions
    return real, arrivals, decisions


@searched
@given(triggers(("within",)), happenings)
def test_every_sliding_match_is_complete_and_no_complete_set_is_ever_left_waiting(
    trigger: Trigger, sequence: list[Happening]
) -> None:
    real, _, _ = run(trigger, sequence)
    for _, match, _ in real.matches:
        assert is_filled(trigger, match)
        assert fit(trigger, [*chain(*match)])
    assert trigger.window is not None
    if trigger.window.reset is None:
        assert not [choice for window in real.windows.values() for choice in complete_choices(trigger, window)]


def complete_choices(trigger: Trigger, window: Window) -> list[Choice]:
    ways = [
        [(), *(() if slot.absent else combinations(waiting, slot.count))]
        for slot, waiting in zip(trigger.slots, window.waiting, strict=True)
    ]
    return [choice for choice in product(*ways) if is_filled(trigger, choice) and fit(trigger, [*chain(*choice)])]


@searched
@given(triggers(), st.lists(events("x"), max_size=14))
def test_an_event_that_is_remembered_is_used_in_one_match_at_most(trigger: Trigger, sequence: list[Happening]) -> None:
    _, _, decisions = run(trigger, sequence)
    used = Counter(decision.event for decision in decisions if decision.reason in {Reason.MATCHED, Reason.CANCELLED})
    assert all(times == 1 for times in used.values()), used


@searched
@given(triggers(), happenings)
def test_each_arrival_gets_exactly_one_final_decision_once_time_has_passed(
    trigger: Trigger, sequence: list[Happening]
) -> None:
    real, arrivals, decisions = run(trigger, [*sequence, Tick(FAR)])
    assert final(trigger, [*decisions, *real.retire()]) == Counter(
        (arrival.slot, arrival.event) for arrival in arrivals
    )


@searched
@given(triggers(), happenings)
def test_each_arrival_gets_exactly_one_final_decision_when_the_trigger_changes(
    trigger: Trigger, sequence: list[Happening]
) -> None:
    real, arrivals, decisions = run(trigger, sequence)
    assert final(trigger, [*decisions, *real.retire()]) == Counter(
        (arrival.slot, arrival.event) for arrival in arrivals
    )
    assert not real.windows


def final(trigger: Trigger, decisions: list[Decision]) -> Counter[object]:
    decided = outcomes(trigger, decisions)
    return Counter((slot, event) for reason, slot, event in decided.elements() if reason is not Reason.WAITING)


@searched
@given(triggers(), st.lists(events("x"), max_size=14))
def test_each_event_is_decided_once_at_a_slot_and_its_repeats_are_duplicates(
    trigger: Trigger, sequence: list[Happening]
) -> None:
    real, arrivals, decisions = run(trigger, [*sequence, Tick(FAR)])
    decided = outcomes(trigger, [*decisions, *real.retire()])
    places = {(arrival.slot, arrival.event) for arrival in arrivals}
    counted = Counter(
        (slot, event) for reason, slot, event in decided.elements() if reason not in {"waiting", "duplicate"}
    )
    assert counted == Counter(places)


@searched
@given(triggers(), happenings)
def test_nothing_is_left_once_time_has_passed_but_batches_that_wait_for_their_size(
    trigger: Trigger, sequence: list[Happening]
) -> None:
    real, _, _ = run(trigger, [*sequence, Tick(FAR)])
    plan = trigger.window
    assert plan is not None
    if plan.kind != "batch" or plan.length or plan.reset is not None:
        assert not real.windows
        assert not real.held


@searched
@given(triggers(), happenings)
def test_each_calendar_window_matches_once_for_a_key(trigger: Trigger, sequence: list[Happening]) -> None:
    real, _, _ = run(trigger, [*sequence, Tick(FAR)])
    frames = [(key, frame) for key, _, frame in real.matches if frame is not None]
    assert len(frames) == len(set(frames))
