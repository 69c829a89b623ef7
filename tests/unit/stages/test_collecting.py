"""What the garbage collector is spared, and that it works again afterwards."""

import gc

import pytest

from bridge.stages.collecting import LARGE, building_state


@pytest.mark.parametrize(("number", "is_left_alone"), [(LARGE // 2, False), (2 * LARGE, True)])
def test_the_collector_rests_while_state_is_built_and_leaves_alone_what_is_large(
    number: int,
    is_left_alone: bool,  # noqa: FBT001 - a case of the test
) -> None:
    before = gc.get_freeze_count()
    with building_state():
        assert not gc.isenabled()
        built = [[one] for one in range(number)]
    assert gc.isenabled()
    assert (gc.get_freeze_count() - before >= len(built)) == is_left_alone
    gc.unfreeze()


def test_the_collector_works_again_whatever_happens_and_whoever_else_builds() -> None:
    with pytest.raises(ValueError, match="damaged"), building_state():  # noqa: PT012 - two builders, one of which fails
        with building_state():
            pass
        raise ValueError("damaged")
    assert gc.isenabled()
