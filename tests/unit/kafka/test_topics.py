"""The promises of the internal topics."""

import pytest
from confluent_kafka.cimpl import consistent
from hypothesis import given
from hypothesis import strategies as st

from bridge.kafka.internal_topics import InternalTopics, TopicMismatchError, partition_of
from bridge.kafka.log import TopicSpec
from bridge.kafka.memory.admin import MemoryAdmin
from bridge.kafka.memory.log import MemoryBroker, MemoryLog


@pytest.fixture
def admin() -> MemoryAdmin:
    return MemoryLog(MemoryBroker(clock=lambda: 0)).admin()


def test_what_is_missing_is_created_and_then_found_right(admin: MemoryAdmin) -> None:
    topics = InternalTopics(partitions=6)
    topics.ensure(admin)
    topics.ensure(admin)
    names = ["arrivals", "windows", "runs", "ledger", "dead-letters", "decisions", "retries", "replay-plans"]
    once = ["triggers", "replays", "holds"]
    assert admin.topics() == {f"flowbridge.{name}": 1 if name in once else 6 for name in names + once}


def test_runs_are_announced_in_topics_of_their_own_with_the_partitions_of_runs(admin: MemoryAdmin) -> None:
    InternalTopics(partitions=6).ensure(admin)
    before = admin.topics()
    topics = InternalTopics(partitions=6, announces_runs=True)
    topics.ensure(admin)
    names = ("created", "succeeded", "failed")
    assert admin.topics() == before | {f"flowbridge.run.{name}": 6 for name in names}


def test_a_topic_of_announcements_with_other_partitions_can_be_deleted(admin: MemoryAdmin) -> None:
    admin.create([TopicSpec("flowbridge.run.failed", 3)])
    with pytest.raises(TopicMismatchError) as raised:
        InternalTopics(partitions=6, announces_runs=True).ensure(admin)
    (count,) = [mismatch for mismatch in raised.value.mismatches if mismatch.setting == "partition count"]
    assert (count.topic, count.found, count.expected) == ("flowbridge.run.failed", "3", "6")
    assert count.fix.startswith("Delete the topic: it is made again")


def test_what_is_committed_is_never_dropped_by_time() -> None:
    configs = {spec.name: spec.config for spec in InternalTopics("fb.").specs()}
    for name in ("fb.arrivals", "fb.runs"):
        assert configs[name]["retention.ms"] == configs[name]["retention.bytes"] == "-1"
        assert configs[name]["cleanup.policy"] == "delete"
    for name in ("fb.windows", "fb.triggers"):
        assert configs[name]["cleanup.policy"] == "compact"
    assert configs["fb.ledger"]["cleanup.policy"] == "compact,delete"
    assert int(configs["fb.ledger"]["retention.ms"]) > 7 * 86_400_000
    assert 0 < int(configs["fb.decisions"]["retention.ms"]) < int(configs["fb.dead-letters"]["retention.ms"])


def test_every_wrong_setting_is_named_with_what_would_be_right(admin: MemoryAdmin) -> None:
    topics = InternalTopics(partitions=6)
    admin.create([TopicSpec("flowbridge.arrivals", 3), TopicSpec("flowbridge.triggers", 1, 1, {"retention.ms": "5"})])
    with pytest.raises(TopicMismatchError) as raised:
        topics.ensure(admin)
    found = {(mismatch.topic, mismatch.setting): mismatch for mismatch in raised.value.mismatches}
    assert set(found) == {
        ("flowbridge.arrivals", "partition count"),
        ("flowbridge.arrivals", "message.timestamp.type"),
        ("flowbridge.arrivals", "max.message.bytes"),
        ("flowbridge.arrivals", "retention.ms"),
        ("flowbridge.triggers", "message.timestamp.type"),
        ("flowbridge.triggers", "max.message.bytes"),
        ("flowbridge.triggers", "cleanup.policy"),
    }
    count = found["flowbridge.arrivals", "partition count"]
    assert (count.found, count.expected) == ("3", "6")
    assert "FLOWBRIDGE_PARTITIONS=3" in count.fix
    policy = found["flowbridge.triggers", "cleanup.policy"]
    assert policy.fix.endswith("--entity-name flowbridge.triggers --add-config cleanup.policy=compact")
    for mismatch in raised.value.mismatches:
        assert str(mismatch) in str(raised.value)


def test_more_room_than_needed_is_right(admin: MemoryAdmin) -> None:
    topics = InternalTopics(partitions=2)
    for spec in topics.specs():
        admin.create([TopicSpec(spec.name, spec.partitions, 1, {**spec.config, "max.message.bytes": "99999999"})])
    topics.ensure(admin)


@pytest.mark.parametrize(("replication", "needed"), [(-1, None), (1, None), (2, "1"), (3, "2"), (5, "2")])
def test_replicas_that_must_be_in_sync_follow_the_replication(replication: int, needed: str | None) -> None:
    for spec in InternalTopics(replication=replication).specs():
        assert spec.config.get("min.insync.replicas") == needed


def test_too_few_replicas_are_named(admin: MemoryAdmin) -> None:
    InternalTopics().ensure(admin)
    with pytest.raises(TopicMismatchError, match=r"flowbridge\.ledger: replication is 1, needed is at least 3"):
        InternalTopics(replication=3).ensure(admin)


def test_a_key_keeps_its_partition_for_good() -> None:
    assert [partition_of(key, 24) for key in ("", "a", "c-7", "ключ")] == [0, 3, 11, 18]
    assert partition_of("ключ", 7) == partition_of("ключ".encode(), 7)


@given(st.binary(min_size=1), st.integers(1, 1000))
def test_the_partition_is_that_of_librdkafkas_consistent_partitioner(key: bytes, count: int) -> None:
    assert partition_of(key, count) == consistent(key, count)
