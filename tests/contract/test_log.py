"""What both logs promise: the one in memory, and the one on a real Kafka."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from bridge.core.event import SECOND
from bridge.kafka.follower import FollowedEnds, Follower
from bridge.kafka.log import (
    AbortableError,
    Committed,
    FencedError,
    LogError,
    OffsetLostError,
    Partition,
    Record,
    TopicSpec,
    UnansweredError,
)
from contract.log_beds import T0, Bed, KafkaBed, Membership, MemoryBed, commit_records, eventually, take, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.kafka.log import RangeReader, Record, TransactionalProducer


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    made: Bed = MemoryBed() if request.param == "memory" else KafkaBed(request.getfixturevalue("kafka").bootstrap)
    yield made
    made.close()


@pytest.fixture
def group() -> str:
    return f"g{uuid.uuid4().hex[:10]}"


def writer(bed: Bed, name: str = "") -> TransactionalProducer:
    producer = bed.log().producer(name or f"w{uuid.uuid4().hex[:10]}")
    producer.init()
    return producer


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def end_of(bed: Bed, partition: Partition) -> int:
    return bed.log().admin().end_offsets([partition])[partition]


def read(bed: Bed, partition: Partition, start: int, end: int, *, hidden: bool = False) -> list[Record]:
    reader = bed.log().reader(hidden=hidden)
    try:
        return [record for batch in reader.read(partition, start, end) for record in batch]
    finally:
        reader.close()


def test_a_record_comes_back_whole(bed: Bed, group: str) -> None:
    topic = bed.topic()
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, b"k", b"v", [("h", b"1"), ("h", b"2")])
    producer.send(topic, 0, None, None)
    producer.commit()
    full, empty = take(bed.consumer(group, [topic], Membership()), 2)
    assert full[:3] == (topic, 0, 0)
    assert full.timestamp > T0 - 1
    assert (full.key, full.value, list(full.headers)) == (b"k", b"v", [("h", b"1"), ("h", b"2")])
    assert (empty.offset, empty.key, empty.value, list(empty.headers)) == (1, None, None, [])


def test_a_record_that_was_read_can_be_sent_on(bed: Bed, group: str) -> None:
    topic, other = bed.topic(), bed.topic()
    commit_records(bed.log(), topic, [b"a"])
    (record,) = take(bed.consumer(group, [topic], Membership()), 1)
    producer = writer(bed)
    producer.begin()
    producer.send(other, 0, record.key, record.value, record.headers)
    producer.commit()
    assert values(read(bed, Partition(other, 0), 0, 1)) == [b"a"]


def test_what_a_transaction_wrote_is_seen_when_it_commits_and_not_before(bed: Bed, group: str) -> None:
    topic = bed.topic()
    member = Membership()
    consumer = bed.consumer(group, [topic], member)
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"a")
    until(lambda: end_of(bed, Partition(topic, 0)) == 1, "the record to be there")
    until(lambda: bool(member.owned), "an assignment", consumer)
    assert consumer.poll(0.5) == []
    producer.commit()
    assert values(take(consumer, 1)) == [b"a"]


def test_a_reader_of_hidden_records_sees_behind_an_open_transaction(bed: Bed) -> None:
    topic = bed.topic()
    place = Partition(topic, 0)
    standing, working = writer(bed), writer(bed)
    standing.begin()
    standing.send(topic, 0, None, b"open")
    until(lambda: end_of(bed, place) == 1, "the record to be there")
    working.begin()
    working.send(topic, 0, None, b"committed")
    working.commit()
    assert bed.log().admin().stable_ends([place]) == {place: 0}
    end = end_of(bed, place)
    assert values(read(bed, place, 0, end, hidden=True)) == [b"open", b"committed"]
    standing.abort()
    until(lambda: bed.log().admin().stable_ends([place]) == {place: end_of(bed, place)}, "the transaction to be over")
    assert values(read(bed, place, 0, end_of(bed, place))) == [b"committed"]
    assert values(read(bed, place, 0, end_of(bed, place), hidden=True)) == [b"open", b"committed"]


def test_an_abort_leaves_nothing(bed: Bed, group: str) -> None:
    topic = bed.topic()
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"gone")
    until(lambda: end_of(bed, Partition(topic, 0)) == 1, "the record to be there")
    producer.abort()
    producer.begin()
    producer.send(topic, 0, None, b"kept")
    producer.commit()
    assert values(take(bed.consumer(group, [topic], Membership()), 1)) == [b"kept"]


def test_an_open_transaction_holds_back_what_was_committed_behind_it(bed: Bed, group: str) -> None:
    topic = bed.topic()
    first = writer(bed)
    first.begin()
    first.send(topic, 0, None, b"open")
    until(lambda: end_of(bed, Partition(topic, 0)) == 1, "the record to be there")
    commit_records(bed.log(), topic, [b"behind"])
    member = Membership()
    consumer = bed.consumer(group, [topic], member)
    until(lambda: bool(member.owned), "an assignment", consumer)
    assert consumer.poll(0.5) == []
    first.commit()
    assert values(take(consumer, 2)) == [b"open", b"behind"]


def test_a_follower_applies_each_record_once_and_what_is_open_later(bed: Bed) -> None:
    topic, now = bed.topic(), [0]
    applied: list[bytes | None] = []
    follower = Follower(bed.log(), topic, lambda: now[0], lambda record: applied.append(record.value))
    assert not follower.read_when_due()
    assert not follower.read_when_due()  # asks for the ends, from now on once a second
    commit_records(bed.log(), topic, [b"a", b"b"])
    admin, place = bed.log().admin(), Partition(topic, 0)
    until(lambda: admin.stable_ends([place])[place] >= 2, "the records to be stable")
    admin.close()
    assert not follower.read_when_due()
    now[0] += SECOND
    assert follower.read_when_due()
    assert not follower.read_when_due()
    assert (applied, follower.read_on()) == ([b"a", b"b"], False)
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"c")
    until(lambda: end_of(bed, Partition(topic, 0)) > follower.offset, "the record to be there")
    assert not follower.read_on()
    producer.commit()
    assert follower.read_on(to_true_end=True)
    assert applied == [b"a", b"b", b"c"]
    follower.close()


def test_followers_that_share_a_request_read_their_topics_on(bed: Bed) -> None:
    topics, now, applied = [bed.topic(), bed.topic()], [0], list[bytes | None]()
    ends = FollowedEnds()
    followers = [
        Follower(bed.log(), topic, lambda: now[0], lambda record: applied.append(record.value), ends)
        for topic in topics
    ]
    assert not any(follower.read_when_due() for follower in followers)
    commit_records(bed.log(), topics[0], [b"a"])
    commit_records(bed.log(), topics[1], [b"b"])

    def have_read() -> bool:
        now[0] += SECOND
        for follower in followers:
            follower.read_when_due()
        return applied == [b"a", b"b"]

    until(have_read, "both topics to be read")
    for follower in followers:
        follower.close()


def test_a_follower_that_fails_applies_again_what_it_had_not_finished(bed: Bed) -> None:
    topic = bed.topic()
    applied: list[bytes | None] = []

    def apply(record: Record) -> None:
        applied.append(record.value)
        if applied == [b"a", b"b"]:
            raise ValueError(record.value)

    follower = Follower(bed.log(), topic, lambda: 0, apply)
    commit_records(bed.log(), topic, [b"a", b"b", b"c"])
    with pytest.raises(ValueError, match="b"):
        follower.read_on(to_true_end=True)
    assert follower.offset == 0
    assert follower.read_on(to_true_end=True)
    assert applied == [b"a", b"b", b"a", b"b", b"c"]
    follower.close()


def test_a_follower_of_a_topic_that_is_not_there_says_so(bed: Bed) -> None:
    follower = Follower(bed.log(), f"none-{uuid.uuid4().hex}", lambda: 0, lambda _: None)
    for to_true_end in (False, True):
        with pytest.raises(UnansweredError):
            follower.read_on(to_true_end=to_true_end)
    follower.close()


def test_markers_take_offsets_and_the_position_passes_them(bed: Bed, group: str) -> None:
    topic = bed.topic()
    for value in (b"a", b"b"):
        commit_records(bed.log(), topic, [value])
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"gone")
    until(lambda: end_of(bed, Partition(topic, 0)) == 5, "the record to be there")
    producer.abort()
    consumer = bed.consumer(group, [topic], Membership())
    records = take(consumer, 2)
    assert [record.offset for record in records] == [0, 2]
    assert end_of(bed, Partition(topic, 0)) == 6
    until(lambda: consumer.positions() == {Partition(topic, 0): 6}, "the position to pass the markers", consumer)


def test_a_member_begins_where_it_says(bed: Bed, group: str) -> None:
    topic = bed.topic()
    commit_records(bed.log(), topic, [b"a", b"b", b"c"])
    consumer = bed.consumer(group, [topic], Membership({Partition(topic, 0): 2}))
    assert values(take(consumer, 1)) == [b"c"]


def test_the_position_of_a_partition_without_records_is_where_it_began(bed: Bed, group: str) -> None:
    topic = bed.topic()
    member = Membership()
    consumer = bed.consumer(group, [topic], member)
    until(lambda: bool(member.owned), "an assignment", consumer)
    assert consumer.positions() == {Partition(topic, 0): 0}


def test_no_poll_returns_more_than_was_asked_for(bed: Bed, group: str) -> None:
    topic = bed.topic()
    commit_records(bed.log(), topic, [b"a", b"b", b"c"])
    consumer = bed.consumer(group, [topic], Membership())
    seen: list[bytes | None] = []
    while len(seen) < 3:
        records = consumer.poll(0.1, 2)
        assert len(records) <= 2
        seen += values(records)
    assert seen == [b"a", b"b", b"c"]


def test_offsets_are_committed_with_the_transaction_and_keep_their_text(bed: Bed, group: str) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    commit_records(bed.log(), topic, [b"a"])
    consumer = bed.consumer(group, [topic], Membership())
    take(consumer, 1)
    admin, producer = bed.log().admin(), writer(bed)
    assert admin.committed(group, [place], stable=True) == {}
    producer.begin()
    producer.send_offsets({place: Committed(1, "first")}, consumer.metadata())
    assert admin.committed(group, [place], stable=False) == {}
    producer.commit()
    assert admin.committed(group, [place], stable=True) == {place: Committed(1, "first")}
    producer.begin()
    producer.send_offsets({place: Committed(2, "second")}, consumer.metadata())
    assert admin.committed(group, [place], stable=False) == {place: Committed(1, "first")}
    producer.abort()
    assert admin.committed(group, [place], stable=True) == {place: Committed(1, "first")}


def test_offsets_of_a_past_generation_are_refused(bed: Bed, group: str) -> None:
    topic = bed.topic(2)
    first, second = Membership(), Membership()
    first_member = bed.consumer(group, [topic], first)
    until(lambda: len(first.owned) == 2, "the first to own all", first_member)
    stale = first_member.metadata()
    second_member = bed.consumer(group, [topic], second)
    until(lambda: len(first.owned) == len(second.owned) == 1, "both to own one", first_member, second_member)
    (kept,) = first.owned
    producer = writer(bed)
    producer.begin()
    with pytest.raises(AbortableError):
        producer.send_offsets({kept: Committed(0, "")}, stale)
    producer.abort()
    producer.begin()
    producer.send_offsets({kept: Committed(0, "")}, first_member.metadata())
    producer.commit()
    assert bed.log().admin().committed(group, [kept], stable=True) == {kept: Committed(0, "")}


def test_offsets_of_somebody_who_claims_no_membership_are_taken(bed: Bed, group: str) -> None:
    """So metadata of one who was expelled meanwhile proves nothing: whoever uses it has to have taken it before."""
    topic = bed.topic()
    membership = Membership()
    until(lambda: bool(membership.owned), "a member", bed.consumer(group, [topic], membership))
    stranger, producer, place = bed.log().consumer(group), writer(bed), Partition(topic, 0)
    producer.begin()
    producer.send_offsets({place: Committed(7, "a stranger")}, stranger.metadata())
    producer.commit()
    assert bed.log().admin().committed(group, [place], stable=True) == {place: Committed(7, "a stranger")}


def test_a_later_producer_of_the_same_id_fences_the_earlier(bed: Bed) -> None:
    topic, name = bed.topic(), f"w{uuid.uuid4().hex[:10]}"
    earlier = writer(bed, name)
    earlier.begin()
    earlier.send(topic, 0, None, b"gone")
    until(lambda: end_of(bed, Partition(topic, 0)) == 1, "the record to be there")
    later = writer(bed, name)
    with pytest.raises(FencedError):
        earlier.commit()
    later.begin()
    later.send(topic, 0, None, b"kept")
    later.commit()
    assert values(read(bed, Partition(topic, 0), 0, end_of(bed, Partition(topic, 0)))) == [b"kept"]
    earlier.close()


def test_fencing_an_id_ends_its_transaction_and_refuses_its_producer(bed: Bed) -> None:
    topic, name = bed.topic(), f"w{uuid.uuid4().hex[:10]}"
    producer = writer(bed, name)
    producer.begin()
    producer.send(topic, 0, None, b"gone")
    until(lambda: end_of(bed, Partition(topic, 0)) == 1, "the record to be there")
    bed.log().admin().fence(name)
    commit_records(bed.log(), topic, [b"kept"])
    assert values(read(bed, Partition(topic, 0), 0, end_of(bed, Partition(topic, 0)))) == [b"kept"]
    with pytest.raises(FencedError):
        producer.commit()
    producer.close()


def test_two_members_share_partitions_and_hand_over_before_the_other_takes(bed: Bed, group: str) -> None:
    topic = bed.topic(4)
    first, second = Membership(), Membership()
    first_member = bed.consumer(group, [topic], first)
    until(lambda: len(first.owned) == 4, "the first to own all", first_member)
    second_member = bed.consumer(group, [topic], second)

    def shared() -> bool:
        assert not first.owned & second.owned
        return len(first.owned) == len(second.owned) == 2

    until(shared, "both to own two", first_member, second_member)
    assert ("revoked", tuple(sorted(second.owned))) in [(what, tuple(sorted(which))) for what, which in first.told]


def test_a_member_for_which_nothing_is_left_is_told_so_and_stands_by(bed: Bed, group: str) -> None:
    topic = bed.topic(1)
    first, second = Membership(), Membership()
    first_member = bed.consumer(group, [topic], first)
    until(lambda: len(first.owned) == 1, "the first to own all", first_member)
    second_member = bed.consumer(group, [topic], second)
    until(lambda: ("assigned", ()) in second.told, "the second to know that it has joined", first_member, second_member)
    assert len(first.owned) == 1


def test_a_member_that_closes_hands_over_at_once(bed: Bed, group: str) -> None:
    topic = bed.topic(2)
    first, second = Membership(), Membership()
    first_member = bed.log().consumer(group)
    first_member.subscribe([topic], first)
    until(lambda: len(first.owned) == 2, "the first to own all", first_member)
    second_member = bed.consumer(group, [topic], second)
    until(lambda: len(second.owned) == 1, "the second to own one", first_member, second_member)
    first_member.close()
    assert first.owned == set()
    assert first.told[-1][0] == "revoked"
    until(lambda: len(second.owned) == 2, "the second to own all", second_member)


def test_what_is_revoked_gives_no_more_records_and_goes_on_with_its_next_owner(bed: Bed, group: str) -> None:
    topic = bed.topic(2)
    first, second = Membership(), Membership()
    first_member = bed.consumer(group, [topic], first)
    until(lambda: len(first.owned) == 2, "the first to own all", first_member)
    second_member = bed.consumer(group, [topic], second)
    for number in (0, 1):
        for value in (b"a", b"b", b"c"):
            bed.publish(topic, number, None, value, T0)
    until(lambda: len(first.owned) == 1, "the first to give up one", first_member, second_member)
    (given,) = {Partition(topic, 0), Partition(topic, 1)} - first.owned
    late = first_member.poll(0.2)
    assert given not in {record[:2] for record in late}
    assert given not in first_member.positions()
    until(lambda: second.owned == {given}, "the second to own it", first_member, second_member)
    until(lambda: second_member.positions().get(given) == 3, "the second to read it", first_member, second_member)


def test_a_member_that_is_killed_loses_its_partitions_when_its_session_ends(bed: Bed, group: str) -> None:
    topic = bed.topic(2)
    doomed = bed.doomed(group, topic)
    until(doomed.owns_something, "the doomed member to own partitions")
    doomed.kill()
    heir = Membership()
    consumer = bed.consumer(group, [topic], heir)
    consumer.poll(0.5)
    assert heir.owned == set()
    bed.let_session_end()
    until(lambda: len(heir.owned) == 2, "the heir to own all", consumer)


def test_a_static_member_has_its_own_back_and_the_one_before_it_is_fenced(bed: Bed, group: str) -> None:
    topic = bed.topic(2)
    before, after, other = Membership(), Membership(), Membership()
    first = bed.consumer(group, [topic], before, instance="one")
    until(lambda: len(before.owned) == 2, "the first to own all", first)
    beside = bed.consumer(group, [topic], other)
    until(lambda: len(other.owned) == len(before.owned) == 1, "both to own one", first, beside)
    owned = set(before.owned)
    second = bed.consumer(group, [topic], after, instance="one")
    until(lambda: after.owned == owned, "the second to own what the first had", second, beside)
    assert len(other.owned) == 1
    with pytest.raises(FencedError):
        until(lambda: False, "the first to be fenced", first)
    first.close()
    assert before.told[-1] == ("lost", tuple(owned))


def test_a_lost_offset_is_an_error_and_the_others_go_on(bed: Bed, group: str) -> None:
    topic = bed.topic(2)
    lost, sound = Partition(topic, 0), Partition(topic, 1)
    for value in (b"a", b"b", b"c"):
        bed.publish(topic, 0, None, value, T0)
    bed.log().admin().purge({lost: 2})
    consumer = bed.consumer(group, [topic], Membership())
    with pytest.raises(OffsetLostError) as raised:
        until(lambda: False, "the loss to be told", consumer)
    assert (raised.value.partition, raised.value.offset) == (lost, 0)
    bed.publish(topic, 1, None, b"sound", T0)
    assert values(take(consumer, 1)) == [b"sound"]
    assert consumer.positions() == {lost: 0, sound: 1}
    consumer.seek(lost, 2)
    assert consumer.poll(0.2) == []
    consumer.resume([lost])
    assert values(take(consumer, 1)) == [b"c"]


def test_a_paused_partition_gives_nothing_until_it_is_resumed(bed: Bed, group: str) -> None:
    topic = bed.topic(2)
    member = Membership()
    consumer = bed.consumer(group, [topic], member)
    until(lambda: len(member.owned) == 2, "an assignment", consumer)
    consumer.pause([Partition(topic, 0)])
    bed.publish(topic, 0, None, b"paused", T0)
    bed.publish(topic, 1, None, b"flowing", T0)
    assert values(take(consumer, 1)) == [b"flowing"]
    assert consumer.poll(0.3) == []
    assert consumer.positions()[Partition(topic, 0)] == 0
    consumer.resume([Partition(topic, 0)])
    assert values(take(consumer, 1)) == [b"paused"]


def test_after_a_seek_records_come_again_from_there(bed: Bed, group: str) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    commit_records(bed.log(), topic, [b"a", b"b", b"c"])
    consumer = bed.consumer(group, [topic], Membership())
    take(consumer, 3)
    consumer.seek(place, 1)
    assert consumer.positions() == {place: 1}
    assert values(take(consumer, 2)) == [b"b", b"c"]


def test_what_a_callback_raises_comes_out_of_poll(bed: Bed, group: str) -> None:
    class Failing(Membership):
        def assigned(self, partitions: object) -> dict[Partition, int]:
            raise ZeroDivisionError(f"while taking on {partitions}")

    topic = bed.topic()
    consumer = bed.consumer(group, [topic], Failing())
    with pytest.raises(ZeroDivisionError):
        until(lambda: False, "the error to come out", consumer)


def test_other_topics_can_be_subscribed_to(bed: Bed, group: str) -> None:
    old, new = bed.topic(), bed.topic()
    member = Membership()
    consumer = bed.consumer(group, [old], member)
    until(lambda: member.owned == {Partition(old, 0)}, "the first topic", consumer)
    consumer.subscribe([new], member)
    until(lambda: member.owned == {Partition(new, 0)}, "the second topic", consumer)


def test_a_member_without_topics_gives_all_up_and_may_come_back(bed: Bed, group: str) -> None:
    topic, member = bed.topic(), Membership()
    consumer = bed.consumer(group, [topic], member)
    until(lambda: member.owned == {Partition(topic, 0)}, "the topic", consumer)
    consumer.subscribe([], member)
    until(lambda: not member.owned, "the topic to be given up", consumer)
    assert consumer.poll(0.1) == []
    consumer.subscribe([topic], member)
    until(lambda: member.owned == {Partition(topic, 0)}, "the topic again", consumer)


def test_a_reader_reads_to_the_end_over_markers(bed: Bed) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    commit_records(bed.log(), topic, [b"a", b"b"])
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"gone")
    until(lambda: end_of(bed, place) == 4, "the record to be there")
    producer.abort()
    end = end_of(bed, place)
    assert end == 5
    assert values(read(bed, place, 0, end)) == [b"a", b"b"]
    assert values(read(bed, place, 1, end)) == [b"b"]
    assert values(read(bed, place, 0, 1)) == [b"a"]
    assert read(bed, place, 2, end) == []
    assert read(bed, place, 5, 5) == []


def test_a_reader_reads_one_partition_after_another(bed: Bed) -> None:
    topic = bed.topic(3)
    for number in range(3):
        bed.publish(topic, number, None, b"%d" % number, T0)
    reader = bed.log().reader()
    found = [values(batch) for number in range(3) for batch in reader.read(Partition(topic, number), 0, 1)]
    reader.close()
    assert found == [[b"0"], [b"1"], [b"2"]]


def test_a_reader_reads_on_after_it_has_rested(bed: Bed) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    for value in (b"1", b"2"):
        bed.publish(topic, 0, None, value, T0)
    reader = bed.log().reader()
    reader.rest()  # before it has read anything
    assert values([record for records in reader.read(place, 0, 1) for record in records]) == [b"1"]
    reader.rest()
    reader.rest()
    assert values([record for records in reader.read(place, 1, 2) for record in records]) == [b"2"]
    reader.close()


def test_admins_of_a_log_are_closed_one_by_one(bed: Bed, group: str) -> None:
    place = Partition(bed.topic(), 0)
    log = bed.log()
    first, second = log.admin(), log.admin()
    assert first.end_offsets([place]) == {place: 0}
    first.close()
    assert second.end_offsets([place]) == {place: 0}
    assert second.committed(group, [place], stable=True) == {}
    second.rest()
    assert second.committed(group, [place], stable=True) == {}
    second.close()
    third = log.admin()
    assert third.end_offsets([place]) == {place: 0}
    third.close()


def test_a_reader_begins_at_the_first_record_that_is_left(bed: Bed) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    for value in (b"a", b"b", b"c"):
        bed.publish(topic, 0, None, value, T0)
    bed.log().admin().purge({place: 2})
    assert values(read(bed, place, 0, 3)) == [b"c"]


def test_a_reader_of_a_partition_whose_records_have_all_expired_is_at_its_end_at_once(bed: Bed) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    for value in (b"a", b"b", b"c"):
        bed.publish(topic, 0, None, value, T0)
    bed.log().admin().purge({place: 3})
    began = time.monotonic()
    assert read(bed, place, 0, 3) == []
    assert read(bed, place, 1, 2) == []
    assert time.monotonic() - began < 4  # the reader's patience is 5 s


def test_a_reader_that_an_open_transaction_holds_up_says_so(bed: Bed) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"open")
    until(lambda: end_of(bed, place) == 1, "the record to be there")
    with pytest.raises(LogError):
        read(bed, place, 0, 1)
    producer.abort()


def test_a_reader_up_to_the_stable_end_is_not_held_up(bed: Bed) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    commit_records(bed.log(), topic, [b"before"])
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"open")
    until(lambda: end_of(bed, place) == 3, "the record to be there")
    assert bed.log().admin().stable_ends([place]) == {place: 2}
    assert [record.value for record in read(bed, place, 0, 2)] == [b"before"]
    producer.abort()


def test_a_topic_is_created_as_specified_and_left_as_it_is_the_next_time(bed: Bed) -> None:
    admin, name = bed.log().admin(), f"t{uuid.uuid4().hex[:10]}"
    settings = {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}
    assert admin.describe([name]) == {}
    admin.create([TopicSpec(name, 3, 1, settings)])
    admin.create([TopicSpec(name, 5, 1)])
    info = admin.describe([name])[name]
    assert (info.name, info.partitions, info.replication) == (name, 3, 1)
    assert settings.items() <= info.config.items()
    assert info.id
    assert admin.topics()[name] == 3


def test_a_topic_whose_name_differs_in_dots_and_underscores_alone_is_refused(bed: Bed) -> None:
    admin, name = bed.log().admin(), f"t{uuid.uuid4().hex[:10]}"
    admin.create([TopicSpec(f"{name}.a", 1, 1)])
    with pytest.raises(LogError, match="collides"):
        admin.create([TopicSpec(f"{name}_a", 1, 1)])
    assert f"{name}_a" not in admin.topics()


def test_a_topic_that_is_created_again_has_another_id(bed: Bed) -> None:
    admin, name = bed.log().admin(), bed.topic()
    before = admin.describe([name])[name].id
    bed.delete(name)
    assert admin.describe([name]) == {}
    eventually(lambda: admin.create([TopicSpec(name, 1, 1)]), "the topic to be created again")
    assert admin.describe([name])[name].id != before


def test_offsets_tell_the_start_the_end_and_a_time(bed: Bed) -> None:
    topic = bed.topic(2)
    place, empty, gone = Partition(topic, 0), Partition(topic, 1), Partition(topic, 7)
    for number in range(3):
        bed.publish(topic, 0, None, b"%d" % number, T0 + 10 * number)
    admin = bed.log().admin()
    admin.purge({place: 1})
    asked = [place, empty, gone]
    assert admin.start_offsets(asked) == {place: 1, empty: 0}
    assert admin.end_offsets(asked) == {place: 3, empty: 0}
    assert admin.offsets_at(asked, T0 + 11) == {place: 2, empty: 0}
    assert admin.offsets_at(asked, T0 + 10) == {place: 1, empty: 0}
    assert admin.offsets_at(asked, T0 + 99) == {place: 3, empty: 0}


def test_the_end_counts_what_is_not_committed_yet(bed: Bed) -> None:
    topic, place = (name := bed.topic()), Partition(name, 0)
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"open")
    until(lambda: end_of(bed, place) == 1, "the record to be there")
    producer.abort()


def test_log_append_time_is_the_brokers(bed: Bed, group: str) -> None:
    topic = bed.topic(message_timestamp_type="LogAppendTime")
    bed.publish(topic, 0, None, b"a", T0 - 1_000_000)
    (record,) = take(bed.consumer(group, [topic], Membership()), 1)
    assert record.timestamp >= T0


def test_a_record_that_is_too_large_never_becomes_part_of_a_commit(bed: Bed) -> None:
    topic = bed.topic(max_message_bytes="1000")
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"x" * 2_000)
    with pytest.raises(AbortableError):
        producer.commit()

    def go_on() -> None:  # librdkafka may fail the next transaction once more: its sequence numbers skipped
        producer.abort()
        producer.begin()
        producer.send(topic, 0, None, b"fits")
        producer.commit()

    eventually(go_on, "the producer to go on")
    place = Partition(topic, 0)
    assert values(read(bed, place, 0, end_of(bed, place))) == [b"fits"]


def test_a_transaction_with_nothing_in_it_commits(bed: Bed) -> None:
    producer = writer(bed)
    producer.begin()
    producer.commit()
    producer.begin()
    producer.abort()
    producer.close()


def range_of(bed: Bed, starts: dict[Partition, int], ends: dict[Partition, int]) -> list[Record]:
    """Return what a reader of ranges gives until each position has reached its end."""
    reader = bed.log().ranges(starts)
    records: list[Record] = []
    try:
        until(lambda: _passed(reader, records, ends), "the range is read")
    finally:
        reader.close()
    return records


def _passed(reader: RangeReader, records: list[Record], ends: dict[Partition, int]) -> bool:
    records += reader.poll(0.1)
    positions = reader.positions()
    return all(positions[partition] >= end for partition, end in ends.items())


def test_ranges_of_several_partitions_are_read_at_once_each_in_order(bed: Bed) -> None:
    topic, other = bed.topic(2), bed.topic()
    places = [Partition(topic, 0), Partition(topic, 1), Partition(other, 0)]
    for place in places:
        for number in range(3):
            bed.publish(*place, None, b"%d" % number, T0)
    starts = {places[0]: 0, places[1]: 1, places[2]: end_of(bed, places[2])}
    ends = {place: end_of(bed, place) for place in places}
    found = range_of(bed, starts, ends)
    by_place = {place: [record.value for record in found if record[:2] == place] for place in places}
    assert by_place == {places[0]: [b"0", b"1", b"2"], places[1]: [b"1", b"2"], places[2]: []}


def test_the_position_of_a_range_passes_what_was_aborted(bed: Bed) -> None:
    topic = bed.topic()
    place = Partition(topic, 0)
    commit_records(bed.log(), topic, [b"a"])
    producer = writer(bed)
    producer.begin()
    producer.send(topic, 0, None, b"never")
    producer.abort()
    assert [record.value for record in range_of(bed, {place: 0}, {place: end_of(bed, place)})] == [b"a"]


def test_a_range_that_is_paused_gives_nothing_until_it_is_resumed(bed: Bed) -> None:
    topic = bed.topic(2)
    bed.publish(topic, 0, None, b"a", T0)
    bed.publish(topic, 1, None, b"b", T0)
    paused, other = Partition(topic, 0), Partition(topic, 1)
    reader = bed.log().ranges({paused: 0, other: 0})
    try:
        reader.pause([paused])
        found: list[Record] = []
        until(lambda: _passed(reader, found, {other: 1}), "the other partition is read")
        assert values(found) == [b"b"]
        reader.resume([paused])
        until(lambda: _passed(reader, found, {paused: 1}), "the resumed partition is read")
        assert values(found) == [b"b", b"a"]
    finally:
        reader.close()
