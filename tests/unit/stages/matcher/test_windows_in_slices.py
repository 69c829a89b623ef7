"""A tick that ends 100,000 windows: in slices, each a transaction, and no more memory than one of them takes."""

from __future__ import annotations

import tracemalloc
from collections import deque

import pytest

from bridge.core.definition import Definition
from bridge.core.event import SECOND
from bridge.core.trigger import Trigger, WindowPlan
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Headers, Partition, Record
from bridge.kafka.observer import Unobserved
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import ARRIVAL, TICK
from bridge.settings.groups import WindowSettings
from bridge.stages.matcher.matcher import Matcher
from bridge.stages.matcher.ticks import SLICE
from bridge.stages.matcher.window_restore import LastRecords
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.shared.decoding import EventDecoder
from flowbridge_sdk.codec import Decoder
from unit.stages.window_world import HOURLY, NO_PAYMENT, ORDER, PAYMENT, windowed

COUNTS = {"settle": 100_000, "every": 4_500, "within, absent": 4_500}
BEGIN = 1_700_000_000 * SECOND
FAR = BEGIN + 10**6 * SECOND
MEMORY_OF_A_SLICE = 8 * 1024 * 1024
RECORDS_OF_AN_ENDING = 3  # its run, its arrival, and what its window held besides

TRIGGERS = {
    "settle": windowed(WindowPlan("settle", 60 * SECOND), ORDER, PAYMENT, require=1, collect="all"),
    "every": windowed(WindowPlan("every", schedule=HOURLY), ORDER, PAYMENT, require=1, collect="all"),
    "within, absent": windowed(WindowPlan("within", 60 * SECOND), ORDER, NO_PAYMENT, dedupe=10**9 * SECOND),
}


class Sent:
    """A producer that keeps what the changelog says last, and counts runs."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.runs = 0

    def send(self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers | None = None) -> None:
        del partition, headers
        self.runs += topic == "fb.runs"
        if topic == "fb.windows":
            self.kept.pop(key, None) if value is None else self.kept.__setitem__(key, value)


class Known:
    """The definitions of one trigger."""

    offset = 0

    def __init__(self, trigger: Trigger) -> None:
        definition = Definition(trigger)
        self.known = {definition.hash: definition}
        self.conditions = {definition.condition_hash: definition}
        self.in_force = {definition.identity: definition}


def arrival(trigger: Trigger, number: int) -> Record:
    fields = {
        "trigger": trigger.identity,
        "definition": trigger.definition_hash,
        "slot": 0,
        "key": str(number),
        "source": "tests",
        "id": str(number),
        "time": BEGIN,
        "reached": BEGIN,
        "event_key": None,
        "value": b"",
    }
    return Record("fb.arrivals", 0, number, BEGIN // 1000, b"", ARRIVAL.encode(fields), [])


class NoTicks:
    """A planner that is never asked for a tick."""

    def hear(self, timestamp: int) -> None:
        """Ignore it."""


def matcher_of(trigger: Trigger) -> Matcher:
    """Return a matcher of one empty partition, in which no tick is planned."""
    known = Known(trigger)
    matcher = Matcher(
        known,  # type: ignore[arg-type]  # what a matcher asks of definitions
        InternalTopics("fb.", 1),
        EventDecoder(Decoder, lambda: 0),
        NoTicks(),  # type: ignore[arg-type]  # no tick is planned here
        lambda _, bound: LastRecords(bound),
        lambda: 0,
        lambda: -(2**62),
        Unobserved(),
        WindowSettings(),
    )
    matcher.windows[0] = WindowStore(Partition("fb.windows", 0))
    return matcher


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_tick_that_ends_many_windows_takes_slices_of_bounded_size(name: str) -> None:
    trigger, count, sent = TRIGGERS[name], COUNTS[name], Sent()
    matcher = matcher_of(trigger)
    for first in range(0, count, 1_000):
        arrivals = deque(arrival(trigger, number) for number in range(first, min(first + 1_000, count)))
        matcher.process(arrivals, Outbox(sent))  # type: ignore[arg-type]  # as much of a producer as an outbox asks
    assert matcher.windows[0].open_windows == count
    safe = [{"trigger": trigger.identity, "condition": trigger.condition_hash, "time": FAR}]
    tick = Record("fb.arrivals", 0, count, FAR // 1000, b"tick", TICK.encode({"safe": safe, "retired": []}), [])
    left, slices = deque([tick]), 0
    while left:
        out = Outbox(sent)  # type: ignore[arg-type]  # as much of a producer as an outbox asks
        is_measured = slices == 1
        if is_measured:
            tracemalloc.start()
        matcher.process(left, out)
        if is_measured:
            assert tracemalloc.get_traced_memory()[1] < MEMORY_OF_A_SLICE
            tracemalloc.stop()
        assert len(out.decisions) <= SLICE
        assert out.sent <= RECORDS_OF_AN_ENDING * SLICE + 1
        slices += 1
    assert sent.runs == count
    assert slices >= count // SLICE
