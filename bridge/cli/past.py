"""What the commands about the past share: ``replay``, ``explain``, ``plan`` and ``record``.

They name triggers and ranges in the same way, read the same topics, and show how far reading has come.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from bridge.cli.wiring.schemas import event_schemas
from bridge.core.definition import Definition
from bridge.core.duration import DurationError, parse_duration
from bridge.core.event import Micros, time_text
from bridge.errors import UsageError
from bridge.kafka.log import Partition
from bridge.replay.planner import Progress
from bridge.replay.request import Bound
from bridge.settings.settings import Settings
from bridge.stages.shared.garbage import BatchGarbageCollector
from bridge.triggers.sources.folder import TriggerFolder
from bridge.triggers.topic_mapping import placed
from flowbridge_sdk.attributes.shared_topics import SharedTopics

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def identity_of(trigger: str, settings: Settings) -> str:
    """Return the identity, ``namespace/name``, of a trigger that is named with or without its namespace."""
    return trigger if "/" in trigger else f"{settings.namespace}/{trigger}"


def definitions_in(file: Path, trigger: str | None, settings: Settings) -> list[Definition]:
    """Return the triggers of a file, as the controller would deploy them: the one that is named, or all.

    Raises:
        UsageError: The file has errors, or no such trigger.

    """
    reading = TriggerFolder([file], settings.namespace, schemas=event_schemas(settings)).read()
    if reading.errors:
        raise UsageError(f"{min(reading.errors)}", "flowbridge check shows all errors of the file")
    shared = SharedTopics(settings.shared_topics)
    identity = None if trigger is None else identity_of(trigger, settings)
    found = [
        Definition(placed(loaded.trigger, shared).hiding(settings.sensitive))
        for loaded in reading.loaded
        if identity in (None, loaded.trigger.identity)
    ]
    if not found:
        names = ", ".join(loaded.trigger.identity for loaded in reading.loaded) or "none"
        raise UsageError(f"{file} has no trigger {identity or ''}".rstrip(), f"it has: {names}")
    return found


def bound(text: str, now: Micros) -> Bound:
    """Return the bound that a text names: a time, a length of time ago, ``earliest``, or offsets.

    Raises:
        UsageError: It names none.

    """
    if text == "earliest":
        return Bound(text=text)
    if "=" in text:
        offsets: dict[Partition, int] = {}
        for part in text.split(","):
            place, _, offset = part.strip().rpartition("=")
            topic, _, number = place.rpartition("/")
            if not topic or not number.isdecimal() or not offset.isdecimal():
                raise UsageError(
                    f"{part.strip()!r} names no offset", "write TOPIC/PARTITION=OFFSET, several with commas"
                )
            offsets[Partition(topic, int(number))] = int(offset)
        return Bound(offsets=offsets, text=text)
    with suppress(DurationError):
        return Bound(now - parse_duration(text), text=text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        expected = "write 2026-01-31T12:00Z, 2h (so long ago), earliest, or offsets as TOPIC/0=120"
        raise UsageError(f"{text!r} names no time", expected) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Bound((moment - _EPOCH) // timedelta(microseconds=1), text=text)


class ReadingProgress:
    """Reading the past: shows on the terminal how far it has come, and collects garbage between records."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._collector = BatchGarbageCollector()
        self._collector.take_over()

    def tell(self, progress: Progress) -> None:
        """Show how far reading has come."""
        self._collector.between_batches()
        if self._is_shown:
            text = f"\r\x1b[Kread {progress.read} records, up to {time_text(progress.at)}"
            click.echo(text, err=True, nl=False)

    def end(self) -> None:
        """Remove the line again."""
        self._collector.hand_back()
        if self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)
