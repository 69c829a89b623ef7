"""What the garbage collector is spared, and that it works again afterwards."""

import gc

import pytest

from bridge.stages.collecting import building_state


def test_the_collector_rests_while_state_is_built_and_leaves_it_alone_afterwards() -> None:
    before = gc.get_freeze_count()
    with building_state():
        assert not gc.isenabled()
        built = [[number] for number in range(1_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() - before >= len(built)
    gc.unfreeze()


def test_the_collector_works_again_whatever_happens_and_whoever_else_builds() -> None:
    with pytest.raises(ValueError, match="damaged"), building_state():  # noqa: PT012 - two builders, one of which fails
        with building_state():
            pass
        raise ValueError("damaged")
    assert gc.isenabled()
    gc.unfreeze()
