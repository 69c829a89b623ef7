"""``flowbridge schema register``: schemas into the schema registry."""

from __future__ import annotations

import re

from bridge.cli.output import Output
from bridge.cli.schema.sources import needed, registry_of, schemas_in, sdk_errors, subject_of
from bridge.errors import ExitCode, UsageError
from bridge.settings.settings import Settings
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import EventSchema, Reference

_REFERENCE = re.compile(r"([^=]+)=(.+)@([1-9][0-9]*)")


def execute(
    *,
    sources: tuple[str, ...],
    name: str | None,
    subject: str | None,
    references: tuple[str, ...],
    dry_run: bool,
    settings: Settings,
    output: Output,
) -> int:
    """Register schemas, and return the exit code."""
    registry = needed(registry_of(settings))
    wanted = []
    for text in references:
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise UsageError(f"--reference: found {text!r}", "write TYPE=SUBJECT@VERSION, as shop.Line=shop-line@1")
        wanted.append(Reference(match[1], match[2], int(match[3])))
    schemas = [schema for source in sources for schema, _ in schemas_in(source, name, registry, wanted)]
    if subject is not None and len(schemas) != 1:
        raise UsageError(f"--subject for {len(schemas)} schemas", "register them one by one, or leave it out")
    failed = False
    for schema in schemas:
        failed |= not _registered(registry, subject or subject_of(schema.name), schema, dry_run, output)
    return ExitCode.NOT_SO if failed else ExitCode.OK


def _registered(registry: Registry, subject: str, schema: EventSchema, dry_run: bool, output: Output) -> bool:  # noqa: FBT001
    """Register a schema unless it is a dry run, print the result, and return whether the registry takes it."""
    with sdk_errors():
        found: tuple[int | None, int | None] = None, None
        known = registry.lookup(subject, schema)
        if known is not None:
            result, found = "known", known
        elif not registry.is_compatible(subject, schema):
            result = "incompatible"
        elif dry_run:
            result, found = "would register", (None, len(registry.versions(subject)) + 1)
        else:
            result, found = "registered", registry.register(subject, schema)
    number, version = found
    texts = {
        "known": f"{subject} has {schema.where} already: id {number}, version {version}",
        "incompatible": f"{subject} does not take {schema.where}: the registry finds it incompatible; "
        f"flowbridge schema check says why",
        "would register": f"{subject} would take {schema.where} as its version {version}",
        "registered": f"{subject} has {schema.where} now: id {number}, version {version}",
    }
    record = {"subject": subject, "schema": schema.where, "result": result, "id": number, "version": version}
    output.result(texts[result], record)
    return result != "incompatible"
