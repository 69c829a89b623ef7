"""Whatever breaks, in a thousand simulated worlds: every expected run exists exactly once, and all else is right."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator

import pytest

from simulation.many import Failure, command, run_many, smallest
from simulation.regressions import REGRESSIONS
from simulation.script import Script, script_of
from simulation.seeds import run

SEEDS = int(os.environ.get("FLOWBRIDGE_SEEDS", "1000"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Leave out what the bridge logs of its troubles: they are made here, by the thousand."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(1800)
def test_every_expected_run_exists_once_whatever_breaks() -> None:
    failures: list[Failure] = []
    figures = Counter[str]()
    for batch in run_many(range(SEEDS), workers=os.cpu_count() or 2):
        failures += batch.failures
        figures += batch.figures
    assert not failures, _told(failures)
    assert figures["harmed"] > SEEDS, "not much has happened"
    assert figures["creates"] > SEEDS


def _told(failures: list[Failure]) -> str:
    first = failures[0]
    wrong = "\n".join(first.wrong[:5])
    seeds = [failure.seed for failure in failures]
    repeat = command(first.seed, smallest(first.seed))
    return f"{len(seeds)} seeds fail: {seeds[:20]}\nseed {first.seed}: {wrong}\nrepeat by: {repeat}"


@pytest.mark.parametrize("name", sorted(REGRESSIONS))
def test_what_was_once_found_stays_mended(name: str) -> None:
    verdict = run(REGRESSIONS[name])
    assert not verdict.wrong, "\n".join(verdict.wrong)


def test_a_seed_goes_the_same_way_every_time() -> None:
    once, again = (run(script_of(7)) for _ in range(2))
    assert once == again


def test_a_script_is_plain_values_of_which_any_can_be_left_out() -> None:
    script = script_of(7)
    assert isinstance(script, Script)
    assert script_of(7) == script
    left = script.without(frozenset({0, 2}))
    assert len(left.acts) == len(script.acts) - 2
    assert set(left.acts) <= set(script.acts)
    assert not run(script.without(frozenset(range(len(script.acts))))).wrong
