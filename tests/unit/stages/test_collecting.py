"""When the garbage collector works, what it is spared, and that it works again afterwards."""

import gc

import pytest

from bridge.stages.collecting import LARGE, Collector, building_state


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


def test_a_collector_on_our_terms_works_only_between_batches_when_much_was_made() -> None:
    collector = Collector()
    collector.take_over()
    try:
        rounds = _rounds()
        batch = [[one] for one in range(LARGE)]
        assert _rounds() == rounds
        collector.between_batches()
        assert _rounds() == [rounds[0] + 1, *rounds[1:]]
        del batch
        collector.between_batches()
        assert _rounds() == [rounds[0] + 1, *rounds[1:]]
    finally:
        collector.hand_back()
    assert gc.isenabled()


def test_now_and_then_the_collector_looks_at_everything() -> None:
    now = 0.0
    collector = Collector(lambda: now)
    collector.take_over()
    try:
        rounds = _rounds()
        collector.between_batches()
        assert _rounds()[2] == rounds[2]
        now = 3_600.0
        collector.between_batches()
        collector.between_batches()
        assert _rounds()[2] == rounds[2] + 1
    finally:
        collector.hand_back()


def _rounds() -> list[int]:
    return [generation["collections"] for generation in gc.get_stats()]
