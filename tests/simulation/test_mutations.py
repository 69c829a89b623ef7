"""The simulator can fail: each deliberate fault of the product is noticed within a stated number of seeds."""

from __future__ import annotations

import logging

import pytest

from simulation.mutations import MUTATIONS, Mutation
from simulation.script import script_of
from simulation.seeds import run


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_deliberate_fault_is_noticed(mutation: Mutation) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with mutation.applied():
            noticed = next((seed for seed in range(mutation.within) if run(script_of(seed)).wrong), None)
    finally:
        logging.disable(logging.NOTSET)
    assert noticed is not None, f"not noticed in {mutation.within} seeds"
