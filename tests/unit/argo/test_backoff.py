"""The promises of backoff."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.backoff import HINT_LIMIT, Backoff

seeds = st.integers()
failures = st.integers(1, 10**9)


@given(failures, seeds)
def test_a_delay_lies_between_nothing_and_the_cap(count: int, seed: int) -> None:
    assert 0.0 <= Backoff(0.5, 30.0).delay(count, Random(seed)) <= min(30.0, 0.5 * 2.0 ** min(count - 1, 10))


@given(failures, seeds, st.floats(0.0, HINT_LIMIT))
def test_nothing_comes_earlier_than_the_api_asks(count: int, seed: int, hint: float) -> None:
    assert hint <= Backoff(0.5, 30.0).delay(count, Random(seed), hint) <= hint + 30.0


def test_an_absurd_hint_is_bounded() -> None:
    assert Backoff(0.5, 30.0).delay(1, Random(1), 1e12) <= HINT_LIMIT + 0.5
    assert 0.0 <= Backoff(0.5, 30.0).delay(1, Random(1), -5.0) <= 0.5


def test_the_same_seed_gives_the_same_delays() -> None:
    random, other = Random(7), Random(7)
    assert [Backoff().delay(n, random) for n in range(1, 9)] == [Backoff().delay(n, other) for n in range(1, 9)]


def test_runs_that_failed_together_do_not_come_back_together() -> None:
    random = Random(1)
    delays = sorted(Backoff(1.0, 60.0).delay(6, random) for _ in range(1_000))
    assert delays[100] < 8.0
    assert delays[900] > 24.0
