"""When an event reached us, where publishers set the timestamps of records."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

import pytest

from bridge.core.event import DAY, HOUR, MINUTE, SECOND, Micros
from bridge.core.trigger import WindowPlan
from bridge.kafka.log import Partition, Record, TopicInfo
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.observer import Unobserved
from bridge.kafka.records import ARRIVAL, TICK
from bridge.stages.router.reached_time import LOOK_PACE, EndOffsetLog, ReachedTimes
from bridge.stages.shared.run_records import decode_run
from unit.stages.world import BEGIN, World, one_slot, two_slots

PLACE = Partition("order.created", 0)
STAMPED = {"message.timestamp.type": "LogAppendTime"}


class Clocks:
    """A wall clock, and a steady clock whose zero means nothing."""

    def __init__(self) -> None:
        self.wall: Micros = BEGIN
        self.paced: Micros = 7 * SECOND
        self.looks = EndOffsetLog()
        self.counted: Counter[str] = Counter()
        self.times = ReachedTimes(
            self.looks,
            lambda: self.wall,
            lambda: self.paced,
            lambda topic, number: self.counted.update({topic: number}),
        )

    def go_on(self, time: Micros) -> None:
        """Let both clocks go on."""
        self.wall += time
        self.paced += time

    def look(self, end: int | None) -> None:
        """Look where the partition ends; None is no answer."""
        self.looks.add({} if end is None else {PLACE: end}, [PLACE] if end is None else [], self.paced)

    def reached(self, offset: int, timestamp: int) -> Micros:
        """Route a record, and return when its event reached us."""
        self.times.begin()
        record = Record(*PLACE, offset, timestamp, None, b"", ())
        return self.times.of(record)[1]


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


# -- what the broker says ----------------------------------------------------------------------------------------------


def test_the_brokers_time_of_append_is_when_an_event_reached_us(clocks: Clocks) -> None:
    clocks.times.note([TopicInfo(PLACE.topic, "id", 1, 1, STAMPED)])
    clocks.look(0)
    clocks.go_on(MINUTE)
    assert clocks.reached(3, (BEGIN + SECOND) // 1000) == BEGIN + SECOND


def test_a_topic_whose_timestamps_become_the_publishers_again_is_not_believed_any_more(clocks: Clocks) -> None:
    clocks.times.note([TopicInfo(PLACE.topic, "id", 1, 1, STAMPED)])
    clocks.times.note([TopicInfo(PLACE.topic, "id", 1, 1, {})])
    clocks.look(0)
    clocks.go_on(MINUTE)
    assert clocks.reached(3, BEGIN // 1000) == BEGIN + MINUTE


# -- what publishers say -----------------------------------------------------------------------------------------------


def test_a_record_from_before_the_first_look_reached_us_at_its_timestamp(clocks: Clocks) -> None:
    clocks.look(5)
    clocks.go_on(HOUR)
    assert clocks.reached(4, (BEGIN - DAY) // 1000) == BEGIN - DAY


def test_nothing_is_known_better_of_a_partition_that_was_never_looked_at(clocks: Clocks) -> None:
    assert clocks.reached(4, (BEGIN - DAY) // 1000) == BEGIN - DAY


def test_an_event_that_comes_late_reached_us_when_it_was_routed(clocks: Clocks) -> None:
    clocks.look(5)
    clocks.go_on(3 * MINUTE)
    assert clocks.reached(5, BEGIN // 1000) == BEGIN + 3 * MINUTE


def test_an_event_from_a_backlog_reached_us_at_the_first_look_that_saw_it(clocks: Clocks) -> None:
    clocks.look(5)
    for end in (7, 7, 9):
        clocks.go_on(LOOK_PACE)
        clocks.look(end)
    clocks.go_on(HOUR)
    reached = [clocks.reached(offset, 86_400_000 + offset) for offset in (8, 5, 6, 7, 9)]
    assert reached == [BEGIN + 3 * LOOK_PACE, *[BEGIN + LOOK_PACE] * 2, BEGIN + 3 * LOOK_PACE, clocks.wall]


def test_an_event_never_reached_us_before_its_timestamp(clocks: Clocks) -> None:
    clocks.look(5)
    clocks.go_on(MINUTE)
    ahead = clocks.wall + 20 * SECOND
    assert clocks.reached(5, ahead // 1000) == ahead


def test_a_wall_clock_that_is_put_right_changes_nothing_about_what_was_seen(clocks: Clocks) -> None:
    clocks.wall -= HOUR
    clocks.look(5)
    clocks.go_on(LOOK_PACE)
    clocks.look(9)
    clocks.wall += HOUR
    clocks.go_on(MINUTE)
    assert clocks.reached(8, (BEGIN - DAY) // 1000) == BEGIN + LOOK_PACE


def test_a_long_backlog_keeps_a_bounded_number_of_looks_and_never_counts_an_event_as_earlier(clocks: Clocks) -> None:
    clocks.look(0)
    came: list[Micros] = []
    for second in range(0, 24 * 3600, 10):
        clocks.go_on(LOOK_PACE)
        came.append(clocks.wall)
        clocks.look(second // 10 + 1)
    seen = clocks.looks._seen[PLACE]
    assert len(seen.ends) == len(seen.looks) <= 60
    reached = [clocks.reached(offset, 86_400_000) for offset in range(len(came))]
    assert all(moment >= truly for moment, truly in zip(reached, came, strict=True))
    assert reached == sorted(reached)
    assert reached[-30:] == came[-30:]


def test_what_a_topic_that_was_created_again_holds_came_after_the_looks_at_the_old_one(clocks: Clocks) -> None:
    clocks.look(500)
    clocks.go_on(LOOK_PACE)
    clocks.look(3)
    clocks.go_on(MINUTE)
    assert clocks.reached(2, BEGIN // 1000) == BEGIN + LOOK_PACE
    assert clocks.reached(3, BEGIN // 1000) == clocks.wall


def test_a_router_that_learns_of_a_topic_that_was_created_again_needs_no_look_at_it(clocks: Clocks) -> None:
    clocks.look(500)
    clocks.looks.recreated(PLACE[0])
    clocks.go_on(SECOND)
    assert clocks.reached(2, BEGIN // 1000) == clocks.wall


# -- silence -----------------------------------------------------------------------------------------------------------


def test_an_event_of_the_moment_in_which_kafka_fell_silent_does_not_seem_to_have_come_after_it(clocks: Clocks) -> None:
    clocks.look(5)
    acknowledged = BEGIN + 2 * SECOND
    clocks.go_on(LOOK_PACE)
    clocks.look(None)
    noticed = clocks.wall
    for _ in range(20):
        clocks.go_on(LOOK_PACE)
        clocks.look(None)
    assert clocks.reached(5, acknowledged // 1000) == noticed
    clocks.look(8)
    clocks.go_on(MINUTE)
    assert clocks.reached(5, acknowledged // 1000) == noticed


def test_an_event_that_was_made_during_the_silence_came_after_it(clocks: Clocks) -> None:
    clocks.look(5)
    clocks.go_on(LOOK_PACE)
    clocks.look(None)
    clocks.go_on(3 * MINUTE)
    made, clocks_at = (clocks.wall - MINUTE) // 1000, clocks.wall
    assert clocks.reached(5, made) == clocks_at
    clocks.look(8)
    clocks.go_on(MINUTE)
    assert clocks.reached(5, made) == clocks_at
    assert clocks.reached(8, made) == clocks.wall, "the silence is over"


def test_a_process_that_stood_still_begins_to_look_again(clocks: Clocks) -> None:
    clocks.looks.awake(clocks.paced)
    clocks.look(5)
    clocks.go_on(6 * MINUTE)
    clocks.looks.awake(clocks.paced)
    clocks.look(9)
    clocks.go_on(MINUTE)
    assert clocks.reached(8, (BEGIN + MINUTE) // 1000) == BEGIN + MINUTE
    assert clocks.reached(9, (BEGIN + MINUTE) // 1000) == clocks.wall


def test_all_routers_of_a_process_together_look_every_ten_seconds_and_at_new_topics_at_once() -> None:
    looks, asked = EndOffsetLog(), []
    for tenth in range(600):
        topics = frozenset({"a", "b"} if tenth < 305 else {"a", "b", "c"})
        for _ in range(4):
            asked += [due] if (due := looks.due(topics, tenth * SECOND // 10)) else []
    assert asked == [frozenset("ab")] * 4 + [frozenset("c")] + [frozenset("abc")] * 2


# -- timestamps that cannot be true ------------------------------------------------------------------------------------


IMPOSSIBLE = {
    "nanoseconds": BEGIN * 1000,
    "microseconds": BEGIN,
    "none": -1,
    "zero": 0,
    "the first day of 1970": 86_399_999,
    "two days ahead": (BEGIN + 2 * DAY) // 1000,
    "the largest that there is": 2**63 - 1,
    "the smallest that there is": -(2**63),
}


@pytest.mark.parametrize("timestamp", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize("is_windowed", [True, False], ids=["with a window", "without a window"])
def test_an_event_whose_timestamp_cannot_be_true_is_taken_at_the_clock_of_its_routing(
    timestamp: int, *, is_windowed: bool
) -> None:
    world = World(two_slots() if is_windowed else one_slot())
    world.start()
    world.run(3)
    world.publish("order.created", {"order": 7, "amount": 1}, id="o", timestamp=timestamp)
    world.run(1)
    if is_windowed:
        world.publish("payment.done", {"order": 7, "amount": 1})
    world.run(5)
    (run,) = [decode_run(value) for value in world.values("fb.runs")]
    assert BEGIN <= run.reached <= world.now
    assert len(world.workflows()) == 1


@pytest.mark.parametrize("timestamp", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_event_without_a_time_of_its_own_takes_the_clock_of_its_routing(timestamp: int) -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    value = world.encoder.encode("order.created", {"order": 7, "amount": 1})
    world.broker.append("order.created", 0, None, value, (), timestamp)
    world.run(5)
    (run,) = [decode_run(value) for value in world.values("fb.runs")]
    assert BEGIN <= run.event_time <= run.reached <= world.now


def test_what_the_broker_says_is_believed_unless_no_clock_can_show_it(clocks: Clocks) -> None:
    clocks.times.note([TopicInfo(PLACE.topic, "id", 1, 1, STAMPED)])
    ahead = BEGIN + 2 * DAY  # our clock may be the one that is wrong
    assert clocks.reached(0, ahead // 1000) == ahead
    assert clocks.reached(1, BEGIN * 1000) == BEGIN, "written by its publisher before the topic was changed"


def test_timestamps_that_cannot_be_true_are_counted_and_warned_of_once_a_minute(
    clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for offset in range(1_000):
        clocks.reached(offset, -1)
    assert clocks.counted == {PLACE.topic: 1_000}
    (warning,) = caplog.messages
    assert "order.created/0 offset 0 has the timestamp -1" in warning
    clocks.go_on(MINUTE)
    clocks.reached(1_000, 0)
    assert len(caplog.messages) == 2


# -- with windows ------------------------------------------------------------------------------------------------------


def outage(world: World, pass_time: str) -> None:
    """Let Kafka, or publishers alone, be away for three minutes."""
    world.run(10)
    if pass_time == "everything stands still":
        world.now += 3 * MINUTE
    elif pass_time == "partitions have no leader":
        world.run(5)
        places = [Partition(topic, 0) for topic in ("order.created", "payment.done")]
        world.broker.leaderless.update(places)
        world.run(3 * 60, step=1)
        world.broker.leaderless.difference_update(places)
    else:
        world.run(3 * 60, step=1)


@pytest.mark.parametrize("apart", [0, 10, 70])
@pytest.mark.parametrize(
    "how", ["publishers are cut off", "partitions have no leader", "everything stands still", "another process came"]
)
def test_two_events_that_are_delivered_after_an_outage_start_one_run(how: str, apart: int) -> None:
    world = World(two_slots(window=WindowPlan("within", MINUTE), grace=MINUTE, dedupe=3 * MINUTE))
    world.start()
    world.run(3)
    outage(world, how)
    made = world.now - 150 * SECOND
    if how == "another process came":
        world.processes[0].crash()
        world.start("p2")
        world.run(12)
    for name, later in (("order.created", 0), ("payment.done", SECOND)):
        at = made + later
        world.publish(name, {"order": 7, "amount": 1}, ago=world.now - at, timestamp=at // 1000)
        world.run(apart)
    world.run(30)
    assert world.workflows() == [{"order": "7", "amount": "1"}]


def test_an_event_that_was_acknowledged_before_its_partition_lost_its_leader_still_meets_its_partner() -> None:
    world = World(two_slots(window=WindowPlan("within", MINUTE), grace=MINUTE, dedupe=3 * MINUTE))
    router = world.start("r", ("router",))
    world.start("p", ("controller", "matcher", "submitter"))
    world.run(13)
    world.publish("order.created", {"order": 7})
    world.run(2)
    place = Partition("payment.done", 0)
    world.publish("payment.done", {"order": 7, "amount": 1})
    world.broker.leaderless.add(place)
    world.run(5 * 60, step=1)
    assert router.troubles == []
    world.broker.leaderless.discard(place)
    world.run(20)
    assert world.workflows() == [{"order": "7", "amount": "1"}]


def test_no_tick_overtakes_an_event_by_the_time_at_which_it_is_said_to_have_reached_us() -> None:
    world = World(two_slots(window=WindowPlan("within", MINUTE), grace=MINUTE, dedupe=3 * MINUTE), partitions=1)
    world.start()
    world.run(3)
    for number in range(40):
        at = world.now - (number % 7) * 30 * SECOND
        world.publish("order.created", {"order": number}, ago=world.now - at, timestamp=at // 1000)
        world.run(3.5, step=0.5)
    ticked, overtaken = 0, []
    for record in world.records("fb.arrivals"):
        value = record.value or b""
        if value.startswith(TICK.prefix):
            ticked = max([ticked, *[entry["time"] for entry in TICK.decode(value)["safe"]]])
        elif ARRIVAL.decode(value)["reached"] < ticked:
            overtaken.append(record.offset)
    assert ticked > BEGIN
    assert overtaken == []


def test_a_clock_that_is_ahead_lets_no_event_from_the_future_pass() -> None:
    world = World(one_slot())
    world.start()
    world.run(3)
    world.clock_error = 5 * HOUR
    world.publish("order.created", {"order": 7, "amount": 1}, id="o", ago=-2 * HOUR, timestamp=world.now // 1000)
    world.run(3)
    assert world.reasons_of("o") == ["from-the-future"]


def test_a_partition_that_was_just_added_is_looked_at_soon() -> None:
    world = World(two_slots())
    process = world.start()
    world.run(3)
    world.broker.grow("order.created", 3)
    world.run(2 * LOOK_PACE / SECOND)
    assert process.dependencies.looks.knows(Partition("order.created", 2), 0)


def test_looks_ask_little_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()
    end_offsets = MemoryAdmin.end_offsets

    def counted(self: MemoryAdmin, partitions: Iterable[Partition]) -> dict[Partition, int]:
        places = list(partitions)
        asked.update({place.topic for place in places})
        return end_offsets(self, places)

    monkeypatch.setattr(MemoryAdmin, "end_offsets", counted)
    world = World(two_slots())
    world.broker.topics["payment.done"].config.update(STAMPED)
    world.start()
    world.start("p2", stages=("router",))
    world.run(5)
    asked.clear()
    for process in world.processes:
        process.loops.pop("matcher", None)  # it asks for safe time
    world.run(60)
    measured = 60 // 10 * 2  # each router tells its lag
    assert asked["order.created"] <= measured + 60 // 10 * 2
    assert asked["payment.done"] <= measured


def test_a_metric_counts_the_records_whose_timestamps_cannot_be_true() -> None:
    counted: Counter[str] = Counter()

    class Listening(Unobserved):
        def untrusted_timestamps(self, topic: str, records: int) -> None:
            counted[topic] += records

    world = World(one_slot())
    world.observer = Listening()
    world.start()
    world.run(3)
    for _ in range(3):
        world.publish("order.created", {"order": 7, "amount": 1}, timestamp=BEGIN * 1000)
    world.run(3)
    assert counted == {"order.created": 3}
    assert len(world.workflows()) == 3
