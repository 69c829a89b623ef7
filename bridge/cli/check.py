"""``flowbridge check``: validates triggers, and on request their WorkflowTemplates, before anything runs."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from bridge.cli.checks.templates import Finding
from bridge.cli.output import Output
from bridge.cli.wiring.schemas import event_schemas
from bridge.cli.wiring.triggers import sensor_rules
from bridge.core.duration import duration_text
from bridge.core.event import Micros, moment
from bridge.core.trigger import default_grace
from bridge.core.windows.boundaries import FAR_AHEAD, next_boundary
from bridge.errors import ExitCode, UsageError
from bridge.plain_text import visible
from bridge.settings.settings import Settings
from bridge.triggers.checks.cycles import without_cycles
from bridge.triggers.errors import Origin, TriggerError
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.folder import TriggerFolder, merge
from bridge.triggers.topic_mapping import internal_topic_error, placed
from flowbridge_sdk.attributes.shared_topics import SharedTopics

_WINDOWS_SHOWN = 3


def execute(*, paths: tuple[Path, ...], cluster: bool, settings: Settings, output: Output) -> int:
    """Validate the triggers in files and folders (else those of the setting triggers)."""
    chosen = paths or settings.triggers
    if not chosen:
        raise UsageError("there is nothing to check", "name files or folders, or set FLOWBRIDGE_TRIGGERS")
    rules, schemas = sensor_rules(settings), event_schemas(settings)
    allowed = settings.allowed_namespaces
    reading = TriggerFolder(chosen, settings.namespace, rules, sys.stdin.buffer, schemas, allowed).read()
    errors = list(reading.errors)
    errors += without_cycles((), merge((), reading))[1]
    files = {error.origin.file for error in reading.errors}
    for path in reading.silent:  # a path that holds nothing is an error if no other says so: triggers were expected
        if not any(file == path or Path(path) in Path(file).parents for file in files):
            advice = "put *.yaml files there, or leave it out"
            errors.append(TriggerError(Origin(path, 1), "", "there is no trigger in it", advice))
    shared = SharedTopics(settings.shared_topics)
    for loaded in reading.loaded:
        trigger = placed(loaded.trigger, shared)
        error = internal_topic_error(
            trigger, settings.internal_prefix, loaded.origin, announces_runs=settings.announce_runs
        )
        if error is not None:
            errors.append(error)
    findings = [Finding("error", error) for error in sorted(errors)]
    notes = (*reading.left_alone, *calendar_notes(reading.loaded, time.time_ns() // 1000))
    findings += [Finding("note", note) for note in notes]
    if cluster:
        from bridge.cli.checks.cluster import cluster_findings  # noqa: PLC0415 - its clients take long to import

        findings += cluster_findings(reading, settings)
    for finding in findings:
        error = finding.error
        text = click.style(visible(f"{error.origin}: "), bold=True)
        if finding.severity != "error":
            text += click.style(f"{finding.severity}: ", fg="yellow" if finding.severity == "warning" else "cyan")
        text += visible(error.message)
        output.result(text, {"severity": finding.severity, **error.origin._asdict(), **error.texts()}, styled=True)
    tally = Counter(finding.severity for finding in findings)
    numbers = {
        "triggers": len(reading.loaded),
        "files": len(reading.seen_files),
        "errors": tally["error"],
        "warnings": tally["warning"],
    }
    counts = (f"{number} {noun.removesuffix('s') if number == 1 else noun}" for noun, number in numbers.items())
    output.result(", ".join(counts), numbers)
    return ExitCode.NOT_SO if tally["error"] else ExitCode.OK


def calendar_notes(loaded: Iterable[LoadedTrigger], now: Micros) -> Iterator[TriggerError]:
    """Yield, for each trigger with a calendar window, when its next windows end and what happens then."""
    for source in loaded:
        trigger, window = source.trigger, source.trigger.window
        if window is None or window.schedule is None:
            continue
        schedule, end = window.schedule, now
        ends: list[str] = []
        while len(ends) < _WINDOWS_SHOWN and (end := next_boundary(schedule, end)) < FAR_AHEAD:
            local = moment(end).replace(tzinfo=UTC).astimezone(ZoneInfo(schedule.timezone))
            ends.append(local.strftime("%a %Y-%m-%d %H:%M %Z"))
        is_default = trigger.grace == default_grace(window)
        grace = f"{duration_text(trigger.grace)} ({'the default grace' if is_default else 'its grace'})"
        if trigger.collect == "all" or trigger.absent_slots:
            effect = f"a run starts {grace} after each"
        else:
            effect = "a run starts when a window is filled, and a window takes events that reach us up to "
            effect += f"{grace} after its end"
        text = f"the next windows end at {', '.join(ends)} ({schedule.timezone})"
        yield TriggerError(source.origin, f"spec.window.{window.kind}", text, effect, trigger.identity)
