"""Triggers on one event, from end to end: which events start a Workflow, with which parameters, and which never do."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from e2e.expected import ExpectedEvent, ExpectedRun, assert_is
from e2e.installation import names_in, parameters
from servers.topics import make_topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation

TRIGGERS = Path(__file__).with_name("single_slot.yaml")
WHEN = datetime(2024, 2, 29, 12, 0, 0, 500, tzinfo=UTC)
SOME_ID = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")

OF_EVERY_TYPE: dict[str, Any] = {
    "text": "Grüße, $HOME `ls`",
    "integer": 2**53 + 1,
    "number": 12.5,
    "truth": True,
    "nothing": None,
    "raw": b"\x00\xff",
    "moment": WHEN,
    "money": Decimal("1234567890123456789.10"),
    "uuid": SOME_ID,
    "items": [1, "two", None, {"deep": [False]}],
    "fields": {"a": 1, "b": {"c": "d"}},
}
AS_PARAMETERS = {
    "text": "Grüße, $HOME `ls`",
    "integer": "9007199254740993",
    "number": "12.5",
    "truth": "true",
    "nothing": "null",
    "raw": base64.b64encode(b"\x00\xff").decode(),
    "moment": "2024-02-29T12:00:00.000500Z",
    "money": "1234567890123456789.10",
    "uuid": str(SOME_ID),
    "items": '[1,"two",null,{"deep":[false]}]',
    "fields": '{"a":1,"b":{"c":"d"}}',
}


@pytest.fixture(scope="module")
def bridge(installation: Installation) -> Iterator[BridgeProcess]:
    """A bridge with the triggers of ``single_slot.yaml``; two of their topics hold an event before it starts."""
    make_topics(installation.bootstrap, "single.earliest", "single.now", partitions=2)
    for name in ("earliest", "now"):
        _publish(installation, name, {"number": 1}, "before")
    installation.create_template("takes-every-type", **dict.fromkeys(OF_EVERY_TYPE), mode="full", missing="none")
    installation.create_template("takes-computed", **{name: None for name in OF_EVERY_TYPE if name != "money"})
    installation.create_template("takes-two", text=None, region=None)
    installation.create_template("takes-given", **dict.fromkeys(("a", "b", "c", "number", "text"), "given"))
    installation.write_triggers(TRIGGERS.read_text())
    with installation.process() as process:
        installation.wait_triggers(*names_in(TRIGGERS.read_text()))
        yield process


def _publish(installation: Installation, trigger: str, payload: Mapping[str, Any], *ids: str) -> None:
    with installation.publisher() as publisher:
        for event_id in ids or ("e-1",):
            publisher.publish(f"single.{trigger}", payload, key="k", id=event_id, time=WHEN)


def _run(trigger: str, template: str, given: Mapping[str, str], **more: Any) -> ExpectedRun:
    event = ExpectedEvent("event_1", f"single.{trigger}", "e-1")
    return ExpectedRun(trigger, template, (event,), WHEN, given, **more)


def test_only_events_that_the_filter_lets_through_start_a_workflow(
    bridge: BridgeProcess, installation: Installation
) -> None:
    for number, event_id in enumerate(["none", "e-1", "two"]):
        _publish(installation, "filtered", {"number": number}, event_id)
    installation.wait_decisions(bridge, "filtered", filtered=2, created=1)
    (workflow,) = installation.workflows("filtered")
    assert_is(workflow, _run("filtered", "takes-given", {"number": "1"}), installation)


def test_a_mapping_that_leaves_out_what_the_template_requires_creates_no_workflow(
    bridge: BridgeProcess, installation: Installation
) -> None:
    _publish(installation, "lacking", {"text": "a"})
    installation.wait_decisions(bridge, "lacking", refused=1)
    assert installation.workflows("lacking") == []
    assert "takes-two requires the parameter 'region'" in bridge.text()


@pytest.mark.usefixtures("bridge")
def test_without_a_mapping_parameters_take_the_fields_of_their_names(installation: Installation) -> None:
    """A parameter without such a field is the template's; a field without one is left."""
    _publish(installation, "defaults", {**OF_EVERY_TYPE, "unknown": "x"})
    (workflow,) = installation.wait_workflows("defaults", 1)
    assert_is(workflow, _run("defaults", "takes-every-type", AS_PARAMETERS), installation)


@pytest.mark.usefixtures("bridge")
def test_a_mapping_fills_parameters_and_leaves_out_a_missing_field(installation: Installation) -> None:
    _publish(installation, "mapped", {"x": 7, "deep": {"y": [1, 2]}, "number": 1})
    (workflow,) = installation.wait_workflows("mapped", 1)
    assert_is(workflow, _run("mapped", "takes-given", {"a": "7", "b": "[1,2]"}), installation)


@pytest.mark.usefixtures("bridge")
def test_an_expression_hands_over_a_value_of_every_type(installation: Installation) -> None:
    _publish(installation, "every-type", OF_EVERY_TYPE)
    (workflow,) = installation.wait_workflows("every-type", 1)
    assert_is(workflow, _run("every-type", "takes-every-type", AS_PARAMETERS), installation)


