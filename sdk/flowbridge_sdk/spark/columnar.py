"""Writes payloads in Avro for a whole batch of Arrow at once: each column's encoding is made in numpy and Arrow.

One by one, payloads of five fields take 3 to 4 µs each, which is as much as all else that Spark does for a row. Here
they take less than 1 µs. It knows the types that most columns have, for the generic payload and for records, also where
a field may be null: texts, bytes, numbers, booleans and moments. Where a batch has anything else, it returns None, and
the encoder writes the rows one by one. So refused values have one place that explains them. Both write the same bytes
(``test_spark_batches.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowbridge_sdk.avro.encoding import write_string, write_varint
from flowbridge_sdk.codec import PAYLOAD_LIMIT, SINGLE_OBJECT
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.schemas import GENERIC

Content: TypeAlias = Callable[[pa.Array], "list[pa.Array] | None"]
"""Returns the encoding of the values of an array without nulls, in pieces; None if a value cannot be sent."""

_MOMENT = {"type": "long", "logicalType": "timestamp-micros"}
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, in microseconds since 1970."""

_VARINT_BYTES = 10
_INT_TYPES = (pa.int8(), pa.int16(), pa.int32())
_LONG_TYPES = (*_INT_TYPES, pa.int64())
_TEXT_TYPES = (pa.string(), pa.large_string())
_BYTES_TYPES = (pa.binary(), pa.large_binary())
_FLOAT_TYPES = (pa.float32(), pa.float64())


def varints(numbers: np.ndarray[Any, Any]) -> pa.Array:
    """Return int64 numbers as zigzag varints."""
    rest = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    sizes = np.ones(len(rest), np.int32)
    for size in range(1, _VARINT_BYTES):
        longer = rest >= np.uint64(1 << 7 * size)
        if not longer.any():
            break
        sizes += longer
    ends = np.zeros(len(rest) + 1, np.int32)
    np.cumsum(sizes, out=ends[1:])
    data = np.empty(ends[-1], np.uint8)
    for index in range(int(sizes.max(initial=0))):
        there = np.flatnonzero(sizes > index)
        seven = (rest[there] >> np.uint64(7 * index)).astype(np.uint8) & 0x7F
        data[ends[there] + index] = seven | (sizes[there] > index + 1).astype(np.uint8) << 7
    return _of_bytes(data, ends)


def _of_bytes(data: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)])


def _long(array: pa.Array) -> list[pa.Array]:
    return [varints(array.cast(pa.int64()).to_numpy())]


def _double(array: pa.Array) -> list[pa.Array] | None:
    numbers = array.cast(pa.float64()).to_numpy()
    if not np.isfinite(numbers).all():
        return None
    ends = np.arange(0, 8 * len(numbers) + 1, 8, dtype=np.int32)
    return [_of_bytes(np.ascontiguousarray(numbers, "<f8").view(np.uint8), ends)]


def _boolean(array: pa.Array) -> list[pa.Array]:
    bits = array.to_numpy(zero_copy_only=False).astype(np.uint8)
    return [_of_bytes(bits, np.arange(len(bits) + 1, dtype=np.int32))]


def _bytes(array: pa.Array) -> list[pa.Array]:
    content = array.cast(pa.binary())
    return [varints(pc.binary_length(content).cast(pa.int64()).to_numpy()), content]


def _text(array: pa.Array) -> list[pa.Array] | None:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:  # no UTF-8
        return None
    return _bytes(array)


def _moment(array: pa.Array) -> list[pa.Array] | None:
    micros = array.cast(pa.int64()).to_numpy()
    if len(micros) and not (micros.min() >= _EARLIEST and micros.max() <= _LATEST):
        return None
    return [varints(micros)]


def _generic_branch(kind: pa.DataType) -> tuple[int, Content] | None:
    """Return a type's branch of the union in payload.avsc, and what writes its values."""
    if kind in _LONG_TYPES:
        return 2, _long
    if kind in _FLOAT_TYPES:
        return 3, _double
    if kind in _TEXT_TYPES:
        return 4, _text
    if kind in _BYTES_TYPES:
        return 5, _bytes
    if pa.types.is_boolean(kind):
        return 1, _boolean
    return (6, _moment) if _is_moment(kind) else None


