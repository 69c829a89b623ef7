"""Reads Avro's binary encoding from untrusted bytes.

A schema is compiled once into small functions, and the fields of a record into plain statements in a row. That is
faster here than fastavro's reader (which looks the schema up again for every field), and it bounds the harm that an
event can do to the bridge: no length or count beyond the message is accepted, nothing nests deeper than 64, an enum,
union or boolean index must exist, and an int must fit 32 bits. (fastavro 1.13 reads index -1 as the last, and ends the
process with a stack overflow a few thousand levels down.)

Values are bounded by the message's bytes, since each takes one at least. Records are an exception: they, and fields of
type null, take none. So the records in lists, mappings and unions are counted as they are read (``VALUES_LIMIT``), and
the values that a record always holds are bounded when its schema arrives (``avro.checks``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, TypeAlias

from flowbridge_sdk.avro.logical import CONVERSIONS, UnreadableError, decimal_reader, unreadable_in

DEPTH_LIMIT = 64
"""Containers inside one another, in a payload as well as in a schema."""

VALUES_LIMIT = 1 << 20
"""Values of one message, records and their fields included: as many as a payload may have bytes."""

Schema: TypeAlias = Any
"""An Avro schema as fastavro's ``parse_schema`` returns it: full names, each type spelled out once."""

Read: TypeAlias = Callable[[bytes, int, int], tuple[Any, int]]
"""(message, position, depth) to (value, next position). It may raise any error for bytes that do not follow the
schema; inside of a record, list or mapping that is an ``UnreadableError`` with the path."""

_INT = 1 << 31
_LONG_SHIFT = 63

_FLOAT = Struct("<f")
_DOUBLE = Struct("<d")


def read_null(_buf: bytes, pos: int, _depth: int) -> tuple[None, int]:
    """Read nothing."""
    return None, pos


def read_boolean(buf: bytes, pos: int, _depth: int) -> tuple[bool, int]:
    """Read one byte, 0 or 1."""
    byte = buf[pos]
    if byte > 1:
        raise UnreadableError(f"a boolean is the byte 0 or 1, found {byte}")
    return byte == 1, pos + 1


def read_long(buf: bytes, pos: int, _depth: int) -> tuple[int, int]:
    """Read a zigzag varint of at most 64 bits."""
    byte = buf[pos]
    pos += 1
    if byte < 0x80:  # noqa: PLR2004 - the bit that says "more follows"
        return (byte >> 1) ^ -(byte & 1), pos
    number = byte & 0x7F
    shift = 7
    while True:
        byte = buf[pos]
        pos += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            break
        shift += 7
        if shift > _LONG_SHIFT:
            raise UnreadableError("a number takes more than 10 bytes")
    if number >> 64:
        raise UnreadableError("a number takes more than 64 bits")
    return (number >> 1) ^ -(number & 1), pos


def read_int(buf: bytes, pos: int, depth: int) -> tuple[int, int]:
    """Read a zigzag varint of at most 32 bits."""
    number, pos = read_long(buf, pos, depth)
    if not -_INT <= number < _INT:
        raise UnreadableError("a number takes more than 32 bits")
    return number, pos


def read_float(buf: bytes, pos: int, _depth: int) -> tuple[float, int]:
    """Read four bytes."""
    end = pos + 4
    if end > len(buf):
        raise UnreadableError("the message ends inside a float")
    return _FLOAT.unpack_from(buf, pos)[0], end


def read_double(buf: bytes, pos: int, _depth: int) -> tuple[float, int]:
    """Read eight bytes."""
    end = pos + 8
    if end > len(buf):
        raise UnreadableError("the message ends inside a double")
    return _DOUBLE.unpack_from(buf, pos)[0], end


def read_bytes(buf: bytes, pos: int, depth: int) -> tuple[bytes, int]:
    """Read a length and that many bytes."""
    size, pos = read_long(buf, pos, depth)
    end = pos + size
    if size < 0 or end > len(buf):
        raise UnreadableError(f"a length of {size} is declared where {len(buf) - pos} bytes are left")
    return buf[pos:end], end


