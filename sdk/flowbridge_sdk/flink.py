"""Publish from Apache Flink: rows become records that Flink's own Kafka sink writes, exactly once if it is told so.

A table passes ``encoded`` and is inserted into the table of ``sink_table``. A DataStream passes ``as_row`` and
``records_of``, and is inserted into the same table. The sink table has the columns ``key``, ``value`` and ``headers``.
It leaves out ``timestamp``, so a record carries the time at which Flink produces it. ``ce_time`` has the event's time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flowbridge_sdk.attributes.places import PlaceIds
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.errors import BadAttributeError, SettingsError
from flowbridge_sdk.ids import event_id

try:
    from pyflink.common import Row, Types
    from pyflink.table import DataTypes
    from pyflink.table.expressions import col, map_from_arrays
    from pyflink.table.types import (
        BinaryType,
        CharType,
        LocalZonedTimestampType,
        VarBinaryType,
        VarCharType,
    )
    from pyflink.table.udf import ScalarFunction, udf
except ImportError as missing:
    raise SettingsError(
        f"Flink needs more packages ({missing.name} is missing): pip install 'flowbridge-sdk[flink]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyflink.common.typeinfo import TypeInformation
    from pyflink.datastream import DataStream
    from pyflink.table import StreamTableEnvironment, Table

    from flowbridge_sdk.encoder import EncodedEvent

KAFKA_PLACE = (
    "`kafka_topic` STRING NOT NULL METADATA FROM 'topic' VIRTUAL, "
    "`kafka_partition` INT NOT NULL METADATA FROM 'partition' VIRTUAL, "
    "`kafka_offset` BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL"
)
"""Columns for the DDL of a Kafka source table. A row that has them needs no other id."""

ROW_TYPE: TypeInformation = Types.ROW_NAMED(
    ["key", "value", "header_names", "header_values"],
    [
        Types.PRIMITIVE_ARRAY(Types.BYTE()),
        Types.PRIMITIVE_ARRAY(Types.BYTE()),
        Types.OBJECT_ARRAY(Types.STRING()),
        Types.OBJECT_ARRAY(Types.PRIMITIVE_ARRAY(Types.BYTE())),
    ],
)
"""The type of ``as_row``, for ``DataStream.map(…, output_type=ROW_TYPE)``."""

_COLUMN_TYPE = DataTypes.ROW(
    [
        DataTypes.FIELD("key", DataTypes.BYTES()),
        DataTypes.FIELD("value", DataTypes.BYTES()),
        DataTypes.FIELD("header_names", DataTypes.ARRAY(DataTypes.STRING())),
        DataTypes.FIELD("header_values", DataTypes.ARRAY(DataTypes.BYTES())),
    ]
)
_PLACE = ("kafka_topic", "kafka_partition", "kafka_offset")
_KEYS = (CharType, VarCharType, BinaryType, VarBinaryType)
_SINK_DEFAULTS = {
    "transaction.timeout.ms": "900000",  # the most that brokers allow by default; Flink's own hour is refused
    "max.request.size": str(2 << 20),  # a payload of 1 MiB and its headers; the topic's own limit still counts
}


def sink_table(
    table: str,
    name: str,
    *,
    bootstrap: str,
    transactional_id_prefix: str,
    properties: Mapping[str, str] | None = None,
    encoder: EventEncoder | None = None,
) -> str:
    """Return the DDL of a table that writes events to Kafka, exactly once. It is created by ``execute_sql``.

    Args:
        table: The table's name in Flink.
        name: The events' name, which decides the topic.
        bootstrap: Kafka's addresses.
        transactional_id_prefix: Of this sink alone among all jobs of the Kafka cluster, and the same in each run of
            the job: a restored job ends the transactions of its predecessor by it.
        properties: Properties of Kafka's producer. ``transaction.timeout.ms`` is 15 minutes unless given.
        encoder: The encoder of the events, if names share topics; one of the environment's settings unless given.

    Raises:
        BadNameError: The name cannot be a topic's.
        SettingsError: A setting of the environment is wrong.

    """
    options = {
        "connector": "kafka",
        "topic": (encoder or EventEncoder()).topic_for(name),
        "properties.bootstrap.servers": bootstrap,
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": transactional_id_prefix,
        **{f"properties.{key}": text for key, text in {**_SINK_DEFAULTS, **(properties or {})}.items()},
    }
    quoted = (f"'{key}' = '{text.replace(chr(39), chr(39) * 2)}'" for key, text in options.items())
    columns = "`key` BYTES, `value` BYTES, `headers` MAP<STRING, BYTES> METADATA"
    return f"CREATE TABLE `{table.replace('`', '``')}` ({columns}) WITH ({', '.join(quoted)})"


def encoded(
    table: Table,
    name: str,
    *,
    key: str | None = None,
    id: str | Sequence[str] | None = None,  # noqa: A002 - the attribute's name in CloudEvents
    time: str | None = None,
    payload: Sequence[str] | None = None,
    encoder: EventEncoder | Callable[[], EventEncoder] | None = None,
) -> Table:
    """Return the records of a table's rows, each an event, for ``execute_insert`` into a ``sink_table``.

    Args:
        table: A table that is only appended to. Its columns become the payload: a ROW is a mapping in it.
        name: The events' name.
        key: The column of the key, STRING or BYTES; no key unless given.
        id: The column of the id, a STRING. Several columns, or a column of another type, make an id by ``event_id``.
            Unless given, the columns of ``KAFKA_PLACE`` do.
        time: The column that says when it happened, TIMESTAMP_LTZ; unless given, the time of encoding.
        payload: The columns of the payload; all but those of ``KAFKA_PLACE`` unless given.
        encoder: Encodes the events in Python workers, or a function that makes it there, as a schema registry needs;
            one of the environment's settings unless given.

    Raises:
        SettingsError: A column is missing or of another type, or there is no id; or a setting of the environment is
            wrong.

    A row that cannot be an event fails the job with a ``RefusedError``. So does a second row of one Kafka record, as
    UNNEST makes it, if there is no ``id``.

    """
    schema = table.get_resolved_schema()
    types = dict(zip(schema.get_column_names(), schema.get_column_data_types(), strict=True))
    if id is None and not types.keys() >= set(_PLACE):
        raise SettingsError(
            f"event {name!r}: expected `id`, the column of an id that is the same whenever the row is computed, or the "
            f"columns {', '.join(_PLACE)} (KAFKA_PLACE in the DDL of a Kafka source); found the columns "
            f"{', '.join(types)}"
        )
    ids = _PLACE if id is None else (id,) if isinstance(id, str) else tuple(id)
    fields = tuple(column for column in types if column not in _PLACE) if payload is None else tuple(payload)
    for argument, columns, kinds, expected in (
        ("key", (key,) if key else (), _KEYS, "STRING or BYTES"),
        ("id", ids, (object,), ""),
        ("time", (time,) if time else (), LocalZonedTimestampType, "TIMESTAMP_LTZ"),
        ("payload", fields, (object,), ""),
    ):
        for column in columns:
            if column not in types:
                raise SettingsError(
                    f"event {name!r}: expected a column of the table as `{argument}`, found {column!r}; "
                    f"the table has {', '.join(types)}"
                )
            if not isinstance(types[column], kinds):
                raise SettingsError(
                    f"event {name!r}: expected {expected} as `{argument}`, found column {column} of type "
                    f"{types[column]}; CAST it"
                )
    if not ids:
        raise SettingsError(f"event {name!r}: expected a column or more as `id`, found none")
    columns = tuple(dict.fromkeys((*fields, *ids, *(column for column in (key, time) if column))))
    function = _Encode(encoder or EventEncoder(), name, columns, fields, key, ids, time, placed=id is None)
    event = udf(function, result_type=_COLUMN_TYPE)(*map(col, columns)).alias("event")
    parts = [col("event").get(part).alias(part) for part in _COLUMN_TYPE.field_names()]
    return _records(table.select(event).select(*parts))


def as_row(event: EncodedEvent) -> Row:
    """Return an encoded event as a row of ``ROW_TYPE``, for a function of the DataStream API."""
    names, values = zip(*event.headers, strict=True)
    return Row(event.key, event.value, list(names), list(values))


def records_of(tables: StreamTableEnvironment, rows: DataStream) -> Table:
    """Return the records of a stream of ``as_row``, for ``execute_insert`` into a ``sink_table``."""
    return _records(tables.from_data_stream(rows))


def _records(rows: Table) -> Table:
    # a Python dict loses its order on its way into a MAP; a MAP of two arrays keeps theirs
    headers = map_from_arrays(col("header_names"), col("header_values"))
    return rows.select(col("key"), col("value"), headers.alias("headers"))


class _Encode(ScalarFunction):  # type: ignore[misc] # where the SDK is checked, PyFlink is missing
    """Encodes a row. Flink pickles it on its way to the Python workers."""

    def __init__(
        self,
        encoder: EventEncoder | Callable[[], EventEncoder],
        name: str,
        columns: Sequence[str],
        payload: Sequence[str],
        key: str | None,
        ids: Sequence[str],
        time: str | None,
        *,
        placed: bool,
    ) -> None:
        self._made = encoder
        self._name = name
        self._columns = columns
        self._payload = payload
        self._key = key
        self._ids = ids
        self._time = time
        self._places = PlaceIds(name) if placed else None

    def open(self, _context: object) -> None:
        self._encoder = self._made if isinstance(self._made, EventEncoder) else self._made()

    def eval(self, *values: Any) -> Row:
        row = {column: _plain(value) for column, value in zip(self._columns, values, strict=True)}
        ids = [row[column] for column in self._ids]
        identity: str | None
        if self._places is not None:
            identity = self._places.take(*ids)
        elif len(ids) > 1 or not isinstance(ids[0], str | None):
            identity = event_id(*ids)
        else:
            identity = ids[0]
        if identity is None or (self._time and row[self._time] is None):
            column, attribute = (self._ids[0], "id") if identity is None else (self._time, "time")
            raise BadAttributeError(f"event {self._name!r}: expected its {attribute} in column {column}, found NULL")
        payload = {column: row[column] for column in self._payload}
        key, time = (row[column] if column else None for column in (self._key, self._time))
        return as_row(self._encoder.encode(self._name, payload, key=key, id=identity, time=time))


def _plain(value: Any) -> Any:
    """Return a value of PyFlink as the encoder takes it."""
    if isinstance(value, datetime):  # PyFlink gives a TIMESTAMP_LTZ in UTC, and calls that the session's time zone
        return value if value.tzinfo is None else value.replace(tzinfo=UTC)
    if isinstance(value, Row):
        return {name: _plain(field) for name, field in value.as_dict().items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
