"""Connect to Kafka as the settings say, and prepare its topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bridge.errors import KafkaRefusedError, KafkaUnreachableError, SettingProblem, SettingsError
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics, TopicMismatchError
from bridge.kafka.log import Log, LogError, TopicSpec
from bridge.settings.settings import Settings

EMBEDDED_PARTITIONS = 4
"""Partitions of every topic on the embedded broker."""

_LEDGER_MARGIN = timedelta(days=1)  # the ledger is kept on disk that much longer than run keys are remembered


def connect(settings: Settings, *, embedded: bool = False) -> Log:
    """Return the connection to Kafka that the settings name.

    Raises:
        SettingsError: Kafka's client refuses its properties.

    """
    log = ConfluentLog(settings.client_properties(), embedded=embedded)
    with accepted_by_client():
        log.admin().close()
    return log


@contextmanager
def accepted_by_client() -> Iterator[None]:
    """Make clients of Kafka: a property that they refuse, as a broken certificate or key, is an error of the settings.

    Raises:
        SettingsError: A client refuses its properties.

    """
    try:
        yield
    except KafkaException as error:
        found = f"Kafka's client refuses it: {error.args[0].str()}"
        raise SettingsError(
            [SettingProblem("kafka", found, "librdkafka's properties and their values are right")]
        ) from error


def require_kafka(settings: Settings, seconds: float) -> None:
    """Wait until a broker answers.

    Raises:
        KafkaUnreachableError: No broker answered within ``seconds``.
        SettingsError: Kafka's client refuses its properties.

    """
    quiet = {"log_level": "0"}  # librdkafka would repeat on stderr, many times, what the error says once
    with accepted_by_client():
        client = AdminClient({**settings.client_properties(), **quiet})
    try:
        client.list_topics(timeout=seconds)
    except KafkaException as error:
        found = f"no broker answers at {settings.bootstrap_servers} within {seconds:g} s: {error.args[0].str()}"
        raise KafkaUnreachableError(found) from error


def internal_topics(settings: Settings, *, embedded: bool = False) -> InternalTopics:
    """Return the internal topics that the settings name."""
    partitions = EMBEDDED_PARTITIONS if embedded else settings.partitions
    retention = (settings.ledger_horizon + _LEDGER_MARGIN) // timedelta(milliseconds=1)
    return InternalTopics(settings.internal_prefix, partitions, settings.replication, retention, settings.announce_runs)


def prepare_topics(log: Log, topics: InternalTopics, settings: Settings) -> None:
    """Create the internal topics that are missing, and check all.

    Raises:
        KafkaUnreachableError: No broker answers.
        KafkaRefusedError: The topics do not fit the settings, or cannot be created.

    """
    admin = log.admin()
    try:
        admin.topics()
    except LogError as error:
        raise KafkaUnreachableError(f"no broker answers at {settings.bootstrap_servers}: {error}") from error
    try:
        topics.ensure(admin)
    except TopicMismatchError as error:
        raise KafkaRefusedError(str(error), "put right what is listed; nothing was changed") from error
    except LogError as error:
        raise KafkaRefusedError(f"the internal topics cannot be created: {error}") from error
    finally:
        admin.close()


def new_topic(settings: Settings) -> Callable[[str], TopicSpec]:
    """Return a function that makes the spec of an event topic to create, whose timestamps the broker sets."""
    config = {"message.timestamp.type": "LogAppendTime"}
    return lambda name: TopicSpec(name, settings.event_topic_partitions, settings.replication, config)
