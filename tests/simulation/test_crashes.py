"""Whatever is killed or stopped, before or after whichever effect: every expected run exists once, and none besides."""

from __future__ import annotations

import os

import pytest

from simulation.crashes import Crashes

_ONE = os.environ.get("FLOWBRIDGE_SEED")
SEEDS = [int(_ONE)] if _ONE else list(range(200))
_TOGETHER = 20


@pytest.mark.parametrize("first", SEEDS[::_TOGETHER])
def test_every_expected_run_exists_once_whatever_is_killed_or_stopped(first: int) -> None:
    for seed in SEEDS[SEEDS.index(first) :][:_TOGETHER]:
        repeat = f"FLOWBRIDGE_SEED={seed} uv run pytest tests/simulation/test_crashes.py"
        crashes = Crashes(seed)
        try:
            crashes.run()
        except Exception as error:
            raise AssertionError(f"repeat by: {repeat}") from error
        missing, besides = crashes.expected() - crashes.created(), crashes.created() - crashes.expected()
        assert not missing, f"missing {dict(missing)}; repeat by: {repeat}"
        assert not besides, f"created besides {dict(besides)}; repeat by: {repeat}"
        assert crashes.world.letters() == [], f"repeat by: {repeat}"
