"""What both logs promise in trouble: leaders that are away, permissions that are missing, batches that are spoiled."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from bridge.kafka.log import (
    DENIED,
    HIDDEN,
    MISSING,
    LogError,
    Partition,
    UnansweredError,
    UnfetchableError,
    UnreadableTopicError,
)
from contract.log_beds import T0, Membership, eventually, take, until
from contract.trouble_beds import Operation, TroubledBed, TroubledKafka, TroubledMemory, TwoBrokers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bridge.kafka.log import Admin


@pytest.fixture(scope="module")
def brokers() -> Iterator[TwoBrokers]:
    with TwoBrokers() as two:
        yield two


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def bed(request: pytest.FixtureRequest) -> Iterator[TroubledBed]:
    is_memory = request.param == "memory"
    made: TroubledBed = TroubledMemory() if is_memory else TroubledKafka(request.getfixturevalue("brokers"))
    yield made
    made.close()


@pytest.fixture
def group() -> str:
    return f"g{uuid.uuid4().hex[:10]}"


QUESTIONS: dict[str, Callable[[Admin, list[Partition]], Mapping[Partition, int]]] = {
    "start_offsets": lambda admin, places: admin.start_offsets(places),
    "end_offsets": lambda admin, places: admin.end_offsets(places),
    "stable_ends": lambda admin, places: admin.stable_ends(places),
    "offsets_at": lambda admin, places: admin.offsets_at(places, T0),
    "all_ends": lambda admin, places: admin.all_ends(places),
}


def test_a_partition_without_a_leader_is_never_a_number_and_the_others_are_answered(bed: TroubledBed) -> None:
    sound, lost = Partition(bed.topic(), 0), Partition(bed.fragile(), 0)
    gone = Partition(sound.topic, 7)
    bed.publish(*sound, None, b"a", T0)
    bed.publish(*lost, None, b"a", T0)
    admin = bed.log().admin()
    bed.lose_leaders()
    for name, ask in QUESTIONS.items():
        asked = [sound, lost] if name == "all_ends" else [sound, lost, gone]
        with pytest.raises(UnansweredError) as raised:
            ask(admin, asked)
        expected = 0 if name in ("start_offsets", "offsets_at") else 1
        assert raised.value.answered == {sound: expected}, (name, raised.value.unanswered)
        assert raised.value.unanswered.keys() == {lost}, name
    bed.find_leaders()
    eventually(lambda: admin.all_ends([lost]), "the leader to be back")
    assert admin.end_offsets([sound, lost]) == {sound: 1, lost: 1}


def test_all_ends_are_all_or_none(bed: TroubledBed) -> None:
    sound = Partition(bed.topic(), 0)
    gone, nowhere = Partition(sound.topic, 7), Partition(f"t{uuid.uuid4().hex[:10]}", 0)
    admin = bed.log().admin()
    assert admin.end_offsets([sound, gone, nowhere]) == {sound: 0}
    with pytest.raises(UnansweredError) as raised:
        admin.all_ends([sound, gone, nowhere])
    assert raised.value.answered == {sound: 0}
    assert raised.value.unanswered.keys() == {gone, nowhere}


def test_a_reader_of_a_partition_without_a_leader_says_so(bed: TroubledBed) -> None:
    place = Partition(bed.fragile(), 0)
    bed.publish(*place, None, b"a", T0)
    bed.lose_leaders()
    reader = bed.log().reader()
    with pytest.raises(LogError):
        list(reader.read(place, 0, 1))
    reader.close()
    bed.find_leaders()


@pytest.mark.parametrize("operation", ["read", "describe"])
def test_a_forbidden_topic_is_told_once_and_the_others_go_on(
    bed: TroubledBed, group: str, operation: Operation
) -> None:
    secret, sound = bed.topic(), bed.topic()
    bed.publish(secret, 0, None, b"secret", T0)
    bed.deny(secret, operation)
    admin = bed.log().admin()
    missing = f"t{uuid.uuid4().hex[:10]}"
    assert admin.unreadable([secret, sound, missing]) == {
        secret: DENIED if operation == "read" else HIDDEN,
        missing: MISSING,
    }
    consumer = bed.consumer(group, [secret, sound], Membership())
    with pytest.raises(UnreadableTopicError) as raised:
        until(lambda: False, "the refusal to be told", consumer)
    assert raised.value.topic == secret
    bed.publish(sound, 0, None, b"sound", T0)
    assert [record.value for record in take(consumer, 1)] == [b"sound"]
    bed.allow(secret)
    assert admin.unreadable([secret]) == {}


def test_offsets_of_a_topic_that_we_may_not_describe_are_unanswered(bed: TroubledBed, group: str) -> None:
    secret, sound = Partition(bed.topic(), 0), Partition(bed.topic(), 0)
    bed.deny(secret.topic, "describe")
    admin = bed.log().admin()
    for ask in (admin.end_offsets, lambda places: admin.committed(group, places, stable=False)):
        with pytest.raises(UnansweredError) as raised:
            ask([secret, sound])
        assert raised.value.unanswered.keys() == {secret}
    assert secret.topic not in admin.topics()
    with pytest.raises(LogError):
        admin.describe([secret.topic])
    bed.allow(secret.topic)


def test_a_batch_that_cannot_be_read_is_told_and_the_others_go_on(bed: TroubledBed, group: str) -> None:
    spoiled, sound = Partition(bed.fragile(), 0), Partition(bed.topic(), 0)
    bed.publish(*spoiled, None, b"a", T0)
    bed.spoil_first_batch(spoiled.topic)
    consumer = bed.consumer(group, [spoiled.topic, sound.topic], Membership())
    with pytest.raises(UnfetchableError) as raised:
        until(lambda: False, "the batch to be told", consumer)
    assert (raised.value.partition, raised.value.offset) == (spoiled, 0)
    bed.publish(*sound, None, b"sound", T0)
    assert [record.value for record in take(consumer, 1)] == [b"sound"]
    assert consumer.positions()[spoiled] == 0
    consumer.resume([spoiled])  # tried again: it is told again
    with pytest.raises(UnfetchableError):
        until(lambda: False, "the batch to be told again", consumer)
