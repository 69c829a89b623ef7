"""Who owned a partition stands beside its offset, and whoever comes next ends what that owner has open."""

from __future__ import annotations

import pytest

from bridge.kafka.log import Committed, FencedError, Partition, TopicSpec
from bridge.kafka.memory.group import GroupMetadata
from bridge.kafka.memory.log import MemoryBroker, MemoryLog
from bridge.kafka.memory.producer import MemoryProducer
from bridge.kafka.ownership import Note, disown, read_note, take_over

PLACE = Partition("orders", 0)


def broker() -> MemoryBroker:
    made = MemoryBroker(clock=lambda: 0)
    made.create(TopicSpec("orders", 1))
    return made


def producer(made: MemoryBroker, name: str) -> MemoryProducer:
    opened = MemoryLog(made).producer(name)
    opened.init()
    return opened


def write(made: MemoryBroker, producer: MemoryProducer, offset: int, owner: str) -> None:
    """Open a transaction that carries an offset."""
    log = MemoryLog(made)
    consumer = log.consumer("g")
    consumer.subscribe(["orders"], _Nobody())
    metadata = consumer.metadata()
    assert isinstance(metadata, GroupMetadata)
    producer.begin()
    producer.send_offsets({PLACE: Committed(offset, Note(owner, 3, "id").text())}, metadata)


class _Nobody:
    def assigned(self, partitions: object) -> dict[Partition, int]:
        raise AssertionError(partitions)

    def revoked(self, partitions: object) -> None:
        raise AssertionError(partitions)

    def lost(self, partitions: object) -> None:
        raise AssertionError(partitions)


def test_a_note_reads_as_it_was_written() -> None:
    note = Note('a "b"', 7, "id-1")
    assert read_note(Committed(1, note.text())) == note


@pytest.mark.parametrize("text", ["", "somebody else's", "[1]", '["a", "b", "c"]', "{}"])
def test_anybody_elses_text_beside_an_offset_is_no_note(text: str) -> None:
    assert read_note(Committed(1, text)) == Note()


def test_an_offset_without_a_commit_has_no_note() -> None:
    assert read_note(None) == Note()


def test_letting_go_keeps_the_offset_and_what_was_applied_when_it_was_committed() -> None:
    let_go = disown(Committed(5, Note("me", 3, "id").text()))
    assert (let_go.offset, read_note(let_go)) == (5, Note("", 3, "id"))


def test_the_former_owners_open_transaction_is_ended_before_its_offset_is_read() -> None:
    made = broker()
    former = producer(made, "former")
    write(made, former, 1, "former")
    former.commit()
    write(made, former, 2, "former")
    found = take_over(MemoryLog(made).admin(), "g", [PLACE], "next")
    assert found[PLACE].offset == 1
    with pytest.raises(FencedError):
        former.commit()


def test_an_owner_that_let_go_is_left_alone() -> None:
    made = broker()
    former = producer(made, "former")
    write(made, former, 1, "")
    former.commit()
    assert take_over(MemoryLog(made).admin(), "g", [PLACE], "next")[PLACE].offset == 1
    write(made, former, 2, "")
    former.commit()


def test_a_partition_that_nobody_owned_is_left_out() -> None:
    assert take_over(MemoryLog(broker()).admin(), "g", [PLACE], "next") == {}


def test_what_may_have_been_tried_is_handed_on_with_the_partition() -> None:
    note = Note("a", 7, "id", alone=2, is_tried=True)
    assert read_note(Committed(1, note.text())) == note
    assert read_note(disown(Committed(1, note.text()))) == Note("", 7, "id", is_tried=True)
    plain = Committed(1, Note("a", 7, "id").text())
    assert [read_note(disown(plain, is_tried=tried)).is_tried for tried in (False, True)] == [False, True]
