"""The simulator can fail: each deliberate fault of the product is noticed within a stated number of seeds.

The scripts of regressions come first: a fault that one of them notices costs no seeds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from simulation.mutations import MUTATIONS, Mutation
from simulation.regressions import REGRESSIONS
from simulation.script import Script, script_of
from simulation.seeds import run


def _scripts(seeds: int) -> Iterator[Script]:
    yield from REGRESSIONS.values()
    yield from map(script_of, range(seeds))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_deliberate_fault_is_noticed(mutation: Mutation) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with mutation.applied():
            noticed = any(run(script).wrong for script in _scripts(mutation.within))
    finally:
        logging.disable(logging.NOTSET)
    assert noticed, f"not noticed in {mutation.within} seeds"
