"""Encodes Arrow batches of rows as the Kafka records of events, column by column where that is faster.

A batch's values become Python values a column at a time, which takes a fraction of what one value at a time does. The
encoder writes each payload. The headers are made in Arrow for a sink of Spark, and in Python for a publisher.
``test_spark_batches.py`` holds both against what ``EventEncoder.encode`` returns for each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, repeat
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flowbridge_sdk.attributes.checked import TEXT_LIMIT, text_of
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.errors import RefusedError
from flowbridge_sdk.headers import OwnHeaders, write_headers
from flowbridge_sdk.ids import event_id
from flowbridge_sdk.spark.columnar import ColumnWriter
from flowbridge_sdk.spark.columns import EventColumns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a local timestamp has no zone
_TIME = b"0000-00-00T00:00:00.000000Z"
_DAY = 86_400_000_000  # microseconds
_TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
_EARLIEST = (_LOCAL_EPOCH.min - _LOCAL_EPOCH) // timedelta(microseconds=1)
_LATEST = (_LOCAL_EPOCH.max - _LOCAL_EPOCH) // timedelta(microseconds=1)


class StreamBatch(NamedTuple):
    """A batch of a streaming query; a batch that runs again has the same.

    Attributes:
        query: The query's id, which its checkpoint keeps.
        number: The batch's number.

    """

    query: str
    number: int


class EncodedRows(NamedTuple):
    """The records of a batch's events.

    Attributes:
        topic: Their topic.
        keys: Their keys; None for events without one.
        values: Their values, as bytes.
        ids: Their ids, as texts.
        headers: The headers that all of them have in order; those in ``own`` have another value in each record.
        own: The values of the headers that differ, by their position in ``headers``.

    """

    topic: str
    keys: pa.Array | None
    values: pa.Array
    ids: pa.Array
    headers: list[tuple[str, bytes]]
    own: dict[int, pa.Array]

    def as_kafka_columns(self) -> pa.RecordBatch:
        """Return the columns that Spark's Kafka sink expects: topic, key, value, headers."""
        rows, width = len(self.values), len(self.headers)
        # each header's value is looked up in one pool: first the shared values, then the columns of the others
        pool = pa.chunked_array([pa.array([value for _, value in self.headers], pa.binary()), *self.own.values()])
        places = np.empty((rows, width), np.int64)
        places[:] = np.arange(width)
        for index, position in enumerate(self.own):
            places[:, position] = np.arange(width + index * rows, width + (index + 1) * rows)
        names = pa.array([name for name, _ in self.headers]).take(pa.array(np.tile(np.arange(width), rows)))
        values = pool.combine_chunks().take(pa.array(places.ravel()))
        pairs = pa.StructArray.from_arrays([names, values], ["key", "value"])
        headers = pa.ListArray.from_arrays(pa.array(np.arange(0, rows * width + 1, width, dtype=np.int32)), pairs)
        keys = pa.nulls(rows, pa.binary()) if self.keys is None else self.keys
        columns = [pa.repeat(self.topic, rows), keys, self.values, headers]
        return pa.RecordBatch.from_arrays(columns, ["topic", "key", "value", "headers"])

    def as_records(self) -> Iterator[tuple[bytes | None, bytes, OwnHeaders]]:
        """Return key, value and headers of each record."""
        columns: list[Iterable[tuple[str, bytes]]] = [repeat(header) for header in self.headers]
        for position, own in self.own.items():
            columns[position] = zip(repeat(self.headers[position][0]), values_of(own), strict=False)
        headers = map(list, zip(*columns, strict=False))  # the shared ones without end
        keys = repeat(None) if self.keys is None else values_of(self.keys)
        return zip(keys, values_of(self.values), headers, strict=False)


