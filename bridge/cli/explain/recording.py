"""``flowbridge record``: writes a test file from the events of the log."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.explain.explaining import phases
from bridge.cli.replay.carrying_out import kafka
from bridge.cli.replay.new import ReadingProgress, bound
from bridge.cli.wiring import replay_dependencies, schema_errors
from bridge.errors import ExitCode, UsageError
from bridge.explain.explainer import Explainer
from bridge.explain.question_reader import Question
from bridge.explain.recording import record_case
from bridge.replay.request import Bound
from bridge.settings.settings import Settings
from bridge.stages.matcher.window_store import Bounds
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock, wall_clock
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
    if event is not None and key is not None:
        raise UsageError("--event and --key together", "name one of them")
    now = wall_clock()
    question = Question(
        trigger if "/" in trigger else f"{settings.namespace}/{trigger}",
        event,
        key,
        None,
        bound(start, now) if start else Bound(),
        bound(end, now) if end else Bound(),
        limit,
    )
    with schema_errors():
        schemas = EventSchemas.load(*settings.schemas)
    with kafka(settings) as (log, topics):
        definitions = Definitions(log, topics.triggers, steady_clock)
        definitions.refresh()
        reading = ReadingProgress()
        explainer = Explainer(replay_dependencies(settings), definitions, phases(settings), reading.tell)
        definition, story, read = explainer.follow(question)
        reading.end()
    traced = [] if read is None else list(read.tracer.traced.values())
    if not traced:
        raise UsageError(story.answer[0] if story.answer else "there is no such event", "look further back with --from")
    bounds = Bounds(settings.windows.window_bound, settings.windows.remembered_bound, settings.windows.window_bytes)
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
