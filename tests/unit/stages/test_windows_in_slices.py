"""A tick that ends 100,000 windows: in slices, each a transaction, and no more memory than one of them takes."""

from __future__ import annotations

import tracemalloc
from collections import deque

import pytest

from bridge.core.definition import Definition
from bridge.core.event import SECOND
from bridge.core.trigger import Trigger, WindowPlan
from bridge.kafka.log import Record
from bridge.kafka.observer import Unobserved
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import ARRIVAL, TICK
from bridge.kafka.topics import InternalTopics
from bridge.stages.decoding import EventDecoder
from bridge.stages.matcher import Bounds, Matcher
from bridge.stages.restoring import restore_windows
from bridge.stages.ticks import SLICE
from flowbridge_sdk.codec import Decoder
from unit.stages.window_world import HOURLY, NO_PAYMENT, ORDER, windowed

COUNT = 100_000
BEGIN = 1_700_000_000 * SECOND
FAR = BEGIN + 10**6 * SECOND
MEMORY_OF_A_SLICE = 24 * 1024 * 1024

TRIGGERS = {
    "settle": windowed(WindowPlan("settle", 60 * SECOND), run=(("n", "string(size(order))"),), collect="all"),
    "every": windowed(WindowPlan("every", schedule=HOURLY), run=(("n", "string(size(order))"),), collect="all"),
    "within, absent": windowed(WindowPlan("within", 60 * SECOND), ORDER, NO_PAYMENT, dedupe=10**9 * SECOND),
}


class Sent:
    """A producer that keeps what the changelog says last, and counts runs."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.runs = 0

    def send(self, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
        del partition
        self.runs += topic == "fb.runs"
        if topic == "fb.windows":
            self.kept.pop(key, None) if value is None else self.kept.__setitem__(key, value)


class Known:
    """The definitions of one trigger."""

    offset = 0

    def __init__(self, trigger: Trigger) -> None:
        definition = Definition(trigger)
        self.known = {definition.hash: definition}
        self.conditions = {definition.condition: definition}
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


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_tick_ends_a_hundred_thousand_windows_in_slices_of_bounded_memory(name: str) -> None:
    trigger = TRIGGERS[name]
    known, sent, nothing = Known(trigger), Sent(), None
    topics = InternalTopics("fb.", 1)
    decoder = EventDecoder(Decoder, lambda: 0)
    matcher = Matcher(
        known,  # type: ignore[arg-type]  # what a matcher asks of definitions
        topics,
        decoder,
        nothing,  # type: ignore[arg-type]  # no tick is planned here
        lambda _: [],
        lambda: -(2**62),
        Unobserved(),
        Bounds(),
    )
    matcher.windows[0] = restore_windows([], known)  # type: ignore[arg-type]
    matcher.process(deque(arrival(trigger, number) for number in range(COUNT)), Outbox(sent))  # type: ignore[arg-type]
    assert len(matcher.windows[0].open) == COUNT
    safe = [{"trigger": trigger.identity, "condition": trigger.condition_hash, "time": FAR}]
    tick = Record("fb.arrivals", 0, COUNT, FAR // 1000, b"tick", TICK.encode({"safe": safe, "retired": []}), [])
    left, slices, highest = deque([tick]), 0, 0
    while left:
        out = Outbox(sent)  # type: ignore[arg-type]
        tracemalloc.start()
        matcher.process(left, out)
        highest = max(highest, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(out.decisions) <= SLICE
        slices += 1
    assert sent.runs == COUNT
    assert slices >= COUNT // SLICE
    assert highest < MEMORY_OF_A_SLICE
