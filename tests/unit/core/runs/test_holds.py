"""Which of the orders that cover a trigger has effect."""

from __future__ import annotations

import pytest

from bridge.core.runs.holds import ALL, Order, hold_on, storm_lifted

TRIGGER, NAMESPACE = "team/ship", "team"


def orders(*said: tuple[str, int | None]) -> dict[str, Order]:
    """Return orders that were said one after the other."""
    return {scope: Order(allowed, at, "ann@desk", "why") for at, (scope, allowed) in enumerate(said, start=1)}


@pytest.mark.parametrize(
    ("said", "held_by"),
    [
        ([], None),
        ([(ALL, 0)], ALL),
        ([(ALL, None)], None),
        ([(NAMESPACE, 0)], NAMESPACE),
        ([("other", 0), ("team/other", 0)], None),
        ([(ALL, 0), (TRIGGER, None)], None),
        ([(ALL, 0), (NAMESPACE, None)], None),
        ([(TRIGGER, None), (ALL, 0)], ALL),
        ([(TRIGGER, None), (NAMESPACE, 0)], NAMESPACE),
        ([(TRIGGER, 0), (ALL, None)], TRIGGER),
        ([(TRIGGER, 0), (NAMESPACE, None)], TRIGGER),
        ([(ALL, 0), (NAMESPACE, 0), (TRIGGER, None)], None),
        ([(ALL, 0), (TRIGGER, None), (NAMESPACE, 0)], NAMESPACE),
        ([(NAMESPACE, 0), (TRIGGER, None), (ALL, 0)], ALL),
        ([(ALL, 0), (TRIGGER, 5)], TRIGGER),
        ([(TRIGGER, 5), (ALL, 0)], ALL),
        ([(TRIGGER, 5), (ALL, None)], TRIGGER),
    ],
)
def test_the_order_that_has_effect(said: list[tuple[str, int | None]], held_by: str | None) -> None:
    hold = hold_on(orders(*said), TRIGGER, NAMESPACE)
    assert (hold.scope if hold is not None else None) == held_by


@pytest.mark.parametrize(
    ("said", "lifted"),
    [([(TRIGGER, None)], 1), ([(TRIGGER, 3)], 1), ([(TRIGGER, 0)], 0), ([(ALL, None), (NAMESPACE, None)], 0), ([], 0)],
)
def test_a_storm_ends_by_a_release_of_the_very_trigger(said: list[tuple[str, int | None]], lifted: int) -> None:
    assert storm_lifted(orders(*said), TRIGGER) == lifted
