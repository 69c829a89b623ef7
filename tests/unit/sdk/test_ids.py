"""Ids that come out the same whenever the same parts go in."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbridge_sdk import BadAttributeError, event_id
from flowbridge_sdk.ids import random_id

parts = st.lists(
    st.one_of(st.text(max_size=4), st.integers(0, 3), st.booleans(), st.binary(max_size=3), st.none()),
    min_size=1,
    max_size=3,
)


@given(parts, parts)
def test_two_ids_are_equal_only_if_their_parts_are(first: list[Any], other: list[Any]) -> None:
    same = [(type(part), part) for part in first] == [(type(part), part) for part in other]
    assert (event_id(*first) == event_id(*other)) == same


def test_parts_do_not_run_into_each_other() -> None:
    assert event_id("a", "bc") != event_id("ab", "c")


def test_an_int_is_not_its_text() -> None:
    ones = (1, "1", 1.0, True, b"1", Decimal(1))
    assert len({event_id(item) for item in ones}) == len(ones)


def test_an_id_stays_what_it_was_in_earlier_versions() -> None:
    assert event_id("job", 3, 17) == "ydtdemo3bldt5or5rlc5bfl7aq"


def test_an_id_is_short_and_plain() -> None:
    assert re.fullmatch(r"[a-z2-7]{26}", event_id("job", None, 2.5))


def test_one_moment_is_one_part_in_any_zone() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert event_id(noon) == event_id(noon.astimezone(timezone(timedelta(hours=2))))


@pytest.mark.parametrize("parts", [(), (["list"],), (datetime(2026, 1, 1),)])  # noqa: DTZ001 - it is what is refused
def test_what_makes_no_id_is_refused(parts: tuple[Any, ...]) -> None:
    with pytest.raises(BadAttributeError):
        event_id(*parts)


def test_random_ids_are_never_the_same_in_any_thread() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [random_id() for _ in range(1000)], range(16)))
    ids = [id_ for some in made for id_ in some]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", id_) for id_ in ids)


def test_a_forked_child_makes_none_of_its_parents_random_ids() -> None:
    random_id()  # there are more, ready to be used
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, "".join(random_id() for _ in range(300)).encode())
        os._exit(0)
    os.wait()
    child = os.read(reader, 300 * 32).decode()
    assert len(child) == 300 * 32
    assert not {child[at : at + 32] for at in range(0, len(child), 32)} & {random_id() for _ in range(300)}
