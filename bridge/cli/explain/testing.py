"""``flowbridge test``: tries triggers out on events in files, without Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import click

from bridge.cli.explain.telling import event_lines, run_lines, window_lines
from bridge.cli.output import Output
from bridge.cli.wiring.schemas import event_schemas, schema_errors
from bridge.core.definition import Definition
from bridge.errors import CaseFileError, ExitCode, UsageError
from bridge.explain.case import Case, read_case
from bridge.explain.trial import Trial, try_out
from bridge.plain_text import visible
from bridge.settings.settings import Settings
from bridge.stages.matcher.window_store import Bounds
from bridge.triggers.sources.folder import Reading, TriggerFolder
from bridge.triggers.topic_mapping import placed
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.errors import RefusedError
from flowbridge_sdk.schemas import EventSchemas

_SUFFIXES = frozenset({".yaml", ".yml", ".jsonl"})


def execute(
    *, triggers: tuple[Path, ...], files: tuple[Path, ...], verbose: bool, settings: Settings, output: Output
) -> int:
    """Run each test file, and tell which expectations do not hold."""
    with schema_errors():
        schemas = EventSchemas.load(*settings.schemas)
    checked = event_schemas(settings)
    shared = SharedTopics(settings.shared_topics)
    held = settings.windows
    bounds = Bounds(held.window_bound, held.remembered_bound, held.window_bytes, held.window_disk_bytes)

    @cache
    def reading_of(paths: tuple[Path, ...]) -> Reading:
        return TriggerFolder(paths, settings.namespace, schemas=checked).read()

    @cache
    def definition_of(paths: tuple[Path, ...], identity: str) -> Definition:
        reading = reading_of(paths)
        return next(
            Definition(placed(loaded.trigger, shared))
            for loaded in reading.loaded
            if loaded.trigger.identity == identity
        )

    failed = passed = 0
    for file in _files(files):
        case = read_case(file)
        paths = triggers or case.triggers
        identity = _chosen(case, paths, reading_of(paths), settings.namespace)
        try:
            trial = try_out(case, definition_of(paths, identity), schemas, bounds)
        except RefusedError as error:
            raise CaseFileError([f"{file}: {error}"]) from error
        failed += bool(trial.failures)
        passed += not trial.failures
        _show(case, trial, output, verbose=verbose)
    counts = f"{passed} passed" + (f", {failed} failed" if failed else "")
    output.result(counts, {"kind": "tests", "passed": passed, "failed": failed})
    return ExitCode.NOT_SO if failed else ExitCode.OK


def _files(given: Sequence[Path]) -> Iterator[Path]:
    """Yield the test files: those that are named, and those in folders that are named."""
    for path in given:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        tests = [file for file in found if file.suffix == ".jsonl" or _is_test(file)]
        if not tests:
            raise UsageError(f"{path} has no test file", "a test file is YAML with events:, or JSON lines in *.jsonl")
        yield from tests


def _is_test(file: Path) -> bool:
    """Return whether a YAML file of a folder is a test: it has `events` at its top, and a trigger has `kind`."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return True  # reading it says what is wrong
    return any(line.startswith(("events:", '"events"')) for line in lines)


def _chosen(case: Case, paths: Sequence[Path], reading: Reading, namespace: str) -> str:
    """Return the identity of the trigger that a test is about."""
    if not paths:
        raise UsageError(
            f"{case.file} names no file with its trigger", "write triggers: [FILE] in it, or give the file as TRIGGER"
        )
    if reading.errors:
        raise UsageError(str(min(reading.errors)), "flowbridge check shows all errors of the triggers")
    identities = [loaded.trigger.identity for loaded in reading.loaded]
    wanted = case.trigger
    if wanted is None:
        if len(identities) == 1:
            return identities[0]
        known = ", ".join(sorted(identities)) or "none"
        raise UsageError(
            f"{case.file} does not say which trigger it tests", f"write trigger: NAME in it; known: {known}"
        )
    named = [identity for identity in identities if wanted in (identity, identity.partition("/")[2])]
    if wanted not in named and f"{namespace}/{wanted}" in named:
        named = [f"{namespace}/{wanted}"]
    if len(named) != 1:
        known = ", ".join(sorted(identities)) or "none"
        raise UsageError(f"{case.file}: there is no trigger {wanted}", f"the files have: {known}")
    return named[0]


def _show(case: Case, trial: Trial, output: Output, *, verbose: bool) -> None:
    word = click.style("FAILED", fg="red", bold=True) if trial.failures else click.style("passed", fg="green")
    about = f"{len(trial.events)} events, {len(trial.runs)} {'run' if len(trial.runs) == 1 else 'runs'}"
    lines = [f"{word}  {visible(case.file)}  {visible(trial.trigger)}  ({about})"]
    for failure in trial.failures:
        lines += [
            visible(f"  {case.file}:{failure.line}: {failure.what}"),
            visible(f"    expected  {failure.expected}"),
            visible(f"    got       {failure.got}"),
        ]
    if verbose or case.expect is None:
        lines += [visible(f"  {line}") for event in trial.events for line in event_lines(event)]
        lines += [visible(f"  {line}") for run in trial.runs for line in run_lines(run)]
        lines += [visible(f"  {line}") for window in trial.windows for line in window_lines(window)]
    output.result(lines, trial.plain(), styled=True)
