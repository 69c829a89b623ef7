"""Connect to an installation of the bridge, and ask the person at the terminal: for commands about what it has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from bridge.cli.wiring.kafka import connect, internal_topics, require_kafka
from bridge.errors import (
    KafkaRefusedError,
    KafkaUnreachableError,
    NewerRecordsError,
    RegistryUnreachableError,
    UsageError,
)
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log, LogError
from bridge.kafka.records import RecordError
from bridge.replay.request import ReplayError
from bridge.settings.settings import Settings
from flowbridge_sdk.errors import DecodeError

_PATIENCE = 5.0  # seconds that Kafka has for a first answer


@contextmanager
def kafka(settings: Settings) -> Iterator[tuple[Log, InternalTopics]]:
    """Connect to Kafka, and turn the errors of what is done there into those of a command."""
    require_kafka(settings, _PATIENCE)
    log, topics = connect(settings), internal_topics(settings)
    try:
        admin = log.admin()
        try:
            existing = admin.topics()
        finally:
            admin.close()
        if topics.triggers not in existing:
            found = f"there is no installation with the prefix {topics.prefix!r} at {settings.bootstrap_servers}"
            raise KafkaRefusedError(found, "check --internal-prefix, or start one with flowbridge run")
        newer = (topics.replays, topics.replay_plans, topics.retries, topics.holds)
        missing = [name for name in newer if name not in existing]
        if missing:
            found = f"the installation has no topic {' and no topic '.join(missing)}"
            raise KafkaRefusedError(found, "start a process of this version with flowbridge run: it creates them")
        yield log, replace(topics, partitions=existing[topics.runs])
    except ReplayError as error:
        raise UsageError(error.found, error.remedy) from error
    except RecordError as error:
        raise NewerRecordsError(str(error)) from error
    except DecodeError as error:
        raise RegistryUnreachableError(str(error)) from error
    except LogError as error:
        raise KafkaUnreachableError(f"no answer from {settings.bootstrap_servers}: {error}") from error


def agrees(question: str, remedy: str = "use --yes to start the runs, or --dry-run to see the plan alone") -> bool:
    """Ask the person at the terminal.

    Args:
        question: The question.
        remedy: What to do if nobody is there.

    Raises:
        UsageError: Nobody is there.

    """
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to ask", remedy)
    return click.confirm(question, err=True)
