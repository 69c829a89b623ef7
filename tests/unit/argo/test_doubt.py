"""What is concluded about a run: the table of bridge.argo.doubt, whole, and that it never forgets a Workflow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo import doubt
from bridge.argo.create_attempt import NameOwner
from bridge.argo.doubt import Age, Doubt, Sent, Verdict, conclude

SITUATIONS = list(product(Sent, Age, [None, *NameOwner], [False, True]))
_FOUND = {"ours": (NameOwner.OURS,), "not taken, no answer": (None, NameOwner.UNAVAILABLE)}


def _rows() -> Iterator[tuple[str, str, str, str, Verdict]]:
    """Yield the rows of the table in the module's own text."""
    lines = (doubt.__doc__ or "").splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("====")]
    widths = [len(rule) for rule in lines[rules[0]].split()]
    for line in lines[rules[1] + 1 : rules[2]]:
        cells, left = [], line
        for width in widths[:-1]:
            cells.append(left[:width].strip())
            left = left[width:].removeprefix("  ")
        yield cells[0], cells[1], cells[2], cells[3], Verdict[left.strip(" :(").split()[0].strip(":")]


def _fits(row: tuple[str, str, str, str, Verdict], situation: tuple[Sent, Age, NameOwner | None, bool]) -> bool:
    sent, age, found, is_late = situation
    ages = {"any": tuple(Age), "any other": tuple(set(Age) - {Age.NONE})}.get(
        row[1], tuple(named for named in Age if named in row[1].split(", "))
    )
    if row[2] == "foreign or absent":
        is_found = age is Age.NONE or found in (NameOwner.FOREIGN, NameOwner.ABSENT)
    else:
        is_found = row[2] == "any" or found in _FOUND[row[2]]
    is_time = row[3] == "any" or (row[3] == "yes") == is_late
    return (row[0] in ("any", "any other") or sent == row[0]) and age in ages and is_found and is_time


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_has_the_verdict_of_the_first_row_that_fits(
    situation: tuple[Sent, Age, NameOwner | None, bool],
) -> None:
    expected = next(row[4] for row in _rows() if _fits(row, situation))
    sent, age, found, is_late = situation
    assert conclude(sent, age, found, is_late=is_late) is expected


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nothing_is_given_up_or_made_again_while_a_workflow_may_be_there_or_come(
    situation: tuple[Sent, Age, NameOwner | None, bool],
) -> None:
    sent, age, found, is_late = situation
    verdict = conclude(sent, age, found, is_late=is_late)
    if verdict in (Verdict.PARK, Verdict.REFUSE, Verdict.SKIP, Verdict.CREATE):
        assert age in (Age.NONE, Age.SETTLED)
        assert age is Age.NONE or found in (NameOwner.ABSENT, NameOwner.FOREIGN)
    if verdict is Verdict.LOST:
        assert age is not Age.NONE, "only a run in doubt can be lost"
    if found is NameOwner.OURS:
        assert verdict is Verdict.DONE


LIMIT = 6
MOMENTS = st.integers(0, 40)


@given(
    lifetime=st.integers(0, 20),
    sends=st.lists(MOMENTS, min_size=1, max_size=3, unique=True),
    looks=st.lists(st.tuples(MOMENTS, st.integers(0, 2)), max_size=8, unique_by=lambda look: look[0]),
    delays=st.lists(st.integers(0, LIMIT), min_size=3, max_size=3),
    applied=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_a_doubt_is_voided_only_where_no_create_was_applied_or_will_be(
    lifetime: int, sends: list[int], looks: list[tuple[int, int]], delays: list[int], applied: list[bool]
) -> None:
    """A server applies each create at once, late or never, and deletes what it made after exactly its lifetime."""
    sends.sort()
    made = [moment + delay for moment, delay, is_applied in zip(sends, delays, applied, strict=False) if is_applied]
    state: Doubt | None = None
    sent: list[int] = []
    steps = sorted([(moment, 0, "send") for moment in sends] + [(moment, took, "look") for moment, took in looks])
    for began, took, step in steps:
        if step == "send":
            sent.append(began)
            state = Doubt(began, began, lifetime) if state is None else state.sent_again(began)
            continue
        if state is None:
            continue
        there = any(moment <= began < moment + lifetime for moment in made)
        age = state.age(began, began + took, LIMIT)
        verdict = conclude(Sent.NOTHING, age, NameOwner.OURS if there else NameOwner.ABSENT, is_late=True)
        if verdict is Verdict.SKIP:
            before = [
                moment + delay
                for moment, delay, is_applied in zip(sends, delays, applied, strict=False)
                if is_applied and moment in sent
            ]
            assert not before
            return
        if verdict is not Verdict.IN_DOUBT:
            return
        state = state.seen_absent(began)


@given(lifetime=st.integers(0, 20), last=st.integers(0, 30), now=st.integers(0, 60))
def test_a_create_under_a_doubt_never_follows_a_workflow_that_has_gone(lifetime: int, last: int, now: int) -> None:
    state = Doubt(0, last, lifetime)
    if state.may_create(now, LIMIT):
        first_gone = 0 + lifetime  # of a create that was applied at once and whose Workflow ended at once
        assert now + LIMIT < first_gone
        assert state.age(now, now, LIMIT) is Age.OPEN, "a look could void the doubt"


def test_nothing_is_proven_before_the_lifetime_is_known() -> None:
    state = Doubt(0, 0)
    assert state.age(10**9, 10**9, LIMIT) is Age.OPEN
    assert not state.may_create(1, LIMIT)
    assert state.seen_absent(5) == state


def test_looks_in_time_settle_a_doubt_whose_workflow_lives_only_seconds() -> None:
    state = Doubt(0, 0, 4)
    for moment in range(0, LIMIT, 3):
        assert state.age(moment, moment, LIMIT) is Age.OPEN
        state = state.seen_absent(moment)
    assert state.age(LIMIT, LIMIT, LIMIT) is Age.SETTLED
    assert Doubt(0, 0, 4).age(LIMIT, LIMIT, LIMIT) is Age.OUTLIVED
