"""The simulator can fail: each deliberate fault of the product is noticed within a stated number of seeds.

The scripts of regressions come first: a fault that one of them notices costs no seeds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from simulation.mutations import MUTATIONS, REPLAYS, Mutation
from simulation.regressions import REGRESSIONS
from simulation.replay_acts import seeds_with_replays
from simulation.scenes import seeds_of
from simulation.script import Script, script_of
from simulation.seeds import run


def _scripts(mutation: Mutation) -> Iterator[Script]:
    yield from REGRESSIONS.values()
    if mutation.scene == REPLAYS:
        yield from map(script_of, seeds_with_replays(mutation.within))
    elif mutation.scene:
        yield from map(script_of, seeds_of(mutation.scene, mutation.within))
    else:
        yield from map(script_of, range(mutation.within))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_deliberate_fault_is_noticed(mutation: Mutation) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with mutation.applied() as errors:
            noticed = any(run(script).wrong for script in _scripts(mutation))
    finally:
        logging.disable(logging.NOTSET)
    assert not errors, "the deliberate fault does not fit the product any more"
    assert noticed, f"not noticed in {mutation.within} seeds {mutation.scene}"
