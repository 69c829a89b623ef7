"""What ``flowbridge runs`` makes of the ledger: phases, filters, hidden values, and the run of a rerun."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from bridge.cli.runs import looking
from bridge.cli.runs.changing import rerun_of
from bridge.cli.runs.commands import runs
from bridge.cli.runs.ledger_runs import Filter, LedgerRun, LedgerRuns, url_of
from bridge.core.definition import Definition
from bridge.core.event import SECOND
from bridge.core.evidence import REDACTED
from bridge.errors import SettingsError, UsageError
from bridge.kafka.internal_topics import partition_of
from bridge.kafka.memory.log import MemoryLog
from bridge.stages.shared.run_records import decode_run, encode_run
from unit.stages.world import BEGIN, World, one_slot

MAPPED = (("order", "order_created.payload.order"),)


@pytest.fixture
def world() -> World:
    """A world in which four runs were created: they have succeeded, failed, were deleted, and run."""
    made = World(one_slot(parameters=MAPPED))
    made.start()
    made.run(3)
    for order in ("good", "bad", "deleted", "stays"):
        made.publish("order.created", {"order": order}, id=order)
    made.run(3)
    names = {workflow["order"]: workflow for workflow in made.workflows()}
    assert len(names) == 4
    for workflow in made.api.workflows():
        order = workflow.manifest["spec"]["arguments"]["parameters"][0]["value"]
        if order in ("good", "bad"):
            made.api.finish("default", workflow.name, "Succeeded" if order == "good" else "Failed")
        elif order == "deleted":
            made.api.delete("default", workflow.name)
    made.run(3)
    return made


def ledger(world: World) -> LedgerRuns:
    return LedgerRuns(MemoryLog(world.broker), world.topics, lambda: world.now)


def shown(world: World, limit: int = 10, **wanted: Any) -> tuple[dict[str, str], int]:
    """Return the phases of the runs that a filter takes, by the parameter ``order``, and how many there are."""
    found, total = ledger(world).newest(Filter(**wanted), limit)
    return {dict(run.parameters or ())["order"]: run.phase for run in found}, total


def of(world: World, order: str) -> LedgerRun:
    ((run,), _) = ledger(world).newest(Filter(parameters={"order": order}), 1)
    return run


def test_each_run_has_the_phase_of_its_last_entry(world: World) -> None:
    phases = {"good": "succeeded", "bad": "failed", "deleted": "gone", "stays": "running"}
    assert shown(world) == (phases, 4)


@pytest.mark.parametrize(
    ("wanted", "orders"),
    [
        ({"phases": frozenset({"failed", "gone"})}, {"bad", "deleted"}),
        ({"parameters": {"order": "good"}}, {"good"}),
        ({"parameters": {"order": "good", "other": "x"}}, set()),
        ({"key": "none"}, set()),
        ({"trigger": "default/other"}, set()),
        ({"start": BEGIN + 3_600 * SECOND}, set()),
        ({"end": BEGIN}, set()),
        ({"start": BEGIN}, {"good", "bad", "deleted", "stays"}),
    ],
)
def test_a_filter_takes_runs_by_all_that_it_names(wanted: dict[str, Any], orders: set[str], world: World) -> None:
    found, total = shown(world, **wanted)
    assert (set(found), total) == (orders, len(orders))


def test_the_limit_keeps_the_newest_and_counts_all(world: World) -> None:
    for number in range(20):
        world.publish("order.created", {"order": f"late-{number}"})
        world.run(1)
    found, total = shown(world, limit=2)
    assert total == 24
    assert list(found) == ["late-18", "late-19"]


def test_a_run_is_found_by_its_key_and_by_its_workflow(world: World) -> None:
    run = of(world, "bad")
    for name in (run.run_key, run.workflow, run.workflow.partition("/")[2]):
        assert ledger(world).find(name) == (run, [])
    assert ledger(world).find("nothing") == (None, [])


def test_values_are_hidden_if_the_trigger_has_sensitive_fields_or_is_not_known(world: World) -> None:
    run = of(world, "good")
    definition = Definition(world.triggers[0])
    assert run.plain(definition, "")["parameters"] == {"order": "good"}
    hiding = Definition(replace(world.triggers[0], sensitive=("order",)))
    for known in (hiding, None):
        assert run.plain(known, "")["parameters"] == {"order": REDACTED}


def test_an_address_is_that_of_the_workflow_and_there_is_none_without_one(world: World) -> None:
    run = of(world, "good")
    address = "https://argo.example/{namespace}/{name}"
    assert url_of(run, address) == f"https://argo.example/{run.workflow}"
    assert url_of(run, "") == ""
    assert url_of(run._replace(phase="dead"), address) == ""


def test_a_rerun_is_taken_up_once_and_stands_in_place_of_its_parent(world: World) -> None:
    parent = of(world, "bad")
    definition = Definition(world.triggers[0])
    made = [
        rerun_of(parent, definition, parent.parameters or (), id_, world.topics.prefix, world.now)
        for id_ in ("a", "a", "b")
    ]
    assert made[0] == made[1]
    assert made[0].run_key != made[2].run_key != parent.run_key
    assert decode_run(encode_run(made[0])) == made[0]
    for run in made:
        place = partition_of(run.trigger, world.topics.partitions)
        world.broker.append(world.topics.runs, place, run.run_key.encode(), encode_run(run), [])
    world.run(3)
    found, repeats = ledger(world).find(parent.run_key)
    assert found == parent
    assert {run.run_key for run in repeats} == {made[0].run_key, made[2].run_key}
    assert {(run.repeats, run.parameters, run.phase) for run in repeats} == {
        (parent.run_key, parent.parameters, "running")
    }
    assert [workflow["order"] for workflow in world.workflows()].count("bad") == 3
    again = rerun_of(repeats[0], definition, (), "a", world.topics.prefix, world.now)
    assert again.repeats == parent.run_key, "runs in the place of a run stand for the run that was made first"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: looking._parameter("order"), "has no name and value"),
        (lambda: looking._parameter("=7"), "has no name and value"),
        (lambda: looking._moment("--from", "earliest"), "--from earliest names no time"),
        (lambda: looking._moment("--from", "soon"), "names no time"),
    ],
)
def test_an_option_that_cannot_be_read_is_an_error_that_says_what_is_right(call: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text) as error:
        call()
    assert error.value.remedy.startswith("write ")


def test_an_address_without_a_place_for_the_name_is_refused() -> None:
    done = CliRunner().invoke(runs, ["list", "--argo-url", "https://argo.example/workflows"])
    assert isinstance(done.exception, SettingsError)
    assert "{namespace}" in str(done.exception)
