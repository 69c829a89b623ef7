"""The schemas of events: typed ones from a folder that the user names, and the generic one.

Events called NAME are written with ``NAME.avsc`` (NAME as the topic spells it). ``NAME@ANYTHING.avsc`` is an older or
coming version of it: events written with it are read, none is written. On the wire a schema is known by its
fingerprint: CRC-64-AVRO of its parsing canonical form, so documentation and defaults may change freely.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import get_data
from typing import Any, NamedTuple

from flowbridge_sdk.avro.checks import Measures, UnusableSchemaError, check_event, parse
from flowbridge_sdk.avro.encoding import Write
from flowbridge_sdk.avro.logical import UnreadableError
from flowbridge_sdk.avro.reading import Read, ReaderCompiler, Schema
from flowbridge_sdk.avro.writing import WriterCompiler
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.payloads.generic import read_payload, write_payload
from flowbridge_sdk.topics import name_of

SUFFIX = ".avsc"


class Reference(NamedTuple):
    """A schema of a registry that another one refers to.

    Attributes:
        name: The type that it defines.
        subject: Its subject.
        version: Its version there.

    """

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class EventSchema:
    """One schema, compiled.

    Attributes:
        name: The name of the events that it describes.
        where: The file, or another source of the schema.
        text: The schema as JSON.
        fingerprint: Eight bytes, little endian as in Avro's single-object encoding. Empty where types come from
            other schemas of a registry.
        read: Its reader.
        write: Its writer.
        parsed: The schema itself, with full names.
        types: Its named types, and those of other schemas that it refers to.
        references: Those schemas in a registry: the type's name, its subject and version.

    """

    name: str
    where: str
    text: str = field(repr=False)
    fingerprint: bytes
    read: Read = field(repr=False)
    write: Write = field(repr=False)
    parsed: Schema = field(repr=False)
    types: Mapping[str, Any] = field(repr=False)
    references: tuple[Reference, ...] = ()

    @classmethod
    def parse(
        cls,
        name: str,
        text: str,
        where: str,
        types: Mapping[str, Any] | None = None,
        references: Sequence[Reference] = (),
    ) -> EventSchema:
        """Compile a schema.

        Args:
            name: The name of the events that it describes.
            text: The schema as JSON.
            where: The file, or another source of the schema; for errors.
            types: Named types that it may refer to, in addition to its own.
            references: The schemas of a registry that define them.

        Raises:
            SchemaError: It is no schema, or none that events can have.

        """
        known = dict(types or {})
        schema = parsed(text, where, known)
        try:
            check_event(schema, known)
            read = ReaderCompiler(known, Measures(known).parts).compile(schema)
            write = WriterCompiler(known).compile(schema)
            # with types of other schemas it has no canonical form of its own; only registries have such, by id
            known_by = b"" if types else fingerprint_of(schema)
        except UnusableSchemaError as error:
            raise SchemaError(where, str(error)) from None
        except Exception as error:  # any error of the compiler is this schema's fault alone
            raise SchemaError(where, f"cannot be used: {type(error).__name__}: {error}") from error
        if isinstance(schema, list):
            read = _only_mappings(read)
        return cls(name, where, text, known_by, read, write, schema, known, tuple(references))


def _only_mappings(read: Read) -> Read:
    """Return the reader of a union that refuses values without named fields."""

    def read_mapping(buf: bytes, pos: int, depth: int) -> tuple[Any, int]:
        payload, pos = read(buf, pos, depth)
        if not isinstance(payload, dict):
            raise UnreadableError(f"expected a record or a map, found {type(payload).__name__}")
        return payload, pos

    return read_mapping


def parsed(text: str, where: str, types: dict[str, Any]) -> Schema:
    """Return a schema, checked whole, and add the types that it names to ``types``.

    Raises:
        SchemaError: It is no JSON, no Avro schema, or one that no event can have.

    """
    try:
        return parse(text, types)
    except UnusableSchemaError as error:
        raise SchemaError(where, str(error)) from error


def fingerprint_of(schema: Schema) -> bytes:
    """Return the CRC-64-AVRO of a schema, in the byte order of single-object encoding (little endian)."""
    from fastavro.schema import fingerprint, to_parsing_canonical_form  # noqa: PLC0415 - as in avro.checks

    # fastavro prints those bytes in this order already; the specification's test vectors print the number
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(_without_defaults(schema)), "CRC-64-AVRO"))


def _without_defaults(schema: Schema) -> Schema:
    """Return a schema without its defaults, which fastavro would check: no canonical form has them."""
    if isinstance(schema, list):
        return [_without_defaults(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _without_defaults(schema[key]) for key in ("type", "items", "values") if key in schema}
    if "fields" in schema:
        inner["fields"] = [
            {key: part for key, part in field.items() if key != "default"} | {"type": _without_defaults(field["type"])}
            for field in schema["fields"]
        ]
    return {**schema, **inner}


_GENERIC_TEXT = (get_data("flowbridge_sdk", "avsc/payload.avsc") or b"").decode()  # also from a zip file
GENERIC = EventSchema(
    "",
    "payload.avsc",
    _GENERIC_TEXT,
    bytes.fromhex("02c731aad695e542"),  # test_schemas.py holds it against the file
    read_payload,
    write_payload,
    json.loads(_GENERIC_TEXT),
    {},
)
"""The schema of events that have none of their own."""


@dataclass(frozen=True)
class EventSchemas:
    """A set of typed schemas.

    Attributes:
        current: The schemas that events are written with, by event name.
        every: All schemas, other versions and the generic one included, by fingerprint.
        broken: The faults of schemas that cannot be used, by event name.

    """

    current: Mapping[str, EventSchema]
    every: Mapping[bytes, EventSchema]
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, schemas: Iterable[EventSchema], others: Iterable[EventSchema] = ()) -> EventSchemas:
        """Collect schemas to write with, and others that are only read."""
        current = {schema.name: schema for schema in schemas}
        every = {schema.fingerprint: schema for schema in (*others, *current.values(), GENERIC)}
        return cls(current, every)

    @classmethod
    def load(
        cls, *paths: str | os.PathLike[str], on_broken: Callable[[SchemaError], None] | None = None
    ) -> EventSchemas:
        """Read files, and folders with files, called ``NAME.avsc`` or ``NAME@VERSION.avsc``.

        Args:
            paths: The files and folders.
            on_broken: Called for each file that holds no usable schema; the others are read then. A reader wants
                that: a file's fault is no fault of events that it does not describe.

        Raises:
            SchemaError: A path is missing, two files are current for one name, or, without ``on_broken``, a file
                holds no usable schema.

        """
        current: dict[str, EventSchema] = {}
        others: list[EventSchema] = []
        broken: dict[str, str] = {}
        for file in _files(paths):
            stem, version, _ = file.name.removesuffix(SUFFIX).partition("@")
            try:
                schema = EventSchema.parse(name_of(stem), file.read_text("utf-8"), str(file))
            except (SchemaError, OSError, UnicodeDecodeError) as error:
                fault = error if isinstance(error, SchemaError) else SchemaError(str(file), f"cannot be read: {error}")
                if on_broken is None:
                    raise fault from error.__cause__
                broken[name_of(stem)] = str(fault)
                on_broken(fault)
                continue
            if version:
                others.append(schema)
            elif schema.name in current:
                raise SchemaError(str(file), f"{current[schema.name].where} describes the same event")
            else:
                current[schema.name] = schema
        usable = cls.of(current.values(), others)
        return cls(usable.current, usable.every, broken)

    @classmethod
    def from_setting(cls, setting: str) -> EventSchemas:
        """Read the files and folders of a setting: paths with ``os.pathsep`` between them; none for an empty one."""
        return cls.load(*filter(None, setting.split(os.pathsep)))


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterable[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(path.glob(f"*{SUFFIX}"))
        elif path.suffix == SUFFIX and path.is_file():
            yield path
        else:
            raise SchemaError(str(path), f"neither a folder nor a file called NAME{SUFFIX}")
