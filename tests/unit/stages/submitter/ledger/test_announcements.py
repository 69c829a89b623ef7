"""The promises about announcements: each run is announced once for each step, and other triggers can wait for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bridge.argo.memory import answered
from bridge.cli.main import cli
from bridge.core.event import HOUR, MINUTE, SECOND, EventIdentity, moment
from bridge.core.runs.announcement import EVENTS_LIMIT, announced_names, announcement
from bridge.core.runs.run import RunFacts, RunPhase
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from bridge.kafka.log import AbortableError
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.shared.run_records import KEPT_PARAMETERS, decode_facts
from bridge.triggers.errors import Origin
from bridge.triggers.topic_mapping import internal_topic_error
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.headers import read_headers
from unit.stages.submitter.test_replayed_runs import replayed, send, write_state
from unit.stages.world import World, one_slot

ROOT = Path(__file__).parents[5]
FIRST = one_slot(parameters=(("order", "order_created.payload.order"),))
CREATED, SUCCEEDED, FAILED = announced_names("fb.")


def chained(where: str | None, event: str = SUCCEEDED, **slot: Any) -> Trigger:
    """Return a trigger that waits for runs."""
    plan = RunPlan("then", "default", (("order", "run.payload.parameters.order"),))
    return Trigger("default", "then", (Slot(event, "run", where, **slot),), plan, require=1)


def world(*triggers: Trigger) -> World:
    """Return a world that announces runs, and in which a process has its triggers in force."""
    made = World(*(triggers or (FIRST,)), announces_runs=True)
    made.start()
    made.run(3)
    return made


def announced(in_world: World) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return name, id, source and payload of all announcements, topic by topic."""
    found = []
    for name in announced_names("fb."):
        for record in in_world.records(name):
            head = read_headers(record.headers, name, record.partition, record.offset, record.timestamp)
            found.append((head.name, head.id, head.source, Decoder().decode(name, record.value or b"")))
            assert record.key == found[-1][3]["trigger"].encode()
            assert head.time_us <= in_world.now
    return found


def names(in_world: World) -> list[str]:
    return [name.removeprefix("fb.run.") for name, *_ in announced(in_world)]


def run_one(in_world: World, *orders: str) -> None:
    for order in orders:
        in_world.publish("order.created", {"order": order}, id=f"e-{order}")
    in_world.run(3)


def finish(in_world: World, phase: str, template: str = "ship") -> None:
    for workflow in in_world.api.workflows():
        if workflow.name.startswith(template):
            in_world.api.finish(workflow.namespace, workflow.name, phase)
    in_world.run(3)


@pytest.mark.parametrize(
    ("argo", "event", "phase"),
    [("Succeeded", SUCCEEDED, "succeeded"), ("Failed", FAILED, "failed"), ("Error", FAILED, "error")],
)
def test_a_run_is_announced_when_it_is_created_and_when_it_ends(argo: str, event: str, phase: str) -> None:
    here = world()
    run_one(here, "7")
    finish(here, argo)
    created, ended = announced(here)
    (run_key,) = {workflow.run_key for workflow in here.api.workflows()}
    (workflow,) = here.api.workflows()
    assert created[:3] == (CREATED, f"{run_key}-running", "fb.submitter")
    assert ended[:3] == (event, f"{run_key}-{phase}", "fb.submitter")
    assert created[3] == {
        "version": 1,
        "trigger": "default/ship",
        "key": "",
        "run_key": run_key,
        "namespace": "default",
        "workflow": workflow.name,
        "phase": "running",
        "message": "",
        "events": [{"slot": "order_created", "name": "order.created", "source": "tests", "id": "e-7"}],
        "events_left_out": 0,
        "created": created[3]["created"],
        "ended": None,
        "parameters": {"order": "7"},
        "replay": "",
        "replay_id": "",
        "repeats": "",
    }
    assert ended[3] == created[3] | {"phase": phase, "ended": ended[3]["ended"]}
    assert created[3]["created"] < ended[3]["ended"] <= moment(here.now)


def test_a_run_that_cannot_be_created_is_announced_as_failed_with_the_reason() -> None:
    here = world()
    here.api.fail_next(answered(422, "Invalid", "spec.x: bad"))
    run_one(here, "7")
    ((name, event_id, _, payload),) = announced(here)
    assert (name, payload["phase"], payload["parameters"], payload["created"]) == (FAILED, "dead", None, None)
    assert event_id == payload["run_key"] + "-dead"
    assert "spec.x: bad" in payload["message"]
    assert payload["ended"] is not None