@pytest.mark.usefixtures("bridge")
def test_an_expression_computes_a_value_of_every_type(installation: Installation) -> None:
    _publish(installation, "computed", OF_EVERY_TYPE)
    (workflow,) = installation.wait_workflows("computed", 1)
    assert parameters(workflow) == {
        "text": "Grüße, $HOME `ls`!",
        "integer": "9007199254740994",
        "number": "25.0",
        "truth": "false",
        "nothing": "null",
        "raw": base64.b64encode(b"\x00\xff\x00").decode(),
        "moment": "2024-02-29T13:00:00.000500Z",
        "uuid": f"id-{SOME_ID}",
        "items": '["two"]',
        "fields": '{"id":"e-1","name":"single.computed","source":"shop"}',  # whatever order CEL has them in
    }


@pytest.mark.usefixtures("bridge")
def test_labels_and_annotations_of_the_trigger_stand_beside_the_bridges_own(installation: Installation) -> None:
    _publish(installation, "labelled", {"number": 1})
    (workflow,) = installation.wait_workflows("labelled", 1)
    marks = {"labels": {"team": "shop"}, "annotations": {"example.com/why": "because it has to {run}"}}
    assert_is(workflow, _run("labelled", "takes-given", {"number": "1"}, **marks), installation)


def test_a_business_key_gets_one_run(bridge: BridgeProcess, installation: Installation) -> None:
    for event_id, number in {"e-1": 1, "again": 1, "other": 2, "later": 1}.items():
        _publish(installation, "one-run", {"number": number}, event_id)
    installation.wait_decisions(bridge, "one-run", created=2, already_ran=2)
    first, second = sorted(installation.workflows("one-run"), key=lambda workflow: parameters(workflow)["number"])
    assert_is(first, _run("one-run", "takes-given", {"number": "1"}, run_id="1"), installation)
    assert parameters(second) == {"number": "2"}


def test_an_event_that_comes_again_starts_nothing_again(bridge: BridgeProcess, installation: Installation) -> None:
    _publish(installation, "repeated", {"number": 1}, "e-1", "e-1", "e-2")
    installation.wait_decisions(bridge, "repeated", created=2, already_ran=1)
    assert len(installation.workflows("repeated")) == 2


def test_a_suspended_trigger_starts_nothing(bridge: BridgeProcess, installation: Installation) -> None:
    _publish(installation, "suspended", {"number": 1})
    counts = installation.wait_decisions(bridge, "suspended", suspended=1)
    assert counts == {"suspended": 1}
    assert installation.workflows("suspended") == []


def test_a_new_topic_is_begun_where_the_trigger_says(bridge: BridgeProcess, installation: Installation) -> None:
    for name in ("earliest", "now"):
        _publish(installation, name, {"number": 2}, "after")
    installation.wait_decisions(bridge, "earliest", created=2)
    installation.wait_decisions(bridge, "now", created=1)
    numbers = {
        name: sorted(parameters(workflow)["number"] for workflow in installation.workflows(name))
        for name in ("earliest", "now")
    }
    assert numbers == {"earliest": ["1", "2"], "now": ["2"]}


@pytest.mark.usefixtures("bridge")
def test_what_argo_would_evaluate_is_a_dead_letter(installation: Installation) -> None:
    evil = "{{workflow.serviceAccountName}}"
    for event_id, text in {"evil": evil, "e-1": "plain"}.items():
        _publish(installation, "templated", {"text": text}, event_id)
    (workflow,) = installation.wait_workflows("templated", 1)
    assert_is(workflow, _run("templated", "takes-given", {"text": "plain"}), installation)
    (letter,) = installation.wait_dead_letters("single.templated", 1)
    assert (letter["stage"], letter["reason"]) == ("router", "unrunnable")
    assert letter["trigger"] == f"{installation.namespace}/templated"
    assert "'{{'" in letter["text"]
    assert "allowTemplateTags" in letter["text"]


@pytest.mark.usefixtures("bridge")
def test_inside_of_json_braces_arrive_as_data(installation: Installation) -> None:
    _publish(installation, "nested", {"a": {"text": "{{workflow.name}}"}})
    (workflow,) = installation.wait_workflows("nested", 1)
    assert parameters(workflow) == {"a": '{"text":"{\\u007bworkflow.name}}"}'}


def test_bytes_that_nobody_can_read_are_a_dead_letter_and_stop_nobody(
    bridge: BridgeProcess, installation: Installation
) -> None:
    producer = Producer({"bootstrap.servers": installation.bootstrap})
    producer.produce("single.garbage", b"no Avro at all", key="k", headers=[("ce_id", b"garbage")])
    assert producer.flush(30) == 0
    _publish(installation, "garbage", {"number": 1})
    (workflow,) = installation.wait_workflows("garbage", 1)
    assert_is(workflow, _run("garbage", "takes-given", {"number": "1"}), installation)
    (letter,) = installation.wait_dead_letters("single.garbage", 1)
    assert (letter["stage"], letter["reason"], letter["offset"]) == ("router", "undecodable", 0)
    assert (letter["key"], letter["value"]) == (b"k", b"no Avro at all")
    assert letter["headers"] == [{"name": "ce_id", "value": b"garbage"}]
    assert installation.decisions(bridge, "garbage")["undecodable"] == 1


def test_an_event_from_the_future_starts_nothing(bridge: BridgeProcess, installation: Installation) -> None:
    with installation.publisher() as publisher:
        publisher.publish("single.future", {"number": 1}, time=datetime(2999, 1, 1, tzinfo=UTC))
    assert installation.wait_decisions(bridge, "future", from_the_future=1) == {"from-the-future": 1}
    assert installation.workflows("future") == []