def read_string(buf: bytes, pos: int, depth: int) -> tuple[str, int]:
    """Read a length and that many bytes of UTF-8."""
    size = buf[pos]
    if size < 0x80:  # noqa: PLR2004 - one byte of length: nearly every string
        size = (size >> 1) ^ -(size & 1)
        pos += 1
    else:
        size, pos = read_long(buf, pos, depth)
    end = pos + size
    if size < 0 or end > len(buf):
        raise UnreadableError(f"a length of {size} is declared where {len(buf) - pos} bytes are left")
    return buf[pos:end].decode(), end


_PRIMITIVES: dict[str, Read] = {
    "null": read_null,
    "boolean": read_boolean,
    "int": read_int,
    "long": read_long,
    "float": read_float,
    "double": read_double,
    "bytes": read_bytes,
    "string": read_string,
}


_RECORDS = ("record", "error")
_STRAIGHT_LEVELS = 4  # records inside one another that are read by straight-line code
_INLINE = {
    "null": ["VALUE = None"],
    "boolean": ["VALUE = buf[pos]", "if VALUE > 1:", "    raise ValueError", "VALUE = VALUE == 1", "pos += 1"],
    "long": [
        "VALUE = buf[pos]",
        "if VALUE < 128:",
        "    VALUE = VALUE >> 1 ^ -(VALUE & 1)",
        "    pos += 1",
        "else:",
        "    VALUE, pos = read_long(buf, pos, 0)",
    ],
    "float": ["(VALUE,) = float_at(buf, pos)", "pos += 4"],
    "double": ["(VALUE,) = double_at(buf, pos)", "pos += 8"],
    "string": [
        "size = buf[pos]",
        "if size < 128 and not size & 1:",
        "    pos += 1 + (size >> 1)",
        "    VALUE = buf[pos - (size >> 1) : pos].decode()",
        "else:",
        "    VALUE, pos = read_string(buf, pos, 0)",
    ],
}
"""Statements that read a value of a type in straight-line code."""


def _fixed(size: int) -> Read:
    def read_fixed(buf: bytes, pos: int, _depth: int) -> tuple[bytes, int]:
        end = pos + size
        if end > len(buf):
            raise UnreadableError(f"the message ends inside {size} fixed bytes")
        return buf[pos:end], end

    return read_fixed


def _enum(symbols: list[str]) -> Read:
    def read_enum(buf: bytes, pos: int, depth: int) -> tuple[str, int]:
        index, pos = read_long(buf, pos, depth)
        if not 0 <= index < len(symbols):
            raise UnreadableError(f"symbol {index} of an enum that has {len(symbols)}")
        return symbols[index], pos

    return read_enum


class _Budget(threading.local):
    """How many more values the message that this thread reads may have."""

    left = 0


_budget = _Budget()


def _spend(values: int) -> None:
    _budget.left -= values
    if _budget.left < 0:
        raise UnreadableError(f"the message has more than {VALUES_LIMIT} values")


def _record(fields: list[tuple[str, Read]]) -> Read:
    def read_record(buf: bytes, pos: int, depth: int) -> tuple[dict[str, Any], int]:
        if depth >= DEPTH_LIMIT:
            raise UnreadableError(f"nested deeper than {DEPTH_LIMIT}")
        depth += 1
        record = {}
        try:
            for name, read in fields:
                record[name], pos = read(buf, pos, depth)
        except Exception as error:  # noqa: BLE001 - any error here is the record's fault
            raise unreadable_in(name, error) from None
        return record, pos

    return read_record


def _block(buf: bytes, pos: int) -> tuple[int, int]:
    """Read how many items follow. Every item takes a byte at least: ``avro.checks`` refuses other schemas."""
    count, pos = read_long(buf, pos, 0)
    if count < 0:
        count = -count
        _, pos = read_long(buf, pos, 0)  # the block's size in bytes, for readers that skip it
    if count > len(buf) - pos:
        raise UnreadableError(f"{count} items are declared where {len(buf) - pos} bytes are left")
    return count, pos


def array_reader(item: Read, parts: int = 1) -> Read:
    """Return the reader of a list.

    Args:
        item: Reads an item.
        parts: Values that an item always has; they are counted where it is more than itself.

    """

    def read_array(buf: bytes, pos: int, depth: int) -> tuple[list[Any], int]:
        if depth >= DEPTH_LIMIT:
            raise UnreadableError(f"nested deeper than {DEPTH_LIMIT}")
        depth += 1
        items = []
        count, pos = _block(buf, pos)
        while count:
            if parts > 1:
                _spend(count * parts)
            try:
                for _ in range(count):
                    value, pos = item(buf, pos, depth)
                    items.append(value)
            except Exception as error:  # noqa: BLE001 - any error here is the record's fault
                raise unreadable_in(len(items), error) from None
            count, pos = _block(buf, pos)
        return items, pos

    return read_array


