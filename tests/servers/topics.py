"""Topics of Kafka that a test makes, counts and removes.

A broker answers that a topic was made before the leader of each of its partitions knows of it. Until then a question
about a partition is answered with an error, so that all of these wait for the leaders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # missing in its __all__
from confluent_kafka.cimpl import NewTopic

from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 30.0
_NO_LEADER_YET = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_LEADER_EPOCH,  # the broker has just started again
    KafkaError.FENCED_LEADER_EPOCH,
)


def make_topics(bootstrap: str, *names: str, partitions: int = 1) -> None:
    """Make the topics that are not there yet, each with one replica; return when all can be read and written."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    absent = set(names) - admin.list_topics(timeout=_SECONDS).topics.keys()
    for made in admin.create_topics([NewTopic(name, partitions, 1) for name in absent]).values() if absent else ():
        made.result(timeout=_SECONDS)
    for name in names:
        end_offsets(bootstrap, name)


def remove_topics(bootstrap: str, *names: str) -> None:
    """Remove those of the topics that are there; return when they are gone."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    there = set(names) & admin.list_topics(timeout=_SECONDS).topics.keys()
    for gone in admin.delete_topics(list(there)).values() if there else ():
        gone.result(timeout=_SECONDS)
    wait_for(lambda: not there & admin.list_topics(timeout=_SECONDS).topics.keys(), _SECONDS, f"{there} to be gone")


def end_offsets(bootstrap: str, topic: str) -> Mapping[int, int]:
    """Return the offset behind the last record of each partition, as soon as all leaders tell it."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found: dict[int, int] = {}

    def all_answer() -> bool:
        for number in admin.list_topics(topic, timeout=_SECONDS).topics[topic].partitions:
            place = TopicPartition(topic, number)
            try:
                (answer,) = admin.list_offsets({place: OffsetSpec.latest()}).values()
                found[number] = answer.result(timeout=_SECONDS).offset
            except KafkaException as error:
                if error.args[0].code() not in _NO_LEADER_YET:
                    raise
                found.clear()
        return bool(found)

    wait_for(all_answer, _SECONDS, f"the leaders of topic {topic}")
    return found


def record_count(bootstrap: str, topic: str) -> int:
    """Return how many records were ever written to a topic, marks of transactions included."""
    return sum(end_offsets(bootstrap, topic).values())
