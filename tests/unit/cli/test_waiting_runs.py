"""A run that waits is called so, with its reason: in the lines of ``dev`` and in ``status``."""

from __future__ import annotations

import pytest

from bridge.cli.dev.decision_lines import DecisionLines, decision_text
from bridge.cli.output import Output
from bridge.cli.status import _runs
from bridge.core.decision import RunDecision
from bridge.core.event import DAY
from bridge.core.trigger import RunLimits
from bridge.kafka.memory.log import MemoryLog
from unit.stages.world import World, one_slot

TOPIC = "order.created"


@pytest.fixture
def world() -> World:
    """A trigger with a rate of one run a day, and three events for it."""
    world = World(one_slot(limits=RunLimits(rate=1, per=DAY)))
    world.start()
    world.run(3)
    for number in range(3):
        world.publish(TOPIC, {"order": str(number)})
        world.run(5)
    return world


def test_runs_beyond_a_rate_are_shown_as_waiting_for_it_and_have_not_ended(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [decision for decision in world.decisions if isinstance(decision, RunDecision)]
    assert [str(run.reason) for run in runs].count("waiting") == 2
    assert "retrying" not in {str(run.reason) for run in runs}
    lines = DecisionLines(Output(as_json=False))
    lines.show("submitter", runs)
    assert lines.runs_ended() == 1
    assert capsys.readouterr().out.count("waits_for: rate") == 2
    waiting = next(run for run in runs if run.reason == "waiting")
    assert " waiting " in decision_text("submitter", waiting)


def test_status_counts_runs_that_wait_by_trigger_and_reason(world: World) -> None:
    log = MemoryLog(world.broker)
    counts, waiting, refused = _runs(log.reader(), log.admin(), world.topics, world.topics.partitions)
    assert counts == {"created": 1, "parked": 2}
    assert waiting == {("default/ship", "rate"): 2}
    assert refused == {}
