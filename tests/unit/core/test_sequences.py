"""Any sequence of arrivals and ticks is decided as the naive reference decides it, and keeps the rules' promises."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from itertools import product

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.core.decision import Decision, Reason
from bridge.core.event import EventIdentity
from bridge.core.trigger import Trigger
from bridge.core.window import Arrival, Spent
from unit.core.reference import Outcome, Reference, is_complete
from unit.core.stepping import Stepping, trigger_of

EXAMPLES = int(os.environ.get("FLOWBRIDGE_TEST_EXAMPLES", "600"))
"""Examples of the comparison, six times those of each promise that it implies; raise it for a long search."""

FAR = 1_000


@dataclass(frozen=True)
class Came:
    """An event that came, and the indices of the slots whose filter it passes if they read it."""

    event: str
    time: int
    reached: int
    passes: str
    key: str


@dataclass(frozen=True)
class Tick:
    """Time that has safely come."""

    time: int


def triggers() -> st.SearchStrategy[Trigger]:
    return st.lists(st.sampled_from("ab"), min_size=1, max_size=4).flatmap(
        lambda names: st.builds(
            trigger_of,
            st.just(" ".join(names)),
            require=st.integers(1, len(names)),
            within=st.integers(0, 5),
            grace=st.integers(0, 3),
            dedupe=st.integers(0, 12),
            first=st.booleans(),
        )
    )


def events(keys: str = "xy") -> st.SearchStrategy[Came]:
    return st.builds(
        Came,
        event=st.sampled_from(["a1", "b1", "a2", "b2", "a3", "b3", "a4", "b4"]),
        time=st.integers(0, 9),
        reached=st.integers(0, 12),
        passes=st.sampled_from(["0123", "0123", "0123", "02", "13", "012", "3", "1", "0"]),
        key=st.sampled_from(keys),
    )


happenings = st.lists(events("xxxy") | events("x") | st.builds(Tick, st.integers(0, 30)), max_size=14)
compared = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
searched = settings(compared, max_examples=max(1, EXAMPLES // 6))


def arrivals_of(trigger: Trigger, came: Came, first_offset: int) -> list[Arrival]:
    """Return an arrival for each slot that reads the event and lets it pass, as the router sends them."""
    identity = EventIdentity(came.event[0], "shop", came.event)
    slots = [
        index for index, slot in enumerate(trigger.slots) if slot.event == came.event[0] and str(index) in came.passes
    ]
    return [
        Arrival(came.time, first_offset + at, slot, identity, came.reached, "", (None, b""))
        for at, slot in enumerate(slots)
    ]


def outcomes(trigger: Trigger, decisions: list[Decision] | tuple[Decision, ...]) -> Counter[Outcome]:
    variables = [slot.variable for slot in trigger.slots]
    return Counter((one.reason, variables.index(one.slot), one.event) for one in decisions)


def assert_same_state(real: Stepping, naive: Reference) -> None:
    waiting = {(key, arrival) for key, window in real.windows.items() for slot in window.waiting for arrival in slot}
    assert waiting == set(naive.waiting)
    marks = {
        (key, slot): mark
        for key, window in real.windows.items()
        for slot, mark in enumerate(window.marks)
        if mark is not None
    }
    assert marks == {place: (arrival.time, arrival.offset) for place, arrival in naive.marks.items()}
    spent = {place: (held.until, held.fate) for place, held in real.held.items() if isinstance(held, Spent)}
    assert spent == {place: (one.until, one.fate) for place, one in naive.remembered.items()}
    assert {place for place, held in real.held.items() if isinstance(held, Arrival)} == {
        (key, arrival.slot, arrival.event) for key, arrival in naive.waiting
    }


@compared
@given(triggers(), happenings)
def test_every_sequence_is_decided_as_the_naive_reference_decides_it(
    trigger: Trigger, sequence: list[Came | Tick]
) -> None:
    real, naive = Stepping(trigger), Reference(trigger)
    offset = 0
    for happening in sequence:
        if isinstance(happening, Tick):
            assert outcomes(trigger, real.tick(happening.time)) == Counter(naive.tick(happening.time)), happening
            assert_same_state(real, naive)
            continue
        for new in arrivals_of(trigger, happening, offset):
            offset += 1
            stepped = real.arrive(happening.key, new)
            match, decided = naive.arrive(happening.key, new)
            assert stepped.match == match, happening
            assert outcomes(trigger, stepped.decisions) == Counter(decided), happening
            assert_same_state(real, naive)


def run(trigger: Trigger, sequence: list[Came | Tick]) -> tuple[Stepping, list[Arrival], list[Decision]]:
    """Run a sequence to the end; check at each step what every match promises."""
    real = Stepping(trigger)
    arrivals: list[Arrival] = []
    decisions: list[Decision] = []
    for happening in sequence:
        if isinstance(happening, Tick):
            decisions += real.tick(happening.time)
            continue
        for new in arrivals_of(trigger, happening, len(arrivals)):
            arrivals.append(new)
            stepped = real.arrive(happening.key, new)
            decisions += stepped.decisions
            assert stepped.match is None or new in stepped.match
            assert stepped.match is None or is_complete(trigger, stepped.match)
    return real, arrivals, decisions


@searched
@given(triggers(), happenings)
def test_no_complete_set_is_ever_left_waiting(trigger: Trigger, sequence: list[Came | Tick]) -> None:
    real, _, _ = run(trigger, sequence)
    for window in real.windows.values():
        choices = [[None, *slot] for slot in window.waiting]
        assert not [match for match in product(*choices) if is_complete(trigger, match)]


@searched
@given(triggers(), st.lists(events("x"), max_size=14))
def test_an_event_that_is_remembered_is_used_in_one_match_at_most(trigger: Trigger, sequence: list[Came]) -> None:
    _, _, decisions = run(trigger, [*sequence])
    used = Counter(one.event for one in decisions if one.reason is Reason.MATCHED)
    assert all(times == 1 for times in used.values()), used


@searched
@given(triggers(), happenings)
def test_each_arrival_gets_exactly_one_final_decision_once_time_has_passed(
    trigger: Trigger, sequence: list[Came | Tick]
) -> None:
    _, arrivals, decisions = run(trigger, [*sequence, Tick(FAR)])
    final = Counter(
        (slot, event) for reason, slot, event in outcomes(trigger, decisions).elements() if reason != "waiting"
    )
    assert final == Counter((arrival.slot, arrival.event) for arrival in arrivals)


@searched
@given(triggers(), st.lists(events("x"), max_size=14))
def test_each_event_is_decided_once_at_a_slot_and_its_repeats_are_duplicates(
    trigger: Trigger, sequence: list[Came]
) -> None:
    _, arrivals, decisions = run(trigger, [*sequence, Tick(FAR)])
    decided = outcomes(trigger, decisions)
    places = {(arrival.slot, arrival.event) for arrival in arrivals}
    counted = Counter((slot, event) for one, slot, event in decided.elements() if one not in {"waiting", "duplicate"})
    assert counted == Counter(places)


@searched
@given(triggers(), happenings)
def test_nothing_is_left_once_time_has_passed(trigger: Trigger, sequence: list[Came | Tick]) -> None:
    real, _, _ = run(trigger, [*sequence, Tick(FAR)])
    assert not real.windows
    assert not real.held
