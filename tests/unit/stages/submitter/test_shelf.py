"""Runs that wait on disk."""

from __future__ import annotations

from random import Random

import pytest

from bridge.argo.doubt import Doubt
from bridge.core.event import DAY, HOUR, SECOND, Micros
from bridge.stages.submitter.open_run import OpenRun, RunState
from bridge.stages.submitter.waiting_runs import WaitingRuns
from unit.stages.submitter.ledger.test_ledger_restoring import NOW, run


def waiting(number: int, *, since: Micros = NOW, due: Micros | None = None, start_by: Micros | None = None) -> OpenRun:
    return OpenRun(run(number)._replace(start_by=start_by), 7, since, due=due, written=NOW)


def keys(runs: list[OpenRun]) -> list[str]:
    return [run.run.run_key for run in runs]


def numbered(*numbers: int) -> list[str]:
    return [run(number).run_key for number in numbers]


def test_runs_come_back_whole_in_the_order_in_which_they_were_taken_up() -> None:
    waiting_runs = WaitingRuns(7)
    laid = [waiting(number, since=NOW + number) for number in range(50)]
    for laid_run in Random(1).sample(laid, 50):
        waiting_runs.put(laid_run)
    assert len(waiting_runs) == 50
    found = waiting_runs.take_next("default/ship", 20, 10**6) + waiting_runs.take_next("default/ship", 100, 10**6)
    assert keys(found) == keys(laid)
    assert [(run.partition, run.since, run.written, run.state) for run in found] == [
        (7, NOW + number, NOW, RunState.QUEUED) for number in range(50)
    ]
    assert [run.run for run in found] == [run.run for run in laid]
    assert (len(waiting_runs), waiting_runs.take_next("default/ship", 1, 1)) == (0, [])


def test_a_run_can_be_laid_before_all_others() -> None:
    waiting_runs = WaitingRuns(7)
    waiting_runs.put(waiting(1))
    waiting_runs.put(waiting(2, since=NOW + SECOND), first=True)
    assert keys(waiting_runs.take_next("default/ship", 9, 10**6)) == numbered(2, 1)


def test_a_turn_takes_at_least_one_run_and_about_as_many_bytes_as_there_is_room_for() -> None:
    waiting_runs = WaitingRuns(7)
    size = sum(waiting_runs.put(waiting(number, since=NOW + number)) for number in range(10)) // 10
    assert keys(waiting_runs.take_next("default/ship", 9, 1)) == numbered(0)
    assert keys(waiting_runs.take_next("default/ship", 9, 3 * size)) == numbered(1, 2, 3)


def test_a_run_that_is_put_off_has_no_turn_and_comes_back_when_it_is_due() -> None:
    waiting_runs = WaitingRuns(7)
    for number in (3, 1, 2):
        waiting_runs.put(waiting(number, due=NOW + number * SECOND))
    assert waiting_runs.take_next("default/ship", 9, 10**6) == []
    assert waiting_runs.next_wake() == NOW + SECOND
    assert keys(waiting_runs.take_due(NOW + 2 * SECOND, 9)) == numbered(1, 2)
    assert waiting_runs.next_wake() == NOW + 3 * SECOND
    assert keys(waiting_runs.take_due(NOW + DAY, 9)) == numbered(3)
    assert waiting_runs.next_wake() > NOW + 1_000 * DAY


def test_a_run_comes_back_when_it_is_too_late_to_start() -> None:
    waiting_runs = WaitingRuns(7)
    waiting_runs.put(waiting(1, start_by=NOW + SECOND))
    waiting_runs.put(waiting(2, due=NOW + DAY, start_by=NOW + 2 * SECOND))
    assert keys(waiting_runs.take_due(NOW + 2 * SECOND, 9)) == numbered(1, 2)


def test_a_run_under_an_intent_comes_back_doubtful() -> None:
    waiting_runs = WaitingRuns(7)
    laid = waiting(1, due=NOW, start_by=NOW - DAY)
    laid.intent, laid.started, laid.attempts, laid.refused = NOW - SECOND, NOW, 3, NOW - DAY
    laid.doubt = Doubt(NOW - SECOND, NOW, HOUR)
    waiting_runs.put(laid)
    (found,) = waiting_runs.take_due(NOW, 9)
    assert (found.state, found.intent, found.started) == (RunState.DOUBTFUL, NOW - SECOND, NOW)
    assert found.doubt == laid.doubt
    assert (found.attempts, found.refused) == (3, NOW - DAY)


def test_entries_that_were_written_long_ago_are_told_until_they_are_written_again() -> None:
    waiting_runs = WaitingRuns(7)
    for number in range(5):
        laid = waiting(number)
        laid.written = NOW - number * DAY
        waiting_runs.put(laid)
    assert keys(waiting_runs.stale(NOW - 2 * DAY, 9)) == numbered(4, 3)
    waiting_runs.rewritten(numbered(4), NOW)
    assert keys(waiting_runs.stale(NOW - 2 * DAY, 9)) == numbered(3)
    assert len(waiting_runs) == 5


def test_what_waits_is_told_by_lane() -> None:
    waiting_runs = WaitingRuns(7)
    waiting_runs.put(waiting(1))
    waiting_runs.put(waiting(2, due=NOW))
    waiting_runs.put(OpenRun(run(3, "default/other"), 7, NOW))
    found = {waits.lane: (waits.queued, waits.put_off) for waits in waiting_runs.waiting()}
    assert found == {"default/ship": (1, 1), "default/other": (1, 0)}
    assert waiting_runs.latest("default/ship", "d" * 20, 9) == [NOW, NOW]
    assert waiting_runs.latest("default/ship", "another", 9) == []


@pytest.mark.parametrize("number", [1, 2])
def test_a_shelf_knows_what_lies_on_it(number: int) -> None:
    waiting_runs = WaitingRuns(7)
    assert run(number).run_key not in waiting_runs
    waiting_runs.put(waiting(1))
    assert (run(number).run_key in waiting_runs) == (number == 1)
