"""The promises about created runs: each is followed to its end, whatever happens to processes and to the API."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.argo.memory import MemoryWorkflowApi
from bridge.cluster.watch import Away
from bridge.core.event import HOUR
from bridge.core.runs.run import RunFacts, RunPhase
from bridge.core.trigger import RunLimits
from bridge.kafka.log import AbortableError
from bridge.kafka.observer import Unobserved
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.shared.run_records import KEPT_PARAMETERS, decode_facts
from bridge.stages.submitter.ledger import followed_runs
from unit.stages.world import Process, World, one_slot

MAPPED = (("order", "order_created.payload.order"),)


def world(**settings: Any) -> World:
    """Return a world with a trigger on one event, whose runs take the parameter ``order``."""
    made = World(one_slot(parameters=MAPPED))
    made.submitter = replace(made.submitter, **settings)
    return made


def started(in_world: World) -> Process:
    """Start a process, and return it once its triggers are in force."""
    process = in_world.start()
    in_world.run(3)
    return process


def publish(in_world: World, *orders: str) -> None:
    for order in orders:
        in_world.publish("order.created", {"order": order})


def written(in_world: World) -> Counter[str]:
    """Return how many records the ledger got of each phase."""
    entries = [LEDGER_ENTRY.decode(record.value) for record in in_world.records(in_world.topics.ledger) if record.value]
    facts = [decode_facts(entry["run"]) for entry in entries if entry["state"] == "done"]
    return Counter(fact.phase for fact in facts if fact is not None and fact.phase is not None)


def last(in_world: World) -> dict[str, RunFacts]:
    """Return what the ledger has of each run in the end, by its parameter."""
    found = {}
    for record in in_world.records(in_world.topics.ledger):
        entry = LEDGER_ENTRY.decode(record.value or b"")
        facts = decode_facts(entry["run"]) if entry["state"] == "done" else None
        if facts is not None:
            found[dict(facts.parameters or ())["order"]] = facts
    return found


def finish(in_world: World, phase: str = "Succeeded") -> None:
    for workflow in in_world.api.workflows():
        in_world.api.finish(workflow.namespace, workflow.name, phase)


@pytest.mark.parametrize(
    ("argo", "phase"),
    [("Succeeded", RunPhase.SUCCEEDED), ("Failed", RunPhase.FAILED), ("Error", RunPhase.ERROR)],
)
def test_the_ledger_has_the_end_of_a_run_with_its_parameters_and_time(argo: str, phase: RunPhase) -> None:
    here = world()
    started(here)
    publish(here, "7")
    here.run(3)
    before = last(here)["7"]
    assert (before.phase, before.ended, before.parameters) == (RunPhase.RUNNING, None, (("order", "7"),))
    finish(here, argo)
    ended = here.now
    here.run(2)
    after = last(here)["7"]
    assert after.phase is phase
    assert after.ended is not None
    assert ended <= after.ended <= here.now
    assert after._replace(phase=before.phase, ended=None) == before
    assert len(here.processes[0].stage("submitter").followed) == 0


def test_a_running_phase_is_no_end() -> None:
    here = world()
    started(here)
    publish(here, "7")
    here.run(3)
    finish(here, "Running")
    here.run(3)
    assert written(here) == {RunPhase.RUNNING: 1}


@pytest.mark.parametrize("is_kill", [True, False])
def test_a_run_that_ends_while_no_process_runs_has_its_end_recorded_by_the_next(is_kill: bool) -> None:  # noqa: FBT001
    here = world()
    process = started(here)
    publish(here, "1", "2", "3")
    here.run(3)
    process.crash() if is_kill else process.stop()
    finish(here)
    here.start("p2")
    here.run(30)
    assert {order: facts.phase for order, facts in last(here).items()} == dict.fromkeys("123", RunPhase.SUCCEEDED)
    assert written(here)[RunPhase.SUCCEEDED] == 3


def test_a_workflow_that_was_deleted_before_its_end_was_seen_is_gone() -> None:
    here = world()
    process = started(here)
    publish(here, "1", "2")
    here.run(3)
    first, second = here.api.workflows()
    here.api.delete("default", first.name)
    here.run(2)
    process.stop()
    here.api.delete("default", second.name)
    here.start("p2")
    here.run(30)
    assert {facts.phase for facts in last(here).values()} == {RunPhase.GONE}


def test_a_workflow_that_ends_before_its_creation_is_recorded_is_recorded_as_ended() -> None:
    here = world()
    started(here)
    publish(here, "0")
    here.run(3)
    process = here.processes[0]

    def end_it() -> None:
        finish(here)
        process.stage("submitter").followed.look()

    process.at("after create", end_it)
    publish(here, "1")
    here.run(3)
    assert {order: facts.phase for order, facts in last(here).items()} == dict.fromkeys("01", RunPhase.SUCCEEDED)


def test_the_end_of_a_run_is_recorded_once_although_the_process_is_killed_while_it_records_it() -> None:
    here = world()
    process = started(here)
    publish(here, "1")
    here.run(3)
    finish(here)
    process.at("before commit", process.kill_here)
    here.run(2)
    assert process.is_dead
    here.start("p2")
    here.run(30)
    assert last(here)["1"].phase is RunPhase.SUCCEEDED
    assert written(here) == {RunPhase.RUNNING: 1, RunPhase.SUCCEEDED: 1}


class Listening(Unobserved):
    """Keeps what it hears of live runs and their ends."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.ends: Counter[tuple[str, str]] = Counter()
        self.still_followed = -1

    def started(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def followed(self, runs: int) -> None:
        self.still_followed = runs

    def ended(self, trigger: str, phase: str) -> None:
        self.ends[trigger, phase] += 1


def test_an_observer_hears_once_how_a_run_began_and_ended_also_if_recording_its_end_is_aborted() -> None:
    here = world()
    here.observer = heard = Listening()
    process = started(here)
    publish(here, "1", "2")
    here.run(3)
    assert len(heard.seconds) == 2
    assert all(0 <= seconds < 10 for seconds in heard.seconds)
    assert (heard.still_followed, heard.ends) == (2, Counter())
    first, second = here.api.workflows()
    here.api.finish("default", first.name, "Succeeded")
    here.api.finish("default", second.name, "Failed")

    def abort() -> None:
        raise AbortableError("the coordinator moved")

    process.at("before commit", abort)
    here.run(30)
    (identity,) = {trigger.identity for trigger in here.triggers}
    assert heard.ends == {(identity, "succeeded"): 1, (identity, "failed"): 1}
    assert (heard.still_followed, len(heard.seconds)) == (0, 2)


class Barred(MemoryWorkflowApi):
    """A cluster whose Workflows cannot be watched."""

    away = Away("connection refused")

    def watch_phases(self, namespace: str) -> Any:
        del namespace
        return SimpleNamespace(lists_begun=0, take=lambda: self.away, list_again=lambda: None, stop=lambda: None)


def test_a_refusal_to_watch_is_a_warning_a_minute_and_an_outage_is_none(caplog: pytest.LogCaptureFixture) -> None:
    here = world()
    here.api = barred = Barred(clock=lambda: here.now / 1_000_000)
    barred.add_template("default", here.triggers[0].run.template, defaults=("order", "amount"))
    started(here)
    publish(here, "7")
    here.run(90)

    def warnings() -> int:
        return sum("cannot be watched" in record.getMessage() for record in caplog.records)

    assert warnings() == 0
    barred.away = Away("403 Forbidden: no right", is_lasting=True)
    here.run(3)
    assert warnings() == 1
    here.run(90)
    assert warnings() == 2


def test_no_more_runs_are_followed_than_the_bound_and_none_by_zero() -> None:
    here = world(followed_runs=2)
    started(here)
    publish(here, "1", "2", "3")
    here.run(3)
    assert Counter(facts.phase for facts in last(here).values()) == {RunPhase.RUNNING: 2, RunPhase.UNKNOWN: 1}
    none = world(followed_runs=0)
    started(none)
    publish(none, "1")
    none.run(3)
    finish(none)
    none.run(3)
    assert last(none)["1"].phase is RunPhase.UNKNOWN


def test_a_workflow_of_another_that_carries_our_run_key_ends_no_run() -> None:
    here = world()
    started(here)
    publish(here, "1")
    here.run(3)
    (ours,) = here.api.workflows()
    metadata = {**ours.manifest["metadata"], "name": "forged"}
    here.api.create({**ours.manifest, "metadata": metadata}, timeout=1)
    here.api.finish("default", "forged", "Failed")
    here.run(3)
    assert last(here)["1"].phase is RunPhase.RUNNING


def test_ends_are_recorded_after_the_api_server_was_away() -> None:
    here = world()
    started(here)
    publish(here, *map(str, range(50)))
    here.run(5)
    here.api.cut()
    here.run(10)
    finish(here)
    here.run(10)
    assert written(here)[RunPhase.SUCCEEDED] == 0
    here.api.mend()
    here.run(5)
    assert written(here)[RunPhase.SUCCEEDED] == 50


def test_ends_that_nothing_follows_are_forgotten_beyond_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_runs, "EARLY_ENDS", 5)
    here = world()
    process = started(here)
    publish(here, "1")
    here.run(3)
    (ours,) = here.api.workflows()
    for number in range(20):
        metadata = {**ours.manifest["metadata"], "name": f"other-{number}", "annotations": {}}
        here.api.create({**ours.manifest, "metadata": metadata}, timeout=1)
        here.api.finish("default", f"other-{number}")
    here.run(3)
    assert len(process.stage("submitter").followed._early) == 5


def test_a_run_counts_once_for_its_limits_after_its_end_was_recorded() -> None:
    here = World(one_slot(parameters=MAPPED, limits=RunLimits(rate=2, per=HOUR)))
    process = started(here)
    publish(here, "1")
    here.run(3)
    finish(here)
    here.run(3)
    process.stop()
    here.start("p2")
    publish(here, "2", "3")
    here.run(30)
    assert sorted(workflow["order"] for workflow in here.workflows()) == ["1", "2"]


def test_large_parameters_are_not_kept() -> None:
    here = world()
    started(here)
    publish(here, "x" * (KEPT_PARAMETERS + 1))
    here.run(3)
    entries = [LEDGER_ENTRY.decode(record.value) for record in here.records(here.topics.ledger) if record.value]
    (facts,) = [decode_facts(entry["run"]) for entry in entries if entry["state"] == "done"]
    assert facts is not None
    assert (facts.phase, facts.parameters) == (RunPhase.RUNNING, None)
