"""Compiles Avro schemas into functions that check Python values and write them, both at once.

Their errors name the field's path, the value that was found, and what was expected.

A field of one type is lenient: a timestamp may be a datetime, the number that the schema means, or a text in ISO 8601.
A union is strict first, so that a text is a string where the union has both, and lenient only where no branch fits. The
name of a record, enum or fixed type may choose the branch of a union: ``("Name", value)``, or ``{"-type": "Name", …}``,
as fastavro has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from flowbridge_sdk.avro.encoding import (
    PRIMITIVES,
    Write,
    array_writer,
    check_depth,
    fields_of,
    map_writer,
    write_bytes,
    write_varint,
)
from flowbridge_sdk.avro.logical_writing import LENIENT, STRICT
from flowbridge_sdk.avro.misfit import MisfitError, described
from flowbridge_sdk.avro.reading import Schema

DEFAULT_LIMIT = 1 << 20
"""Bytes of an encoded default: no payload has more."""

_INEXACT = ("float", "double")  # an int fits these too, so a union tries them after int and long
_NAMED = ("record", "error", "enum", "fixed")
_HINT = "-type"


class _Default:
    """A field's default, encoded when a value first leaves the field out.

    A default that does not fit its type costs only the events that rely on it. Encoding all of them when the schema
    arrives would never end for a record whose default holds that record again.
    """

    def __init__(self, schema: Schema, default: object, compiler: WriterCompiler) -> None:
        self._schema = schema
        self._default = default
        self._compiler = compiler
        self._encoded: bytes | None = None
        self._problem = ""

    def encoded(self) -> bytes:
        """Return the default's encoding.

        Raises:
            MisfitError: It does not fit.

        """
        if self._encoded is None and not self._problem:
            self._problem = "which holds itself"  # until it is encoded
            out = bytearray()
            try:
                self._compiler.compile(self._schema)(out, self._default, 0)
            except MisfitError as misfit:
                where = f"in {misfit.where()} " if misfit.path else ""
                self._problem = f"where {where}{misfit.expected} is right"
            else:
                if len(out) > DEFAULT_LIMIT:
                    self._problem = f"which takes {len(out)} bytes"
                else:
                    self._encoded = bytes(out)
        if self._encoded is None:
            expected = f"the schema's default is {described(self._default)}, {self._problem}; give the field a value"
            raise MisfitError.missing(expected)
        return self._encoded


def _fixed(size: int) -> Write:
    def write_fixed(out: bytearray, value: object, _depth: int) -> None:
        if not isinstance(value, bytes | bytearray) or len(value) != size:
            raise MisfitError.of(value, f"{size} bytes")
        out += value

    return write_fixed


def _enum(symbols: list[str]) -> Write:
    index_of = {symbol: index for index, symbol in enumerate(symbols)}

    def write_enum(out: bytearray, value: object, _depth: int) -> None:
        index = index_of.get(value) if isinstance(value, str) else None
        if index is None:
            raise MisfitError.of(value, f"one of {', '.join(symbols[:20])}")
        write_varint(out, index)

    return write_enum


def _code_points(value: object) -> object:
    """Return the bytes that a default's text stands for: in JSON, bytes are a string of their code points."""
    if isinstance(value, str):
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            pass
    return value


def _record(fields: list[tuple[str, Write, _Default | None]]) -> Write:
    names = frozenset(name for name, _, _ in fields)
    known = ", ".join(name for name, _, _ in fields[:20])

    def write_record(out: bytearray, value: object, depth: int) -> None:
        check_depth(value, depth)
        if type(value) is not dict and not isinstance(value, Mapping):  # the second takes five times as long
            value = fields_of(value)
        if not value.keys() <= names:
            surplus = next(key for key in value if key not in names)
            raise MisfitError.of(value[surplus], f"the schema has no such field, only {known}").inside(str(surplus))
        for name, write, default in fields:
            try:
                if name in value:
                    write(out, value[name], depth + 1)
                elif default is not None:
                    out += default.encoded()
                else:
                    raise MisfitError.missing()
            except MisfitError as misfit:
                raise misfit.inside(name) from None

    return write_record


def _in_order(schemas: list[Schema], writes: list[Write]) -> list[tuple[int, Write]]:
    return [
        (index, write)
        for inexact in (False, True)
        for index, (schema, write) in enumerate(zip(schemas, writes, strict=True))
        if (schema in _INEXACT) == inexact
    ]


def union_writer(branches: list[tuple[int, Write]], described_last: int) -> Write:
    """Return the writer of a union.

    Args:
        branches: The branches in the order in which they are tried.
        described_last: How many of the last branches the error describes, if no branch fits.

    """

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
        if not misfits:
            raise MisfitError.of(value, "nothing: the union has no branch")
        misfits = misfits[-described_last:]
        deepest = max(misfits, key=lambda misfit: len(misfit.path))
        if deepest.path:
            raise deepest
        raise MisfitError.of(value, " or ".join(dict.fromkeys(misfit.expected for misfit in misfits)))

    return write_union


