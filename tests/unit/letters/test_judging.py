"""Whether a letter would pass now is told by the live rules, and nothing of it is sensitive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.argo.api import Unavailable
from bridge.argo.workflow import WorkflowTemplate
from bridge.core.trigger import Slot
from bridge.kafka.log import Record
from bridge.letters.judging import Outcome, schema_id, shown
from bridge.letters.letter import Letter
from unit.letters.office import TOPIC, Office, keyed, mend, with_letters
from unit.letters.test_retrying import refused
from unit.stages.world import World, one_slot, two_slots


def test_an_event_fails_until_its_trigger_is_corrected() -> None:
    world = with_letters(1)
    (letter,) = Office(world).read()
    verdict = Office(world).verdict(letter)
    assert (verdict.outcome, verdict.field) == (Outcome.FAILS, "order_created.key")
    assert verdict.evidence["key"] == "payload.none"
    mend(world)
    assert Office(world).verdict(letter).outcome is Outcome.PASSES


def test_an_event_that_no_trigger_would_use_is_neither() -> None:
    world = with_letters(1)
    (letter,) = Office(world).read()
    filtered = replace(keyed("payload.order"), slots=(Slot(TOPIC, "order_created", where="payload.order == 'x'"),))
    world.triggers = [filtered]
    world.run(5)
    assert Office(world).verdict(letter).outcome is Outcome.NOTHING
    world.triggers = [replace(one_slot(), slots=(Slot("other", "other"),))]
    world.run(30)
    verdict = Office(world).verdict(letter)
    assert (verdict.outcome, verdict.text) == (Outcome.NOTHING, "no trigger in force reads order.created")


def test_bytes_that_cannot_be_decoded_fail_with_the_reason() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    world.broker.append(TOPIC, 0, None, b"no avro")
    world.run(3)
    (letter,) = Office(world).read()
    verdict = Office(world).verdict(letter)
    assert (verdict.outcome, verdict.field) == (Outcome.FAILS, "value")
    assert verdict.text == letter.text


def test_a_run_passes_when_its_template_takes_its_parameters() -> None:
    world = refused()
    (letter,) = Office(world).read()
    verdict = Office(world).verdict(letter)
    assert (verdict.outcome, verdict.field) == (Outcome.FAILS, "run.workflowTemplate")
    world.api.add_template("default", "ship", parameters=("colour",))
    verdict = Office(world).verdict(letter)
    assert (verdict.outcome, verdict.field) == (Outcome.FAILS, "run.parameters")
    world.api.add_template("default", "ship", defaults=("order",))
    assert Office(world).verdict(letter).outcome is Outcome.PASSES


@pytest.mark.parametrize("is_there", [True, False])
def test_each_template_is_asked_for_once(monkeypatch: pytest.MonkeyPatch, *, is_there: bool) -> None:
    world = with_letters(4)
    mend(world)
    asked: list[str] = []
    find = world.api.template

    def counted(namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        asked.append(name)
        return find(namespace, name) if is_there else None

    monkeypatch.setattr(world.api, "template", counted)
    office = Office(world)
    judge = office.judge()
    outcomes = {judge.verdict(letter, office.way().of(letter)).outcome for letter in office.read()}
    assert outcomes == {Outcome.PASSES if is_there else Outcome.FAILS}
    assert asked == ["ship"]


def test_values_of_sensitive_fields_are_not_shown() -> None:
    payload = {"order": 1, "card": {"number": "4711", "type": "x"}, "all": {"a": 1}}
    assert shown(payload, ()) == payload
    assert shown(payload, ("card.number", "all")) == {
        "order": 1,
        "card": {"number": "(redacted)", "type": "x"},
        "all": "(redacted)",
    }


def test_the_fields_that_may_not_be_shown_are_those_of_each_trigger_that_reads_the_record() -> None:
    hidden = replace(keyed("payload.none"), sensitive=("card.number",))
    world = with_letters(1, trigger=hidden)
    office = Office(world)
    (letter,) = office.read()
    assert office.judge().sensitive(letter) == ("card.number",)


def test_an_arrival_is_left_to_the_matcher() -> None:
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "1"})
    world.run(3)
    office = Office(world)
    (arrival,) = [record for record in world.records(world.topics.arrivals) if b"default/ship" in (record.key or b"")]
    letter = Letter((0, 0), "matcher", "failed", "", ("default/ship",), "", 0, arrival)
    assert office.verdict(letter).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("value", "headers", "expected"),
    [
        (b"\xc3\x01" + bytes(range(8)) + b"x", [], "fingerprint 0001020304050607"),
        (b"\0\0\0\1\2x", [], "registry id 258"),
        (b"x", [("__value_schema_id", b"\1" + bytes(16))], "registry GUID " + "00" * 16),
        (b"x", [("__value_schema_id", b"\0\0\0\0\7")], "registry id 7"),
        (b"{}", [], ""),
        (None, [], ""),
    ],
)
def test_the_schema_of_a_record_is_named(value: bytes | None, headers: list[tuple[str, bytes]], expected: str) -> None:
    assert schema_id(Record("t", 0, 0, 0, None, value, headers)) == expected
