"""The promises of run.limits, as rules over moments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.runs.limits import Brake, Wait, look_back
from bridge.core.trigger import RunLimits

moments = st.lists(st.integers(0, 100), max_size=30).map(sorted)


@given(moments, st.integers(1, 5), st.integers(1, 20))
def test_never_more_than_the_rate_start_in_any_stretch_of_its_time(asked: list[int], rate: int, per: int) -> None:
    brake, starts = Brake(RunLimits(rate=rate, per=per)), []
    now = 0
    for moment in asked:
        now = max(now, moment)
        while (wait := brake.wait(now)) is not None:
            assert wait.why == "rate"
            assert wait.until > now
            now = wait.until
        brake.start(now)
        starts.append(now)
    for begin in starts:
        assert sum(begin <= start < begin + per for start in starts) <= rate


def test_a_start_that_came_to_nothing_is_given_back() -> None:
    brake = Brake(RunLimits(rate=1, per=10))
    brake.start(5)
    assert brake.wait(6) == Wait("rate", 15)
    brake.give_back(5)
    assert brake.wait(6) is None


def test_more_than_the_storm_hold_until_no_more_than_that_lie_in_its_time() -> None:
    brake = Brake(RunLimits(storm=2, storm_within=10))
    brake.ask(0)
    brake.ask(4)
    assert brake.wait(4) is None
    brake.ask(5)
    assert brake.wait(5) == Wait("storm", 10)
    brake.ask(9)  # it goes on: held for longer
    assert brake.wait(10) == Wait("storm", 14)
    assert brake.wait(14) is None


def test_an_edit_lifts_the_hold_and_leaves_the_rate_counted() -> None:
    limits = RunLimits(rate=1, per=10, storm=1, storm_within=100)
    brake = Brake(limits, asked=[1, 2], started=[2])
    assert brake.wait(3) == Wait("storm", 101)
    assert brake.changed(limits).wait(3) == Wait("rate", 12)


@given(moments, moments, st.integers(0, 120))
def test_what_the_ledger_gives_back_in_any_order_counts_as_before(
    asked: list[int], started: list[int], at: int
) -> None:
    limits = RunLimits(rate=3, per=10, storm=4, storm_within=10)
    live = Brake(limits)
    for moment in asked:
        live.ask(moment)
    for moment in started:
        live.start(moment)
    back = at - look_back(limits)
    kept = [[moment for moment in reversed(some) if moment > back] for some in (asked, started)]
    assert (Brake(limits, *kept).wait(at) is None) == (live.wait(at) is None)


def test_a_trigger_without_limits_never_waits() -> None:
    brake = Brake(RunLimits())
    for moment in range(1_000):
        brake.ask(moment)
        brake.start(moment)
    assert brake.wait(0) is None
    assert look_back(RunLimits()) == 0
