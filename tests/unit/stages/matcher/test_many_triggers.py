"""Time with thousands of triggers: Kafka is asked once a topic, and what a tick ends is looked at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bridge.core.definition import Definition
from bridge.core.event import SECOND, EventIdentity
from bridge.core.trigger import WindowPlan
from bridge.core.windows.window import Arrival, empty_window
from bridge.core.windows.window_step import Step
from bridge.kafka.log import Committed, Partition, TopicSpec
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.memory.log import MemoryBroker, MemoryLog
from bridge.kafka.outbox import Discard
from bridge.kafka.ownership import Note
from bridge.stages.matcher.safe_time import SafeTime
from bridge.stages.matcher.ticks import TickPlanner, TickRound
from bridge.stages.matcher.window_indexes import Condition, Timer
from bridge.stages.matcher.window_records import WindowKey
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.shared.definitions import Start
from unit.stages.window_world import ORDER, PAYMENT, windowed

COUNT = 300
BEGIN = 1_700_000_000 * SECOND
PAIR = windowed(WindowPlan("within", 60 * SECOND), ORDER, PAYMENT)


class Known:
    """The definitions of many triggers, all in force since offset 5 of ``triggers``."""

    def __init__(self) -> None:
        self.all = [Definition(replace(PAIR, name=f"t{number:04}")) for number in range(COUNT)]
        self.conditions = {definition.condition_hash: definition for definition in self.all}
        self.changed = {definition.identity: 5 for definition in self.all}
        self.offset = 5
        self.starts: dict[str, Start] = {}
        self.conditions_in_force = {(definition.identity, definition.condition_hash) for definition in self.all}

    def is_in_force(self, trigger: str, condition: str) -> bool:
        return (trigger, condition) in self.conditions_in_force

    def topics(self) -> frozenset[str]:
        return frozenset(PAIR.events)


class CountedAdmin(MemoryAdmin):
    """An admin client that counts what it is asked; the routers have applied ``triggers`` up to 5."""

    asked = 0

    def committed(self, group: str, partitions: Iterable[Partition], *, stable: bool) -> dict[Partition, Committed]:
        del group, stable
        self.asked += 1
        return {partition: Committed(0, Note("router", 5).text()) for partition in partitions}

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        self.asked += 1
        return super().end_offsets(partitions)


class CountedWindows(WindowStore):
    """Windows that count how often they are asked what is due."""

    asked = 0

    def due(self, *what: object) -> Timer | None:
        self.asked += 1
        return super().due(*what)  # type: ignore[arg-type]  # as it was called


def with_an_order_each(known: Known) -> CountedWindows:
    """Return windows in which one order waits for each trigger, the last trigger's for the shortest time."""
    windows, out = CountedWindows(Partition("fb.windows", 3)), Discard()
    for number, definition in enumerate(known.all):
        event = EventIdentity("order.created", "tests", str(number))
        arrival = Arrival(BEGIN, number, 0, event, BEGIN - number, definition.hash, None, b"")
        key = WindowKey(definition.identity, definition.condition_hash, "7")
        windows.apply(key, definition.trigger, Step(empty_window(2).with_arrival(arrival), (), kept=arrival), out)
    return windows


def test_a_tick_of_many_triggers_asks_kafka_of_all_their_topics_at_once() -> None:
    known, now = Known(), BEGIN + 10**5 * SECOND
    broker = MemoryBroker(clock=lambda: now // 1000)
    for topic in PAIR.events:
        broker.create(TopicSpec(topic, 2))
    admin = CountedAdmin(broker, MemoryLog(broker)._client)
    safe_time = SafeTime(admin, "fb.router", lambda: now, lambda: now, SECOND)
    safe_time.hear(now // 1000)
    planner = TickPlanner(known, safe_time, admin, SECOND)  # type: ignore[arg-type]  # as much of each as the planner asks
    ((partition, tick),) = planner.plan({3: with_an_order_each(known)}, now)
    assert partition == 3
    assert len(tick["safe"]) == COUNT
    assert {entry["time"] for entry in tick["safe"]} == {now - SECOND}
    assert admin.asked <= 2
    known.conditions_in_force.clear()
    admin.asked = 0
    ((_, tick),) = planner.plan({3: with_an_order_each(known)}, now)
    assert len(tick["retired"]) == COUNT
    assert admin.asked <= 2


def test_what_a_tick_of_many_triggers_ends_comes_in_order_and_is_looked_at_once() -> None:
    known = Known()
    windows = with_an_order_each(known)
    safe = [
        {"trigger": definition.identity, "condition": definition.condition_hash, "time": 2 * BEGIN}
        for definition in known.all
    ]
    round_ = TickRound(windows, known, {"safe": safe, "retired": []})
    ended: list[Condition] = []
    for expired in round_.slice():
        assert len(expired.forgotten) == 1  # so late a tick need not remember what it ends
        windows.apply(expired.key, expired.definition.trigger, expired.step, Discard(), forgotten=expired.forgotten)
        ended.append(expired.key[:2])
    assert ended == [(definition.identity, definition.condition_hash) for definition in reversed(known.all)]
    assert round_.is_over
    assert windows.asked <= 2 * COUNT