def test_nothing_is_announced_of_a_run_that_is_skipped_or_whose_end_was_not_seen() -> None:
    here = world()
    send(here, replayed(1, FIRST, replay="", start_by=here.now - HOUR))
    run_one(here, "gone")
    assert "skipped" in here.reasons()
    (workflow,) = here.api.workflows()
    here.api.delete("default", workflow.name)
    here.run(3)
    phases = [decode_facts(LEDGER_ENTRY.decode(value)["run"]) for value in list(here.values(here.topics.ledger))[-1:]]
    assert [facts and facts.phase for facts in phases] == [RunPhase.GONE]
    assert names(here) == ["created"]


@pytest.mark.parametrize("dies", [False, True])
def test_each_announcement_is_published_once_with_its_entry_of_the_ledger(dies: bool) -> None:  # noqa: FBT001
    here = world()
    (process,) = here.processes

    def trouble() -> None:
        if dies:
            process.kill_here()
        raise AbortableError("the coordinator moved")

    def again() -> None:
        nonlocal process
        if dies:
            process = here.start(f"p{len(here.processes) + 1}")
        here.run(30)

    here.publish("order.created", {"order": "7"})
    process.step("router")
    process.at("before commit", trouble)
    process.step("submitter")
    assert (len(here.created), names(here)) == (1, [])
    again()
    assert names(here) == ["created"]
    (workflow,) = here.api.workflows()
    here.api.finish("default", workflow.name, "Succeeded")
    process.stage("submitter").followed.look()
    process.at("before commit", trouble)
    process.step("submitter")
    assert names(here) == ["created"]
    again()
    assert names(here) == ["created", "succeeded"]
    assert len({event_id for _, event_id, *_ in announced(here)}) == 2


def test_a_trigger_waits_for_the_end_of_another_triggers_run() -> None:
    here = world(FIRST, chained('payload.trigger == "default/ship"'))
    run_one(here, "7", "8")
    assert len(here.created) == 2
    finish(here, "Succeeded")
    started = [workflow.manifest for workflow in here.created if workflow.name.startswith("then")]
    orders = [manifest["spec"]["arguments"]["parameters"][0]["value"] for manifest in started]
    assert sorted(orders) == ["7", "8"]
    finish(here, "Succeeded", "then")
    here.run(30)
    assert len(here.created) == 4, "the runs that follow start nothing, since the filter names the first trigger"


def test_a_chain_can_wait_for_a_run_and_an_event_of_one_key() -> None:
    slots = (
        Slot(SUCCEEDED, "run", 'payload.trigger == "default/ship"', "payload.parameters.order"),
        Slot("payment.done", "payment", None, "payload.order"),
    )
    both = Trigger(
        "default",
        "then",
        slots,
        RunPlan("then", "default", (("order", "payment.payload.order"),)),
        require=2,
        window=WindowPlan("within", 10 * MINUTE),
        grace=MINUTE,
        dedupe=11 * MINUTE,
    )
    here = world(FIRST, both)
    run_one(here, "7", "8")
    here.publish("payment.done", {"order": "8"})
    finish(here, "Succeeded")
    assert [created.name[:4] for created in here.created].count("then") == 1
    assert here.created[-1].manifest["spec"]["arguments"]["parameters"] == [{"name": "order", "value": "8"}]


def test_runs_of_a_replay_are_announced_with_its_name_and_those_of_a_cancelled_one_are_not() -> None:
    here = world()
    send(here, replayed(1, FIRST, replay="other", replay_id="second"))
    here.run(3)
    write_state(here, "cancelled")
    here.run(3)
    send(here, replayed(2, FIRST))
    here.run(3)
    ((name, _, _, payload),) = announced(here)
    assert (name, payload["replay"], payload["replay_id"]) == (CREATED, "other", "second")


def test_what_is_sensitive_is_not_announced() -> None:
    slots = (Slot("order.created", "order", key="payload.customer.email"),)
    plan = RunPlan("ship", "default", (("order", "order.payload.order"),))
    here = world(Trigger("default", "ship", slots, plan, require=1, sensitive=("customer.email",), dedupe=MINUTE))
    here.publish("order.created", {"order": "7", "customer": {"email": "ann@example.org"}})
    here.run(3)
    ((_, _, _, payload),) = announced(here)
    assert (payload["key"], payload["parameters"]) == (None, None)
    assert "ann@example.org" not in str(payload)


