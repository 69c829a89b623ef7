"""The promises of the in-memory Kafka's assignment."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.kafka.log import Partition
from bridge.kafka.memory.group import assign

members = st.sets(st.sampled_from("abcdefg"), min_size=1)
partitions = st.sets(st.builds(Partition, st.just("t"), st.integers(0, 30)))


@given(members, members, partitions)
def test_every_partition_has_one_owner_and_shares_differ_by_at_most_one(
    before: set[str], after: set[str], wanted: set[Partition]
) -> None:
    first = assign({m: {"t"} for m in before}, {m: set() for m in before}, wanted)
    shares = assign({m: {"t"} for m in after}, {m: first.get(m, set()) for m in after}, wanted)
    assert sorted(p for share in shares.values() for p in share) == sorted(wanted)
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(members, partitions)
def test_nothing_moves_without_a_reason(names: set[str], wanted: set[Partition]) -> None:
    topics = {m: {"t"} for m in names}
    first = assign(topics, {m: set() for m in names}, wanted)
    assert assign(topics, first, wanted) == first


@given(st.sets(st.sampled_from("abcdefg"), min_size=2), partitions)
def test_when_one_leaves_the_others_keep_theirs(names: set[str], wanted: set[Partition]) -> None:
    first = assign({m: {"t"} for m in names}, {m: set() for m in names}, wanted)
    left = sorted(names)[1:]
    shares = assign({m: {"t"} for m in left}, {m: first[m] for m in left}, wanted)
    assert all(first[m] <= shares[m] for m in left)


def test_nobody_gets_a_topic_that_it_does_not_read() -> None:
    wanted = {Partition(topic, number) for topic in "xy" for number in range(4)}
    shares = assign({"a": {"x"}, "b": {"x", "y"}}, {"a": set(), "b": set()}, wanted)
    assert {p.topic for p in shares["a"]} == {"x"}
    assert len(shares["a"]) == len(shares["b"]) == 4
