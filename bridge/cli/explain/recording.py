"""``flowbridge record``: writes a test file from the events of the log."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.explain.explaining import asked, explaining
from bridge.cli.wiring.schemas import schema_errors
from bridge.errors import ExitCode, UsageError
from bridge.explain.recording import record_case
from bridge.settings.settings import Settings
from bridge.stages.matcher.window_store import Bounds
from flowbridge_sdk.schemas import EventSchemas


def execute(
    *,
    trigger: str,
    event: str | None,
    key: str | None,
    start: str | None,
    end: str | None,
    limit: int,
    file: Path | None,
    trigger_file: tuple[str, ...],
    settings: Settings,
) -> int:
    """Read the events, and write the file."""
    question = asked(trigger, start, end, limit, settings, event=event, key=key)
    with schema_errors():
        schemas = EventSchemas.load(*settings.schemas)
    with explaining(settings) as explainer:
        definition, story, read = explainer.follow(question)
    traced = [] if read is None else list(read.tracer.traced.values())
    if not traced:
        raise UsageError(story.answer[0] if story.answer else "there is no such event", "look further back with --from")
    held = settings.windows
    bounds = Bounds(held.window_bound, held.remembered_bound, held.window_bytes, held.window_disk_bytes)
    text = record_case(definition, story, traced, trigger_file, schemas, bounds)
    if file is None:
        click.echo(text, nl=False)
        return ExitCode.OK
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", "name a file that can be written") from None
    click.echo(f"{len(traced)} events written to {file}", err=True)
    return ExitCode.OK