def map_reader(item: Read, parts: int = 1) -> Read:
    """Return the reader of a mapping.

    Args:
        item: Reads a value.
        parts: Values that a value always has; they are counted where it is more than itself.

    """

    def read_map(buf: bytes, pos: int, depth: int) -> tuple[dict[str, Any], int]:
        if depth >= DEPTH_LIMIT:
            raise UnreadableError(f"nested deeper than {DEPTH_LIMIT}")
        depth += 1
        items = {}
        count, pos = _block(buf, pos)
        while count:
            if parts > 1:
                _spend(count * parts)
            for _ in range(count):
                key, pos = read_string(buf, pos, depth)
                try:
                    items[key], pos = item(buf, pos, depth)
                except Exception as error:  # noqa: BLE001 - any error here is the record's fault
                    raise unreadable_in(key, error) from None
            count, pos = _block(buf, pos)
        return items, pos

    return read_map


class ReaderCompiler:
    """Turns schemas into readers.

    Args:
        types: The named types, as filled by ``avro.checks.parse``.
        parts: Returns how many values a value of a schema always has: ``avro.checks.Measures.parts``.

    """

    def __init__(self, types: Mapping[str, Any], parts: Callable[[Schema], int]) -> None:
        self._types = types
        self._parts = parts
        self._named: dict[str, Read] = {}
        self._counts = False

    def compile(self, schema: Schema) -> Read:
        """Return the reader of a whole message with a schema that ``avro.checks.parse`` has passed."""
        careful = self.careful(schema)
        if isinstance(schema, dict) and schema["type"] in _RECORDS:
            return self._straight(schema, careful)
        return careful

    def careful(self, schema: Schema) -> Read:
        """Return the reader that is made of functions, and names the field of each error."""
        read = self._compile(schema)
        if not self._counts:
            return read

        def read_message(buf: bytes, pos: int, depth: int) -> tuple[Any, int]:
            _budget.left = VALUES_LIMIT
            return read(buf, pos, depth)

        return read_message

    def _compile(self, schema: Schema) -> Read:
        if isinstance(schema, str):
            return _PRIMITIVES.get(schema) or self._reference(schema)
        if isinstance(schema, dict):
            return self._reference(schema["name"]) if "name" in schema else self._definition(schema)
        branches = [self._branch(branch) for branch in schema]

        def read_union(buf: bytes, pos: int, depth: int) -> tuple[Any, int]:
            index, pos = read_long(buf, pos, depth)
            if not 0 <= index < len(branches):
                raise UnreadableError(f"branch {index} of a union that has {len(branches)}")
            return branches[index](buf, pos, depth)

        return read_union

    def _straight(self, schema: Mapping[str, Any], careful: Read) -> Read:
        """Return a reader of a record in straight-line code, which leaves whatever is not usual to the careful one.

        It has a statement or two for each field of a record, and of the records right in it. All other types are read
        by functions. So most messages are read in half the time. What raises an error here is read again by the careful
        reader, which knows the path for the error's text. Nothing is read carelessly: lengths, booleans and branches
        are checked, and the end is compared with the message's size, since slices beyond it are short.
        """
        names: dict[str, Any] = {
            "careful": careful,
            "limit": DEPTH_LIMIT,
            "whole": VALUES_LIMIT,
            "budget": _budget,
            "float_at": _FLOAT.unpack_from,
            "double_at": _DOUBLE.unpack_from,
            "read_long": read_long,
            "read_string": read_string,
        }
        lines: list[str] = []

        def fresh(value: object) -> str:
            name = f"k{len(names)}"
            names[name] = value
            return name

        def add(schema: Schema, target: str, indent: str, level: int) -> None:
            """Add the statements that read a value into a variable."""
            kind = schema["type"] if isinstance(schema, dict) else schema
            plain = schema if isinstance(schema, dict) else {}
            if kind in ("int", "bytes", "fixed", "enum", "array", "map") or not isinstance(kind, str):
                branches = schema if isinstance(schema, list) else []
                if len(branches) == 2 and branches[0] == "null" and str(branches[1]) in _INLINE:  # noqa: PLR2004
                    lines.append(f"{indent}branch = buf[pos]")
                    lines.append(f"{indent}pos += 1")
                    lines.append(f"{indent}if branch == 2:")
                    add(branches[1], target, indent + "    ", level)
                    lines.append(f"{indent}elif branch == 0:")
                    lines.append(f"{indent}    {target} = None")
                    lines.append(f"{indent}else:")
                    lines.append(f"{indent}    raise ValueError")
                    return
                lines.append(f"{indent}{target}, pos = {fresh(self._compile(schema))}(buf, pos, depth + {level})")
                return
            if kind in _RECORDS and level < _STRAIGHT_LEVELS:
                parts: list[str] = []
                for field in plain["fields"]:
                    part = f"{target}_{len(parts)}"
                    add(field["type"], part, indent, level + 1)
                    parts.append(f"{field['name']!r}: {part}")
                lines.append(f"{indent}{target} = {{{', '.join(parts)}}}")
                return
            if kind not in _INLINE:  # the name of a type, or a record far inside
                lines.append(f"{indent}{target}, pos = {fresh(self._compile(schema))}(buf, pos, depth + {level})")
                return
            lines.extend(indent + line.replace("VALUE", target) for line in _INLINE[kind])
            convert = CONVERSIONS.get((kind, plain.get("logicalType")))
            if convert is not None:
                lines.append(f"{indent}{target} = {fresh(convert)}({target})")

        add(schema, "record", "        ", 0)
        source = "\n".join(
            [
                "def read(buf, pos, depth):",
                "    begin = pos",
                "    try:",
                f"        if depth + {_STRAIGHT_LEVELS} > limit:",
                "            raise ValueError",
                *(["        budget.left = whole"] if self._counts else []),
                *lines,
                "        if pos > len(buf):",
                "            raise ValueError",
                "    except Exception:",
                "        return careful(buf, begin, depth)",
                "    return record, pos",
            ]
        )
        exec(compile(source, "<reader of an Avro schema>", "exec"), names)  # noqa: S102 - names stand there as texts only
        made: Read = names["read"]
        return made

    def _branch(self, schema: Schema) -> Read:
        """Return the reader of a union's branch. The values of a record there are counted as they are read."""
        read, parts = self._compile(schema), self._counted_parts(schema)
        if parts <= 1:
            return read

        def read_counted(buf: bytes, pos: int, depth: int) -> tuple[Any, int]:
            _spend(parts)
            return read(buf, pos, depth)

        return read_counted

    def _counted_parts(self, schema: Schema) -> int:
        parts = self._parts(schema)
        self._counts |= parts > 1
        return parts

    def _reference(self, name: str) -> Read:
        """Compile a named type once; where it stands inside itself, look it up at the time of reading."""
        if name not in self._named:
            named = self._named
            named[name] = lambda buf, pos, depth: named[name](buf, pos, depth)  # noqa: PLW0108 - the entry is replaced by the next line
            named[name] = self._definition(self._types[name])
        return self._named[name]

    def _definition(self, schema: Mapping[str, Any]) -> Read:
        """Compile a type that is spelled out, with the conversion of its logical type."""
        match schema["type"]:
            case "record" | "error":
                read = _record([(field["name"], self._compile(field["type"])) for field in schema["fields"]])
            case "array":
                read = array_reader(self._compile(schema["items"]), self._counted_parts(schema["items"]))
            case "map":
                read = map_reader(self._compile(schema["values"]), self._counted_parts(schema["values"]))
            case "enum":
                read = _enum(schema["symbols"])
            case "fixed":
                read = _fixed(schema["size"])
            case primitive:
                read = _PRIMITIVES[primitive]
        convert: Callable[[Any], Any] | None
        if schema.get("logicalType") == "decimal":
            convert = decimal_reader(schema)
        else:
            convert = CONVERSIONS.get((schema["type"], schema.get("logicalType")))
        if convert is None:
            return read

        def read_converted(buf: bytes, pos: int, depth: int) -> tuple[Any, int]:
            plain, pos = read(buf, pos, depth)
            return convert(plain), pos

        return read_converted
