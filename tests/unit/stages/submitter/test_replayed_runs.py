"""Runs of a replay in the submitter: behind live runs, for no limit of their trigger, and not after a cancel.

What the ledger keeps of a run that has ended is what a replay reads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.argo.manifest import REPLAY as REPLAY_LABEL
from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, Fault
from bridge.core.decision import RunDecision
from bridge.core.event import HOUR, MINUTE, SECOND, EventIdentity
from bridge.core.runs.identity import run_key_of, workflow_name
from bridge.core.runs.run import Run, RunFacts, RunPhase
from bridge.core.trigger import RunLimits, RunPlan, Schedule, Trigger, WindowPlan
from bridge.core.windows.kinds.all_kinds import KINDS
from bridge.kafka.internal_topics import partition_of
from bridge.kafka.records import LEDGER_ENTRY, REPLAY
from bridge.settings.groups import SubmitterSettings
from bridge.stages.shared.run_records import decode_facts, decode_run, encode_run
from unit.stages.world import BEGIN, World, one_slot, two_slots

MAPPED = (("order", "order_created.payload.order"),)


def replayed(number: int, trigger: Trigger, **fields: Any) -> Run:
    """Return a run that the replay ``gap`` asks for."""
    run_key = run_key_of("fb.", trigger.identity, "", (f"replayed-{number}",))
    return Run(
        run_key,
        trigger.identity,
        trigger.definition_hash,
        "",
        "default",
        workflow_name("ship", run_key),
        "ship",
        (("order", f"replayed-{number}"),),
        None,
        (),
        (),
        (("order_created", EventIdentity("order.created", "tests", f"old-{number}")),),
        BEGIN - HOUR,
        BEGIN - HOUR,
        **{"replay": "gap", **fields},
    )


def send(world: World, *runs: Run) -> None:
    for run in runs:
        place = partition_of(run.trigger, world.topics.partitions)
        world.broker.append(world.topics.runs, place, run.run_key.encode(), encode_run(run), [])


def write_state(world: World, state: str) -> None:
    texts = ("name", "trigger", "definition", "spec", "request", "reads", "who", "why", "text")
    numbers = ("created_at", "advanced_at", "partition", "plan_start", "plan_end", "position", "ledger_from", "planned")
    fields = {**dict.fromkeys(texts, ""), **dict.fromkeys((*numbers, "rate", "concurrency"), 0)}
    value = REPLAY.encode({**fields, "name": "gap", "state": state, "found": {}, "counts": {}})
    world.broker.append(world.topics.replays, 0, b"gap", value, [])


def ran(world: World) -> list[str]:
    return [workflow["order"] for workflow in world.workflows()]


def entries(world: World) -> dict[str, dict[str, Any]]:
    """Return the last entry of each run, by its key."""
    last: dict[str, dict[str, Any]] = {}
    for record in world.records(world.topics.ledger):
        assert record.key is not None
        last.pop(record.key.decode(), None)
        if record.value is not None:
            last[record.key.decode()] = LEDGER_ENTRY.decode(record.value)
    return last


def test_a_replayed_run_is_read_as_it_was_written() -> None:
    live = replayed(1, one_slot(), replay="")
    assert decode_run(encode_run(live)) == live
    again = live._replace(replay="gap", repeats="k" * 52)
    assert decode_run(encode_run(again)) == again
    assert encode_run(live) in encode_run(again), "a version that knows no replays reads live runs as before"


def test_the_ledger_keeps_the_facts_about_a_run_that_has_ended() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "7"}, id="o", ago=3 * SECOND)
    world.publish("payment.done", {"order": "7", "amount": "1"}, id="p", ago=2 * SECOND)
    reached = world.now
    world.run(3)
    ((run_key, entry),) = entries(world).items()
    assert entry["state"] == "done"
    (workflow,) = world.created
    assert entry["workflow"] == f"default/{workflow.name}"
    assert workflow.run_key == run_key
    filled = (
        ("order", EventIdentity("order.created", "tests", "o")),
        ("payment", EventIdentity("payment.done", "tests", "p")),
    )
    definition = world.triggers[0].definition_hash
    facts = decode_facts(entry["run"])
    assert facts is not None
    assert facts.phase is RunPhase.RUNNING
    bare = facts._replace(phase=None, parameters=None)
    assert bare == RunFacts(definition, "7", filled, reached - 2 * SECOND, reached)


def test_an_entry_of_version_0_1_0_has_no_facts() -> None:
    assert decode_facts(None) is None


@pytest.mark.parametrize("collect", ["latest", "all"])
def test_the_ledger_keeps_the_calendar_window_of_a_match(collect: Any) -> None:
    window = WindowPlan("every", schedule=Schedule(every=HOUR))
    world = World(replace(two_slots(), window=window, collect=collect, run=RunPlan("ship", "default")))
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "7"})
    world.publish("payment.done", {"order": "7"})
    happened = world.now
    world.run(4_000, 20)
    (entry,) = entries(world).values()
    facts = decode_facts(entry["run"])
    assert facts is not None
    assert facts.frame == (happened // HOUR * HOUR, (happened // HOUR + 1) * HOUR)
    assert facts.event_time == happened


def test_each_kind_tells_the_calendar_window_of_a_match_or_that_it_has_none() -> None:
    window = WindowPlan("every", schedule=Schedule(every=HOUR))
    calendar = replace(two_slots(), window=window)
    assert KINDS["every"].frame(calendar, 5 * HOUR, is_empty=False) == (5 * HOUR, 6 * HOUR)
    assert KINDS["every"].frame(calendar, 5 * HOUR, is_empty=True) == (4 * HOUR, 5 * HOUR)
    others = KINDS.keys() - {"every", "until"}
    assert {KINDS[name].frame(two_slots(), 5 * HOUR, is_empty=False) for name in others} == {None}


def test_a_run_of_a_replay_waits_until_no_live_run_may_start() -> None:
    trigger = one_slot(parameters=MAPPED)
    world = World(trigger)
    world.submitter = SubmitterSettings(outcome_pace=0, concurrency=1)
    world.start()
    world.run(3)
    world.api.cut()
    send(world, *[replayed(number, trigger) for number in range(3)])
    world.run(1)
    for number in range(3):
        world.publish("order.created", {"order": f"live-{number}"})
    world.run(5)
    assert ran(world) == []
    world.api.mend()
    world.run(60)
    assert sorted(ran(world)) == sorted([f"{kind}-{number}" for kind in ("live", "replayed") for number in range(3)])
    after_the_first = ran(world)[1:]  # a probe of the API server was the turn of the run that it had before
    live = [place for place, order in enumerate(after_the_first) if order.startswith("live")]
    assert live == list(range(len(live)))


@pytest.mark.parametrize("dies", [False, True])
def test_runs_of_a_replay_count_for_no_limit_of_their_trigger(dies: bool) -> None:  # noqa: FBT001
    limits = RunLimits(rate=1, per=10 * MINUTE, storm=5, storm_within=HOUR)
    trigger = one_slot(parameters=MAPPED, limits=limits)
    world = World(trigger)
    process = world.start()
    world.run(3)
    send(world, *[replayed(number, trigger) for number in range(20)])
    world.run(3)
    assert len(ran(world)) == 20
    if dies:
        process.crash()
        world.start("p2")
        world.run(10)
    world.publish("order.created", {"order": "live"})
    world.run(3)
    assert ran(world)[20:] == ["live"]


def test_a_run_that_limits_keep_back_does_not_keep_back_a_replay() -> None:
    trigger = one_slot(parameters=MAPPED, limits=RunLimits(rate=1, per=HOUR))
    world = World(trigger)
    world.start()
    world.run(3)
    for number in range(3):
        world.publish("order.created", {"order": str(number)})
    world.run(3)
    send(world, replayed(1, trigger))
    world.run(3)
    assert ran(world) == ["0", "replayed-1"]


@pytest.mark.parametrize("dies", [False, True])
def test_after_a_cancel_no_run_of_the_replay_starts_and_each_has_a_decision(dies: bool) -> None:  # noqa: FBT001
    trigger = one_slot(parameters=MAPPED)
    world = World(trigger)
    process = world.start()
    world.run(3)
    world.api.set_quota("default", 0)
    send(world, *[replayed(number, trigger) for number in range(4)])
    world.run(2)
    write_state(world, "cancelled")
    world.run(2)
    world.api.set_quota("default", None)
    if dies:
        process.crash()
        world.start("p2")
    send(world, replayed(4, trigger), replayed(5, trigger, replay="another"))
    world.publish("order.created", {"order": "live"})
    world.run(400, 1)
    assert sorted(ran(world)) == ["live", "replayed-5"]
    skipped = [
        decision for decision in world.decisions if isinstance(decision, RunDecision) and decision.reason == "skipped"
    ]
    assert len({decision.run_key for decision in skipped}) == 5
    assert {decision.evidence["because"] for decision in skipped} == {"its replay was cancelled"}
    assert not {decision.run_key for decision in skipped} & entries(world).keys(), "a later replay may make them"
    send(world, *[replayed(number, trigger, replay="later") for number in range(5)])
    world.run(5)
    assert sorted(ran(world)) == ["live", *[f"replayed-{number}" for number in range(6)]]


@pytest.mark.parametrize("fault", [LOST_REQUEST, LOST_ANSWER])
def test_a_run_in_doubt_is_looked_for_after_a_cancel_and_not_created(fault: Fault) -> None:
    trigger = one_slot(parameters=MAPPED)
    world = World(trigger)
    world.start()
    world.run(3)
    world.api.fail_next(*[fault] * (3 if fault is LOST_ANSWER else 40))
    send(world, *[replayed(number, trigger) for number in range(3)])
    world.run(0.5)
    made = 3 if fault is LOST_ANSWER else 0
    assert len(world.created) == made
    write_state(world, "cancelled")
    world.run(1_000, 5)
    world.api._faults.clear()
    assert len(world.created) == made
    assert [entry["state"] for entry in entries(world).values()] == ["done"] * made
    send(world, *[replayed(number, trigger, replay="later") for number in range(3)])
    world.run(5)
    assert sorted(ran(world)) == [f"replayed-{number}" for number in range(3)]


def test_runs_that_were_put_off_are_forgotten_soon_after_a_cancel() -> None:
    trigger = one_slot(parameters=MAPPED)
    world = World(trigger)
    world.start()
    world.run(3)
    world.api.set_quota("default", 0)
    send(world, *[replayed(number, trigger) for number in range(4)])
    world.run(300, 1)  # the pauses between two tries have grown
    write_state(world, "cancelled")
    world.run(3)
    assert not entries(world)


def test_the_workflow_the_ledger_and_the_decision_name_the_replay() -> None:
    trigger = one_slot(parameters=MAPPED)
    world = World(trigger)
    world.start()
    world.run(3)
    send(world, replayed(1, trigger, repeats="k" * 52))
    world.run(3)
    (workflow,) = world.created
    assert workflow.manifest["metadata"]["labels"][REPLAY_LABEL] == "gap"
    (entry,) = entries(world).values()
    facts = decode_facts(entry["run"])
    assert facts is not None
    assert (facts.replay, facts.repeats) == ("gap", "k" * 52)
    (created,) = [decision for decision in world.decisions if isinstance(decision, RunDecision)]
    assert created.evidence["replay"] == "gap"
