"""``flowbridge schema infer``: the Avro schema of a model, or of events: samples in a file, or those of a topic."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from bridge.cli.schema.sources import FROM_TOPIC, MODEL_REMEDY, is_model, model_of, sdk_errors
from bridge.errors import SchemasError, UsageError
from bridge.plain_text import visible
from bridge.settings.settings import Settings
from flowbridge_sdk.avro.misfit import path_text
from flowbridge_sdk.models.typed import schema_of
from flowbridge_sdk.schemas import EventSchema

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONG = 1 << 63
_LOGICAL = {
    "timestamp-micros": {"type": "long", "logicalType": "timestamp-micros"},
    "date": {"type": "int", "logicalType": "date"},
    "uuid": {"type": "string", "logicalType": "uuid"},
}


def execute(*, source: str, name: str | None, namespace: str, logical: bool, last: int, settings: Settings) -> None:
    """Print the schema of a model, of samples, or of the last events of a topic."""
    if is_model(source) and not Path(source).exists():
        with sdk_errors(MODEL_REMEDY):
            schema = schema_of(model_of(source), namespace)
    else:
        root = _Seen(())
        if source.startswith(FROM_TOPIC):
            from bridge.cli.schema.topic_events import events_of_topic  # noqa: PLC0415 - for Kafka, which few need

            where = source.removeprefix(FROM_TOPIC)
            samples, stem = events_of_topic(where, name, last, settings), where
        else:
            content, where = _read(source)
            samples, stem = _events(content, where), Path(source).name.partition(".")[0] if source != "-" else "Event"
        for place, event in samples:
            if not isinstance(event, dict):
                raise UsageError(f"{place} is no JSON object", 'an event is an object, {"field": value}')
            root.add(event, place)
        if not root.objects:
            raise UsageError(f"{where} holds no event", "give at least one JSON object")
        schema = _of_samples(root, name or stem, where, namespace, logical=logical)
        with sdk_errors():
            EventSchema.parse(name or "", json.dumps(schema), source)
    click.echo(json.dumps(schema, indent=2, ensure_ascii=False))


def _read(source: str) -> tuple[bytes, str]:
    """Return the content of a file, and what a person calls it."""
    if source == "-":
        return sys.stdin.buffer.read(), "standard input"
    try:
        return Path(source).read_bytes(), source
    except OSError as error:
        advice = "name a file of JSON events, - for standard input, topic:TOPIC, or MODULE:CLASS"
        raise UsageError(f"{source} cannot be read: {error.strerror}", advice) from error


def _of_samples(root: _Seen, stem: str, where: str, namespace: str, *, logical: bool) -> dict[str, Any]:
    record = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", stem))
    root_name = record if _NAME.fullmatch(record) else f"Event{record}"
    schema = root.record(root_name, logical=logical)
    if schema["type"] != "record":
        odd = next(key for key in root.fields if not _NAME.fullmatch(key))
        raise SchemasError(f"{where}: field {odd!r}: an Avro field has letters, digits and _", "rename the field")
    for note in root.notes():
        click.echo(visible(f"note: {note}"), err=True)
    return {"type": "record", "name": root_name, **({"namespace": namespace} if namespace else {}), **schema}


def _events(content: bytes, where: str) -> Iterator[tuple[str, Any]]:
    """Yield the events of a text, each with its place: of lines, of a single value, or of an array."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        for number, line in enumerate(content.splitlines(), 1):
            if line.strip():
                try:
                    yield f"line {number} of {where}", json.loads(line)
                except (ValueError, RecursionError) as error:
                    advice = "give an object a line, one object, or an array of objects"
                    raise UsageError(f"line {number} of {where} is no JSON: {error}", advice) from None
        return
    if isinstance(whole, list):
        yield from ((f"item {index} of {where}", item) for index, item in enumerate(whole))
    else:
        yield where, whole


