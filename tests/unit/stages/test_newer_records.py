"""Records of a newer version: a process that meets one stops before it commits what depends on it, and says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.kafka import records
from bridge.kafka.memory.log import MemoryLog
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import (
    ARRIVAL,
    IN_FORCE,
    LEDGER_ENTRY,
    RUN,
    SPENT,
    TICK,
    VERSION_HEADER,
    WAITING,
    Kind,
    RecordError,
)
from unit.stages.world import World, two_slots

NEWER = b"\xc3\x01" + b"\x07" * 8 + b"whatever stands here"
PLACES = {
    "arrival": ("matcher", "fb.arrivals", "fb.arrivals"),
    "window": ("matcher", "fb.windows", "fb.arrivals"),
    "run": ("submitter", "fb.runs", "fb.runs"),
    "entry": ("submitter", "fb.ledger", "fb.runs"),
}


@pytest.fixture
def world() -> World:
    world = World(two_slots())
    process = world.start()
    world.run(2)
    world.publish("order.created", {"order": 7})
    world.publish("payment.done", {"order": 7, "amount": 1})
    world.run(3)
    process.stop()
    world.processes.clear()
    return world


@pytest.mark.parametrize("what", PLACES)
@pytest.mark.parametrize("version", ["9.1.0", ""])
def test_a_process_that_cannot_read_a_record_stops_before_it_commits_what_depends_on_it(
    world: World, what: str, version: str
) -> None:
    stage, topic, read = PLACES[what]
    headers = [(VERSION_HEADER, version.encode())] if version else []
    ends = {}
    for number in range(len(world.broker.topics[topic].logs)):
        ends[number] = world.broker.topics[read].logs[number].end
        world.broker.append(topic, number, b"key", NEWER, headers)
    older = world.start("older", (stage,))
    with pytest.raises(RecordError, match=r"upgrade this process|Upgrade this process") as stopped:
        world.run(5)
    if version:
        assert "to version 9.1.0 or later" in str(stopped.value)
        assert f"{topic}/" in str(stopped.value)
    older.crash()
    committed = world.broker.group(f"fb.{stage}").committed
    assert all(note.offset <= ends[place.number] for place, note in committed.items() if place.topic == read)


def test_a_format_that_came_later_says_in_a_header_which_version_reads_it(world: World, restored: None) -> None:
    del restored
    later = Kind("in_force", since="0.2.0")
    value = later.encode({"trigger": "a/b", "definition": None, "at": 0})
    producer = MemoryLog(world.broker).producer("p")
    producer.init()
    producer.begin()
    Outbox(producer).send("fb.decisions", 0, b"key", value)
    producer.commit()
    assert _last_headers(world) == ((VERSION_HEADER, b"0.2.0"),)


def test_records_in_a_format_of_0_1_0_have_no_header(world: World) -> None:
    producer = MemoryLog(world.broker).producer("p")
    producer.init()
    producer.begin()
    value = IN_FORCE.encode({"trigger": "a/b", "definition": None, "at": 0})
    Outbox(producer).send("fb.decisions", 0, b"key", value)
    producer.commit()
    assert _last_headers(world) == ()
    kinds = (ARRIVAL, TICK, WAITING, SPENT, RUN, LEDGER_ENTRY)
    assert [records.headers_of(kind.prefix) for kind in kinds] == [None] * len(kinds)


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    records._SINCE.clear()


def _last_headers(world: World) -> tuple[tuple[str, bytes | None], ...]:
    (log, *_) = world.broker.topics["fb.decisions"].logs
    found, _ = log.fetch(0, 10_000)
    return tuple(found[-1].headers or ())
