"""Who gets which partition in the in-memory Kafka: balanced, sticky, and the same at every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from bridge.kafka.log import Partition


def assign(
    topics: Mapping[str, AbstractSet[str]],
    previous: Mapping[str, AbstractSet[Partition]],
    partitions: Iterable[Partition],
) -> dict[str, set[Partition]]:
    """Share ``partitions`` among members.

    Everybody keeps what they had; what nobody has goes round, in order, to the member with the fewest; then the
    fullest give to the emptiest until no two differ by more than one (where their topics allow it).

    Args:
        topics: The topics of each member, by its id.
        previous: What each had before.
        partitions: All partitions of all those topics.

    """
    wanted = sorted(partitions)
    shares: dict[str, set[Partition]] = {member: set() for member in sorted(topics)}
    for partition in wanted:
        owner = next((m for m in shares if partition in previous[m] and partition.topic in topics[m]), None)
        if owner is not None:
            shares[owner].add(partition)
    taken = set().union(*shares.values())
    for partition in wanted:
        candidates = [member for member in shares if partition.topic in topics[member]]
        if partition not in taken and candidates:
            shares[min(candidates, key=lambda member: len(shares[member]))].add(partition)
    while (move := _unfair(topics, shares)) is not None:
        giver, taker, partition = move
        shares[giver].remove(partition)
        shares[taker].add(partition)
    return shares


def _unfair(
    topics: Mapping[str, AbstractSet[str]], shares: Mapping[str, AbstractSet[Partition]]
) -> tuple[str, str, Partition] | None:
    for taker in sorted(shares, key=lambda member: len(shares[member])):
        for giver in sorted(shares, key=lambda member: -len(shares[member])):
            if len(shares[giver]) <= len(shares[taker]) + 1:
                break
            movable = [partition for partition in shares[giver] if partition.topic in topics[taker]]
            if movable:
                return giver, taker, max(movable)
    return None
