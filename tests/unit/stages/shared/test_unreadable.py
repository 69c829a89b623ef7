"""Records of ours that cannot be read: each is set aside with an alert, and stops no process."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from bridge.core.event import MINUTE, SECOND
from bridge.kafka.avro.varint import long_bytes
from bridge.kafka.memory.partition import Message
from bridge.kafka.observer import Unobserved
from bridge.kafka.records import ARRIVAL, LEDGER_ENTRY, RUN, SPENT, TICK, WAITING, RecordError
from bridge.stages.shared.run_records import decode_run
from unit.stages.world import World, one_slot, two_slots

FAR = 1_700_000_000 * 10**12  # nanoseconds taken for milliseconds, in microseconds
TOO_LONG = bytes([0xFF] * 10 + [0x01])  # more than 64 bits
NEWER = b"\xc3\x01" + bytes(8) + b"of another version"
UNREADABLE = {
    "nothing": b"",
    "a tombstone": None,
    "of somebody else": b'{"order": 7}',
    "cut short": RUN.prefix + b"\x10",
    "an arrival cut short": ARRIVAL.prefix + b"\x10",
    "a tick cut short": TICK.prefix + b"\x10",
    "an entry cut short": LEDGER_ENTRY.prefix + b"\x02",
    "an ended entry cut short": LEDGER_ENTRY.prefix + b"\x04",
    "a waiting arrival cut short": WAITING.prefix + b"\x02",
    "of another kind": SPENT.encode({"time": 1, "offset": 1, "until": 1, "fate": "matched"}),
    "beyond 64 bits": WAITING.prefix + TOO_LONG,
}


class Counting(Unobserved):
    """Counts records that cannot be read."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()

    def unreadable(self, topic: str) -> None:
        """Count it."""
        self.found[topic] += 1


def counted(world: World) -> Counter[str]:
    """Return what is counted from now on."""
    world.observer = observer = Counting()
    return observer.found


def put(world: World, topic: str, value: bytes | None, key: bytes = b"key") -> None:
    """Write a record behind what a partition of an internal topic holds."""
    log = world.broker.topics[topic].logs[0]
    log.append(world.now // 1000, Message(key, value, ()), None)


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("topic", ["fb.arrivals", "fb.runs"])
def test_a_record_that_cannot_be_read_is_a_dead_letter_and_all_else_goes_on(
    topic: str, value: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(two_slots(), partitions=1)
    found = counted(world)
    process = world.start()
    world.run(3)
    world.publish("order.created", {"order": 7})
    world.run(1)
    caplog.clear()
    put(world, topic, value)
    world.run(1)
    world.publish("payment.done", {"order": 7, "amount": 1})
    world.run(3)
    assert world.workflows() == [{"order": "7", "amount": "1"}]
    (letter,) = world.letters()
    assert (letter["reason"], letter["topic"], letter["value"]) == ("unreadable", topic, value)
    assert found == {topic: 1}
    assert [record.levelname for record in caplog.records if record.levelno >= logging.ERROR] == ["ERROR"]
    assert process.troubles == []


def test_a_run_with_a_time_beyond_64_bits_that_an_older_version_wrote_is_a_dead_letter() -> None:
    world = World(one_slot(), partitions=1)
    world.start()
    world.run(3)
    world.publish("order.created", {"order": 7, "amount": 1})
    world.run(3)
    (written,) = world.values("fb.runs")
    reached = decode_run(written).reached
    zigzag, groups = FAR << 1, bytearray()
    while zigzag:
        groups.append(zigzag & 0x7F | (0x80 if zigzag >> 7 else 0))
        zigzag >>= 7
    put(world, "fb.runs", written.replace(long_bytes(reached), bytes(groups)), b"old")
    world.publish("order.created", {"order": 8, "amount": 1})
    world.run(3)
    assert len(world.workflows()) == 2
    (letter,) = world.letters()
    assert letter["reason"] == "unreadable"
    assert "more than 64 bits" in letter["text"]


@pytest.mark.parametrize("value", [value for value in UNREADABLE.values() if value is not None])
@pytest.mark.parametrize("key", [b"key", b"\xff\xfe", b"a\0b\0c", b"\0".join([b"x"] * 7)])
def test_windows_are_restored_without_what_cannot_be_read(
    value: bytes, key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(two_slots(), partitions=1)
    found = counted(world)
    process = world.start()
    world.run(3)
    world.publish("order.created", {"order": 7})
    world.run(1)
    put(world, "fb.windows", value, key)
    process.crash()
    process = world.start("p2")
    world.run(12)
    world.publish("payment.done", {"order": 7, "amount": 1})
    world.run(3)
    assert world.workflows() == [{"order": "7", "amount": "1"}]
    assert found["fb.windows"] >= 1
    assert "Its window goes on without it" in caplog.text
    assert process.troubles == []


@pytest.mark.parametrize("value", [value for value in UNREADABLE.values() if value is not None])
def test_a_run_whose_entry_cannot_be_read_is_never_created_a_second_time(value: bytes) -> None:
    world = World(one_slot(), partitions=1)
    found = counted(world)
    process = world.start()
    world.run(3)
    world.publish("order.created", {"order": 7, "amount": 1})
    world.run(3)
    (run,) = world.values("fb.runs")
    key = decode_run(run).run_key.encode()
    put(world, "fb.ledger", value, key)
    process.crash()
    process = world.start("p2")
    world.run(12)
    put(world, "fb.runs", run, key)
    world.publish("order.created", {"order": 8, "amount": 1})
    world.run(3)
    assert len(world.created) == 2
    assert world.reasons().count("already-ran") == 1
    is_told_by_its_head = value.startswith(LEDGER_ENTRY.prefix + b"\x04")
    assert found["fb.ledger"] >= 1 or is_told_by_its_head
    assert process.troubles == []


@pytest.mark.parametrize("topic", ["fb.arrivals", "fb.runs", "fb.windows", "fb.ledger"])
def test_a_record_of_a_newer_version_stops_the_process_before_it_commits_anything(topic: str) -> None:
    world = World(two_slots(), partitions=1)
    process = world.start()
    world.run(3)
    put(world, topic, NEWER)
    if topic in ("fb.windows", "fb.ledger"):
        process.crash()
        world.start("p2")
    with pytest.raises(RecordError, match="grade this process"):
        world.run(MINUTE / SECOND)
    assert world.letters() == []