class RowEncoder:
    """Encodes batches of rows.

    Args:
        columns: The columns of the event.
        encoder: The encoder of the event.
        batch: The batch of the streaming query, if the rows are of one.

    Raises:
        RefusedError: The ids are unique only within a batch of a streaming query, and there is no such batch.

    """

    def __init__(self, columns: EventColumns, encoder: EventEncoder, batch: StreamBatch | None) -> None:
        if columns.id_scope == "batch" and batch is None:
            raise RefusedError(
                "id_scope=batch: expected a streaming query, found a batch job, whose runs have no number; "
                "name columns that identify the event everywhere"
            )
        self._columns = columns
        self._encoder = encoder
        self._scope: tuple[str | int, ...] = tuple(batch or ()) if columns.id_scope == "batch" else ()
        self._topic = encoder.topic_for(columns.name)
        self._writer = ColumnWriter(encoder, columns.name, columns.payload)
        self._last_id = ""

    def encode(self, batch: pa.RecordBatch) -> EncodedRows:
        """Return the records of the rows of a batch.

        Raises:
            RefusedError: A row cannot be sent; the error names the column, and a note names the row.
            RegistryUnavailableError: The schema registry does not answer.
            NotRegisteredError: It does not hold the event's schema.

        """
        chosen, rows = self._columns, batch.num_rows
        arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
        ids = self._ids(arrays)
        now = datetime.now(UTC)
        headers = write_headers(chosen.name, "", self._encoder.source, now)
        position = {name: index for index, (name, _) in enumerate(headers)}
        own = {position["ce_id"]: ids.cast(pa.binary())}
        if chosen.time is not None:
            times = arrays[chosen.time]
            if times.null_count:
                row = times.is_null().to_pylist().index(True)
                raise RefusedError(
                    f"time: expected a moment in column {chosen.time} of each row, found null in row {row} of a batch; "
                    "filter such rows, or give them a moment (coalesce)"
                )
            micros = times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64())
            if len(micros) and (pc.min(micros).as_py() < _EARLIEST or pc.max(micros).as_py() > _LATEST):
                raise RefusedError(f"time: expected moments in the years 1 to 9999 in UTC in column {chosen.time}")
            own[position["ce_time"]] = _rfc_3339(micros.to_numpy())
        if chosen.source is not None:
            sources = _column_values(chosen.source, arrays[chosen.source])
            texts = [self._encoder.source if text is None else text_of("source", text) for text in sources]
            own[position["ce_source"]] = pa.array(texts, pa.string()).cast(pa.binary())
        keys = None
        if chosen.key is not None:
            keys = arrays[chosen.key]
            keys = (keys.cast(pa.string()) if pa.types.is_integer(keys.type) else keys).cast(pa.binary())
        values = self._writer.write(arrays, rows)
        if values is None:
            columns = [_column_values(column, arrays[column]) for column in chosen.payload]
            cells = zip(*columns, strict=True) if columns else repeat((), rows)
            payloads = map(dict, map(zip, repeat(chosen.payload), cells))
            encoded: list[bytes] = []
            try:
                encoded.extend(map(self._encoder.encode_payload, repeat(chosen.name), payloads))
            except RefusedError as error:  # the values before it are in the list
                error.add_note(f"in the row of the event with the id {ids[len(encoded)]}")
                raise
            values = pa.array(encoded, pa.binary())
        return EncodedRows(self._topic, keys, values, ids, headers, own)

    def _ids(self, arrays: dict[str, pa.Array]) -> pa.Array:
        """Return the id of each row."""
        chosen = self._columns
        for column in chosen.id:
            if arrays[column].null_count:
                row = arrays[column].is_null().to_pylist().index(True)
                raise RefusedError(
                    f"id: expected a value in column {column} of each row, found null in row {row} of a batch; "
                    "filter such rows, or name other columns"
                )
        if chosen.id_is_text:
            texts = arrays[chosen.id[0]].cast(pa.string())
            sizes = pc.binary_length(texts)
            if len(texts) and not (pc.min(sizes).as_py() > 0 and pc.max(sizes).as_py() <= TEXT_LIMIT):
                for text in _column_values(chosen.id[0], texts):
                    text_of("id", text)
            return texts
        parts = [_column_values(column, arrays[column]) for column in chosen.id]
        parts = [  # a date is its text, as a part of an id
            [
                value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else value
                for value in values
            ]
            for values in parts
        ]
        ids = [event_id(*self._scope, *row) for row in zip(*parts, strict=True)]
        if chosen.id_of_kafka and ids:  # several rows of a record have the same place, and only the first would count
            for index, (before, after) in enumerate(pairwise((self._last_id, *ids))):
                if before == after:
                    raise RefusedError(
                        f"id: rows {index - 1} and {index} of a batch are of the same record of Kafka; "
                        "expected a row for each record. Name columns that tell the rows apart (id)"
                    )
            self._last_id = ids[-1]
        return pa.array(ids, pa.string())


