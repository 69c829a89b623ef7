"""``flowbridge check``: validates triggers, and on request their WorkflowTemplates, before anything runs."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from bridge.cli.checks.calendars import calendar_notes
from bridge.cli.checks.templates import Finding, template_findings
from bridge.cli.checks.timestamps import timestamp_findings
from bridge.cli.output import Output
from bridge.cli.wiring import connect, connect_cluster, event_schemas, require_kafka, sensor_rules
from bridge.errors import ExitCode, KafkaUnreachableError, UsageError
from bridge.kafka.log import LogError
from bridge.plain_text import visible
from bridge.settings.settings import Settings
from bridge.triggers.checks.cycles import without_cycles
from bridge.triggers.errors import TriggerError
from bridge.triggers.sources.files import Reading, TriggerFolder, merge
from bridge.triggers.topic_mapping import internal_topic_error, placed
from flowbridge_sdk.shared_topics import SharedTopics

_PATIENCE = 3.0  # seconds that Kafka has for a first answer


def execute(*, paths: tuple[Path, ...], cluster: bool, settings: Settings, output: Output) -> int:
    """Validate the triggers in files and folders (else those of the setting triggers)."""
    chosen = paths or settings.triggers
    if not chosen:
        raise UsageError("there is nothing to check", "name files or folders, or set FLOWBRIDGE_TRIGGERS")
    rules, schemas = sensor_rules(settings), event_schemas(settings)
    allowed = settings.allowed_namespaces
    reading = TriggerFolder(chosen, settings.namespace, rules, sys.stdin.buffer, schemas, allowed).read()
    _, cycles = without_cycles((), merge((), reading))
    errors = (*reading.errors, *cycles, *_empty_folders(reading), *_internal_topics(reading, settings))
    findings = [Finding("error", error) for error in sorted(errors)]
    notes = (*reading.left_alone, *calendar_notes(reading.loaded, time.time_ns() // 1000))
    findings += [Finding("note", note) for note in notes]
    if cluster:
        with closing(connect_cluster(settings)) as api:
            findings += template_findings(reading.loaded, api)
        findings += _topic_findings(reading, settings)
    return _report(reading, findings, output)


def _empty_folders(reading: Reading) -> Iterator[TriggerError]:
    """Return an error for each path that holds nothing, where none says so yet: somebody expected triggers there."""
    said = {error.file for error in reading.errors}
    for path in reading.silent:
        if not any(file == path or Path(path) in Path(file).parents for file in said):
            yield TriggerError(path, 1, "", "there is no trigger in it", "put *.yaml files there, or leave it out")


def _internal_topics(reading: Reading, settings: Settings) -> Iterator[TriggerError]:
    source = SharedTopics(settings.shared_topics)
    for loaded in reading.loaded:
        trigger = placed(loaded.trigger, source)
        error = internal_topic_error(trigger, settings.internal_prefix, *loaded.origin)
        if error is not None:
            yield error


def _topic_findings(reading: Reading, settings: Settings) -> list[Finding]:
    """Return the warnings about topics. There are none if no Kafka is set, or if it does not answer."""
    if "bootstrap_servers" not in settings.model_fields_set:
        return []
    shared, servers = SharedTopics(settings.shared_topics), settings.bootstrap_servers
    try:
        require_kafka(settings, _PATIENCE)
        admin = connect(settings).admin()
        try:
            return list(timestamp_findings(reading.loaded, shared, admin, servers))
        finally:
            admin.close()
    except (LogError, KafkaUnreachableError) as error:
        click.echo(f"warning: the topics of {servers} are not looked at: {error}", err=True)
        return []


def _report(reading: Reading, findings: Sequence[Finding], output: Output) -> int:
    """Print the findings and their number; return the exit code."""
    for finding in findings:
        output.result(_text(finding), {"severity": finding.severity, **asdict(finding.error)}, styled=True)
    tally = Counter(finding.severity for finding in findings)
    numbers = {
        "triggers": len(reading.loaded),
        "files": len(reading.seen_files),
        "errors": tally["error"],
        "warnings": tally["warning"],
    }
    output.result(", ".join(_counted(number, noun) for noun, number in numbers.items()), numbers)
    return ExitCode.NOT_SO if tally["error"] else ExitCode.OK


def _text(finding: Finding) -> str:
    place = f"{finding.error.file}:{finding.error.line}: "
    text = visible(str(finding.error).removeprefix(place))
    place = visible(place)
    if finding.severity == "error":
        return click.style(place, bold=True) + text
    colour = "yellow" if finding.severity == "warning" else "cyan"
    return click.style(place, bold=True) + click.style(f"{finding.severity}: ", fg=colour) + text


def _counted(number: int, plural: str) -> str:
    return f"{number} {plural.removesuffix('s') if number == 1 else plural}"
