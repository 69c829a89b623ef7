"""``flowbridge schema check``: whether changed schemas are compatible with those in use."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bridge.cli.output import Output
from bridge.cli.schema.sources import (
    event_of,
    files_of,
    read_schema,
    registry_of,
    schemas_in,
    sdk_errors,
    subject_of,
)
from bridge.cli.wiring.triggers import sensor_rules
from bridge.errors import ExitCode, UsageError
from bridge.settings.settings import Settings
from bridge.triggers.errors import TriggerError
from bridge.triggers.sources.folder import TriggerFolder
from flowbridge_sdk.avro.changes import Incompatibility, incompatibilities
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import EventSchema


def execute(
    *,
    sources: tuple[str, ...],
    against: tuple[Path, ...],
    mode: str,
    name: str | None,
    trigger_paths: tuple[Path, ...],
    settings: Settings,
    output: Output,
) -> int:
    """Check schemas, and return the exit code."""
    chosen = sources or tuple(map(str, settings.schemas))
    if not chosen:
        raise UsageError("there is nothing to check", "name files or folders, or set FLOWBRIDGE_SCHEMAS")
    registry = registry_of(settings)
    # a folder's older versions are what its current ones are held to
    candidates = [candidate for source in chosen for candidate in schemas_in(source, name, registry)]
    direction, failed = mode.removesuffix("-transitive"), False
    for schema, file in candidates:
        places = against or settings.schemas
        versions = list(_earlier(schema, file, places, registry, every=mode.endswith("-transitive")))
        wrong: list[tuple[str, EventSchema, Incompatibility]] = []
        for version in versions:
            if direction in ("backward", "full"):
                wrong += [("backward", version, part) for part in incompatibilities(schema, version)]
            if direction in ("forward", "full"):
                wrong += [("forward", version, part) for part in incompatibilities(version, schema)]
        failed |= bool(wrong)
        _report(schema, mode, versions, wrong, output)
    if trigger_paths:
        for error in _trigger_errors(trigger_paths, [schema for schema, _ in candidates], settings):
            failed = True
            output.result(f"{error.origin}: {error.message}", {**error.origin._asdict(), **error.texts()})
    return ExitCode.NOT_SO if failed else ExitCode.OK


def _earlier(
    schema: EventSchema, own: Path | None, against: Sequence[Path], registry: Registry | None, *, every: bool
) -> Iterator[EventSchema]:
    """Yield the versions that a schema is compared with: of each place the last one, or every one."""
    name = schema.name
    folders = [own.parent] if own is not None else []
    seen = set() if own is None else {own.resolve()}
    for path in (*folders, *against):
        files = [file for file in files_of(path) if file.resolve() not in seen and event_of(file)[0] == name]
        seen |= {file.resolve() for file in files}
        for file in files if every else files[-1:]:
            yield read_schema(file, name)
    if registry is not None:
        with sdk_errors():
            versions = registry.versions(subject_of(name))
        yield from versions if every else versions[-1:]


def _report(
    schema: EventSchema,
    mode: str,
    versions: Sequence[EventSchema],
    wrong: Sequence[tuple[str, EventSchema, Incompatibility]],
    output: Output,
) -> None:
    lines = [f"{schema.where}: {part} ({direction}, with {version.where})" for direction, version, part in wrong]
    if not versions:
        lines.append(f"{schema.name}: there is no earlier version")
    elif mode == "none":
        lines.append(f"{schema.name}: not compared, as the mode is none")
    else:
        found = "not " if wrong else ""
        lines.append(f"{schema.name}: {found}{mode} compatible with {', '.join(version.where for version in versions)}")
    record = {
        "event": schema.name,
        "schema": schema.where,
        "mode": mode,
        "against": [version.where for version in versions],
        "compatible": not wrong,
        "problems": [
            {"direction": direction, "against": version.where, **asdict(part)} for direction, version, part in wrong
        ],
    }
    output.result(lines, record)


def _trigger_errors(paths: Sequence[Path], schemas: Sequence[EventSchema], settings: Settings) -> list[TriggerError]:
    """Return what is wrong with triggers where events have these schemas, and only then."""
    rules, allowed = sensor_rules(settings), settings.allowed_namespaces

    def errors(known: dict[str, object]) -> list[TriggerError]:
        reading = TriggerFolder(paths, settings.namespace, rules, sys.stdin.buffer, known, allowed).read()
        if reading.silent:
            raise UsageError(f"there is no trigger in {', '.join(sorted(reading.silent))}", "name files or folders")
        return sorted(reading.errors)

    before = errors({})
    if before:
        raise UsageError(
            f"the triggers are wrong in any case: {before[0].origin}: {before[0].message}",
            "flowbridge check lists all errors; correct these first",
        )
    return errors({schema.name: schema.parsed for schema in schemas})