def _rfc_3339(micros: np.ndarray[Any, Any]) -> pa.Array:
    """Return microseconds since 1970 as texts; digit by digit, which takes a tenth of what Arrow's strftime does."""
    days, rest = np.divmod(micros, _DAY)
    different, places = np.unique(days, return_inverse=True)
    dates = np.datetime_as_string(different.view("datetime64[D]")).astype("S10").view(np.uint8).reshape(-1, 10)
    texts = np.empty((len(micros), len(_TIME)), np.uint8)
    texts[:] = np.frombuffer(_TIME, np.uint8)
    texts[:, :10] = dates[places]
    seconds, fraction = np.divmod(rest, 1_000_000)
    minutes, seconds = np.divmod(seconds.astype(np.int32), 60)
    hours, minutes = np.divmod(minutes, 60)
    for number, last, digits in (
        (hours, 12, 2),
        (minutes, 15, 2),
        (seconds, 18, 2),
        (fraction.astype(np.int32), 25, 6),
    ):
        left = number
        for place in range(last, last - digits, -1):
            left, digit = np.divmod(left, 10)
            texts[:, place] += digit.astype(np.uint8)
    ends = np.arange(0, texts.size + 1, len(_TIME), dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(micros), [None, pa.py_buffer(ends), pa.py_buffer(texts)])


def _column_values(column: str, array: pa.Array) -> list[Any]:
    try:
        return values_of(array)
    except (OverflowError, ValueError, pa.ArrowException) as error:  # a moment outside the years 1 to 9999; no UTF-8
        raise RefusedError(f"column {column}: a value cannot be read: {error}") from error


def values_of(array: pa.Array) -> list[Any]:
    """Return the Python values of an array: structs and maps as dicts, timestamps with a zone as datetimes in UTC.

    Raises:
        OverflowError: A moment or day lies outside the years 1 to 9999.
        ValueError: A text is no UTF-8.

    """
    kind = array.type
    if pa.types.is_struct(kind):
        fields = [values_of(field) for field in array.flatten()]
        names = [kind.field(index).name for index in range(kind.num_fields)]
        rows = zip(*fields, strict=True) if fields else [()] * len(array)
        dicts = [dict(zip(names, row, strict=True)) for row in rows]
        return _with_nulls(array, dicts)
    if pa.types.is_map(kind):
        pairs = zip(_parts(array, array.keys), _parts(array, array.items), strict=True)
        return _with_nulls(array, [dict(zip(keys, items, strict=True)) for keys, items in pairs])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _with_nulls(array, _parts(array, array.values))
    if pa.types.is_timestamp(kind):
        micros = array.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
        epoch = _LOCAL_EPOCH if kind.tz is None else _EPOCH
        moments: list[Any] = [epoch + timedelta(microseconds=number) for number in values_of(micros.fill_null(0))]
        return _with_nulls(array, moments)
    as_numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if kind in _TEXTS or (as_numbers and not array.null_count):
        values: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
    else:
        values = array.to_pylist()
    return values


def _with_nulls(array: pa.Array, values: list[Any]) -> list[Any]:
    """Return the values of an array, with None for its nulls."""
    if not array.null_count:
        return values
    present = array.is_valid().to_pylist()
    return [value if there else None for value, there in zip(values, present, strict=True)]


def _parts(array: pa.Array, items: pa.Array) -> list[list[Any]]:
    """Return the lists of an array of lists or maps, whose items stand one after the other."""
    ends = array.offsets.to_pylist()  # of a slice, those of its rows alone
    first = ends[0]
    values = values_of(items.slice(first, ends[-1] - first))
    return [values[start - first : end - first] for start, end in pairwise(ends)]