def _hinted(named: Mapping[str, tuple[int, Write]], write_unhinted: Write) -> Write:
    """Return the writer of a union in which a name may choose the branch."""
    known = ", ".join(named)

    def write_hinted(out: bytearray, value: object, depth: int) -> None:
        hint = None
        if type(value) is tuple:
            if len(value) == 2 and isinstance(value[0], str) and value[0] in named:  # noqa: PLR2004 - a pair
                hint, value = value
        elif isinstance(value, Mapping) and _HINT in value:
            hint = value[_HINT]
            if not isinstance(hint, str) or hint not in named:
                raise MisfitError.of(hint, f"one of {known}").inside(_HINT)
            value = {key: item for key, item in value.items() if key != _HINT}
        if hint is None:
            write_unhinted(out, value, depth)
            return
        index, write = named[hint]
        write_varint(out, index)
        write(out, value, depth)

    return write_hinted


class _Family(NamedTuple):
    """The shared state of one schema's compilers: the compilers by mode, and the defaults by the field's identity."""

    compilers: dict[str, WriterCompiler]
    defaults: dict[int, _Default]


class WriterCompiler:
    """Turns schemas into writers.

    Args:
        types: The named types, as filled by ``avro.checks.parse``.
        mode: ``lenient``; ``strict`` for a union's first try; ``default`` for defaults, which are JSON.

    """

    def __init__(self, types: Mapping[str, Any], mode: str = "lenient", family: _Family | None = None) -> None:
        self._types = types
        self._mode = mode
        self._logical = {"lenient": LENIENT, "strict": STRICT}.get(mode, {})
        self._named: dict[str, Write] = {}
        self._family = family or _Family({}, {})
        self._family.compilers[mode] = self

    def compile(self, schema: Schema) -> Write:
        """Return the writer of ``schema``, which ``avro.checks.parse`` has passed."""
        if schema == "bytes" and self._mode == "default":
            return lambda out, value, depth: write_bytes(out, _code_points(value), depth)
        if isinstance(schema, str):
            return PRIMITIVES.get(schema) or self._reference(schema)
        if isinstance(schema, list):
            return self._union(schema)
        return self._reference(schema["name"]) if "name" in schema else self._definition(schema)

    def _in_mode(self, mode: str) -> WriterCompiler:
        return self._family.compilers.get(mode) or WriterCompiler(self._types, mode, self._family)

    def _union(self, schemas: list[Schema]) -> Write:
        own = [self.compile(branch) for branch in schemas]
        branches = _in_order(schemas, own)
        if self._mode == "lenient":
            strict = [self._in_mode("strict").compile(branch) for branch in schemas]
            if any(schema is not other for schema, other in zip(strict, own, strict=True)):
                branches = [*_in_order(schemas, strict), *branches]
        write_unhinted = union_writer(branches, len(own))
        named = {}
        for index, (schema, write) in enumerate(zip(schemas, own, strict=True)):
            name = schema.get("name") if isinstance(schema, dict) else schema
            if isinstance(name, str) and name in self._types and self._types[name]["type"] in _NAMED:
                named[name] = index, write
        if not named or self._mode == "default":
            return write_unhinted
        # a branch is known by its full name, and by the last part of it where that is unique
        last_parts = Counter(name.rpartition(".")[2] for name in named)
        by_last_part = {name.rpartition(".")[2]: branch for name, branch in named.items()}
        by_last_part = {part: branch for part, branch in by_last_part.items() if last_parts[part] == 1}
        return _hinted(by_last_part | named, write_unhinted)

    def _reference(self, name: str) -> Write:
        """Compile a named type once; where it stands inside itself, look it up at the time of writing."""
        if name not in self._named:
            named = self._named
            named[name] = lambda out, value, depth: named[name](out, value, depth)  # noqa: PLW0108 - the entry is replaced by the next line
            named[name] = self._definition(self._types[name])
        return self._named[name]

    def _definition(self, schema: Mapping[str, Any]) -> Write:
        """Compile a type that is spelled out, with the conversion of its logical type."""
        logical = self._logical.get((schema["type"], schema.get("logicalType", "")))
        convert = None if logical is None else logical(schema)
        match schema["type"]:
            case "record" | "error":
                fields: list[tuple[str, Write, _Default | None]] = []
                for field in schema["fields"]:
                    write, default = self.compile(field["type"]), None
                    if "default" in field:
                        default = _Default(field["type"], field["default"], self._in_mode("default"))
                        # a field has the same default in each mode; its schema keeps the id alive
                        default = self._family.defaults.setdefault(id(field), default)
                    fields.append((field["name"], write, default))
                write = _record(fields)
            case "array":
                write = array_writer(self.compile(schema["items"]))
            case "map":
                write = map_writer(self.compile(schema["values"]))
            case "enum":
                write = _enum(schema["symbols"])
            case "fixed":
                write = _fixed(schema["size"])
                if self._mode == "default":
                    convert = _code_points
            case primitive:
                write = self.compile(primitive)
        if convert is None:
            return write
        return lambda out, value, depth: write(out, convert(value), depth)