def _is_moment(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and kind.unit == "us" and kind.tz is not None


def _content(schema: Any, kind: pa.DataType) -> Content | None:
    """Return what writes values of an Arrow type in a type of Avro."""
    if schema == _MOMENT:
        return _moment if _is_moment(kind) else None
    known: dict[str, tuple[Sequence[pa.DataType], Content]] = {
        "string": (_TEXT_TYPES, _text),
        "bytes": (_BYTES_TYPES, _bytes),
        "long": (_LONG_TYPES, _long),
        "int": (_INT_TYPES, _long),
        "double": (_FLOAT_TYPES, _double),
        "boolean": ((pa.bool_(),), _boolean),
    }
    if not isinstance(schema, str) or schema not in known:
        return None
    types, content = known[schema]
    return content if kind in types else None


class ColumnWriter:
    """Writes the payloads of events.

    Args:
        encoder: The encoder of the events.
        name: Their name.
        columns: The columns of the payload.

    """

    def __init__(self, encoder: EventEncoder, name: str, columns: Sequence[str]) -> None:
        typed = encoder.schema_of(name)
        self._framing = SINGLE_OBJECT + (typed or GENERIC).fingerprint
        self._columns = columns
        self._fields: list[Mapping[str, Any]] | None = None
        self._knows = not encoder.has_registry  # whose schemas only the encoder knows
        if typed:
            schema = json.loads(typed.text)
            self._fields = schema["fields"] if isinstance(schema, dict) and schema.get("type") == "record" else []
            # a field without a column has a default, which the encoder writes
            self._knows &= {field["name"] for field in self._fields} == set(columns)

    def write(self, arrays: Mapping[str, pa.Array], rows: int) -> pa.Array | None:
        """Return the values of the records of a batch; None if the encoder has to write them.

        Args:
            arrays: The columns of the batch.
            rows: The number of its rows.

        """
        if not self._knows or not self._columns:
            return None
        head = bytearray(self._framing)
        pieces: list[pa.Array | bytes] = []
        if self._fields is None:
            write_varint(head, len(self._columns))
            for column in self._columns:
                name = bytearray()
                write_string(name, column, 0)
                found = _generic_branch(arrays[column].type)
                written = found and _nullable(arrays[column], 0, *found)
                if not written:
                    return None
                pieces += [bytes(name), *written]
            pieces.append(b"\0")
        else:
            for field in self._fields:
                written = _field(field["type"], arrays[field["name"]])
                if not written:
                    return None
                pieces += written
        joined: list[Any] = []
        for same, group in groupby([bytes(head), *pieces], lambda piece: isinstance(piece, bytes)):
            run = list(group)
            joined += [pa.scalar(b"".join(run), pa.binary())] if same else run
        values = pc.binary_join_element_wise(*joined, pa.scalar(b"", pa.binary()))
        if rows and pc.max(pc.binary_length(values)).as_py() - len(self._framing) > PAYLOAD_LIMIT:
            return None
        return values


def _field(schema: Any, array: pa.Array) -> list[pa.Array | bytes] | None:
    """Return the encoding of a record's field."""
    if isinstance(schema, list):
        if len(schema) != 2 or "null" not in schema:  # noqa: PLR2004 - null and another
            return None
        null = schema.index("null")
        content = _content(schema[1 - null], array.type)
        return content and _nullable(array, null, 1 - null, content)
    content = _content(schema, array.type)
    return [*written] if content and not array.null_count and (written := content(array)) else None


def _nullable(array: pa.Array, null: int, branch: int, content: Content) -> list[pa.Array | bytes] | None:
    """Return the encoding of a union of null and another branch."""
    if not array.null_count:
        written = content(array)
        return written and [bytes([2 * branch]), *written]
    valid = array.is_valid()
    written = content(array.filter(valid))
    if written is None:
        return None
    branches = pc.if_else(valid, pa.scalar(bytes([2 * branch]), pa.binary()), pa.scalar(bytes([2 * null]), pa.binary()))
    # the pieces of the values that are there, at the places of all
    places = pa.array(np.cumsum(valid.to_numpy(zero_copy_only=False)) - 1)
    places = pc.if_else(valid, places, pa.scalar(None, pa.int64()))
    return [branches, *(pc.fill_null(piece.take(places), b"") for piece in written)]
