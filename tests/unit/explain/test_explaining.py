"""What explain says: the records of the live bridge where there are any, and else the rules."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bridge.core.event import HOUR, MINUTE, SECOND
from bridge.core.trigger import Trigger, WindowPlan
from bridge.kafka.memory.log import MemoryLog
from bridge.replay.request import Bound, ReplayError
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from unit.explain.asking import about, ask, overview, reasons
from unit.replay.replaying import suspend
from unit.stages.world import World, one_slot, two_slots

MAPPED = (("order", "order_created.payload.order"),)


def begun(*triggers: Trigger) -> World:
    world = World(*triggers)
    world.start()
    world.run(3)
    return world


def test_an_event_that_was_filtered_shows_each_part_of_the_filter_with_values_and_types() -> None:
    trigger = one_slot(parameters=MAPPED)
    slot = replace(trigger.slots[0], where="payload.paid == true && payload.rows > 3")
    world = begun(replace(trigger, slots=(slot,)))
    world.publish("order.created", {"order": "1", "paid": "True", "rows": 5}, id="a")
    world.run(5)
    event = about(world, "a")
    (decision,) = event.decisions
    assert (decision.reason, decision.known) == ("filtered", "recorded")
    assert [(part.source, part.value, part.hint) for part in decision.parts] == [
        ("payload.paid == true", False, "payload.paid is a string, which is never equal to a value of type bool"),
        ("payload.rows > 3", True, ""),
    ]
    assert [(field.path, field.value, field.type) for field in decision.fields] == [
        ("payload.paid", '"True"', "string"),
        ("payload.rows", "5", "int"),
    ]


def test_a_whole_cloudevent_is_told_with_the_values_of_its_document() -> None:
    slot = replace(one_slot().slots[0], where="payload.rows > 3")
    world = begun(replace(one_slot(parameters=MAPPED), slots=(slot,)))
    attributes = {"specversion": "1.0", "id": "a", "source": "/shop", "type": "order.created"}
    document = json.dumps({**attributes, "data": {"order": "1", "rows": 2}}).encode()
    world.broker.append("order.created", 0, None, document, [("content-type", b"application/cloudevents+json")])
    world.broker.append("order.created", 0, None, b"{}", [("content-type", b"application/cloudevents+json")])
    world.run(5)
    event = about(world, "a")
    assert (event.source, reasons(event)) == ("/shop", [("order_created", "filtered", "recorded")])
    assert [(field.path, field.value) for field in event.decisions[0].fields] == [("payload.rows", "2")]
    refused = about(world, "order.created/0/1")
    assert "structured CloudEvent that cannot be read: specversion: expected 1.0" in refused.decisions[0].text


def test_an_event_that_waits_for_its_schema_says_so_then_that_it_was_sent_back_and_then_what_was_decided() -> None:
    world = World(one_slot(parameters=MAPPED))
    schemas: list[EventSchema] = []
    world.decoder = lambda: Decoder(EventSchemas.of(schemas))
    world.schema_state = lambda: len(schemas)
    world.start()
    world.run(3)
    text = '{"type": "record", "name": "Order", "fields": [{"name": "order", "type": "string"}]}'
    schema = EventSchema.parse("order.created", text, "order.created.avsc")
    world.encoder = Encoder(EventSchemas.of([schema]))
    world.publish("order.created", {"order": "1"}, id="a")
    world.run(10)
    event = about(world, "order.created/0/0")
    assert reasons(event) == [("order_created", "undecodable", "recorded")]
    assert event.decisions[0].text.startswith("It waits for its schema: no schema with the fingerprint")
    assert event.decisions[0].evidence["waits_for"] == "schema"
    schemas.append(schema)
    world.run(10)
    event = about(world, "a")
    assert reasons(event) == [("order_created", "undecodable", "recorded"), ("order_created", "matched", "recorded")]
    assert "It waited as a dead letter and was sent back at 2023-11-14T22:13:" in event.decisions[0].text
    assert ask(world, event="a").answer[0].startswith("order.created a at slot order_created: matched.")


def test_an_event_of_a_run_names_its_workflow_and_the_run_its_parameters() -> None:
    world = begun(two_slots())
    world.publish("order.created", {"order": "1"}, id="o")
    world.publish("payment.done", {"order": "1", "amount": "9"}, id="p")
    world.run(5)
    story = ask(world, event="p")
    (run,) = story.runs
    assert run.workflow == f"default/{world.api.workflows()[0].name}"
    assert (run.outcome, run.known, run.phase) == ("ran", "recorded", "not begun")
    assert [(parameter.name, parameter.value, parameter.origin) for parameter in run.parameters] == [
        ("order", "1", "order.payload.order"),
        ("amount", "9", "payment.payload.amount"),
    ]
    assert {event.id: event.is_asked for event in story.events} == {"o": False, "p": True}
    assert reasons(story.events[0])[-1] == ("order", "matched", "recorded")
    assert run.workflow in story.answer[0]


def test_an_event_that_waits_shows_its_window() -> None:
    world = begun(two_slots())
    world.publish("order.created", {"order": "1"}, id="o")
    world.run(5)
    story = ask(world, key="1")
    (window,) = story.windows
    assert (window.filled, window.required, window.missing, window.known) == (1, 2, "payment", "recorded")
    assert reasons(story.events[0]) == [("order", "waiting", "recorded")]
    assert window.text in story.answer


def test_what_the_sample_does_not_have_is_told_by_the_rules_and_marked() -> None:
    trigger = one_slot(parameters=MAPPED)
    slot = replace(trigger.slots[0], where="payload.rows > 3")
    world = begun(replace(trigger, slots=(slot,)))
    for number in range(15):  # the sample has ten alike in a minute
        world.publish("order.created", {"order": "1", "rows": 1}, id=f"e{number}")
    world.run(3)
    story = ask(world, limit=100)
    known = [(decision.reason, decision.known) for event in story.events for decision in event.decisions]
    assert known == [("filtered", "recorded")] * 10 + [("filtered", "recomputed")] * 5
    assert ask(world, limit=4).unshown == 11


def test_an_event_from_before_the_trigger_is_told_so() -> None:
    world = begun(one_slot(parameters=MAPPED))
    world.publish("order.created", {"order": "1"}, id="early")
    world.run(5)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    event = about(world, "early", trigger="default/later")
    assert [decision.reason for decision in event.decisions] == ["not-in-force"]


def test_an_event_that_no_router_has_read_is_told_so() -> None:
    world = begun(one_slot(parameters=MAPPED))
    world.processes[0].stop()
    world.publish("order.created", {"order": "1"}, id="a")
    world.publish("order.created", {"order": "2"}, id="b")
    (decision,) = about(world, "b").decisions
    assert (decision.reason, decision.evidence) == ("not-read", {"behind": "2"})


def test_an_event_behind_an_open_transaction_reaches_no_matcher_and_is_told_so() -> None:
    """A router that is killed leaves its transaction open until the broker gives it up; others go on behind it."""
    world = begun(two_slots())
    killed = MemoryLog(world.broker).producer("a-router-that-is-killed")
    killed.init()
    killed.begin()
    for number in range(world.topics.partitions):
        killed.send(world.topics.arrivals, number, b"k", b"never committed")
    world.publish("order.created", {"order": "1"}, id="o")
    world.run(3)
    assert reasons(about(world, "o")) == [("order", "not-applied", "recorded")]
    killed.abort()
    world.run(3)
    assert reasons(about(world, "o")) == [("order", "waiting", "recorded")]


def test_a_record_that_is_no_arrival_stops_no_answer() -> None:
    world = World(two_slots())
    world.start("p1", ("controller", "router"))
    world.run(5)
    for number in range(world.topics.partitions):
        world.broker.append(world.topics.arrivals, number, b"key", b"no arrival")
    world.publish("order.created", {"order": "1"}, id="o")
    world.run(3)
    assert reasons(about(world, "o")) == [("order", "not-applied", "recorded")]


def test_events_of_a_suspended_time_are_decided_by_the_definition_of_that_time() -> None:
    world = begun(one_slot(parameters=MAPPED))
    suspend(world, is_suspended=True)
    world.publish("order.created", {"order": "1"}, id="a")
    world.run(3)
    suspend(world, is_suspended=False)
    assert [decision.reason for decision in about(world, "a").decisions] == ["suspended"]


def test_an_edit_of_the_condition_ends_the_windows_of_the_former_one() -> None:
    world = begun(two_slots())
    world.publish("order.created", {"order": "1"}, id="o")
    world.run(3)
    world.triggers[:] = [two_slots(window=WindowPlan("within", 20 * MINUTE))]
    world.run(10)
    event = about(world, "o")
    assert [decision.reason for decision in event.decisions] == ["waiting", "expired"]
    assert "the trigger changed" in event.decisions[-1].text


def test_two_runs_of_one_key_are_told_apart_by_their_events() -> None:
    world = begun(two_slots())
    for turn in ("a", "b"):
        world.publish("order.created", {"order": "1"}, id=f"o-{turn}")
        world.publish("payment.done", {"order": "1", "amount": "9"}, id=f"p-{turn}")
        world.run(3)
    story = ask(world, key="1")
    assert len(story.runs) == 2
    assert any("runs of different events" in sentence and "o-a and o-b" in sentence for sentence in story.answer)


def test_a_run_that_began_late_says_where_the_time_went() -> None:
    world = begun(two_slots())
    world.processes[0].stop()
    world.publish("order.created", {"order": "1"}, id="o", ago=MINUTE)
    world.publish("payment.done", {"order": "1", "amount": "9"}, id="p", ago=2 * MINUTE)
    world.now += 2 * HOUR
    world.start("p2")
    world.run(10)
    name = world.api.workflows()[0].name
    story = ask(world, run=name)
    assert any("2 hours" in sentence and "submitter took it up" in sentence for sentence in story.answer), story.answer
    texts = [moment.text for moment in story.runs[0].moments]
    assert texts[0] == "the newest of its events happened"
    assert any("took it up, 2 hours" in text for text in texts), texts


def test_a_trigger_that_never_matched_shows_the_nearest_miss() -> None:
    world = begun(two_slots())
    world.publish("order.created", {"order": "1"}, id="o")
    world.run(5)
    world.now += 20 * MINUTE
    world.run(5)
    story = overview(world)
    assert story.answer[0].startswith("No run of it is recorded")
    assert any("nearest miss: order.created o" in sentence for sentence in story.answer), story.answer


def test_a_trigger_tells_when_it_matched_last_and_what_it_waits_for() -> None:
    world = begun(two_slots())
    world.publish("order.created", {"order": "1"}, id="o")
    world.publish("payment.done", {"order": "1", "amount": "9"}, id="p")
    world.publish("order.created", {"order": "2"}, id="o2")
    world.run(5)
    story = overview(world)
    assert story.trigger.is_applied
    assert story.answer[0].startswith("It matched last with an event of ")
    assert story.answer[1].startswith("1 window is open. The fullest: The window of key '2' has 1 of 2")


def test_what_is_not_there_is_said_plainly() -> None:
    world = begun(two_slots())
    world.run(2)
    assert ask(world, event="nope").answer[0].startswith("No event with the id 'nope' reached order.created, payment")
    assert ask(world, run="nope").answer[0].startswith("No run 'nope' of default/ship is recorded.")
    with pytest.raises(ReplayError, match="there is no trigger default/none: there are: default/ship"):
        ask(world, "default/none", event="x")
    single = begun(one_slot())
    with pytest.raises(ReplayError, match="has no correlation key"):
        ask(single, key="x")


def test_a_run_that_the_bridge_lost_is_missing_by_the_rules() -> None:
    world = begun(one_slot(parameters=MAPPED))
    world.publish("order.created", {"order": "1"}, id="a")
    world.run(5)
    ledger = world.broker.topics[world.topics.ledger]
    for log in ledger.logs:
        log.purge(log.end)
    story = ask(world, event="a")
    assert [(run.outcome, run.known) for run in story.runs] == [("missing", "recomputed")]


def test_a_sensitive_field_is_never_shown() -> None:
    trigger = one_slot(parameters=(("card", "order_created.payload.card"),))
    slot = replace(trigger.slots[0], where="payload.card == 'x' && payload.rows > 1")
    world = begun(replace(trigger, slots=(slot,), sensitive=("card",)))
    world.publish("order.created", {"card": "4711-secret", "rows": 5}, id="a")
    world.run(5)
    assert "4711" not in str(ask(world, event="a").plain())


def test_a_repeat_is_one_event_with_two_places() -> None:
    world = begun(two_slots())
    world.publish("order.created", {"order": "1"}, id="o")
    world.run(2)
    world.publish("order.created", {"order": "1"}, id="o", partition=1)
    world.run(2)
    event = about(world, "o")
    assert len(event.places) == 2
    assert [decision.reason for decision in event.decisions] == ["waiting", "duplicate"]


def test_a_time_says_when_an_event_reached_kafka() -> None:
    world = begun(one_slot(parameters=MAPPED))
    at = world.now
    world.publish("order.created", {"order": "1"}, id="a", ago=10 * SECOND)
    world.run(5)
    event = about(world, "a")
    assert event.time != event.reached
    assert about(world, "a", start=Bound(time=at - SECOND)).id == "a"
