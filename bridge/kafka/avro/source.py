"""Python source of the function that writes, or reads, the records of one Avro schema.

A record of ours is written for each event at least once, and a generic writer looks at the schema again for each
field. This module looks at the schema once and makes the plain statements that a person would write by hand, which are
three times as fast. It knows only the types that our own schemas use: strings, bytes, numbers, booleans, enums, a union
of null and another type, maps of strings, and arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from bridge.kafka.avro.varint import SIZES, int_bytes, long_at, long_bytes, two_longs, two_longs_at

Schema = Any
"""As fastavro's ``parse_schema`` returns it."""

Fields = Mapping[str, Any]

_INDENT = "    "
_KEPT = 4_096  # values that repeat, as they are written


@lru_cache(_KEPT)
def _repeated(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return long_bytes(len(content)) + content


_KNOWN: dict[str, Any] = {
    "sizes": SIZES,
    "short": len(SIZES),
    "repeated": _repeated,
    "long_bytes": long_bytes,
    "two_longs": two_longs,
    "int_bytes": int_bytes,
    "long_at": long_at,
    "two_longs_at": two_longs_at,
}


def writer(schema: Schema) -> Callable[[Fields, bytes], bytes]:
    """Return ``write(fields, prefix)``, which gives the record's bytes behind a prefix.

    It raises OverflowError for a number that its type cannot hold.
    """
    taken = [f"f{number} = fields[{field['name']!r}]" for number, field in enumerate(schema["fields"])]
    write: Callable[[Fields, bytes], bytes] = _compiled("write", "fields, prefix", [*taken, *_written(schema)])
    return write


def value_writer(
    schema: Schema,
    prefix: bytes,
    refused: Callable[[OverflowError], Exception],
    repeated: Collection[str] = (),
    moments: Collection[str] = (),
) -> Callable[..., bytes]:
    """Return ``write(*values)``, which takes the values of all fields in their order, and none by its name.

    Args:
        schema: The schema. Records inside of it are tuples of values, too, and maps are pairs of a name and a value.
        prefix: What stands in front of the record's bytes.
        refused: Makes the error that is raised for a number that its type cannot hold.
        repeated: Fields of text or bytes that many records have in common, by the path to them (``events.slot``). Their
            bytes are kept. The bytes of names in maps are always kept.
        moments: Two fields of long that are nearly always microseconds since the epoch; or none.

    """
    body = [
        "try:",
        *(_INDENT + line for line in _written(schema, repeated, moments)),
        "except OverflowError as error:",
        _INDENT + "raise refused(error) from error",
    ]
    arguments = ", ".join(f"f{number}" for number in range(len(schema["fields"])))
    write: Callable[..., bytes] = _compiled("write", arguments, body, prefix=prefix, refused=refused)
    return write


def _written(schema: Schema, repeated: Collection[str] | None = None, moments: Collection[str] = ()) -> list[str]:
    """Return the statements that return the record's bytes behind ``prefix``, from variables named by their number."""
    write = _Writing(repeated)
    lines: list[str] = []
    parts = ["prefix"]
    if moments:
        pair = ", ".join(f"f{number}" for number, field in enumerate(schema["fields"]) if field["name"] in moments)
        lines.append(f"{pair} = two_longs({pair})")
    for number, field in enumerate(schema["fields"]):
        if field["name"] not in moments:
            lines += write.value(field["type"], f"f{number}", field["name"])
        parts += write.parts(field["type"], f"f{number}", field["name"])
    return [*lines, f"return b''.join(({', '.join(parts)},))"]


def reader(schema: Schema) -> Callable[[bytes, int], dict[str, Any]]:
    """Return ``read(buf, pos)``, which gives the fields of the record that begins at a position.

    It raises IndexError or ValueError when the bytes are no such record, or are cut short.
    """
    lines: list[str] = []
    for number, field in enumerate(schema["fields"]):
        lines += _read(field["type"], f"f{number}")
    named = ", ".join(f"{field['name']!r}: f{number}" for number, field in enumerate(schema["fields"]))
    read: Callable[[bytes, int], dict[str, Any]] = _compiled("read", "buf, pos", [*lines, *_END, f"return {{{named}}}"])
    return read


def picker(
    schema: Schema,
    names: Sequence[str],
    prefix: bytes,
    otherwise: Callable[[bytes], tuple[Any, ...]],
    damaged: Callable[[Exception], Exception],
    moments: Sequence[str] = (),
) -> Callable[[bytes], tuple[Any, ...]]:
    """Return ``pick(buf)``, which gives some fields of a record alone, and looks at nothing behind the last.

    Args:
        schema: The schema.
        names: The fields, in the order in which they are given.
        prefix: What stands in front of the record's bytes.
        otherwise: Called for bytes with another prefix.
        damaged: Makes the error that is raised when the bytes are no such record, or are cut short.
        moments: Two fields of long, one behind the other, that are nearly always microseconds since the epoch; or none.

    Raises:
        ValueError: The moments are not one behind the other.

    """
    fields = {field["name"]: f"f{number}" for number, field in enumerate(schema["fields"])}
    if moments and [*moments] not in map(list, pairwise(fields)):
        raise ValueError(f"expected two fields, one behind the other, found {', '.join(moments)}")
    last = max(list(fields).index(name) for name in (*names, *moments))
    lines: list[str] = []
    for field in schema["fields"][: last + 1]:
        if field["name"] in moments:
            if field["name"] == moments[0]:  # the second is read with it
                lines.append(f"{', '.join(fields[name] for name in moments)}, pos = two_longs_at(buf, pos)")
            continue
        match _type(field["type"]):
            case "string" | "bytes" if field["name"] not in names:
                lines += _READ_SIZE
            case "int" | "long" | "boolean" | "enum" if field["name"] not in names:
                lines += ["while buf[pos] > 127:", f"{_INDENT}pos += 1", "pos += 1"]
            case _:
                lines += _read(field["type"], fields[field["name"]])
    body = [
        "if not buf.startswith(prefix):",
        _INDENT + "return otherwise(buf)",
        f"pos = {len(prefix)}",
        "try:",
        *(_INDENT + line for line in (*lines, *_END)),
        "except (ValueError, IndexError) as error:",
        _INDENT + "raise damaged(error) from error",
        f"return ({', '.join(fields[name] for name in names)},)",
    ]
    pick: Callable[[bytes], tuple[Any, ...]] = _compiled(
        "pick", "buf", body, prefix=prefix, otherwise=otherwise, damaged=damaged
    )
    return pick


def _compiled(name: str, arguments: str, body: list[str], **known: object) -> Any:
    source = "\n".join([f"def {name}({arguments}):", *(_INDENT + line for line in body)])
    names: dict[str, Any] = _KNOWN | known
    exec(compile(source, f"<{name} of an Avro schema>", "exec"), names)  # noqa: S102 - made of our own schemas alone
    return names[name]


_END = ("if pos > len(buf):", _INDENT + "raise IndexError('it is cut short')")


# -- writing: statements that turn the variable into bytes, and what of it is joined -----------------------------------


class _Writing:
    """Makes the statements that write values.

    Args:
        repeated: The paths of texts and bytes that repeat, where values are given in their order; None where they are
            given by the names of fields.

    """

    def __init__(self, repeated: Collection[str] | None) -> None:
        self._by_value = repeated is not None
        self._repeated = frozenset(repeated or ())

    def value(self, schema: Schema, name: str, path: str) -> Iterator[str]:
        """Return the statements for a value in a variable."""
        match _type(schema):
            case "string" | "bytes" if path in self._repeated:
                yield f"{name} = repeated({name})"
            case "string":
                yield f"{name} = {name}.encode()"
                yield _sized(name)
            case "bytes":
                yield _sized(name)
            case "int" | "long" as kind:
                yield f"{name} = sizes[{name}] if 0 <= {name} < short else {kind}_bytes({name})"
            case "boolean":
                yield f"{name} = b'\\1' if {name} else b'\\0'"
            case "enum":
                yield f"{name} = sizes[{tuple(schema['symbols'])!r}.index({name})]"
            case "union":
                _, other = schema
                yield f"if {name} is None:"
                yield f"{_INDENT}{name} = b'\\0'"
                yield "else:"
                for line in self.value(other, name, path):
                    yield _INDENT + line
                yield f"{_INDENT}{name} = b''.join((b'\\2', {', '.join(self.parts(other, name, path))},))"
            case "map" | "array" as kind:
                yield from self._many(schema, name, path, is_map=kind == "map")
            case "record":
                parts = [f"{name}_{field['name']}" for field in schema["fields"]]
                if self._by_value:
                    yield f"{', '.join(parts)}, = {name}"
                for part, field in zip(parts, schema["fields"], strict=True):
                    if not self._by_value:
                        yield f"{part} = {name}[{field['name']!r}]"
                    yield from self.value(field["type"], part, f"{path}.{field['name']}")

    def _many(self, schema: Schema, name: str, path: str, *, is_map: bool) -> Iterator[str]:
        item, inner = f"{name}_i", schema["values"] if is_map else schema["items"]
        items = f"{name}.items()" if is_map and not self._by_value else name
        parts = [f"repeated({name}_k)"] if is_map else []
        parts += self.parts(inner, item, path)
        yield f"if {name}:"
        yield f"{_INDENT}{name}_l = [sizes[len({name})] if len({name}) < short else long_bytes(len({name}))]"
        yield f"{_INDENT}for {f'{name}_k, {item}' if is_map else item} in {items}:"
        for line in self.value(inner, item, path):
            yield _INDENT * 2 + line
        yield f"{_INDENT * 2}{name}_l += ({', '.join(parts)},)"
        yield f"{_INDENT}{name}_l.append(b'\\0')"
        yield f"{_INDENT}{name} = b''.join({name}_l)"
        yield "else:"
        yield f"{_INDENT}{name} = b'\\0'"

    def parts(self, schema: Schema, name: str, path: str) -> list[str]:
        """Return what is joined of a value, after its statements."""
        match _type(schema):
            case "string" | "bytes":
                return [name] if path in self._repeated else [f"{name}_n", name]
            case "record":
                fields = [(field["type"], field["name"]) for field in schema["fields"]]
                return [part for kind, own in fields for part in self.parts(kind, f"{name}_{own}", f"{path}.{own}")]
            case _:
                return [name]


def _sized(name: str) -> str:
    return f"{name}_n = sizes[n] if (n := len({name})) < short else long_bytes(n)"


# -- reading: statements that set the variable and move the position ---------------------------------------------------


def _read(schema: Schema, name: str) -> Iterator[str]:
    match _type(schema):
        case "string":
            yield from _READ_SIZE
            yield f"{name} = buf[pos - size : pos].decode()"
        case "bytes":
            yield from _READ_SIZE
            yield f"{name} = buf[pos - size : pos]"
        case "map" | "array":
            yield from _read_many(schema, name)
        case "union":
            yield "pos += 1"
            yield "if buf[pos - 1] == 0:"
            yield f"{_INDENT}{name} = None"
            yield "else:"
            for line in _read(schema[1], name):
                yield _INDENT + line
        case "record":
            for field in schema["fields"]:
                yield from _read(field["type"], f"{name}_{field['name']}")
            named = (f"{field['name']!r}: {name}_{field['name']}" for field in schema["fields"])
            yield f"{name} = {{{', '.join(named)}}}"
        case kind:
            yield from _read_number(kind, schema, name)


def _read_number(kind: str, schema: Schema, name: str) -> Iterator[str]:
    if kind in ("int", "long"):
        yield f"{name} = buf[pos]"
        yield f"if {name} < 128:"
        yield f"{_INDENT}{name} = {name} >> 1 ^ -({name} & 1)"
        yield f"{_INDENT}pos += 1"
        yield "else:"
        yield f"{_INDENT}{name}, pos = long_at(buf, pos)"
    else:
        choice = "buf[pos] == 1" if kind == "boolean" else f"{tuple(schema['symbols'])!r}[buf[pos] >> 1]"
        yield f"{name} = {choice}"
        yield "pos += 1"


_READ_SIZE = (
    "size = buf[pos]",
    "if size < 128:",
    f"{_INDENT}size >>= 1",
    f"{_INDENT}pos += 1 + size",
    "elif buf[pos + 1] < 128:",
    f"{_INDENT}size = (size & 127 | buf[pos + 1] << 7) >> 1",
    f"{_INDENT}pos += 2 + size",
    "else:",
    f"{_INDENT}size, pos = long_at(buf, pos)",
    f"{_INDENT}pos += size",
)


def _read_many(schema: Schema, name: str) -> Iterator[str]:
    is_map = _type(schema) == "map"
    yield f"{name}_all = {'{}' if is_map else '[]'}"
    yield from _read_number("long", "long", f"{name}_c")
    yield f"while {name}_c:"
    yield f"{_INDENT}if not 0 < {name}_c <= len(buf) - pos:"
    yield f"{_INDENT * 2}raise ValueError('more items are declared than bytes are left')"
    yield f"{_INDENT}for _ in range({name}_c):"
    if is_map:
        for line in _read("string", f"{name}_k"):
            yield _INDENT * 2 + line
    for line in _read(schema["values"] if is_map else schema["items"], f"{name}_i"):
        yield _INDENT * 2 + line
    yield _INDENT * 2 + (f"{name}_all[{name}_k] = {name}_i" if is_map else f"{name}_all.append({name}_i)")
    for line in _read_number("long", "long", f"{name}_c"):
        yield _INDENT + line
    yield f"{name} = {name}_all"


def _type(schema: Schema) -> str:
    if isinstance(schema, list):
        if schema[0] != "null" or len(schema) > 2:  # noqa: PLR2004 - null and another type
            raise ValueError(f"a union of ours is null and another, found {schema}")
        return "union"
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind not in _TYPES:
        raise ValueError(f"none of our records has the type {kind}")
    return str(kind)


_TYPES = frozenset({"string", "bytes", "int", "long", "boolean", "enum", "map", "array", "record"})
