"""All sides of a trial have their turn in each round, and two revisions are compared in the same rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from bench.bed import Bed
from bench.rounds import Side, Speed, Trial, compare, compared, measure, one_after_the_other, speed

OTHER = Path("/before")


class Turns:
    """Stands in for the servers: notes in which order clients run, and where rounds end."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    @contextmanager
    def round(self) -> Iterator[None]:
        yield
        self.noted.append("|")

    def side(self, name: str, rate: float, **more: Any) -> Side:
        """Return a side that is twice as fast in this checkout as in the other."""

        def turn(checkout: Path | None) -> Speed:
            self.noted.append(f"{name} {'before' if checkout else 'now'}")
            worth = 1 if checkout else 2
            return Speed(worth * rate, 10 / worth, {})

        return Side(name, turn, **more)


def rows(run: Callable[..., Any], turns: Turns, trial: Trial, *more: Path) -> list[str]:
    return [figure.row() for figure in run(cast("Bed", turns), trial, *more)]


@pytest.fixture
def turns() -> Turns:
    return Turns()


def trial_of(turns: Turns) -> Trial:
    return Trial(
        2,
        {
            "ceiling": turns.side("ceiling", 200, is_yardstick=True),
            "router": turns.side("router", 50, of=("the ceiling", "ceiling")),
        },
    )


def test_the_kinds_of_client_take_turns(turns: Turns) -> None:
    found = rows(measure, turns, trial_of(turns))
    assert turns.noted == ["ceiling now", "router now", "|"] * 2
    assert found == [
        "| ceiling | 400 /s | 400 … 400 | 5.0 µs | 2 |  |",
        "| router | 100 /s | 100 … 100 | 5.0 µs | 2 |  |",
        "| … of the ceiling | 25.0 % | 25.0 … 25.0 |  | 2 |  |",
    ]


def test_two_revisions_take_turns_in_beginning_a_round_and_ceilings_are_left_out(turns: Turns) -> None:
    found = rows(compare, turns, trial_of(turns), OTHER)
    assert turns.noted == ["router now", "|", "router before", "|", "router before", "|", "router now", "|"]
    assert found == [
        "| router: before | 50.0 /s | 50.0 … 50.0 | 10.0 µs | 2 |  |",
        "| router: now | 100 /s | 100 … 100 | 5.0 µs | 2 |  |",
        "| … of before, by rate | 200 % | 200 … 200 |  | 2 | ≥ 95 % ✓ |",
        "| … of before, by processor time | 200 % | 200 … 200 |  | 2 | ≥ 95 % ✓ |",
    ]


def test_a_slower_revision_misses_the_target() -> None:
    figures = compared("router", [Speed(100, 10, {})], [Speed(90, 11.2, {})])
    assert [figure.row()[-3:] for figure in figures[2:]] == ["✗ |", "✗ |"]


def test_processor_time_is_compared_only_where_both_revisions_tell_it() -> None:
    figures = compared("submitter", [Speed(100, math.nan, {})], [Speed(100, 10, {})])
    assert [figure.what for figure in figures] == ["submitter: before", "submitter: now", "… of before, by rate"]
    assert figures[0].cpu == []


def test_a_speed_is_of_records_also_where_a_client_counts_decisions() -> None:
    counted = speed({"rate": 300.0, "per_core": 600_000.0}, worth=2 / 3)
    assert counted.rate == 200.0
    assert counted.cpu == pytest.approx(2.5)
    assert speed({"rate": 300.0, "cpu": 4.0}).cpu == 4.0
    assert math.isnan(speed({"rate": 300.0}).cpu)


def test_two_stages_on_one_core_are_slower_than_each() -> None:
    both = one_after_the_other(Speed(60.0, 1.0, {}), Speed(30.0, 2.0, {}))
    assert both.rate == pytest.approx(20.0)
    assert both.cpu == 3.0
