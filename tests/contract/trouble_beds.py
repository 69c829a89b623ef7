"""Clusters that get into trouble: the one in memory, and a real one of two brokers with ACLs."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it offers these without exporting them
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from bridge.kafka.log import Partition
from contract.log_beds import Bed, KafkaBed, MemoryBed, commit_records, eventually
from servers.kafka import KafkaServer
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

Operation = Literal["read", "describe"]

ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
_BATCH_HEAD = 61  # bytes of a batch before its records; the low three bits of byte 22 name the codec
_CODEC = 22
_UNKNOWN_CODEC = 7


class TroubledBed(Bed):
    """A cluster of which a part can be taken away."""

    @abstractmethod
    def fragile(self, partitions: int = 1) -> str:
        """Create a topic whose leaders can be lost, and return its name."""

    @abstractmethod
    def lose_leaders(self) -> None:
        """Let the fragile topics be without leaders."""

    @abstractmethod
    def find_leaders(self) -> None:
        """Let them have leaders again, and all that they held."""

    @abstractmethod
    def deny(self, topic: str, operation: Operation) -> None:
        """Take away the permission to read, or even to describe, a topic."""

    @abstractmethod
    def allow(self, topic: str) -> None:
        """Give it back."""

    @abstractmethod
    def spoil_first_batch(self, topic: str) -> None:
        """Make the first batch of a fragile topic's only partition one that no client can read."""


class TroubledMemory(MemoryBed, TroubledBed):
    """The cluster in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._fragile: list[Partition] = []

    def fragile(self, partitions: int = 1) -> str:
        topic = self.topic(partitions)
        self._fragile += [Partition(topic, number) for number in range(partitions)]
        return topic

    def lose_leaders(self) -> None:
        self.broker.leaderless.update(self._fragile)

    def find_leaders(self) -> None:
        self.broker.leaderless.clear()

    def deny(self, topic: str, operation: Operation) -> None:
        self.broker.denied[topic] = operation

    def allow(self, topic: str) -> None:
        del self.broker.denied[topic]

    def spoil_first_batch(self, topic: str) -> None:
        self.broker.unfetchable[Partition(topic, 0)] = 0


class TwoBrokers:
    """A cluster of two brokers with ACLs: groups and transactions live on the first, fragile topics on the second.

    Args:
        prepare: Given the bootstrap server; creates topics on the first broker, before the second is there.

    """

    def __init__(self, prepare: Callable[[str], object] = lambda _: None) -> None:
        self._prepare = prepare
        self.first = KafkaServer(properties=ACLS)
        self.second = KafkaServer(properties=ACLS, beside=self.first)

    def __enter__(self) -> Self:
        self.first.start()
        try:
            bed = KafkaBed(self.first.bootstrap)  # a use of groups and transactions creates their topics here
            topic = bed.topic()
            eventually(lambda: commit_records(bed.log(), topic, [b"a"]), "a transaction")
            eventually(lambda: bed.log().admin().committed("g", [Partition(topic, 0)], stable=True), "a group")
            self._prepare(self.first.bootstrap)
            self.second.start()
            wait_for(lambda: self.count() == 2, 30, "two brokers")
        except BaseException:
            self.__exit__()
            raise
        return self

    def count(self) -> int:
        """Return how many brokers the first one knows; 0 while it does not answer."""
        try:
            return len(AdminClient({"bootstrap.servers": self.first.bootstrap}).list_topics(timeout=5).brokers)
        except KafkaException:
            return 0

    def __exit__(self, *_: object) -> None:
        self.second.__exit__()
        self.first.__exit__()


class TroubledKafka(KafkaBed, TroubledBed):
    """A real cluster of two brokers."""

    def __init__(self, brokers: TwoBrokers) -> None:
        super().__init__(brokers.first.bootstrap)
        self._brokers = brokers
        self._client = AdminClient({"bootstrap.servers": brokers.first.bootstrap})

    def fragile(self, partitions: int = 1) -> str:
        name = f"f{uuid.uuid4().hex[:10]}"
        self.create_fragile(name, partitions)
        return name

    def topic(self, partitions: int = 1, **config: str) -> str:
        assert not config, "topics of this bed have no settings of their own"
        name = f"t{uuid.uuid4().hex[:10]}"
        self._create(name, partitions, 1)
        return name

    def create_fragile(self, name: str, partitions: int) -> None:
        """Create a topic on the second broker."""
        self._create(name, partitions, 2)

    def _create(self, name: str, partitions: int, broker: int) -> None:
        new = NewTopic(name, partitions, replica_assignment=[[broker]] * partitions)
        self._client.create_topics([new])[name].result()
        places = [Partition(name, number) for number in range(partitions)]
        admin = self.log().admin()
        eventually(lambda: admin.all_ends(places), f"leaders of {name}")

    def lose_leaders(self) -> None:
        self._brokers.second.kill()
        wait_for(lambda: self._brokers.count() == 1, 30, "the broker's death to be known")

    def find_leaders(self) -> None:
        self._brokers.second.start()

    def deny(self, topic: str, operation: Operation) -> None:
        rules = [self._rule(topic, "User:other", AclOperation.ALL)]
        if operation == "read":
            mine = (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
            rules += [self._rule(topic, "User:ANONYMOUS", allowed) for allowed in mine]
        for future in self._client.create_acls(rules).values():
            future.result()
        admin = self.log().admin()
        wait_for(lambda: topic in admin.unreadable([topic]), 30, "the ACL to take effect")

    def allow(self, topic: str) -> None:
        anyone: Any = None  # which its types do not know
        pattern, operation, permission = ResourcePatternType.LITERAL, AclOperation.ANY, AclPermissionType.ANY
        every = AclBindingFilter(ResourceType.TOPIC, topic, pattern, anyone, anyone, operation, permission)
        for future in self._client.delete_acls([every]).values():
            future.result()
        admin = self.log().admin()
        wait_for(lambda: topic not in admin.unreadable([topic]), 30, "the ACL to be gone")

    @staticmethod
    def _rule(topic: str, who: str, operation: AclOperation) -> AclBinding:
        return AclBinding(
            ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, who, "*", operation, AclPermissionType.ALLOW
        )

    def spoil_first_batch(self, topic: str) -> None:
        """Write the number of a codec that does not exist into the batch, where the broker keeps it."""
        self._brokers.second.stop()
        (segment,) = Path(self._brokers.second.folder / "data" / f"{topic}-0").glob("*.log")
        content = bytearray(segment.read_bytes())
        assert len(content) > _BATCH_HEAD
        content[_CODEC] |= _UNKNOWN_CODEC
        segment.write_bytes(content)
        self._brokers.second.start()
        place, admin = Partition(topic, 0), self.log().admin()
        eventually(lambda: admin.all_ends([place]), f"a leader of {topic}")
