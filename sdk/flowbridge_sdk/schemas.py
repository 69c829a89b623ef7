"""The schemas of events: typed ones from a folder that the user names, and the generic one.

``NAME.avsc`` is what events called NAME are written with (NAME as the topic spells it). ``NAME@ANYTHING.avsc`` is an
older or coming version of it: events written with it are read, none is written. On the wire a schema is known by its
fingerprint: CRC-64-AVRO of its parsing canonical form, so documentation and defaults may change freely.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from fastavro.schema import SchemaParseException, UnknownType, fingerprint, parse_schema, to_parsing_canonical_form

from flowbridge_sdk.avro_checks import UnusableSchemaError, check_schema
from flowbridge_sdk.avro_encoding import Write
from flowbridge_sdk.avro_reading import Read, ReaderCompiler, Schema
from flowbridge_sdk.avro_writing import WriterCompiler
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.misfit import MisfitError
from flowbridge_sdk.payloads import read_payload, write_payload
from flowbridge_sdk.topics import name_of

SUFFIX = ".avsc"
_UNPARSABLE = (SchemaParseException, UnknownType, KeyError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class EventSchema:
    """One schema, compiled.

    Attributes:
        name: The name of the events that it describes.
        where: The file, or where else it comes from.
        text: The schema as JSON.
        fingerprint: Eight bytes, little endian as in Avro's single-object encoding. Empty where types come from
            other schemas of a registry.
        read: Its reader.
        write: Its writer.

    """

    name: str
    where: str
    text: str = field(repr=False)
    fingerprint: bytes
    read: Read = field(repr=False)
    write: Write = field(repr=False)

    @classmethod
    def parse(cls, name: str, text: str, where: str, types: Mapping[str, Any] | None = None) -> EventSchema:
        """Compile a schema.

        Args:
            name: The name of the events that it describes.
            text: The schema as JSON.
            where: The file, or where else it comes from; for errors.
            types: Named types that it may refer to besides its own.

        Raises:
            SchemaError: It is no schema, or none that events can have.

        """
        known = dict(types or {})
        schema = parsed(text, where, known)
        try:
            check_schema(schema, known)
            compiled = ReaderCompiler(known).compile(schema), WriterCompiler(known).compile(schema)
        except UnusableSchemaError as error:
            raise SchemaError(where, str(error)) from None
        except MisfitError as misfit:
            raise SchemaError(where, f"default of {misfit.where()}: found {misfit.found}; {misfit.right}") from None
        # what refers to others' types has no canonical form of its own; only registries have such, and they have ids
        return cls(name, where, text, b"" if types else fingerprint_of(schema), *compiled)


def parsed(text: str, where: str, types: dict[str, Any]) -> Schema:
    """Return a schema as fastavro parses it, and add the types that it names to ``types``.

    Raises:
        SchemaError: It is no JSON or no Avro schema.

    """
    try:
        return parse_schema(json.loads(text), named_schemas=types, _write_hint=False)
    except json.JSONDecodeError as error:
        raise SchemaError(where, f"no JSON: {error}") from None
    except _UNPARSABLE as error:
        raise SchemaError(where, f"no Avro schema: {type(error).__name__}: {error}") from None


def fingerprint_of(schema: Schema) -> bytes:
    """Return the CRC-64-AVRO of a schema, in the byte order of single-object encoding (little endian)."""
    # fastavro prints those bytes in this order already; the specification's test vectors print the number
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _generic() -> EventSchema:
    text = resources.files("flowbridge_sdk").joinpath("avsc", "payload.avsc").read_text("utf-8")
    schema = parsed(text, "payload.avsc", {})
    return EventSchema("", "payload.avsc", text, fingerprint_of(schema), read_payload, write_payload)


GENERIC = _generic()
"""The schema of events that have none of their own."""


@dataclass(frozen=True)
class EventSchemas:
    """A set of typed schemas.

    Attributes:
        current: What events are written with, by event name.
        every: All of them, other versions and the generic one included, by fingerprint.

    """

    current: Mapping[str, EventSchema]
    every: Mapping[bytes, EventSchema]

    @classmethod
    def of(cls, schemas: Iterable[EventSchema], others: Iterable[EventSchema] = ()) -> EventSchemas:
        """Collect schemas to write with, and others that are only read."""
        current = {schema.name: schema for schema in schemas}
        every = {schema.fingerprint: schema for schema in (*others, *current.values(), GENERIC)}
        return cls(current, every)

    @classmethod
    def load(cls, *paths: str | os.PathLike[str]) -> EventSchemas:
        """Read files, and folders with files, called ``NAME.avsc`` or ``NAME@VERSION.avsc``.

        Raises:
            SchemaError: A path is missing, two files are current for one name, or a file holds no usable schema.

        """
        current: dict[str, EventSchema] = {}
        others: list[EventSchema] = []
        for file in _files(paths):
            stem, version, _ = file.name.removesuffix(SUFFIX).partition("@")
            schema = EventSchema.parse(name_of(stem), _text(file), str(file))
            if version:
                others.append(schema)
            elif schema.name in current:
                raise SchemaError(str(file), f"{current[schema.name].where} describes the same event")
            else:
                current[schema.name] = schema
        return cls.of(current.values(), others)

    @classmethod
    def from_setting(cls, setting: str) -> EventSchemas:
        """Read what a setting names: paths with ``os.pathsep`` between them; none for an empty one."""
        return cls.load(*filter(None, setting.split(os.pathsep)))


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterable[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(path.glob(f"*{SUFFIX}"))
        elif path.suffix == SUFFIX and path.is_file():
            yield path
        else:
            raise SchemaError(str(path), f"neither a folder nor a file called NAME{SUFFIX}")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(str(file), f"cannot be read: {error}") from None
