"""The promises about trace contexts: that of an event comes to its Workflow, whatever waits and dies in between."""

from __future__ import annotations

import pytest

from bridge.argo.manifest import TRACEPARENT
from bridge.core.definition import Definition
from bridge.core.event import Event
from bridge.core.runs.run_of_match import TRACES_LIMIT, make_run
from bridge.core.trigger import RunPlan, Slot, Trigger
from bridge.kafka.records import TRACED_RUN, kind_of
from bridge.settings.groups import WindowSettings
from bridge.stages.shared.arrival_records import ArrivalRecord, decode_arrival, encode_arrival
from bridge.stages.shared.run_records import decode_run, encode_run
from bridge.triggers.resources import read_text
from unit.stages.submitter.test_replayed_runs import replayed
from unit.stages.world import World, one_slot, two_slots

FIRST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def contexts(world: World) -> list[str | None]:
    """Return the trace context of each Workflow, in the order of creation."""
    return [workflow.manifest["metadata"]["annotations"].get(TRACEPARENT) for workflow in world.created]


def kinds(world: World, topic: str) -> list[str]:
    return [kind_of(value) for value in world.values(topic)]


def test_the_trace_context_of_an_event_is_an_annotation_of_its_workflow() -> None:
    world = World(one_slot(parameters=(("order", "order_created.payload.order"),)))
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "1"}, traceparent=FIRST)
    world.publish("order.created", {"order": "2"})
    world.run(3)
    assert contexts(world) == [FIRST, None]
    assert kinds(world, world.topics.runs) == ["traced_run", "run"]


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("dies", [False, True])
def test_it_survives_a_wait_in_a_window_in_memory_and_on_disk_and_the_death_of_the_matcher(
    dies: bool,  # noqa: FBT001
    on_disk: bool,  # noqa: FBT001
) -> None:
    world = World(two_slots())
    if on_disk:
        world.window_bytes, world.window_disk_bytes = 1, WindowSettings.window_disk_bytes
    process = world.start()
    world.run(3)
    world.publish("order.created", {"order": "1"}, traceparent=FIRST)
    world.publish("order.created", {"order": "2"})
    world.publish("payment.done", {"order": "3", "amount": "3"}, traceparent=SECOND)
    world.run(3)
    waiting = [kind for kind in kinds(world, world.topics.arrivals) if kind != "tick"]
    assert sorted(waiting) == ["arrival", "traced_arrival", "traced_arrival"]
    if dies:
        process.crash()
        world.start("p2")
        world.run(10)
    world.publish("payment.done", {"order": "1", "amount": "1"}, traceparent=SECOND)
    world.run(3)
    world.publish("payment.done", {"order": "2", "amount": "2"}, traceparent=SECOND)
    world.run(3)
    world.publish("order.created", {"order": "3"})
    world.run(3)
    assert contexts(world) == [SECOND, SECOND, SECOND], "the run continues the trace of the last event that has one"
    runs = [decode_run(value) for value in world.values(world.topics.runs)]
    assert sorted(run.traces for run in runs) == sorted([(SECOND, FIRST), (SECOND,), (SECOND,)])


@pytest.mark.parametrize("malformed", ["", "none", FIRST[:-1], FIRST + "0", FIRST.upper(), "ff" + FIRST[2:]])
def test_a_malformed_context_costs_nothing_but_the_trace(malformed: str) -> None:
    world = World(one_slot(parameters=()))
    world.start()
    world.run(3)
    world.publish("order.created", {"order": "1"}, traceparent=malformed)
    world.run(3)
    assert contexts(world) == [None]
    assert kinds(world, world.topics.runs) == ["run"]


def test_a_parameter_can_be_the_context_of_an_event_and_is_empty_without_one() -> None:
    world = World(one_slot(parameters=(("trace", "order_created.traceparent"),)))
    world.start()
    world.run(3)
    world.publish("order.created", {}, traceparent=FIRST)
    world.publish("order.created", {})
    world.run(3)
    given = [workflow.manifest["spec"]["arguments"]["parameters"] for workflow in world.created]
    assert given == [[{"name": "trace", "value": FIRST}], [{"name": "trace", "value": ""}]]


def test_the_text_of_a_whole_event_is_as_before_where_no_context_is_named() -> None:
    def text(**parameters: str) -> dict[str, str]:
        plan = RunPlan("ship", "default", tuple(parameters.items()))
        definition = Definition(Trigger("default", "ship", (Slot("a", "a"),), plan, require=1))
        run = make_run(definition, "fb.", "", ((Event("a", "s", "1", 0, 0, None, {}, FIRST),),))
        return dict(run.parameters or ())

    before = '{"name":"a","id":"1","source":"s","time":"1970-01-01T00:00:00Z","key":null,"payload":{}}'
    assert text(whole="a") == {"whole": before}
    assert text(whole="a", trace="a.traceparent") == {
        "whole": before[:-1] + f',"traceparent":"{FIRST}"}}',
        "trace": FIRST,
    }


def test_a_run_keeps_the_contexts_of_its_events_once_and_up_to_a_limit() -> None:
    slot = Slot("a", "a", count=100)
    definition = Definition(Trigger("default", "ship", (slot,), RunPlan("ship", "default", (("x", "'x'"),)), require=1))

    def events(*traces: str) -> list[Event]:
        return [Event("a", "s", str(number), 0, number, None, {}, trace) for number, trace in enumerate(traces)]

    assert make_run(definition, "fb.", "", (events(FIRST, "", SECOND, FIRST),)).traces == (FIRST, SECOND)
    many = [f"00-{number + 1:032x}-{1:016x}-01" for number in range(100)]
    assert make_run(definition, "fb.", "", (events(*many),)).traces == tuple(many[::-1][:TRACES_LIMIT])


@pytest.mark.parametrize("replay", ["", "gap"])
def test_a_traced_run_is_read_as_it_was_written_and_others_are_written_as_before(replay: str) -> None:
    run = replayed(1, one_slot(), replay=replay)
    traced = run._replace(traces=(FIRST, SECOND))
    assert decode_run(encode_run(traced)) == traced
    assert TRACED_RUN.decode(encode_run(traced))["run"] == encode_run(run)
    assert decode_run(encode_run(run)) == run


@pytest.mark.parametrize("traceparent", ["", FIRST])
@pytest.mark.parametrize("name", ["", "order.created"])
def test_an_arrival_is_read_as_it_was_written(name: str, traceparent: str) -> None:
    arrival = ArrivalRecord("default/t", "hash", 1, "key", "shop", "evt-1", 2, 3, None, b"v", name, traceparent)
    assert decode_arrival(encode_arrival(arrival)) == arrival


def test_the_check_knows_the_context_of_a_slot() -> None:
    text = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: t}
spec:
  events: [{name: order.created, as: order}]
  run: {workflowTemplate: w, parameters: {trace: order.traceparent}}
"""
    assert read_text(text, "f", "f", "default")[1] == []
    (error,) = read_text(text.replace("order.traceparent", "order.tracparent"), "f", "f", "default")[1]
    assert "traceparent" in str(error)