def test_an_announcement_fits_into_its_topic_however_many_events_the_run_used() -> None:
    used = tuple([("each", EventIdentity("order.created", "s" * 100, str(number))) for number in range(10_000)])
    facts = RunFacts("hash", "", used, 0, 0, phase=RunPhase.SUCCEEDED, ended=2 * SECOND, parameters=())
    entry = {"state": "done", "at": SECOND, "trigger": "a/b", "workflow": "a/b-1", "reason": "created"}
    made = announcement("fb.", "k" * 52, entry, facts)
    assert made is not None
    assert len(str(made.payload["events"])) < 2 * EVENTS_LIMIT
    assert 0 < len(made.payload["events"]) == 10_000 - made.payload["events_left_out"]
    assert (made.time, made.payload["created"]) == (moment(2 * SECOND), moment(SECOND))


def test_parameters_that_the_ledger_does_not_keep_are_null() -> None:
    here = world()
    here.publish("order.created", {"order": "x" * (KEPT_PARAMETERS + 1)})
    here.run(3)
    ((_, _, _, payload),) = announced(here)
    assert payload["parameters"] is None


def test_nothing_is_announced_unless_it_is_asked_for() -> None:
    here = World(FIRST)
    here.start()
    here.run(3)
    run_one(here, "7")
    finish(here, "Succeeded")
    assert not set(announced_names("fb.")) & here.broker.topics.keys()


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        (chained('payload.trigger == "default/ship"'), ""),
        (chained('payload.trigger != "default/then"'), ""),
        (chained('payload.trigger in ["default/ship", "default/other"]', FAILED), ""),
        (chained(None, count=3), ""),
        (chained(None, "order.created"), ""),
        (chained(None), "spec.events[0].where: default/then starts itself without end"),
        (chained(None, FAILED), "where: payload.trigger != 'default/then'"),
        (chained('payload.trigger == "default/then"'), "starts itself without end"),
        (chained(None, "fb.runs"), "'fb.runs' is not for triggers"),
        (chained(None, "fb.run.other"), "'fb.run.other' is not for triggers"),
    ],
)
def test_a_trigger_that_would_start_itself_without_end_is_refused(trigger: Trigger, said: str) -> None:
    error = internal_topic_error(trigger, "fb.", Origin("t.yaml", 3), announces_runs=True)
    assert (error is None) is (said == "")
    assert said in str(error)


def test_a_trigger_that_needs_another_event_as_well_does_not_start_itself() -> None:
    slots = (Slot(SUCCEEDED, "run"), Slot("order.created", "order"))
    both = replace(FIRST, slots=slots, require=2, window=WindowPlan("within", MINUTE), dedupe=HOUR)
    assert internal_topic_error(both, "fb.", Origin("t.yaml", 3), announces_runs=True) is None
    either = replace(both, require=1)
    assert "starts itself" in str(internal_topic_error(either, "fb.", Origin("t.yaml", 3), announces_runs=True))


def test_a_trigger_on_announcements_that_no_bridge_makes_is_refused() -> None:
    here = World(FIRST, chained('payload.trigger == "default/ship"'))
    here.start()
    here.run(3)
    definitions = here.processes[0].stage("router")._definitions
    assert set(definitions.in_force) == {"default/ship"}
    trigger = chained('payload.trigger == "default/ship"')
    said = str(internal_topic_error(trigger, "fb.", Origin("t.yaml", 3), announces_runs=False))
    assert "the setting announce_runs is off; set FLOWBRIDGE_ANNOUNCE_RUNS=true" in said


def test_the_page_shows_the_example_as_it_stands_in_its_file_and_its_commands_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (ROOT / "docs" / "runs.md").read_text()
    section = page.partition("## Start a run after another one's")[2]
    shown = section.partition("```yaml\n")[2].partition("```")[0]
    assert shown == (ROOT / "docs" / "examples" / "after-a-run.yaml").read_text()
    monkeypatch.chdir(ROOT)
    commands = section.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert len(commands) == 2
    for command in commands:
        result = CliRunner().invoke(cli, command.split()[1:], prog_name="flowbridge")
        assert result.exit_code == 0, result.output


def test_the_page_names_every_field_of_the_payload() -> None:
    here = world()
    run_one(here, "7")
    page = (ROOT / "docs" / "runs.md").read_text().partition("## Start a run after another one's")[2]
    ((_, _, _, payload),) = announced(here)
    assert [field for field in payload if f"`{field}`" not in page] == []
