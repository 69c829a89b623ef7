"""What a plan finds: exactly the runs that are missing, by the rules that the live bridge follows."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from bridge.argo.memory import answered
from bridge.argo.workflow import Workflow
from bridge.core.event import DAY, HOUR, SECOND, EventIdentity
from bridge.core.runs.field_parameters import FieldParameter
from bridge.core.trigger import Collect, RunPlan, Schedule, Slot, Trigger, WindowPlan
from bridge.kafka.memory.log import MemoryLog
from bridge.replay.past import Past, PastDecision
from bridge.replay.planner import Planner
from bridge.replay.recorded import Recorded
from bridge.replay.request import Bound, ReplayError, Request
from bridge.stages.shared.definitions import Definitions
from flowbridge_sdk.errors import RegistryUnavailableError
from unit.replay.replaying import EARLIEST, around, draft, orders, outcomes, suspend, would_run
from unit.stages.world import World, one_slot, parameters_of, two_slots

MAPPED = (("order", "order_created.payload.order"),)


def events_of(workflow: Workflow) -> list[EventIdentity]:
    """Return the events that a Workflow names."""
    listed = json.loads(workflow.manifest["metadata"]["annotations"]["flowbridge.dev/events"])
    return [EventIdentity(event["name"], event["source"], event["id"]) for event in listed]


def begun(trigger: Trigger) -> World:
    world = World(trigger)
    world.start()
    world.run(3)
    return world


def publish(world: World, *numbers: int) -> None:
    for number in numbers:
        world.publish("order.created", {"order": str(number)}, partition=number % 2)
        world.run(1)


def pair(world: World, *numbers: int) -> None:
    for number in numbers:
        world.publish("order.created", {"order": str(number)}, partition=number % 2)
        world.publish("payment.done", {"order": str(number), "amount": "1"}, partition=(number + 1) % 2)
        world.run(1)


def test_a_bridge_that_did_all_leaves_nothing_to_do() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1, 2, 3)
    world.run(5)
    made = draft(world)
    assert (outcomes(made), made.plan.count()) == ({"ran": 3}, 0)
    assert made.decisions == {"matched": 3}


def test_a_trigger_that_was_added_afterwards_gets_the_runs_of_what_was_before_it() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1, 2, 3)
    later = replace(world.triggers[0], name="later")
    world.triggers.append(later)
    world.run(5)
    publish(world, 4, 5)
    world.run(5)
    made = draft(world, "default/later")
    assert (outcomes(made), orders(made)) == ({"missing": 3, "ran": 2}, ["1", "2", "3"])


def test_events_of_the_time_in_which_a_trigger_was_suspended_are_named() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1)
    suspend(world, is_suspended=True)
    publish(world, 2, 3)
    suspend(world, is_suspended=False)
    publish(world, 4)
    world.run(5)
    made = draft(world, only="suspended")
    assert (outcomes(made), orders(made)) == ({"missing": 2}, ["2", "3"])
    suspend(world, is_suspended=True)
    assert orders(draft(world)) == ["2", "3"], "a trigger that is suspended now is replayed as if it were not"


def test_events_that_an_older_filter_refused_are_named() -> None:
    strict = replace(
        one_slot(parameters=MAPPED), slots=(Slot("order.created", "order_created", "payload.order > '5'"),)
    )
    world = begun(strict)
    publish(world, 1, 6)
    world.triggers[:] = [one_slot(parameters=MAPPED)]
    world.run(15)
    publish(world, 2)
    world.run(5)
    assert orders(draft(world, only="filtered")) == ["1"]
    assert outcomes(draft(world)) == {"missing": 1, "ran": 2}
    assert outcomes(draft(world, where="payload.order == '2'")) == {"ran": 1}


def test_a_run_that_the_cluster_refuses_for_good_is_dead_and_is_made_again_only_if_asked_for() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1)
    world.api.fail_next(answered(422, "Invalid", "the cluster will never take it"))
    publish(world, 2)
    world.run(5)
    made = draft(world)
    assert (outcomes(made), made.plan.count()) == ({"ran": 1, "dead": 1}, 0)
    made = draft(world, mode="missing+failed")
    assert (outcomes(made), made.plan.count()) == ({"ran": 1, "dead": 1}, 1)
    (planned,) = made.plan.runs()
    (dead,) = [letter["run_key"] for letter in world.letters()]
    assert planned.run.repeats == dead
    assert planned.run.run_key != dead
    assert [again.run.run_key for again in draft(world, mode="missing+failed").plan.runs()] == [planned.run.run_key]


def test_a_range_is_by_the_time_at_which_events_reached_us() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1)
    begin = world.now
    publish(world, 2)
    end = world.now
    publish(world, 3)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    assert orders(draft(world, "default/later", Bound(begin), end=Bound(end))) == ["2"]
    assert orders(draft(world, "default/later", Bound(begin))) == ["2", "3"]
    assert orders(draft(world, "default/later", end=Bound(begin))) == ["1"]
    with pytest.raises(ReplayError, match="nothing lies between"):
        draft(world, "default/later", Bound(end, text="then"), end=Bound(begin))


@pytest.mark.parametrize("collect", ["latest", "first"])
def test_pairs_that_the_live_bridge_made_are_not_made_again_whatever_order_it_met(collect: Collect) -> None:
    trigger = replace(two_slots(), collect=collect, slots=tuple(replace(slot, key=None) for slot in two_slots().slots))
    world = begun(trigger)
    router = world.processes[0]
    for number in range(6):
        # A router that reads one topic later than the other meets events in another order than they came in.
        world.publish("order.created", {"order": str(number)}, partition=number % 2)
        if number % 3 == 2:
            router.step("router")
        world.publish("payment.done", {"order": str(number), "amount": "1"}, partition=(number + 1) % 2)
        world.now += SECOND
    world.run(20)
    made = draft(world)
    assert outcomes(made)["ran"] == len(world.created)
    if collect == "first":
        assert outcomes(made).keys() == {"ran"}
    # With `latest` the order decides which events are superseded. In the order in which they reached us, some of those
    # that the live bridge passed over are a match. No event is used twice.
    used = Counter(event for workflow in world.created for event in events_of(workflow))
    used.update(event for planned in made.plan.runs() for _, event in planned.run.events)
    assert set(used.values()) == {1}


def test_pairs_of_a_trigger_that_was_added_afterwards_are_found_and_what_a_live_window_holds_is_left_alone() -> None:
    world = begun(two_slots())
    pair(world, 1, 2)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    pair(world, 3)
    world.publish("order.created", {"order": "4"})
    world.publish("order.created", {"order": "2"})  # it waits in a live window, and may match there
    world.run(3)
    made = draft(world, "default/later")
    assert (outcomes(made), orders(made)) == ({"missing": 2, "ran": 1}, ["1", "2"])
    assert made.held == 2


def test_a_window_that_reaches_into_the_range_is_filled_and_only_what_completes_inside_is_named() -> None:
    world = begun(two_slots())
    world.publish("order.created", {"order": "1"})
    pair(world, 2)
    world.run(60, 1)
    begin = world.now
    world.publish("payment.done", {"order": "1", "amount": "1"})
    world.run(1)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    made = draft(world, "default/later", Bound(begin))
    assert (outcomes(made), orders(made)) == ({"missing": 1}, ["1"])


def test_beyond_the_ledgers_horizon_a_replay_needs_an_id() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1)
    world.now += 8 * DAY
    publish(world, 2)
    world.run(3)
    with pytest.raises(ReplayError, match="the ledger remembers runs only from"):
        draft(world)
    assert orders(draft(world, replay_id="again")) == [], "the ledger's topic has not forgotten them yet"
    made = draft(world, replay_id="again", mode="all")
    assert orders(made) == ["1", "2"]
    live = {workflow.run_key for workflow in world.created}
    assert not live & {planned.run.run_key for planned in made.plan.runs()}


def test_a_definition_of_then_decides_as_it_did() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1)
    other = RunPlan("ship", "default", (("order", "'was ' + order_created.payload.order"),))
    end = world.now
    world.triggers[:] = [replace(one_slot(), run=other)]
    world.run(15)
    publish(world, 2)
    world.run(3)
    made = draft(world, end=Bound(end), definition="then", replay_id="x", mode="all")
    assert would_run(made) == [{"order": "1"}]
    assert would_run(draft(world, end=Bound(end), replay_id="x", mode="all")) == [{"order": "was 1"}]
    with pytest.raises(ReplayError, match="was edited at"):
        draft(world, definition="then")


def test_a_run_that_waits_is_no_missing_run() -> None:
    world = begun(one_slot(parameters=MAPPED))
    world.api.set_quota("default", 0)
    publish(world, 1)
    world.run(3)
    assert outcomes(draft(world)) == {"waiting": 1}


def test_runs_that_no_submitter_and_arrivals_that_no_matcher_has_taken_up_are_left_to_them() -> None:
    world = World(two_slots())
    world.start("p1", ("controller", "router"))
    world.run(5)
    pair(world, 1, 2)
    world.run(3)
    assert outcomes(draft(world)) == {}
    world.start("p2", ("matcher",))
    world.run(10)
    assert outcomes(draft(world)) == {"waiting": 2}
    world.start("p3", ("submitter",))
    world.run(10)
    assert outcomes(draft(world)) == {"ran": 2}


def test_arrivals_behind_an_open_transaction_are_held_too() -> None:
    world = World(two_slots())
    world.start("p1", ("controller", "router"))
    world.run(5)
    matcher = MemoryLog(world.broker).producer("a matcher that stands still, with a tick sent")
    matcher.init()
    matcher.begin()
    for number in range(world.topics.partitions):
        matcher.send(world.topics.arrivals, number, b"", None, None)
    pair(world, 1, 2)
    world.run(3)
    made = draft(world)
    assert (outcomes(made), made.held) == ({}, 4)


def test_a_record_that_is_no_arrival_stops_no_plan() -> None:
    world = World(two_slots())
    world.start("p1", ("controller", "router"))
    world.run(5)
    pair(world, 1, 2)
    world.run(3)
    for number in range(world.topics.partitions):
        world.broker.append(world.topics.arrivals, number, b"key", b"no arrival")
    made = draft(world)
    assert (outcomes(made), made.held) == ({}, 4)


def test_a_bridge_that_is_down_keeps_what_it_has_still_to_read() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1)
    world.processes[0].stop()
    publish(world, 2, 3)
    made = draft(world)
    assert outcomes(made) == {"ran": 1}
    assert "2 records of these topics are left to the live routers" in made.frozen.notes[0]


def test_the_end_of_a_calendar_window_inside_the_range_completes_its_match() -> None:
    trigger = replace(
        two_slots(), window=WindowPlan("every", schedule=Schedule(every=HOUR)), collect="all", dedupe=2 * HOUR
    )
    trigger = replace(trigger, run=RunPlan("ship", "default", (("order", "order[0].payload.order"),)))
    world = begun(trigger)
    pair(world, 1)
    world.run(4_000, 20)
    pair(world, 2)
    world.run(10)
    world.triggers.append(replace(trigger, name="later"))
    world.run(30)
    made = draft(world, "default/later")
    assert orders(made) == ["1"], "the second window is open: the live bridge closes it"
    world.run(4_000, 20)
    publish(world, 3)
    world.run(5)
    assert orders(draft(world, "default/later")) == ["1", "2"]
    assert outcomes(draft(world)) == {"ran": 2}


def test_what_is_missing_in_a_range_does_not_depend_on_where_the_range_begins() -> None:
    world = begun(two_slots())
    moments = []
    for number in range(8):
        moments.append(world.now)
        pair(world, number)
        world.run(5 * 60, 5)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    for first in range(8):
        for last in range(first + 1, 8):
            made = draft(world, "default/later", Bound(moments[first]), end=Bound(moments[last]))
            assert orders(made) == [str(number) for number in range(first, last)], (first, last)


def test_retention_that_has_removed_a_part_of_the_range_is_told() -> None:
    world = begun(one_slot(parameters=MAPPED))
    begin = world.now
    publish(world, 2, 4)
    world.broker.topics["order.created"].logs[0].purge(1)
    world.run(3)
    made = draft(world, start=Bound(begin))
    (note,) = made.frozen.notes
    assert note.startswith("retention has removed a part of what is asked for: order.created/0, what was before ")


def test_only_one_correlation_key_is_followed_if_asked_for() -> None:
    world = begun(two_slots())
    pair(world, 1, 2, 3)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    assert orders(draft(world, "default/later", key="2")) == ["2"]


def test_a_match_that_is_seen_twice_is_planned_once() -> None:
    world = begun(one_slot(parameters=MAPPED))
    for _ in range(2):
        world.publish("order.created", {"order": "1"}, id="same")
        world.run(1)
    publish(world, 2)
    world.run(5)
    made = draft(world, "default/ship", replay_id="again", mode="all")
    assert (outcomes(made), orders(made)) == ({"ran": 2}, ["1", "2"])


def test_a_run_of_a_replay_has_the_parameters_of_the_live_run_also_those_of_a_metaflow_sensor() -> None:
    payload = FieldParameter("payload", "order_created", None, "event", None, None)
    fields = FieldParameter("order", "order_created", "order", "text", None, None)
    sensor = one_slot(texts=(("payload", None), ("order", "none"), ("own", "7")), fields=(payload, fields))
    world = begun(sensor)
    publish(world, 1)
    world.run(3)
    (live,) = world.created
    (again,) = draft(world, mode="all", replay_id="again").plan.runs()
    assert dict(again.run.parameters or ()) == parameters_of(live)
    assert set(parameters_of(live)) == {"payload", "order", "own"}
    assert parameters_of(live)["order"] == "1"


@pytest.mark.parametrize("collect", ["latest", "first", "all"])
@pytest.mark.parametrize(
    "window",
    [
        WindowPlan("session", 5 * SECOND),
        WindowPlan("settle", 5 * SECOND),
        WindowPlan("batch", 20 * SECOND, size=3),
    ],
    ids=lambda window: window.kind,
)
def test_what_a_match_of_a_group_has_passed_over_is_no_match_of_its_own(window: WindowPlan, collect: Collect) -> None:
    slots = (Slot("order.created", "order_created"),)
    run = RunPlan("ship", "default", (("order", "string(size(order_created))"),))
    if collect != "all":
        run = RunPlan("ship", "default", MAPPED)
    trigger = Trigger("default", "ship", slots, run, 1, window=window, collect=collect, grace=SECOND, dedupe=HOUR)
    world = begun(trigger)
    for _ in range(4):
        publish(world, 1, 2, 3)
        world.run(60, 1)
    live = len(world.created)
    assert live == 4
    assert outcomes(draft(world)) == {"ran": live}
    world.triggers.append(replace(trigger, name="later"))
    world.run(5)
    made = draft(world, "default/later")
    assert (outcomes(made), len(orders(made))) == ({"missing": live}, live)


def test_an_edit_of_the_run_id_makes_no_past_run_a_missing_one() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1, 2, 3)
    world.triggers[:] = [one_slot(parameters=MAPPED, id="order_created.payload.order")]
    world.run(15)
    assert outcomes(draft(world)) == {"ran": 3}


def test_a_timestamp_of_the_future_does_not_hold_up_what_came_behind_it() -> None:
    world = begun(two_slots())
    world.publish("order.created", {"order": "0"}, timestamp=(world.now + 2 * DAY) // 1000)
    pair(world, 2, 4, 6)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    assert orders(draft(world, "default/later")) == ["2", "4", "6"]


@pytest.mark.parametrize("is_another_due", [False, True])
def test_a_calendar_window_is_closed_to_an_old_timestamp_whether_or_not_another_window_was_due(
    *, is_another_due: bool
) -> None:
    window = WindowPlan("every", schedule=Schedule(every=HOUR))
    run = RunPlan("ship", "default", (("order", "order.payload.order"),))
    slots = (Slot("order.created", "order", key="payload.order"),)
    world = begun(two_slots(slots=slots, require=1, window=window, collect="first", run=run))
    if is_another_due:  # its window ends between the two below
        publish(world, 0)
    world.run(4_000, 20)
    world.publish("order.created", {"order": "1"})
    world.publish("order.created", {"order": "2"}, ago=2 * HOUR, timestamp=(world.now - 2 * HOUR) // 1000)
    world.run(5)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    assert orders(draft(world, "default/later")) == (["0", "1"] if is_another_due else ["1"])


def test_a_run_that_time_completes_counts_by_the_time_of_its_completion_also_if_it_is_recorded() -> None:
    trigger = replace(
        two_slots(), window=WindowPlan("every", schedule=Schedule(every=HOUR)), collect="all", dedupe=2 * HOUR
    )
    world = begun(replace(trigger, run=RunPlan("ship", "default", (("order", "order[0].payload.order"),))))
    world.api.fail_next(answered(422, "Invalid", "the cluster will never take it"))
    pair(world, 1)
    world.run(60, 1)
    begin = world.now
    world.run(4_000, 20)
    publish(world, 2)
    world.run(5)
    made = draft(world, start=Bound(begin), mode="missing+failed")
    assert (outcomes(made), orders(made)) == ({"dead": 1}, ["1"])


def test_a_slot_that_was_renamed_keeps_its_events_used() -> None:
    world = begun(two_slots())
    world.api.fail_next(answered(422, "Invalid", "the cluster will never take it"))
    pair(world, 1, 2)
    world.run(3)
    order, payment = two_slots().slots
    renamed = (replace(order, variable="o"), payment)
    world.triggers[:] = [two_slots(slots=renamed, run=RunPlan("ship", "default", (("order", "o.payload.order"),)))]
    world.run(20)
    assert outcomes(draft(world)) == {"dead": 1, "ran": 1}


def test_a_partition_that_retention_has_emptied_is_told() -> None:
    world = begun(one_slot(parameters=MAPPED))
    begin = world.now
    publish(world, 1, 2)
    log = world.broker.topics["order.created"].logs[1]
    log.purge(log.end)
    world.run(3)
    (note,) = draft(world, start=Bound(begin)).frozen.notes
    assert note.endswith("order.created/1, all of it")


def test_a_key_for_a_trigger_without_one_is_refused() -> None:
    world = begun(one_slot(parameters=MAPPED))
    publish(world, 1)
    with pytest.raises(ReplayError, match="has no correlation key"):
        draft(world, key="7")


def test_records_that_are_applied_together_make_what_each_makes_by_itself() -> None:
    trigger = one_slot(parameters=MAPPED)
    world = begun(replace(trigger, slots=(replace(trigger.slots[0], where="payload.order != '3'"),)))
    publish(world, 1, 2, 3)
    world.run(5)
    world.processes[0].crash()
    publish(world, 4, 3)
    world.broker.append("order.created", 0, None, b"no event", [], None)
    publish(world, 5)
    dependencies = around(world)
    definitions = Definitions(dependencies.log, world.topics.triggers, lambda: world.now)
    definitions.refresh()
    definition = definitions.in_force["default/ship"]
    request = Request("default/ship", EARLIEST)
    recorded = Recorded("default/ship")
    frozen = dependencies.freezer(definitions).freeze(request, definition, recorded)
    records = [(record, record.timestamp * 1000, record.offset > 0) for record in world.records("order.created")]

    def past(decided: list[PastDecision]) -> Past:
        made = Planner(dependencies, definitions).past(definition, recorded, request, decided=decided.append)
        made.begin(frozen.first, frozen.begin, frozen.end)
        return made

    one_by_one: list[PastDecision] = []
    together: list[PastDecision] = []
    reader, other = past(one_by_one), past(together)
    matches = [match for record, time, is_inside in records for match in reader.feed(record, time, is_inside=is_inside)]
    assert other.feed_together(records) == matches
    assert together == one_by_one
    assert other.decisions == reader.decisions == {"matched": 2, "filtered": 2, "undecodable": 1}
    assert [match.recorded is None for match in matches].count(True) == 2


@pytest.mark.parametrize("silent", [0, 3, 9, 10])
def test_a_record_is_fed_again_while_the_schema_registry_is_silent_at_most_ten_times(silent: int) -> None:
    waits: list[float] = []
    dependencies = replace(around(begun(one_slot())), wait=waits.append)

    def feed(record: str, *, is_inside: bool) -> tuple[str, bool]:
        if len(waits) < silent:
            raise RegistryUnavailableError("it does not answer")
        return record, is_inside

    if silent < 10:
        assert dependencies.patiently(feed, "a record", is_inside=True) == ("a record", True)
    else:
        with pytest.raises(RegistryUnavailableError):
            dependencies.patiently(feed, "a record", is_inside=True)
    assert waits == [1.0] * min(silent, 9)


def test_what_no_router_has_read_fills_no_window_of_a_range_that_begins_behind_it() -> None:
    world = begun(two_slots())
    ahead = (world.now + 30 * SECOND) // 1000  # by the clock of its publisher
    world.publish("order.created", {"order": "1"}, timestamp=ahead)
    world.run(5)
    world.triggers.append(replace(world.triggers[0], name="later"))
    world.run(5)
    world.processes[0].crash()
    world.publish("payment.done", {"order": "1", "amount": "1"}, partition=1)
    made = draft(world, "default/later", Bound(world.now + 10 * SECOND))
    assert outcomes(made) == {}
    assert all(part.end <= made.frozen.routed[place] for place, part in made.frozen.reads.items())
