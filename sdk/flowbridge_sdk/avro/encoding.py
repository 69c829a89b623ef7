"""Writes single Python values in Avro's binary encoding, checking each as it goes.

fastavro's writer is not used: it cuts 1.5 down to 1 where an int is asked for, writes True as 1 and "no" as true, and
does not name the field of an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any, TypeAlias

from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.avro.reading import DEPTH_LIMIT
from flowbridge_sdk.payloads.foreign import as_mapping, plain

Write: TypeAlias = Callable[[bytearray, Any, int], None]
"""(output, value, depth): append the value's encoding, or raise MisfitError."""

LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1
INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
FLOAT_MAX = 3.4028234663852886e38
_DOUBLE_EXACT = 1 << 53
_ONE_BYTE = 63  # the largest length that a zigzag varint holds in one byte

_FLOAT = Struct("<f")
_DOUBLE = Struct("<d")


def write_varint(out: bytearray, number: int) -> None:
    """Append a zigzag varint; ``number`` has at most 64 bits."""
    if 0 <= number <= _ONE_BYTE:  # most numbers and lengths
        out.append(number << 1)
        return
    number = (number << 1) ^ (number >> 63)
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def write_null(_out: bytearray, value: object, _depth: int) -> None:
    """Append nothing."""
    if value is not None:
        raise MisfitError.of(value, "None")


def write_boolean(out: bytearray, value: object, _depth: int) -> None:
    """Append 0 or 1."""
    if value is not True and value is not False:
        value = plain(value)
        if value is not True and value is not False:
            raise MisfitError.of(value, "True or False")
    out.append(value)


def _int_of(value: object) -> int:
    value = plain(value)
    if not isinstance(value, int) or value is True or value is False:
        raise MisfitError.of(value, "an int")
    return value


def write_long(out: bytearray, value: object, _depth: int) -> None:
    """Append an int of at most 64 bits."""
    value = value if type(value) is int else _int_of(value)
    if not LONG_MIN <= value <= LONG_MAX:
        raise MisfitError.of(value, "at most 64 bits; a Decimal or str carries more")
    write_varint(out, value)


def write_int(out: bytearray, value: object, _depth: int) -> None:
    """Append an int of at most 32 bits."""
    value = value if type(value) is int else _int_of(value)
    if not INT_MIN <= value <= INT_MAX:
        raise MisfitError.of(value, "at most 32 bits")
    write_varint(out, value)


def _finite(value: object, expected: str) -> float:
    value = value if type(value) is float else plain(value)
    if isinstance(value, int) and value is not True and value is not False:
        if abs(value) > _DOUBLE_EXACT:
            raise MisfitError.of(value, f"{expected}; an int beyond 2**53 would lose digits")
        return float(value)
    if not isinstance(value, float):
        raise MisfitError.of(value, expected)
    if not math.isfinite(value):
        raise MisfitError.of(
            value, "a finite number: a workflow's parameters cannot hold NaN or infinity; None says that there is none"
        )
    return value


def write_double(out: bytearray, value: object, _depth: int) -> None:
    """Append a finite float, or an int that a float holds exactly."""
    if type(value) is not float or not math.isfinite(value):
        value = _finite(value, "a float")
    out += _DOUBLE.pack(value)


def write_float(out: bytearray, value: object, _depth: int) -> None:
    """Append a finite float, rounded to 32 bits."""
    number = _finite(value, "a float")
    if abs(number) > FLOAT_MAX:
        raise MisfitError.of(value, f"at most {FLOAT_MAX} either side of 0 in a 32-bit float")
    out += _FLOAT.pack(number)


def write_string(out: bytearray, value: object, _depth: int) -> None:
    """Append a str as UTF-8."""
    if not isinstance(value, str):
        raise MisfitError.of(value, "a str")
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise MisfitError.of(value, "text without lone surrogates, which UTF-8 cannot carry") from None
    size = len(encoded)
    if size <= _ONE_BYTE:  # nearly every name and many texts: a call would take as long as all else here
        out.append(size << 1)
    else:
        write_varint(out, size)
    out += encoded


def write_bytes(out: bytearray, value: object, _depth: int) -> None:
    """Append bytes."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise MisfitError.of(value, "bytes")
    if isinstance(value, memoryview):
        value = value.tobytes()
    write_varint(out, len(value))
    out += value


PRIMITIVES: dict[str, Write] = {
    "null": write_null,
    "boolean": write_boolean,
    "int": write_int,
    "long": write_long,
    "float": write_float,
    "double": write_double,
    "string": write_string,
    "bytes": write_bytes,
}


def check_depth(value: object, depth: int) -> None:
    """Refuse a container that ``DEPTH_LIMIT`` others surround."""
    if depth >= DEPTH_LIMIT:
        raise MisfitError.of(value, f"at most {DEPTH_LIMIT} containers inside one another")


def fields_of(value: object) -> Mapping[Any, Any]:
    """Return a mapping, or the fields of a row.

    Raises:
        MisfitError: It is neither.

    """
    fields = value if isinstance(value, Mapping) else as_mapping(value)
    if fields is None:
        raise MisfitError.of(value, "a mapping")
    return fields


def array_writer(write: Write) -> Write:
    """Return the writer of a list or tuple, as one block of items that ``write`` appends."""

    def write_array(out: bytearray, value: object, depth: int) -> None:
        check_depth(value, depth)
        if type(value) is not list:
            value = plain(value)
            if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray | memoryview):
                raise MisfitError.of(value, "a list")
        if value:
            write_varint(out, len(value))
        for index, item in enumerate(value):
            try:
                write(out, item, depth + 1)
            except MisfitError as misfit:
                raise misfit.inside(index) from None
        out.append(0)

    return write_array


def map_writer(write: Write) -> Write:
    """Return the writer of a mapping, as one block of values that ``write`` appends behind their keys."""

    def write_map(out: bytearray, value: object, depth: int) -> None:
        check_depth(value, depth)
        if type(value) is not dict and not isinstance(value, Mapping):  # the second takes five times as long
            value = fields_of(value)
        if value:
            write_varint(out, len(value))
        for key, item in value.items():
            if not isinstance(key, str):
                raise MisfitError.of(key, "field names are str").inside(repr(key)[:40])
            try:
                write_string(out, key, depth)
                write(out, item, depth + 1)
            except MisfitError as misfit:
                raise misfit.inside(key) from None
        out.append(0)

    return write_map
