"""The admin client on librdkafka."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it offers these without exporting them
    AclOperation,
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from typing_extensions import override

from bridge.kafka.confluent.committed import CommittedOffsets
from bridge.kafka.confluent.errors import error_of, meaning
from bridge.kafka.confluent.producer import ConfluentProducer
from bridge.kafka.confluent.properties import logger, producer_properties
from bridge.kafka.log import (
    DENIED,
    HIDDEN,
    LEADERLESS,
    MISSING,
    Admin,
    Committed,
    LogError,
    Partition,
    TopicInfo,
    TopicSpec,
    UnansweredError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from confluent_kafka.admin import TopicMetadata  # type: ignore[attr-defined]  # as above

T = TypeVar("T")

_Spec: Any = OffsetSpec  # its constructors are untyped
_TIMEOUT = 15.0  # seconds for one request
_OFFSETS_TIMEOUT = 5.0  # so long the client waits for a partition's leader to come back, and a stage with it
_PATIENCE = _TIMEOUT + 5.0  # the client's own time limit is not to be relied upon while a broker goes and comes
_FENCING_TIMEOUT_MS = 10_000
_NONE_SO_YOUNG = -1  # the offset for a time after the last record
_GONE = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001
)


class SharedClient:
    """One client for all admins of a process: it takes five threads and half a megabyte. Safe for several threads.

    Args:
        config: librdkafka properties.

    """

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = dict(config)
        self._lock = threading.Lock()
        self._clients: list[AdminClient] = []
        self._users = 0

    def open(self) -> AdminClient:
        """Return the client, which the first user opens."""
        with self._lock:
            if not self._clients:
                self._clients = [AdminClient(dict(self._config), logger=logger)]
            self._users += 1
            return self._clients[0]

    def close(self) -> None:
        """Release the client once its last user has left, also while other objects still refer to it.

        A client ends with its last reference, and its end waits for the answers of a broker that may be away. So it
        ends in a thread of its own, and no caller waits for it.
        """
        with self._lock:
            self._users -= 1
            if self._users:
                return
            last, self._clients = self._clients, []
        threading.Thread(target=last.clear, name="admin-ends", daemon=True).start()


class ConfluentAdmin(Admin):
    """See :class:`~bridge.kafka.log.Admin`."""

    def __init__(self, config: Mapping[str, str], shared: SharedClient) -> None:
        self._config = dict(config)
        self._shared = shared
        self._client = shared.open()
        self._committed = CommittedOffsets(config)
        self._silent: frozenset[Partition] = frozenset()  # partitions without an answer when they were asked about last

    @override
    def topics(self) -> dict[str, int]:
        return {name: len(topic.partitions) for name, topic in self._list_topics().items()}

    def _list_topics(self) -> dict[str, TopicMetadata]:
        try:
            return dict(self._client.list_topics(timeout=_TIMEOUT).topics)
        except KafkaException as exception:
            raise meaning(error_of(exception)) from exception

    @override
    def describe(self, names: Iterable[str]) -> dict[str, TopicInfo]:
        asked = list(dict.fromkeys(names))
        if not asked:
            return {}
        described = self._client.describe_topics(TopicCollection(asked), request_timeout=_TIMEOUT)
        topics = {name: topic for name, future in described.items() if (topic := _unless_gone(future)) is not None}
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        infos = {}
        for resource, future in self._client.describe_configs(resources, request_timeout=_TIMEOUT).items():
            entries = _unless_gone(future)
            if entries is not None:
                topic = topics[resource.name]
                partitions: list[Any] = topic.partitions
                infos[resource.name] = TopicInfo(
                    topic.name,
                    str(topic.topic_id),
                    len(partitions),
                    len(partitions[0].replicas) if partitions else 0,
                    {key: entry.value or "" for key, entry in entries.items()},
                )
        return infos

    @override
    def unreadable(self, names: Iterable[str]) -> dict[str, str]:
        asked = list(dict.fromkeys(names))
        if not asked:
            return {}
        futures = self._client.describe_topics(
            TopicCollection(asked), request_timeout=_TIMEOUT, include_authorized_operations=True
        )
        reasons = {}
        for name, future in futures.items():
            try:
                topic = _unless_gone(future)
            except LogError as error:
                cause = error.__cause__
                if (
                    isinstance(cause, KafkaException)
                    and error_of(cause).code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
                ):
                    reasons[name] = HIDDEN
                    continue
                raise
            if topic is None:
                reasons[name] = MISSING
                continue
            operations = topic.authorized_operations  # None from brokers that do not tell
            if operations is not None and AclOperation.READ not in operations:
                reasons[name] = DENIED
        return reasons

    @override
    def create(self, specs: Iterable[TopicSpec]) -> None:
        missing = {spec.name: spec for spec in specs}
        if not missing:
            return
        new = [
            NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config))
            for spec in missing.values()
        ]
        for future in self._client.create_topics(new, request_timeout=_TIMEOUT, operation_timeout=_TIMEOUT).values():
            try:
                future.result()
            except KafkaException as exception:
                if error_of(exception).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise meaning(error_of(exception)) from exception
        self._wait_until_known(missing)

    def _wait_until_known(self, names: Iterable[str]) -> None:
        """Wait until the brokers know new topics: their metadata follows the controller's within moments."""
        wanted = set(names)
        deadline = time.monotonic() + _TIMEOUT
        while wanted - self.topics().keys():
            if time.monotonic() > deadline:
                raise LogError(f"created, but not known to the brokers yet: {', '.join(sorted(wanted))}")
            time.sleep(0.02)

    @override
    def start_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return self._offsets(partitions, _Spec.earliest())

    @override
    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return self._offsets(partitions, _Spec.latest())

    @override
    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return self._offsets(partitions, _Spec.latest(), IsolationLevel.READ_COMMITTED)

    @override
    def offsets_at(self, partitions: Iterable[Partition], timestamp: int) -> dict[Partition, int]:
        offsets = self._offsets(partitions, _Spec.for_timestamp(timestamp), lowest=_NONE_SO_YOUNG)
        ends = self.all_ends([partition for partition, offset in offsets.items() if offset == _NONE_SO_YOUNG])
        return {**offsets, **ends}

    def _offsets(
        self,
        partitions: Iterable[Partition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
        lowest: int = 0,
    ) -> dict[Partition, int]:
        """Return what the brokers answer: the one place where their answers become offsets.

        For a partition without a leader librdkafka answers a negative number and no error, so a number below ``lowest``
        is no answer. Or it waits for the leader until the time is over, and answers about none of the others either. So
        partitions that had no leader are looked up first, and left out of the question.
        """
        asked = list(dict.fromkeys(partitions))
        without = self._leaderless(asked) if self._silent.intersection(asked) else set()
        answered, unanswered = self._listed([each for each in asked if each not in without], spec, isolation, lowest)
        if unanswered:
            # A client that has seen leaders move also asks by what it knew, until this look-up tells it.
            without |= self._leaderless(unanswered)
            again = [partition for partition in unanswered if partition not in without]
            more, unanswered = self._listed(again, spec, isolation, lowest)
            answered |= more
        unanswered |= dict.fromkeys(without, LEADERLESS)
        self._silent = self._silent.difference(asked).union(unanswered)
        if unanswered:
            raise UnansweredError(answered, unanswered)
        return answered

    def _leaderless(self, partitions: Iterable[Partition]) -> set[Partition]:
        """Return which of these partitions have no leader."""
        topics = self._list_topics()
        return {
            partition
            for partition in partitions
            if partition.topic in topics
            and partition.number in topics[partition.topic].partitions
            and topics[partition.topic].partitions[partition.number].leader < 0
        }

    def _listed(
        self, asked: Sequence[Partition], spec: OffsetSpec, isolation: IsolationLevel, lowest: int
    ) -> tuple[dict[Partition, int], dict[Partition, str]]:
        """Return the offsets that are known, and why others are not; partitions that do not exist are in neither."""
        if not asked:
            return {}, {}
        places = {TopicPartition(*partition): spec for partition in asked}
        futures = self._client.list_offsets(places, isolation_level=isolation, request_timeout=_OFFSETS_TIMEOUT)
        answered: dict[Partition, int] = {}
        unanswered: dict[Partition, str] = {}
        for place, future in futures.items():
            partition = Partition(place.topic, place.partition)
            try:
                result = _unless_gone(future)
            except LogError as error:
                unanswered[partition] = str(error)
                continue
            if result is None:
                continue
            if result.offset >= lowest:
                answered[partition] = result.offset
            else:
                unanswered[partition] = LEADERLESS
        return answered, unanswered

    @override
    def committed(self, group: str, partitions: Iterable[Partition], *, stable: bool) -> dict[Partition, Committed]:
        return self._committed.of(group, partitions, stable=stable)

    @override
    def fence(self, transactional_id: str) -> None:
        producer = ConfluentProducer(producer_properties(self._config, transactional_id, _FENCING_TIMEOUT_MS))
        try:
            producer.init()
        finally:
            producer.close()

    @override
    def purge(self, offsets: Mapping[Partition, int]) -> None:
        if not offsets:
            return
        places = [TopicPartition(*partition, offset) for partition, offset in offsets.items()]
        for future in self._client.delete_records(places, request_timeout=_TIMEOUT).values():
            result_of(future)

    @override
    def rest(self) -> None:
        self._committed.close()

    @override
    def close(self) -> None:
        self._committed.close()
        del self._client
        self._shared.close()


def result_of(future: Future[T]) -> T:
    """Return the answer to a request.

    Raises:
        LogError: It was refused, or never answered.

    """
    try:
        return future.result(_PATIENCE)
    except KafkaException as exception:
        raise meaning(error_of(exception)) from exception
    except TimeoutError as error:
        raise LogError("a request was never answered") from error


def _unless_gone(future: Future[T]) -> T | None:
    """Return the result, or None for a topic or partition that does not exist."""
    try:
        return result_of(future)
    except LogError as error:
        cause = error.__cause__
        if isinstance(cause, KafkaException) and error_of(cause).code() in _GONE:
            return None
        raise
