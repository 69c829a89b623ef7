"""What the commands about the past share: ``replay``, ``explain``, ``plan`` and ``record``.

They read files of triggers in the same way, and show how far reading has come.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bridge.cli.naming import identity_of
from bridge.cli.wiring.schemas import event_schemas
from bridge.core.definition import Definition
from bridge.core.event import time_text
from bridge.errors import UsageError
from bridge.replay.planner import Progress
from bridge.settings.settings import Settings
from bridge.stages.shared.garbage import BatchGarbageCollector
from bridge.triggers.sources.folder import TriggerFolder
from bridge.triggers.topic_mapping import placed
from flowbridge_sdk.attributes.shared_topics import SharedTopics


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
