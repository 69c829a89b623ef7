"""A failing script becomes small: what it fails without is left out, and the repeat command names it."""

from __future__ import annotations

from simulation.many import command
from simulation.shrinking import numbers_of, ranges, shrink


def test_only_what_it_takes_to_fail_is_left() -> None:
    asked: list[frozenset[int]] = []

    def fails(without: frozenset[int]) -> bool:
        asked.append(without)
        return not {3, 17} & without

    assert shrink(range(40), fails) == frozenset(range(40)) - {3, 17}
    assert len(asked) < 80


def test_what_fails_without_anything_shrinks_to_nothing() -> None:
    assert shrink(range(9), lambda _: True) == frozenset(range(9))


def test_numbers_go_into_a_command_and_come_back() -> None:
    numbers = frozenset({0, 1, 2, 5, 8, 9})
    assert ranges(numbers) == "0-2,5,8-9"
    assert numbers_of(ranges(numbers)) == numbers
    assert numbers_of("") == frozenset()
    assert command(62, numbers).endswith("python -m simulation --seed 62 --without 0-2,5,8-9")
    assert command(62).endswith("--seed 62")
