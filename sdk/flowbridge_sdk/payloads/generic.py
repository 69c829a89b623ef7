"""The generic payload, which events carry that have no schema of their own.

``avsc/payload.avsc`` is its schema on the wire; any Avro reader can read it with that file. The
functions here read and write it without the schema's wrapper records, straight from and to plain Python values:
None, bool, int (64 bits), float (finite), str, bytes, datetime (with a time zone), Decimal (finite), UUID, lists,
tuples, and mappings from str. Values read back equal to those written; a tuple as a list, a datetime in UTC.

Three kinds of values become plainer ones: a date or time its ISO 8601 text, a row (a named tuple, Spark's Row) a
mapping, and a value of numpy the Python value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from flowbridge_sdk.avro.encoding import (
    Write,
    array_writer,
    check_depth,
    fields_of,
    write_boolean,
    write_bytes,
    write_double,
    write_long,
    write_null,
    write_string,
    write_varint,
)
from flowbridge_sdk.avro.logical import CONVERSIONS, DIGITS_LIMIT, UnreadableError, decimal_of
from flowbridge_sdk.avro.logical_writing import micros_of, scaled, twos_complement
from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.avro.reading import (
    DEPTH_LIMIT,
    Read,
    array_reader,
    map_reader,
    read_boolean,
    read_bytes,
    read_double,
    read_int,
    read_long,
    read_null,
    read_string,
)
from flowbridge_sdk.payloads.foreign import as_mapping, plain

_UUID_BYTES = 16
_DECIMAL_BYTES = 416  # holds 1000 digits
_moment: Callable[[int], datetime] = CONVERSIONS["long", "timestamp-micros"]


def _read_moment(buf: bytes, pos: int, depth: int) -> tuple[datetime, int]:
    micros, pos = read_long(buf, pos, depth)
    return _moment(micros), pos


def _read_decimal(buf: bytes, pos: int, depth: int) -> tuple[Decimal, int]:
    unscaled, pos = read_bytes(buf, pos, depth)
    scale, pos = read_int(buf, pos, depth)
    # with a far-off point, printing the number would write gigabytes of zeros
    if len(unscaled) > _DECIMAL_BYTES or abs(scale) > DIGITS_LIMIT:
        raise UnreadableError(f"a decimal has more than {DIGITS_LIMIT} digits or places")
    return decimal_of(unscaled, scale), pos


def _read_value(buf: bytes, pos: int, depth: int) -> tuple[Any, int]:
    branch = buf[pos]  # a zigzag varint, of one byte for the indexes that exist
    if branch & 1 or branch >= 2 * len(_READS):
        raise UnreadableError(f"branch byte {branch:#04x} of a value that has {len(_READS)} branches")
    return _READS[branch >> 1](buf, pos + 1, depth)


_read_map = map_reader(_read_value)
_READS: tuple[Read, ...] = (
    read_null,
    read_boolean,
    read_long,
    read_double,
    read_string,
    read_bytes,
    _read_moment,
    _read_decimal,
    lambda buf, pos, _depth: (UUID(bytes=buf[pos : pos + _UUID_BYTES]), pos + _UUID_BYTES),  # it refuses fewer bytes
    array_reader(_read_value),
    _read_map,
)
"""In the order of the union in payload.avsc."""


def read_payload(buf: bytes, pos: int, depth: int) -> tuple[dict[str, Any], int]:
    """Read a generic payload; a ``Read``."""
    payload: dict[str, Any]
    payload, pos = _read_map(buf, pos, depth)
    return payload, pos


def _write_decimal(out: bytearray, value: Decimal, depth: int) -> None:
    unscaled, scale = scaled(value)
    write_bytes(out, twos_complement(unscaled), depth)
    write_varint(out, scale)


def _write_value(out: bytearray, value: object, depth: int) -> None:
    branch, write = _BY_TYPE.get(type(value)) or _of_subclass(value)
    out.append(branch)
    write(out, value, depth)


_write_list = array_writer(_write_value)
_KEYS_KEPT, _KEY_SHORT = 4096, 64
_keys: dict[str, bytes] = {}
"""The encodings of field names that were met, of short ones alone."""


def _encoded_key(key: str) -> bytes:
    if not isinstance(key, str):
        raise MisfitError.of(key, "field names are str")
    encoded = bytearray()
    write_string(encoded, key, 0)
    if len(encoded) <= _KEY_SHORT and len(_keys) < _KEYS_KEPT:
        _keys[str(key)] = bytes(encoded)
    return bytes(encoded)


def _write_map(out: bytearray, value: object, depth: int) -> None:
    """Write a mapping, as ``map_writer`` would: this function is most of what a generic event costs."""
    if depth >= DEPTH_LIMIT:
        check_depth(value, depth)
    if type(value) is not dict and not isinstance(value, Mapping):
        value = fields_of(value)
    if value:
        write_varint(out, len(value))
    key, inner = "", depth + 1
    try:
        for key, item in value.items():
            out += _keys.get(key) or _encoded_key(key)
            branch, write = _BY_TYPE.get(type(item)) or _of_subclass(item)
            out.append(branch)
            write(out, item, inner)
    except MisfitError as misfit:
        raise misfit.inside(key if isinstance(key, str) else repr(key)[:40]) from None
    out.append(0)


_WRITES: tuple[tuple[type, int, Write], ...] = (
    (type(None), 0, write_null),
    (bool, 1, write_boolean),  # before int, of which it is one
    (int, 2, write_long),
    (float, 3, write_double),
    (str, 4, write_string),
    (bytes, 5, write_bytes),
    (datetime, 6, lambda out, value, _depth: write_varint(out, micros_of(value))),
    (Decimal, 7, _write_decimal),
    (UUID, 8, lambda out, value, _depth: out.extend(value.bytes)),
    (list, 9, _write_list),
    (tuple, 9, _write_list),
    (Mapping, 10, _write_map),
)
"""(type, branch of the union in payload.avsc, writer)."""

_BY_TYPE: dict[type, tuple[int, Write]] = {kind: (2 * branch, write) for kind, branch, write in _WRITES}
_BY_TYPE[dict] = _BY_TYPE[Mapping]


def _of_subclass(value: object) -> tuple[int, Write]:
    """Return branch and writer of a value whose own type is not in ``_BY_TYPE``."""
    plainer = plain(value)
    if plainer is value and (row := as_mapping(value)) is not None:
        plainer = row
    elif isinstance(plainer, date | time) and not isinstance(plainer, datetime):
        if isinstance(plainer, time) and plainer.tzinfo is not None:
            raise MisfitError.of(plainer, "a time without a time zone")
        plainer = plainer.isoformat()
    if plainer is not value:
        branch, write = _BY_TYPE.get(type(plainer)) or _of_subclass(plainer)
        return branch, lambda out, _value, depth: write(out, plainer, depth)
    for kind, branch, write in _WRITES:
        if isinstance(value, kind):
            return 2 * branch, write
    raise MisfitError.of(
        value,
        "a payload holds None, bool, int, float, str, bytes, datetime, date, time, Decimal, UUID, lists and mappings",
    )


def write_payload(out: bytearray, value: object, depth: int) -> None:
    """Write a generic payload; a ``Write``.

    Raises:
        MisfitError: It is no mapping from str, or holds something that a payload cannot.

    """
    _write_map(out, value, depth)
