"""Each outcome of a create, through the whole stage: what is done about it, and what it costs the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, REFUSED_CONNECTION, Fault, answered
from bridge.argo.workflow import RUN_KEY
from bridge.cluster.responses import Plain, Response, Unknown
from bridge.core.decision import RunDecision, RunReason
from bridge.core.event import DAY, HOUR, MINUTE
from bridge.core.trigger import RunLimits
from bridge.kafka.records import LEDGER_ENTRY
from bridge.settings.groups import SubmitterSettings
from unit.stages.world import Process, World, one_slot

MAPPED = (("order", "order_created.payload.order"),)


def begun(prompt_runs: int = SubmitterSettings.prompt_runs, **run: Any) -> tuple[World, Process]:
    world = World(one_slot(**(run or {"parameters": MAPPED})))
    world.submitter = replace(world.submitter, prompt_runs=prompt_runs)
    process = world.start()
    world.run(3)
    return world, process


def order(world: World, number: int = 1, event_id: str = "") -> None:
    world.publish("order.created", {"order": str(number)}, id=event_id)


def decided(world: World) -> list[str]:
    """Return the reasons of decisions on runs."""
    return [str(decision.reason) for decision in world.decisions if isinstance(decision, RunDecision)]


def states(world: World) -> list[str]:
    """Return the states that the ledger has seen, in order."""
    return [LEDGER_ENTRY.decode(value)["state"] for value in world.values(world.topics.ledger)]


def manifest(world: World, run_key: str) -> dict[str, Any]:
    """Return a Workflow by the name that the next run of order 1 will have, with a run key."""
    probe = World(*world.triggers)
    probe.start()
    probe.run(3)
    order(probe, 1, "e1")
    probe.run(3)
    (workflow,) = probe.api.workflows()
    annotations = {RUN_KEY: run_key or workflow.run_key}
    return {
        **workflow.manifest,
        "metadata": {"namespace": "default", "name": workflow.name, "annotations": annotations},
    }


def test_a_run_that_is_created_is_done_by_its_outcome_alone() -> None:
    world, _ = begun()
    order(world)
    world.run(2)
    assert (decided(world), states(world)) == (["created"], ["done"])


def test_a_run_that_is_not_created_ahead_is_done_by_one_intent_and_one_outcome() -> None:
    world, _ = begun(prompt_runs=0)
    order(world)
    world.run(2)
    assert (decided(world), states(world)) == (["created"], ["intent", "done"])


def test_a_workflow_that_carries_the_run_key_already_is_not_created_again() -> None:
    world, _ = begun()
    world.api.create(manifest(world, ""), timeout=1)
    order(world, 1, "e1")
    world.run(2)
    assert (decided(world), len(world.api.workflows())) == (["already-ran"], 1)


def test_a_workflow_that_is_ours_and_terminating_counts_as_ran() -> None:
    world, _ = begun()
    ours = manifest(world, "")
    world.api.create(ours, timeout=1)
    world.api.delete("default", ours["metadata"]["name"], held=True)
    order(world, 1, "e1")
    world.run(2)
    assert decided(world) == ["already-ran"]


def test_a_name_that_belongs_to_somebody_else_is_a_dead_letter() -> None:
    world, _ = begun()
    world.api.create(manifest(world, "somebody"), timeout=1)
    order(world, 1, "e1")
    world.run(2)
    assert decided(world) == ["refused"]
    (letter,) = world.letters()
    assert (letter["stage"], letter["reason"]) == ("submitter", "refused")
    assert "not this run's" in letter["text"]
    assert states(world)[-1] == "dead"


def test_a_name_that_somebody_elses_workflow_still_holds_is_waited_for() -> None:
    world, _ = begun()
    foreign = manifest(world, "somebody")
    world.api.create(foreign, timeout=1)
    world.api.delete("default", foreign["metadata"]["name"], held=True)
    order(world, 1, "e1")
    world.run(30)
    assert set(decided(world)) == {"retrying"}
    assert states(world)[-1] == "parked"
    world.api.delete("default", foreign["metadata"]["name"])
    world.run(15 * 60, step=5)
    assert decided(world)[-1] == "created"


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (answered(403, "Forbidden", "exceeded quota: q, requested: 1"), "parked"),
        (answered(403, "Forbidden", "workflows is forbidden: User cannot create"), "parked"),
        (answered(404, "NotFound", 'namespaces "default" not found'), "parked"),
        (answered(401, "Unauthorized", "expired"), "parked"),
        (answered(429, "TooManyRequests", "slow down"), "parked"),
        (answered(409, "Conflict", "quota bookkeeping"), "parked"),
        (REFUSED_CONNECTION, "parked"),
        (answered(500, "InternalError", "etcd"), "intent"),
        (answered(503, "ServiceUnavailable", "starting"), "intent"),
        (LOST_REQUEST, "intent"),
        (LOST_ANSWER, "intent"),
    ],
)
def test_what_may_pass_is_tried_again_and_its_intent_stands_only_while_it_may_have_been_applied(
    fault: Fault, state: str
) -> None:
    world, _ = begun()
    world.api.fail_next(fault)
    order(world)
    world.run(0.25)
    assert (decided(world), states(world)[-1]) == (["retrying"], state)
    world.run(60, step=0.5)
    assert decided(world) == ["retrying", "created"]
    assert len(world.created) == 1
    assert world.letters() == []


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_api_will_never_take_is_a_dead_letter_with_its_text(status: int) -> None:
    world, _ = begun()
    world.api.fail_next(answered(status, "Invalid", "spec.x: bad"))
    order(world)
    world.run(2)
    assert decided(world) == ["refused"]
    assert "spec.x: bad" in world.letters()[0]["text"]


def test_a_run_waits_at_least_as_long_as_the_api_asks() -> None:
    world, _ = begun()
    world.api.fail_next(answered(429, "TooManyRequests", "slow down", retry_after=20))
    order(world)
    world.run(19.5)
    assert world.workflows() == []
    world.run(3)
    assert len(world.workflows()) == 1


def test_an_intent_that_outlived_any_workflow_is_a_dead_letter_when_nothing_is_there() -> None:
    world, process = begun()
    world.api.fail_next(LOST_ANSWER)
    order(world)
    process.step("router")
    for _ in range(2):
        process.step("submitter")
    process.crash()
    (workflow,) = world.api.workflows()
    world.api.delete("default", workflow.name)  # it finished, and its time to live was over
    world.now += 2 * HOUR
    world.start("p2")
    world.run(10)
    assert decided(world) == ["retrying", "outcome-unknown"]
    assert world.letters()[0]["reason"] == "outcome-unknown"
    assert len(world.created) == 1


def test_an_old_intent_whose_workflow_is_still_there_is_done() -> None:
    world, process = begun()
    order(world)
    process.step("router")
    process.at("after create", process.kill_here)
    for _ in range(2):
        process.step("submitter")
    assert process.is_dead
    world.now += 2 * HOUR
    world.start("p2")
    world.run(10)
    assert decided(world) == ["created"]
    assert len(world.created) == 1


def test_an_api_that_cannot_be_reached_holds_everything_and_loses_nothing() -> None:
    world, process = begun()
    world.api.cut()
    for number in range(200):
        order(world, number)
    world.run(30, step=0.5)
    world.run(2 * 24 * 3600, step=3600)  # longer than any refusal is borne
    process.stop()
    world.start("p2")
    world.run(30, step=0.5)
    assert world.workflows() == []
    world.api.mend()
    world.run(60, step=0.5)
    assert sorted(int(workflow["order"]) for workflow in world.workflows()) == list(range(200))
    assert world.letters() == []


def test_runs_that_found_no_room_yet_are_the_next_owners() -> None:
    world, process = begun()
    for number in range(60):
        order(world, number)
    process.step("router")
    process.at("after create", process.kill_here)
    for _ in range(2):
        process.step("submitter")
    world.start("p2")
    world.run(20)
    assert sorted(int(workflow["order"]) for workflow in world.workflows()) == list(range(60))
    assert len(world.created) == 60


@pytest.mark.parametrize(
    "fault", [answered(500, "InternalError", "poison"), answered(403, "Forbidden", "no"), LOST_REQUEST]
)
def test_one_bad_run_never_holds_up_the_others(fault: Fault) -> None:
    world, process = begun()
    create = world.api.create

    def poisoned(manifest: Plain, *, timeout: float) -> Response:
        arguments = manifest["spec"]["arguments"]["parameters"]
        return fault.response if arguments[0]["value"] == "13" else create(manifest, timeout=timeout)

    world.api.create = poisoned  # type: ignore[method-assign]  # one run that the cluster never takes
    order(world, 13)
    world.run(120, step=0.5)
    for number in range(14, 24):
        order(world, number)
        world.run(0.5)
        assert {"order": str(number)} in world.workflows()
    assert decided(world).count("created") == 10
    assert len(list(process.stage("submitter").book.open_runs())) == 1


def test_a_run_whose_template_is_missing_waits_for_it() -> None:
    world, _ = begun(labels=())  # the default mapping
    del world.api._templates["default", "ship"]
    order(world)
    world.run(10)
    assert set(decided(world)) == {"waiting"}
    assert states(world)[-1] == "parked"
    world.api.add_template("default", "ship", parameters=("order",))
    world.run(10 * 60, step=5)
    assert world.workflows() == [{"order": "1"}]


def test_a_parameter_of_the_template_that_the_payload_lacks_is_left_to_the_template() -> None:
    world, _ = begun(labels=())
    world.publish("order.created", {"order": "1"})
    world.run(3)
    assert world.workflows() == [{"order": "1"}]  # `amount` is not given


def test_what_the_ledger_knows_is_restored_before_anything_is_consumed() -> None:
    world, process = begun()
    order(world, 1, "same")
    world.run(2)
    (workflow,) = world.api.workflows()
    world.api.delete("default", workflow.name)
    process.crash()
    order(world, 1, "same")
    world.start("p2")
    world.run(12)
    assert decided(world) == ["created", "already-ran"]
    assert len(world.created) == 1


def test_an_event_that_comes_again_after_its_run_has_ended_already_ran() -> None:
    world, _ = begun()
    order(world, 1, "same")
    world.run(2)
    order(world, 1, "same")
    world.run(2)
    assert decided(world) == ["created", "already-ran"]


def test_an_event_that_comes_again_beyond_the_ledgers_horizon_runs_again() -> None:
    world, _ = begun()
    order(world, 1, "same")
    world.run(2)
    world.api.delete("default", world.api.workflows()[0].name)
    world.run(8 * 86_400, step=7200)
    order(world, 1, "same")
    world.run(2)
    assert decided(world) == ["created", "created"]


def test_a_run_that_is_refused_for_too_long_is_a_dead_letter() -> None:
    world = World(one_slot(parameters=MAPPED))
    world.submitter = SubmitterSettings(retry_for=10 * MINUTE, outcome_pace=0)
    world.start()
    world.run(3)
    world.api.set_quota("default", 0)
    order(world)
    world.run(30 * 60, step=5)
    assert decided(world)[-1] == "refused"
    (letter,) = world.letters()
    assert "exceeded quota" in letter["text"]
    assert letter["text"].startswith("given up")


@pytest.mark.parametrize("waits_for", ["its rate", "an outage"])
def test_a_run_is_given_up_only_long_after_its_first_refusal_whatever_it_waited_for_before(waits_for: str) -> None:
    limits = RunLimits(rate=1, per=DAY) if waits_for == "its rate" else RunLimits()
    world = World(one_slot(parameters=MAPPED, limits=limits))
    world.submitter = SubmitterSettings(retry_for=10 * MINUTE, outcome_pace=0)
    world.start()
    world.run(3)
    if waits_for == "its rate":
        order(world, 1)
        world.run(3)
    else:
        world.api.cut()
    order(world, 2)
    world.run(5)
    world.now += DAY
    world.api.mend()
    world.api.fail_next(answered(403, "Forbidden", "exceeded quota: q"))
    world.run(400, step=0.5)
    assert world.letters() == []
    assert {"order": "2"} in world.workflows()


def test_the_first_refusal_counts_across_owners() -> None:
    world = World(one_slot(parameters=MAPPED))
    world.submitter = SubmitterSettings(retry_for=10 * MINUTE, outcome_pace=0)
    process = world.start()
    world.run(3)
    world.api.set_quota("default", 0)
    order(world)
    world.run(8 * 60, step=2)
    process.stop()
    world.start("p2")
    world.run(8 * 60, step=2)
    (letter,) = world.letters()
    assert letter["text"].startswith("given up")


def test_a_process_that_was_paused_for_longer_than_its_session_creates_nothing() -> None:
    world, process = begun()
    other = world.start("p2")
    world.run(3)
    order(world)
    for stage in ("router", "router"):
        process.step(stage)
        other.step(stage)
    owner, rest = (process, other) if _owns_runs(process, world) else (other, process)
    owner.at("after commit", lambda: owner.stand_still(12))  # its intent is committed
    owner.step("submitter")
    assert [trouble for trouble in rest.troubles if "fenced" in str(trouble)] == []
    assert len(world.created) == 1
    ran = [decision.evidence for decision in world.decisions if isinstance(decision, RunDecision)]
    assert len(ran) == 1
    world.api.delete("default", world.api.workflows()[0].name)  # and is over
    world.run(20)
    assert len(world.created) == 1


def _owns_runs(process: Process, world: World) -> bool:
    loop = process.loops["submitter"]
    assert loop is not None
    numbers = {log.partition.number for log in world.broker.topics["fb.runs"].logs if log.end > 0}
    return numbers <= {partition.number for partition in loop.owned}


def test_a_worker_does_not_create_for_a_partition_that_was_let_go() -> None:
    world, process = begun()
    submitter = process.stage("submitter")
    order(world)
    process.step("router")
    work: list[Any] = []
    submitter._bulkheads._executor.submit = work.append  # a worker that has not come to it yet
    process.step("submitter")
    process.step("submitter")
    assert len(work) == 1
    submitter.drop(list(process.loops["submitter"].owned))  # type: ignore[union-attr]  # it runs
    work[0]()
    assert world.created == []


def test_an_answer_that_is_lost_counts_as_created_once_it_is_seen() -> None:
    world, _ = begun()
    world.api.fail_next(Fault(Unknown("timed out"), applied=True))
    order(world)
    world.run(20)
    assert decided(world) == [RunReason.RETRYING, RunReason.CREATED]
    assert len(world.created) == 1