@dataclass
class _Seen:
    """What was seen at one place of the samples.

    Attributes:
        path: The place: names, and 0 for the items of an array.
        kinds: The JSON types, null too: ``boolean``, ``long``, ``double``, ``string``, ``array``.
        objects: How many objects.
        fields: The fields of the objects, by name.
        items: The items of the arrays.
        logical: The logical types that all texts may be read as.

    """

    path: tuple[str | int, ...]
    kinds: set[str] = field(default_factory=set)
    objects: int = 0
    fields: dict[str, _Seen] = field(default_factory=dict)
    times: int = 0
    items: _Seen | None = None
    logical: set[str] = field(default_factory=lambda: set(_LOGICAL))

    def add(self, value: Any, place: str) -> None:
        """Take in one more value."""
        self.times += 1
        match value:
            case None:
                self.kinds.add("null")
            case bool():
                self.kinds.add("boolean")
            case int():
                if not -_LONG <= value < _LONG:
                    raise SchemasError(
                        f"{place}, field {path_text(self.path)}: found an int of {value.bit_length()} bits",
                        "send it as a text: Avro's long has 64 bits",
                    )
                self.kinds.add("long")
            case float():
                self.kinds.add("double")
            case str():
                self.kinds.add("string")
                self.logical &= _logical_types(value) if self.logical else self.logical
            case list():
                self.kinds.add("array")
                self.items = self.items or _Seen((*self.path, 0))
                for item in value:
                    self.items.add(item, place)
            case dict():
                self.objects += 1
                for key, item in value.items():
                    self.fields.setdefault(key, _Seen((*self.path, key))).add(item, place)

    def record(self, name: str, *, logical: bool) -> dict[str, Any]:
        """Return the schema of the objects without its name: a record, or a map if a key is no Avro name."""
        if not self.fields or not all(map(_NAME.fullmatch, self.fields)):
            values = _Seen(self.path)
            for part in self.fields.values():
                values.merge(part)
            return {
                "type": "map",
                "values": values.schema(f"{name}_value", logical=logical) if self.fields else "string",
            }
        fields = []
        for key, part in self.fields.items():
            kind = part.schema(f"{name}_{key}", logical=logical)
            absent = part.times < self.objects
            if absent or "null" in part.kinds:
                branches = kind if isinstance(kind, list) else [kind]
                fields.append({"name": key, "type": ["null", *(b for b in branches if b != "null")], "default": None})
            else:
                fields.append({"name": key, "type": kind})
        return {"type": "record", "fields": fields}

    def schema(self, name: str, *, logical: bool) -> Any:
        """Return the schema of the values; a union where they are of several types."""
        kinds = self.kinds - {"long"} if "double" in self.kinds else self.kinds
        branches: list[Any] = [kind for kind in ("null", "boolean", "long", "double") if kind in kinds]
        if "string" in kinds:
            found = next((kind for kind in _LOGICAL if kind in self.logical), None) if logical else None
            branches.append(_LOGICAL[found] if found else "string")
        if "array" in kinds and self.items is not None:
            items = self.items.schema(f"{name}_item", logical=logical) if self.items.times else "string"
            branches.append({"type": "array", "items": items})
        if self.objects:
            made = self.record(name, logical=logical)
            branches.append({"type": "record", "name": name, **made} if made["type"] == "record" else made)
        if branches == ["null"]:
            branches.append("string")
        return branches[0] if len(branches) == 1 else branches

    def merge(self, other: _Seen) -> None:
        """Take in what was seen at another place."""
        self.kinds |= other.kinds
        self.objects += other.objects
        self.times += other.times
        if other.kinds & {"string"}:
            self.logical &= other.logical
        for key, part in other.fields.items():
            self.fields.setdefault(key, _Seen((*self.path, key))).merge(part)
        if other.items is not None:
            self.items = self.items or _Seen((*self.path, 0))
            self.items.merge(other.items)

    def notes(self) -> Iterator[str]:
        """Yield what the samples do not tell."""
        where = path_text(self.path).replace("[0]", "[]")
        if self.kinds == {"null"} and not self.objects:
            yield f"field {where}: only null was seen; it is taken for null or a string"
        if self.items is not None and not self.items.times:
            yield f"field {where}: only empty lists were seen; their items are taken for strings"
        if self.objects and not self.fields:
            yield f"field {where}: only empty objects were seen; they are taken for a map of strings"
        for part in (*self.fields.values(), *([self.items] if self.items is not None else ())):
            yield from part.notes()


def _logical_types(text: str) -> set[str]:
    """Return the logical types that a text may be read as."""
    found = set()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        if moment.tzinfo is not None:
            found.add("timestamp-micros")
    try:
        date.fromisoformat(text)
    except ValueError:
        pass
    else:
        found.add("date")
    try:
        if str(UUID(text)) == text.lower():
            found.add("uuid")
    except ValueError:
        pass
    return found
