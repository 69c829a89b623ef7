"""Check that the brokers set the timestamps of events: these tell when an event reached the bridge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bridge.cli.checks.templates import Finding
from bridge.kafka.log import Admin
from bridge.stages.router.reached_time import is_append_time
from bridge.triggers.errors import TriggerError
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.topic_mapping import placed, slot_topic
from flowbridge_sdk.attributes.shared_topics import SharedTopics


class ClaimedTime(NamedTuple):
    """A topic whose timestamps are set by publishers.

    Attributes:
        topic: Its name.
        found: The setting, and its effect.
        expected: The command that corrects it.

    """

    topic: str
    found: str
    expected: str


def claimed_times(admin: Admin, topics: Iterable[str], bootstrap_servers: str) -> Iterator[ClaimedTime]:
    """Yield the existing topics whose timestamps the brokers do not set.

    Raises:
        LogError: Kafka did not answer, or this account may not describe the topics.

    """
    for name, info in sorted(admin.describe(topics).items()):
        if info.id and not is_append_time(info):  # the broker of `flowbridge dev` has no settings
            setting = info.config.get("message.timestamp.type", "CreateTime")
            found = (
                f"topic {name} has message.timestamp.type={setting}: when a late event reached the bridge is known to "
                "10 s, and if no bridge ran then, only by its publisher's clock"
            )
            expected = (
                f"kafka-configs --bootstrap-server {bootstrap_servers} --alter --entity-type topics "
                f"--entity-name {name} --add-config message.timestamp.type=LogAppendTime"
            )
            yield ClaimedTime(name, found, expected)


def timestamp_findings(
    loaded: Iterable[LoadedTrigger], shared: SharedTopics, admin: Admin, bootstrap_servers: str
) -> Iterator[Finding]:
    """Yield a warning for each such topic, at the first event of a trigger that reads it.

    Raises:
        LogError: As :func:`claimed_times`.

    """
    places: dict[str, tuple[LoadedTrigger, str]] = {}
    for trigger in loaded:
        for number, slot in enumerate(placed(trigger.trigger, shared).slots):
            places.setdefault(slot_topic(slot), (trigger, f"spec.events[{number}].name"))
    for claimed in claimed_times(admin, places, bootstrap_servers):
        trigger, field = places[claimed.topic]
        error = TriggerError(trigger.origin, field, claimed.found, claimed.expected, trigger.trigger.identity)
        yield Finding("warning", error)
