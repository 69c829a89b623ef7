"""Consumer groups of the in-memory Kafka: generations, cooperative hand-over, committed offsets.

As with real clients, joining goes on in the background: the generation moves as soon as a member joins, leaves or is
expelled, also in the middle of another member's batch. A member gives up partitions in its next poll, and no other
member gets them before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bridge.kafka.log import AbortableError, Committed, FencedError, LogError, Partition
from bridge.kafka.memory.partition import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from bridge.kafka.memory.broker import Client, Topic
    from bridge.kafka.memory.partition import Transaction


class GroupMetadata(NamedTuple):
    """What a member knows of its membership; its offsets are committed under it."""

    group: str
    member: str
    generation: int
    instance: str | None


@dataclass(slots=True, eq=False)
class Member:
    """A member. ``target`` is its share of the assignment, ``owned`` what it has taken on and not given up yet."""

    id: str
    client: Client
    instance: str | None
    topics: frozenset[str]
    generation: int = 0
    target: set[Partition] = field(default_factory=set)
    owned: set[Partition] = field(default_factory=set)


class Group:
    """A consumer group. ``topics`` are the broker's, by name, as they are at present."""

    def __init__(self, name: str, topics: Mapping[str, Topic]) -> None:
        self.name = name
        self.generation = 0
        self.committed: dict[Partition, Committed] = {}
        self._topics = topics
        self._members: dict[str, Member] = {}
        self._pending: dict[Transaction, dict[Partition, Committed]] = {}
        self._joined = 0
        self._known: set[Partition] = set()

    def join(self, client: Client, instance: str | None, topics: frozenset[str]) -> Member:
        """Let a member in. A static one that comes back takes the place of its predecessor, which is fenced."""
        self._joined += 1
        member = Member(f"{self.name}-{self._joined:04}", client, instance, topics)
        former = next((m for m in self._members.values() if instance is not None and m.instance == instance), None)
        self._members[member.id] = member
        if former is not None:
            member.target = former.target
            del self._members[former.id]
        if former is None or former.topics != topics:
            self.rebalance()
        member.generation = self.generation
        return member

    def has(self, member: Member) -> bool:
        """Return whether this very member still belongs to the group."""
        return self._members.get(member.id) is member

    def fenced(self, member: Member) -> bool:
        """Return whether another member has joined under the same static name."""
        return not self.has(member) and any(
            m.instance == member.instance for m in self._members.values() if m.instance is not None
        )

    def leave(self, member: Member) -> None:
        """Remove a member; its partitions go to the others."""
        if self._members.pop(member.id, None) is not None:
            self.rebalance()

    def expel_silent(self, now: int, session: int) -> bool:
        """Expel the members that have been silent for ``session`` ms."""
        silent = [member for member in self._members.values() if member.client.silent_for(now) >= session]
        for member in silent:
            del self._members[member.id]
        if silent:
            self.rebalance()
        return bool(silent)

    def watch_topics(self) -> None:
        """Rebalance if a topic was created, deleted or extended."""
        if self._all_partitions() != self._known:
            self.rebalance()

    def _all_partitions(self) -> set[Partition]:
        names = frozenset[str]().union(*(member.topics for member in self._members.values()))
        return {log.partition for name in names if name in self._topics for log in self._topics[name].logs}

    def rebalance(self) -> None:
        """Begin a new generation with a new assignment."""
        self.generation += 1
        self._known = self._all_partitions()
        topics = {member.id: member.topics for member in self._members.values()}
        previous = {member.id: member.target for member in self._members.values()}
        shares = assign(topics, previous, self._known)
        for member in self._members.values():
            member.target = shares[member.id]
            member.generation = self.generation

    def to_give_up(self, member: Member) -> list[Partition]:
        """Return what the member has to give up now."""
        return sorted(member.owned - member.target)

    def given_up(self, member: Member, partitions: Iterable[Partition]) -> None:
        """Note that the member has released partitions; it joins again, which begins another generation."""
        member.owned.difference_update(partitions)
        if self.has(member):
            self.rebalance()

    def take_on(self, member: Member) -> list[Partition]:
        """Give the member what is free of its share, and return it."""
        others = [other.owned for other in self._members.values() if other is not member]
        free = sorted(member.target - member.owned - set[Partition]().union(*others))
        member.owned.update(free)
        return free

    def accept(self, transaction: Transaction, metadata: GroupMetadata, offsets: Mapping[Partition, Committed]) -> None:
        """Keep offsets until their transaction ends.

        Like Kafka, a group accepts offsets from a producer that claims no membership, without any check.

        Raises:
            AbortableError: The member is no longer in the group, or its generation is past.
            FencedError: Another member has joined under the same static name.

        """
        member = self._members.get(metadata.member)
        if not metadata.member and metadata.generation < 0 and metadata.instance is None:
            pass
        elif member is None:
            if any(m.instance == metadata.instance for m in self._members.values() if m.instance is not None):
                raise FencedError(f"another member of {self.name} goes by the name {metadata.instance}")
            raise AbortableError(f"{metadata.member} is no member of group {self.name} any more")
        elif metadata.generation != self.generation:
            raise AbortableError(f"group {self.name} is at generation {self.generation}, not {metadata.generation}")
        if transaction not in self._pending:
            transaction.groups.append(self)
        self._pending.setdefault(transaction, {}).update(offsets)

    def settle(self, transaction: Transaction) -> None:
        """Take over, or forget, the offsets that were pending with ``transaction``."""
        offsets = self._pending.pop(transaction)
        if transaction.outcome is Outcome.COMMITTED:
            self.committed.update(offsets)

    def forget_topic(self, topic: str) -> None:
        """Forget the offsets of a topic that was deleted, as Kafka does."""
        self.committed = {p: offset for p, offset in self.committed.items() if p.topic != topic}
        for offsets in self._pending.values():
            for partition in [p for p in offsets if p.topic == topic]:
                del offsets[partition]

    def offsets(self, partitions: Iterable[Partition], *, stable: bool) -> dict[Partition, Committed]:
        """Return the committed offsets.

        Raises:
            LogError: ``stable`` was asked for, and a transaction on one of them is pending.

        """
        asked = list(partitions)
        pending = sorted({p for offsets in self._pending.values() for p in offsets}.intersection(asked))
        if stable and pending:
            raise LogError(f"a transaction on the offsets of group {self.name} is pending: {pending}")
        return {partition: self.committed[partition] for partition in asked if partition in self.committed}


def assign(
    topics: Mapping[str, AbstractSet[str]],
    previous: Mapping[str, AbstractSet[Partition]],
    partitions: Iterable[Partition],
) -> dict[str, set[Partition]]:
    """Return the partitions of each member: a balanced and sticky assignment that is the same at every run.

    Each member keeps what it had. The free partitions go, in order, to the member with the fewest. Then the fullest
    members give to the emptiest until no two differ by more than one, where their topics allow it.

    Args:
        topics: The topics of each member, by its id.
        previous: The partitions that each member had before.
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
    while True:
        move = next(
            (
                (giver, taker, max(movable))
                for taker in sorted(shares, key=lambda member: len(shares[member]))
                for giver in sorted(shares, key=lambda member: -len(shares[member]))
                if len(shares[giver]) > len(shares[taker]) + 1
                if (movable := [partition for partition in shares[giver] if partition.topic in topics[taker]])
            ),
            None,
        )
        if move is None:
            return shares
        giver, taker, partition = move
        shares[giver].remove(partition)
        shares[taker].add(partition)
