"""What an attempt concludes, through the whole stage: never a second Workflow, and no run given up without need."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bridge.argo.api import Unavailable
from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, Fault, answered
from bridge.argo.workflow import Workflow, WorkflowTemplate
from bridge.cluster.responses import Plain, Response, Unknown
from bridge.core.decision import RunDecision
from bridge.core.event import DAY, HOUR, MINUTE, SECOND, Micros
from bridge.core.runs.run import Run
from bridge.kafka.records import LEDGER_ENTRY
from bridge.settings.groups import SubmitterSettings
from bridge.stages.shared.run_records import decode_run
from bridge.stages.submitter.templates import TEMPLATE_LASTS
from unit.stages.world import Process, World, one_slot

MAPPED = (("order", "order_created.payload.order"),)
DENIED = "workflows.argoproj.io \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"
REFUSALS = [
    answered(400, "BadRequest", "no"),
    answered(413, "RequestEntityTooLarge", "no"),
    answered(422, "Invalid", "no"),
    answered(422, "Invalid", DENIED),
    answered(403, "Forbidden", "exceeded quota: q"),
    answered(403, "Forbidden", "User cannot create"),
    answered(404, "NotFound", "namespaces not found"),
    answered(429, "TooManyRequests", "slow down"),
    answered(401, "Unauthorized", "expired"),
    answered(409, "Conflict", "quota bookkeeping"),
]


def begun(ttl: float | None = None, **run: Any) -> tuple[World, Process]:
    world = World(one_slot(**{"parameters": MAPPED, **run}))
    world.api.add_template("default", "ship", defaults=("order", "amount"), ttl=ttl)
    process = world.start()
    world.run(3)
    return world, process


def order(world: World, number: int = 1, **payload: Any) -> None:
    world.publish("order.created", {"order": str(number), **payload})


def decided(world: World) -> list[str]:
    """Return the reasons of decisions on runs, without repeats in a row."""
    reasons = [str(decision.reason) for decision in world.decisions if isinstance(decision, RunDecision)]
    return [reason for number, reason in enumerate(reasons) if number == 0 or reasons[number - 1] != reason]


def until(world: World, condition: Callable[[], object], seconds: float = 60.0, step: float = 0.25) -> None:
    deadline = world.now + round(seconds * SECOND)
    while not condition():
        assert world.now < deadline, "not in time"
        world.run(step, step)


def finish_all(world: World) -> None:
    for workflow in world.api.workflows():
        world.api.finish("default", workflow.name)


def always(world: World, response: Response) -> Callable[[], None]:
    """Have each create answered so, without effect; return what ends that."""
    create = world.api.create

    def answer(manifest: Plain, *, timeout: float) -> Response:
        del manifest, timeout
        return response

    def mend() -> None:
        world.api.create = create  # type: ignore[method-assign]  # as it was

    world.api.create = answer  # type: ignore[method-assign]  # the same signature
    return mend


def no_template(world: World, answer: Unavailable | None) -> list[Micros]:
    """Have each question for a template answered so; return the moments of the questions."""
    asked: list[Micros] = []

    def template(namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        del namespace, name
        asked.append(world.now)
        return answer

    world.api.template = template  # type: ignore[method-assign]  # the same signature
    return asked


# -- never a second Workflow -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [MAPPED, ()], ids=["mapped", "of the template"])
def test_a_run_whose_workflow_may_have_come_and_gone_is_a_dead_letter(parameters: Any) -> None:
    world, _ = begun(ttl=5, parameters=parameters)
    world.api.fail_next(LOST_ANSWER)
    order(world)
    until(world, lambda: world.created)
    world.api.cut()
    finish_all(world)
    world.run(60)
    world.api.mend()
    world.run(60)
    assert (decided(world), len(world.created)) == (["retrying", "outcome-unknown"], 1)
    (letter,) = world.letters()
    assert "may have run and been deleted" in letter["text"]


@pytest.mark.parametrize("parameters", [MAPPED, ()], ids=["mapped", "of the template"])
def test_a_process_that_dies_behind_a_create_leaves_no_second_workflow(parameters: Any) -> None:
    world, process = begun(ttl=5, parameters=parameters)
    process.at("after create", process.kill_here)
    order(world)
    world.run(5)
    assert process.is_dead
    finish_all(world)
    world.run(60)
    world.start("p2")
    world.run(60)
    assert (decided(world), len(world.created)) == (["outcome-unknown"], 1)


def test_a_name_that_vanishes_right_behind_the_create_of_a_run_in_doubt_is_not_created_again() -> None:
    world, _ = begun()
    world.api.fail_next(LOST_ANSWER, answered(409, "AlreadyExists", "already exists"))
    order(world)
    until(world, lambda: world.created)
    world.api.delete("default", world.created[0].name)
    world.run(60)
    assert (decided(world), len(world.created)) == (["retrying", "outcome-unknown"], 1)


def test_while_the_template_of_a_run_in_doubt_cannot_be_read_it_is_looked_for_and_not_created() -> None:
    world, _ = begun()
    world.submitter = SubmitterSettings()
    template = world.api.template
    no_template(world, Unavailable("403 Forbidden"))
    world.api.fail_next(LOST_REQUEST)
    order(world)
    world.run(10 * 60, 1)
    assert (decided(world), world.created) == (["retrying"], [])
    world.api.template = template  # type: ignore[method-assign]  # as it was
    world.run(10 * 60, 1)
    assert (decided(world), len(world.created)) == (["retrying", "created"], 1)


def test_a_run_in_doubt_whose_template_stays_unreadable_is_given_up_as_unknown() -> None:
    world = World(one_slot(parameters=MAPPED))
    world.submitter = SubmitterSettings(retry_for=HOUR, outcome_pace=0)
    world.start()
    world.run(3)
    no_template(world, Unavailable("403 Forbidden"))
    world.api.fail_next(LOST_REQUEST)
    order(world)
    world.run(2 * 3600, 5)
    assert decided(world) == ["retrying", "outcome-unknown"]
    assert "403 Forbidden" in world.letters()[0]["text"]


# -- no run given up without need --------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_run_in_doubt_that_is_refused_is_looked_for(refusal: Fault) -> None:
    world, _ = begun()
    world.api.fail_next(LOST_ANSWER, refusal)
    order(world)
    world.run(10 * 60, 1)
    assert (decided(world), len(world.created), world.letters()) == (["retrying", "created"], 1, [])


@pytest.mark.parametrize("refusal", REFUSALS[:3])
def test_a_refusal_in_doubt_ends_a_run_once_no_earlier_create_can_be_applied(refusal: Fault) -> None:
    world, _ = begun()
    world.api.fail_next(LOST_REQUEST)
    order(world)
    until(world, lambda: decided(world))
    always(world, refusal.response)
    refused_at = world.now
    world.run(60, 0.5)
    assert decided(world) == ["retrying"]
    until(world, lambda: decided(world)[-1] == "refused", 180, 0.5)
    assert world.now - refused_at >= 80 * SECOND
    assert "no" in world.letters()[0]["text"]


@pytest.mark.parametrize("ttl", [0.0, 5.0, None])
def test_runs_that_were_never_sent_are_never_unknown(ttl: float | None) -> None:
    world, process = begun(ttl=ttl)
    submitter = process.stage("submitter")
    put_back = submitter._attempts._fresh
    submitter._attempts._fresh = lambda: False  # workers come to nothing, as in a process that was paused
    for number in range(20):
        order(world, number)
    world.run(2 * 3600, 60)
    submitter._attempts._fresh = put_back
    world.run(120, 0.5)
    assert (len(world.created), world.letters()) == (20, [])


@pytest.mark.parametrize("ttl", [120.0, 600.0, None])
def test_an_outage_of_creates_longer_than_any_lifetime_loses_nothing(ttl: float | None) -> None:
    world, _ = begun(ttl=ttl)
    mend = always(world, answered(500, "InternalError", "failed calling webhook").response)
    for number in range(10):
        order(world, number)
    world.run(130 * 60, 1)
    mend()
    world.run(15 * 60, 1)
    assert (len(world.created), world.letters()) == (10, [])


def test_many_runs_in_doubt_are_looked_for_in_time_though_creates_fail() -> None:
    world, _ = begun(ttl=120.0)
    mend = always(world, Unknown("timed out"))
    for number in range(60):
        order(world, number)
    world.run(8 * 60, 1)
    assert world.letters() == []
    mend()
    world.run(8 * 60, 1)
    assert (len(world.created), world.letters()) == (60, [])


def test_a_run_in_doubt_whose_workflow_lives_only_seconds_is_looked_for_often_enough_to_be_made_again() -> None:
    world, _ = begun(ttl=5)
    world.api.fail_next(LOST_REQUEST)
    order(world)
    until(world, lambda: world.created, 200)
    assert decided(world) == ["retrying"]
    world.run(1)
    assert (decided(world), world.letters()) == (["retrying", "created"], [])


def test_what_looks_have_shown_outlives_the_process_that_took_them() -> None:
    world, process = begun()
    mend = always(world, answered(500, "InternalError", "failed calling webhook").response)
    order(world)
    world.run(90 * 60, 1)
    process.crash()
    mend()
    world.start("p2")
    world.run(60)
    assert (decided(world), len(world.created), world.letters()) == (["retrying", "created"], 1, [])


def test_the_time_for_refusals_counts_from_the_first_one_and_not_from_the_doubt_before() -> None:
    world = World(one_slot(parameters=MAPPED))
    world.submitter = SubmitterSettings(retry_for=HOUR, outcome_pace=0)
    world.start()
    world.run(3)
    mend = always(world, answered(500, "InternalError", "failed calling webhook").response)
    order(world)
    world.run(2 * 3600, 5)
    mend()
    world.api.set_quota("default", 0)
    refused_at = world.now
    until(world, lambda: decided(world)[-1] == "refused", 3 * 3600, 5)
    assert world.now - refused_at >= HOUR
    assert world.letters()[0]["text"].startswith("given up: 403")


# -- too late to start -------------------------------------------------------------------------------------------------


def test_a_run_is_not_skipped_while_its_create_may_still_be_applied() -> None:
    world, _ = begun(start_deadline=8 * SECOND)
    create, sent = world.api.create, []

    def slow(manifest: Plain, *, timeout: float) -> Response:
        sent.append(manifest)
        world.now += round(timeout * SECOND)
        return Unknown("timed out")

    world.api.create = slow  # type: ignore[method-assign]  # the same signature
    order(world)
    until(world, lambda: sent)
    world.run(30)
    assert decided(world) == ["retrying"]
    create(sent[0], timeout=1)  # the server applies it that late
    world.run(60)
    assert (decided(world), len(sent), len(world.created)) == (["retrying", "created"], 1, 1)


def test_a_run_that_is_too_late_is_skipped_once_its_create_cannot_be_applied_any_more() -> None:
    world, _ = begun(start_deadline=8 * SECOND)
    world.api.fail_next(*[LOST_REQUEST] * 50)
    order(world)
    world.run(300, 0.5)
    assert (decided(world), world.created) == (["retrying", "skipped"], [])


# -- templates that cannot be read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, Unavailable("403 Forbidden: no get")], ids=["missing", "unreadable"])
def test_a_template_that_cannot_be_read_is_asked_for_once_for_all_and_ever_more_slowly(
    answer: Unavailable | None, caplog: pytest.LogCaptureFixture
) -> None:
    world, _ = begun(parameters=())
    asked = no_template(world, answer)
    for number in range(50):
        order(world, number)
    with caplog.at_level(logging.WARNING, "bridge.stages.submitter.templates"):
        world.run(10)
        written = sum(1 for _ in world.records(world.topics.ledger))
        before = len(asked)
        world.run(3600, 0.5)
    assert len(asked) - before < 60
    pauses = [late - early for early, late in pairwise(asked)]
    assert max(pauses) > MINUTE
    assert sum(1 for _ in world.records(world.topics.ledger)) - written <= 50
    assert len([record for record in caplog.records if "WorkflowTemplate" in record.message]) == 1
    waiting = [
        decision for decision in world.decisions if isinstance(decision, RunDecision) and decision.reason == "waiting"
    ]
    assert len(waiting) == 50
    assert "WorkflowTemplate default/ship" in waiting[0].evidence["because"]


def test_runs_go_on_when_their_template_is_there_again_and_those_of_other_templates_never_wait() -> None:
    world, _ = begun(parameters=())
    template = world.api.template
    no_template(world, None)
    for number in range(50):
        order(world, number)
    world.run(30 * 60, 1)
    assert world.created == []
    world.api.template = template  # type: ignore[method-assign]  # as it was
    world.run(6 * 60, 0.5)
    assert (len(world.created), world.letters()) == (50, [])


@pytest.mark.parametrize("answer", [None, Unavailable("403 Forbidden: no get")], ids=["missing", "unreadable"])
def test_runs_whose_template_stays_unreadable_are_dead_letters(answer: Unavailable | None) -> None:
    world, process = begun(parameters=())
    no_template(world, answer)
    for number in range(5):
        order(world, number)
    world.run(20 * 3600, 10)
    process.crash()
    world.start("p2")
    world.run(3 * 3600, 10)
    assert world.letters() == []
    world.run(2 * 3600, 10)
    assert [letter["reason"] for letter in world.letters()] == ["refused"] * 5
    assert "given up" in world.letters()[0]["text"]


def test_an_outage_while_templates_are_read_gives_up_nothing() -> None:
    world, _ = begun(parameters=())
    no_template_at = no_template(world, Unavailable("connection refused", passes=True))
    template = type(world.api).template.__get__(world.api)
    order(world)
    world.run(3 * 86_400, 10)
    world.api.template = template  # type: ignore[method-assign]  # as it was
    world.run(60)
    assert (decided(world)[-1], world.letters()) == ("created", [])
    assert len(no_template_at) > 100


# -- what is written ---------------------------------------------------------------------------------------------------


def test_a_dead_letter_of_a_run_holds_the_run() -> None:
    world, _ = begun()
    world.api.fail_next(answered(422, "Invalid", "spec.x: bad"))
    order(world, 7)
    world.run(5)
    (letter,) = world.letters()
    run = decode_run(letter["value"])
    assert (run.run_key, run.parameters) == (letter["run_key"], (("order", "7"),))


@pytest.mark.parametrize("status", [403, 422, 429, 500])
def test_a_message_of_megabytes_is_cut_wherever_it_goes(status: int) -> None:
    world, process = begun()
    message = "admission webhook said \ud800 " + "x" * 5_000_000
    world.api.fail_next(answered(status, "Forbidden", message))
    order(world)
    world.run(60)
    assert process.troubles == []
    for value in world.values(world.topics.ledger):
        assert len(LEDGER_ENTRY.decode(value)["reason"]) < 5_000
    for decision in world.decisions:
        assert len(str(decision.evidence)) < 5_000
    for letter in world.letters():
        assert len(letter["text"]) < 5_000
    assert decided(world)[-1] == ("refused" if status == 422 else "created")


def test_a_workflow_of_another_under_the_name_of_a_run_in_doubt_proves_nothing_at_first() -> None:
    world, _ = begun()
    sent: list[Plain] = []
    create = world.api.create

    def foreign(manifest: Plain, *, timeout: float) -> Response:
        if not sent:
            sent.append(manifest)
            metadata = {"namespace": "default", "name": manifest["metadata"]["name"]}
            create({"metadata": metadata, "spec": {}}, timeout=timeout)
            return Unknown("timed out")
        return create(manifest, timeout=timeout)

    world.api.create = foreign  # type: ignore[method-assign]  # the same signature
    order(world)
    world.run(60, 0.5)
    assert decided(world) == ["retrying"]
    world.run(120, 0.5)
    assert decided(world) == ["retrying", "refused"]
    assert "not this run's" in world.letters()[0]["text"]


def test_an_answer_to_a_look_that_says_nothing_keeps_the_doubt() -> None:
    world, _ = begun(start_deadline=8 * SECOND)
    find = world.api.find

    def blind(namespace: str, name: str) -> Workflow | Unavailable | None:
        del namespace, name
        return Unavailable("403 Forbidden: no get")

    world.api.find = blind  # type: ignore[method-assign]  # the same signature
    world.api.fail_next(LOST_ANSWER)
    order(world)
    until(world, lambda: world.created)
    world.now += DAY // 48
    world.run(300, 1)
    assert set(decided(world)) == {"retrying"}
    world.api.find = find  # type: ignore[method-assign]  # as it was
    world.run(60)
    assert decided(world)[-1] == "created"


def test_a_run_in_doubt_that_breaks_the_submitter_is_given_up_and_others_go_on() -> None:
    world, process = begun(ttl=600.0)
    mend = always(world, Unknown("timed out"))
    order(world, 1)
    world.run(3)
    mend()
    submitter = process.stage("submitter")
    (broken,) = submitter.book.open_runs()
    assert broken.in_doubt
    resolve_now = submitter._templates.resolve_now

    def breaks(run: Run) -> Run | None:
        if run.run_key == broken.run.run_key:
            raise RuntimeError("no such branch")
        return resolve_now(run)

    submitter._attempts.has_to_look = lambda run, _: run.in_doubt
    submitter._templates.resolve_now = breaks
    order(world, 2)
    until(world, lambda: world.created and world.letters())
    (letter,) = world.letters()
    assert (letter["reason"], "RuntimeError" in letter["text"]) == ("outcome-unknown", True)
    assert (len(world.created), list(submitter.book.open_runs())) == (1, [])


# -- what the template requires and an explicit mapping does not fill --------------------------------------------------


def test_a_required_parameter_that_the_mapping_does_not_fill_is_a_dead_letter_that_names_it() -> None:
    world = World(one_slot(parameters=MAPPED))
    world.api.add_template("default", "ship", ("order", "region"), defaults=("amount",))
    world.start()
    world.run(3)
    order(world)
    world.run(2)
    assert world.workflows() == []
    (letter,) = world.letters()
    assert (letter["stage"], letter["reason"]) == ("submitter", "refused")
    assert "the WorkflowTemplate default/ship requires the parameter 'region'" in letter["text"]
    assert "Map it in the trigger" in letter["text"]
    world.api.add_template("default", "ship", ("order",), defaults=("amount", "region"))
    world.run(TEMPLATE_LASTS // SECOND + 1)
    order(world, 2)
    world.run(2)
    assert world.workflows() == [{"order": "2"}]


@pytest.mark.parametrize("answer", [Unavailable("forbidden", passes=False), Unavailable("away", passes=True), None])
def test_a_template_that_cannot_be_read_is_in_no_mapped_runs_way(
    answer: Unavailable | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = begun()
    asked: list[str] = []

    def template(_: str, name: str) -> Unavailable | None:
        asked.append(name)
        return answer

    monkeypatch.setattr(world.api, "template", template)
    for number in range(20):
        order(world, number)
    world.run(5)
    assert len(world.workflows()) == 20
    assert len(asked) == 1  # for all of them, for as long as an answer lasts
    world.run(TEMPLATE_LASTS // SECOND + 1)
    order(world, 20)
    world.run(2)
    assert len(world.workflows()) == 21
    assert len(asked) == 2
