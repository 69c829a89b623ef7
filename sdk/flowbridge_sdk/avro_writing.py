"""Compiles Avro schemas into functions that check Python values and write them, both at once.

What these functions refuse, they refuse with the field's path, what was found and what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from flowbridge_sdk.avro_encoding import PRIMITIVES, Write, check_depth, write_entries, write_items, write_varint
from flowbridge_sdk.avro_logical_writing import LOGICAL
from flowbridge_sdk.avro_reading import Schema
from flowbridge_sdk.misfit import MisfitError

LogicalTypes: TypeAlias = Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Callable[[Any], Any]]]

_INEXACT = ("float", "double")  # an int fits these too, so a union tries them after int and long


def _fixed(size: int) -> Write:
    def write_fixed(out: bytearray, value: object, _depth: int) -> None:
        if not isinstance(value, bytes | bytearray) or len(value) != size:
            raise MisfitError(value, f"{size} bytes")
        out += value

    return write_fixed


def _enum(symbols: list[str]) -> Write:
    index_of = {symbol: index for index, symbol in enumerate(symbols)}

    def write_enum(out: bytearray, value: object, _depth: int) -> None:
        index = index_of.get(value) if isinstance(value, str) else None
        if index is None:
            raise MisfitError(value, f"one of {', '.join(symbols[:20])}")
        write_varint(out, index)

    return write_enum


def _record(fields: list[tuple[str, Write, bytes | None]]) -> Write:
    names = frozenset(name for name, _, _ in fields)
    known = ", ".join(name for name, _, _ in fields[:20])

    def write_record(out: bytearray, value: object, depth: int) -> None:
        check_depth(value, depth)
        if not isinstance(value, Mapping):
            raise MisfitError(value, "a mapping")
        if not value.keys() <= names:
            surplus = next(key for key in value if key not in names)
            raise MisfitError(value[surplus], f"the schema has no such field, only {known}").inside(str(surplus))
        for name, write, default in fields:
            try:
                if name in value:
                    write(out, value[name], depth + 1)
                elif default is not None:
                    out += default
                else:
                    raise MisfitError.missing()
            except MisfitError as misfit:
                raise misfit.inside(name) from None

    return write_record


def _union(schemas: list[Schema], writes: list[Write]) -> Write:
    branches = [
        (index, write)
        for inexact in (False, True)
        for index, (schema, write) in enumerate(zip(schemas, writes, strict=True))
        if (schema in _INEXACT) == inexact
    ]

    def write_union(out: bytearray, value: object, depth: int) -> None:
        start = len(out)
        misfits = []
        for index, write in branches:
            write_varint(out, index)
            try:
                write(out, value, depth)
            except MisfitError as misfit:
                del out[start:]
                misfits.append(misfit)
            else:
                return
        deepest = max(misfits, key=lambda misfit: len(misfit.path))
        if deepest.path:
            raise deepest
        raise MisfitError(value, " or ".join(misfit.right for misfit in misfits))

    return write_union


class WriterCompiler:
    """Turns schemas into writers.

    Args:
        types: The named types, as filled by fastavro's ``parse_schema``.
        special: Writers for named types that take the place of the ordinary ones.
        logical: The conversions of logical types; none when a schema's own defaults are written.

    """

    def __init__(
        self,
        types: Mapping[str, Any],
        special: Mapping[str, Write] | None = None,
        logical: LogicalTypes = LOGICAL,
    ) -> None:
        self._types = types
        self._named: dict[str, Write] = dict(special or {})
        self._logical = logical

    def compile(self, schema: Schema) -> Write:
        """Return the writer of ``schema``, which ``avro_checks.check_schema`` has passed."""
        if isinstance(schema, str):
            return PRIMITIVES.get(schema) or self._reference(schema)
        if isinstance(schema, list):
            return _union(schema, [self.compile(branch) for branch in schema])
        return self._reference(schema["name"]) if "name" in schema else self._definition(schema)

    def _reference(self, name: str) -> Write:
        """Compile a named type once; where it stands inside itself, look it up at the time of writing."""
        if name not in self._named:
            named = self._named
            named[name] = lambda out, value, depth: named[name](out, value, depth)  # noqa: PLW0108 - the entry is replaced by the next line
            named[name] = self._definition(self._types[name])
        return self._named[name]

    def _definition(self, schema: Mapping[str, Any]) -> Write:
        write = self._plain(schema)
        logical = self._logical.get((schema["type"], schema.get("logicalType", "")))
        if logical is None:
            return write
        convert = logical(schema)
        return lambda out, value, depth: write(out, convert(value), depth)

    def _plain(self, schema: Mapping[str, Any]) -> Write:
        match schema["type"]:
            case "record" | "error":
                return _record([self._field(field) for field in schema["fields"]])
            case "array":
                item = self.compile(schema["items"])
                return lambda out, value, depth: write_items(out, value, depth, item)
            case "map":
                entry = self.compile(schema["values"])
                return lambda out, value, depth: write_entries(out, value, depth, entry)
            case "enum":
                return _enum(schema["symbols"])
            case "fixed":
                return _fixed(schema["size"])
            case other:
                return self.compile(other)

    def _field(self, field: Mapping[str, Any]) -> tuple[str, Write, bytes | None]:
        default = self._default(field["type"], field["default"]) if "default" in field else None
        return field["name"], self.compile(field["type"]), default

    def _default(self, schema: Schema, default: object) -> bytes:
        """Encode a field's default once. In JSON, bytes are a string of their code points."""
        plain = WriterCompiler(self._types, logical={}).compile(schema)
        out = bytearray()
        try:
            plain(out, default, 0)
        except MisfitError:
            if not isinstance(default, str):
                raise
            out.clear()
            plain(out, default.encode("latin-1"), 0)
        return bytes(out)
