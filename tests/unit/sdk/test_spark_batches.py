"""A batch of Arrow becomes the records that an encoder makes of its rows one by one."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbridge_sdk import BadPayloadError, EventEncoder, NotDeliveredError, RefusedError, event_id
from flowbridge_sdk.avro.encoding import write_varint
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.delivery.buffer import Buffer
from flowbridge_sdk.delivery.settings import PublisherSettings
from flowbridge_sdk.errors import RegistryUnavailableError, TooLargeError
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from flowbridge_sdk.spark.batches import EncodedRows, RowEncoder, StreamBatch
from flowbridge_sdk.spark.columnar import ColumnWriter, varints
from flowbridge_sdk.spark.columns import EventColumns
from flowbridge_sdk.spark.options import connected
from frameworks import golden

ENCODER = EventEncoder("shop")
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is added
TEXTS = st.text(max_size=8)
_LONGS = st.integers(-(2**63), 2**63 - 1)
_STRUCT = pa.struct([("a", pa.int32()), ("m", pa.map_(pa.string(), pa.list_(pa.date32())))])
KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), TEXTS),
    (pa.int64(), _LONGS),
    (pa.int8(), st.integers(-128, 127)),
    (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    (pa.bool_(), st.booleans()),
    (pa.binary(), st.binary(max_size=8)),
    (pa.decimal128(12, 3), st.decimals(-(10**6), 10**6, places=3)),
    (pa.date32(), st.dates()),
    (pa.timestamp("us", "America/New_York"), MOMENTS),
    (pa.list_(pa.string()), st.lists(TEXTS | st.none(), max_size=3)),
    (pa.map_(pa.string(), pa.int64()), st.dictionaries(TEXTS, _LONGS | st.none(), max_size=3)),
    (
        _STRUCT,
        st.builds(
            lambda a, m: {"a": a, "m": m},  # in the order of the struct's fields
            st.integers(-5, 5) | st.none(),
            st.dictionaries(TEXTS, st.lists(st.dates(), max_size=2) | st.none(), max_size=2) | st.none(),
        ),
    ),
    (pa.large_string(), TEXTS),  # as with spark.sql.execution.arrow.useLargeVarTypes
    (pa.large_binary(), st.binary(max_size=8)),
    (pa.null(), st.none()),
]
NAMES = [f"c{index}" for index in range(len(KINDS))]


def columns(payload: list[str], **more: Any) -> EventColumns:
    chosen: dict[str, Any] = {
        "name": "order.created",
        "payload": tuple(payload),
        "key": None,
        "time": None,
        "id": ("id",),
        "id_is_text": True,
        "id_scope": "global",
        "id_of_kafka": False,
        "source": None,
    }
    return EventColumns(**{**chosen, **more})


def records(rows: EncodedRows) -> list[tuple[str, bytes | None, bytes, list[tuple[str, bytes]], str]]:
    """Return the records, after making sure that both forms of them are the same."""
    ids = rows.ids.to_pylist()
    events = [(rows.topic, *record, id_) for record, id_ in zip(rows.as_records(), ids, strict=True)]
    sunk = rows.as_kafka_columns()
    sunk.validate(full=True)
    places = [tuple(row[name] for name in ("topic", "key", "value")) for row in sunk.to_pylist()]
    assert [event[:3] for event in events] == places
    headers = [[(header["key"], header["value"]) for header in row] for row in sunk["headers"].to_pylist()]
    assert [event[3] for event in events] == headers
    return events


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    row = st.fixed_dictionaries(
        {
            **{name: values | st.none() for name, (_, values) in zip(NAMES, KINDS, strict=True)},
            "id": st.text(min_size=1, max_size=8),
            "key": TEXTS | st.none(),
            "time": MOMENTS,
            "source": st.text(min_size=1, max_size=5) | st.none(),
        }
    )
    return draw(st.lists(row, max_size=5))


@given(tables(), st.integers(0, 2))
def test_a_batch_becomes_the_records_of_its_rows(table: list[dict[str, Any]], skipped: int) -> None:
    types = [(name, kind) for name, (kind, _) in zip(NAMES, KINDS, strict=True)]
    types += [("id", pa.string()), ("key", pa.string()), ("time", pa.timestamp("us", "UTC")), ("source", pa.string())]
    batch = pa.RecordBatch.from_pylist(table, pa.schema(types)).slice(min(skipped, len(table)))
    encoder = RowEncoder(columns(NAMES, key="key", time="time", source="source"), ENCODER, None)
    expected = []
    for row in table[skipped:]:
        event = {name: row[name] for name in ("id", "key", "time", "source")}
        expected.append(tuple(ENCODER.encode("order.created", {name: row[name] for name in NAMES}, **event)))
    assert records(encoder.encode(batch)) == expected


_WIDE = st.one_of(_LONGS, st.integers(-200, 200), st.sampled_from([2**k + d for k in range(6, 63) for d in (-1, 0)]))
FIELDS: list[tuple[Any, pa.DataType, st.SearchStrategy[Any]]] = [
    ("string", pa.string(), st.text(max_size=200)),
    ("long", pa.int64(), _WIDE),
    ("long", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    ("int", pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    ("double", pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    ("double", pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    ("boolean", pa.bool_(), st.booleans()),
    ("bytes", pa.large_binary(), st.binary(max_size=100)),
    ({"type": "long", "logicalType": "timestamp-micros"}, pa.timestamp("us", "Asia/Tokyo"), MOMENTS),
]


@st.composite
def simple_tables(draw: st.DrawFn) -> tuple[list[Any], pa.RecordBatch]:
    """Draw fields of the types that are written as columns, any of which may be null, and rows of them."""
    fields, arrays = [], {}
    rows = draw(st.integers(1, 6))
    for index in range(draw(st.integers(1, 5))):
        schema, kind, values = draw(st.sampled_from(FIELDS))
        union = draw(st.sampled_from([schema, ["null", schema], [schema, "null"]]))
        fields.append({"name": f"c{index}", "type": union})
        drawn = st.lists(values if union == schema else values | st.none(), min_size=rows, max_size=rows)
        arrays[f"c{index}"] = pa.array(draw(drawn), kind)
    arrays["id"] = pa.array([str(row) for row in range(rows)])
    return draw(st.permutations(fields)), pa.record_batch(arrays)


@pytest.mark.parametrize("is_typed", [True, False])
@given(simple_tables())
def test_payloads_written_as_columns_have_the_bytes_of_those_written_one_by_one(
    is_typed: bool,  # noqa: FBT001 - pytest passes it by name
    table: tuple[list[Any], pa.RecordBatch],
) -> None:
    fields, batch = table
    text = json.dumps({"type": "record", "name": "Row", "fields": fields})
    encoder = EventEncoder(
        "s", schemas=EventSchemas.of([EventSchema.parse("row", text, "row.avsc")] if is_typed else [])
    )
    names = [name for name in batch.schema.names if name != "id"]
    written = ColumnWriter(encoder, "row", names).write(dict(zip(batch.schema.names, batch.columns, strict=True)), 6)
    assert written is not None
    rows = batch.select(names).to_pylist()
    assert written.to_pylist() == [encoder.encode_payload("row", row) for row in rows]


def test_numbers_of_each_length_are_varints() -> None:
    numbers = [sign * (2**bits + more) for bits in range(63) for more in (-1, 0, 1) for sign in (1, -1)]
    numbers += [-(2**63), 2**63 - 1]
    expected = []
    for number in numbers:
        write_varint(out := bytearray(), number)
        expected.append(bytes(out))
    assert varints(np.array(numbers, np.int64)).to_pylist() == expected
    assert varints(np.array([], np.int64)).to_pylist() == []


def test_a_payload_over_the_limit_is_refused() -> None:
    batch = batch_of(id=["a", "b"], text=["x", "x" * (1 << 20)])
    with pytest.raises(TooLargeError):
        RowEncoder(columns(["text"]), ENCODER, None).encode(batch)


def test_the_golden_event_is_encoded() -> None:
    schemas = EventSchemas.of([EventSchema.parse(golden.NAME, golden.SCHEMA, "golden.avsc")])
    encoder = EventEncoder(golden.SOURCE, schemas=schemas)
    at = datetime.fromisoformat(str(golden.FIELDS["at"]))
    row = {**golden.FIELDS, "at": at, "amount": Decimal("12.50"), "id": golden.ID, "k": golden.KEY, "t": golden.TIME}
    moment = pa.timestamp("us", "Asia/Tokyo")
    types = {"order_id": pa.string(), "amount": pa.decimal128(10, 2), "lines": pa.list_(pa.int64()), "at": moment}
    types |= {"note": pa.string(), "id": pa.string(), "k": pa.string(), "t": moment}
    chosen = columns([*golden.FIELDS], name=golden.NAME, key="k", time="t")
    encoded = RowEncoder(chosen, encoder, None).encode(pa.RecordBatch.from_pylist([row], pa.schema(types)))
    assert records(encoded) == [tuple(golden.RECORD)]


def batch_of(**arrays: Any) -> pa.RecordBatch:
    return pa.record_batch(
        {name: array if isinstance(array, pa.Array) else pa.array(array) for name, array in arrays.items()}
    )


def test_large_types_of_arrow_are_keys_and_ids_as_others() -> None:
    batch = batch_of(id=pa.array(["a"], pa.large_string()), k=pa.array(["c-7"], pa.large_string()))
    ((_, key, _, headers, id_),) = records(RowEncoder(columns([], key="k", source="k"), ENCODER, None).encode(batch))
    assert (key, id_, dict(headers)["ce_source"]) == (b"c-7", "a", b"c-7")


def ids(batch: pa.RecordBatch, *parts: str, within: StreamBatch | None = None, is_text: bool = False) -> list[str]:
    chosen = columns([], id=parts, id_is_text=is_text, id_scope="batch" if within else "global")
    found: list[str] = RowEncoder(chosen, ENCODER, within).encode(batch).ids.to_pylist()
    return found


def test_an_id_is_one_column_or_a_hash_of_several() -> None:
    day = date(2026, 1, 31)
    batch = batch_of(n=[7, -8], text=["a", "b"], day=[day, day])
    assert ids(batch, "text", is_text=True) == ["a", "b"]
    assert ids(batch, "n", is_text=True) == ["7", "-8"]
    assert ids(batch, "day", "n") == [event_id("2026-01-31", 7), event_id("2026-01-31", -8)]


def test_an_id_within_a_batch_is_the_same_when_the_batch_runs_again_and_differs_between_batches() -> None:
    batch = batch_of(n=[1, 2])
    first, second = StreamBatch("query", 1), StreamBatch("query", 2)
    assert ids(batch, "n", within=first) == ids(batch, "n", within=first) == [event_id("query", 1, n) for n in (1, 2)]
    assert not set(ids(batch, "n", within=first)) & set(ids(batch, "n", within=second))


def test_a_batch_job_has_no_batches_that_repeat() -> None:
    with pytest.raises(RefusedError, match="id_scope=batch: expected a streaming query, found a batch job"):
        RowEncoder(columns([], id_scope="batch", id_is_text=False), ENCODER, None)


def test_two_rows_of_one_record_of_kafka_are_refused_also_across_batches() -> None:
    encoder = RowEncoder(columns([], id=("o",), id_is_text=False, id_of_kafka=True), ENCODER, None)
    assert len(encoder.encode(batch_of(o=[1, 2])).ids) == 2
    with pytest.raises(RefusedError, match="are of the same record of Kafka; expected a row for each record"):
        encoder.encode(batch_of(o=[2, 3]))
    with pytest.raises(RefusedError, match="rows 1 and 2 of a batch"):
        encoder.encode(batch_of(o=[4, 5, 5]))


@pytest.mark.parametrize(
    ("arrays", "more", "error"),
    [
        ({"id": ["a", None]}, {}, "id: expected a value in column id of each row, found null in row 1"),
        ({"id": ["a", ""]}, {}, "an event's id is a text that is not empty"),
        ({"id": ["a" * 1025]}, {}, "an event's id has 1025 bytes; 1024 is the limit"),
        (
            {"id": ["a"], "t": pa.array([None], pa.timestamp("us", "UTC"))},
            {"time": "t"},
            "time: expected a moment in column t of each row, found null in row 0",
        ),
        (
            {"id": ["a"], "t": pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))},
            {"time": "t"},
            "time: expected moments in the years 1 to 9999 in UTC in column t",
        ),
        ({"id": ["a"], "s": [""]}, {"source": "s"}, "an event's source is a text that is not empty"),
        (
            {"id": ["a"], "t": pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))},
            {"payload": ["t"]},
            "column t: a value cannot be read",
        ),
        (
            {"id": ["a"], "t": pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())},
            {"payload": ["t"]},
            "column t: a value cannot be read: ",
        ),
    ],
)
def test_a_value_that_cannot_be_sent_names_its_column(arrays: dict[str, Any], more: dict[str, Any], error: str) -> None:
    chosen = columns(**{"payload": [], **more})
    with pytest.raises(RefusedError, match=error):
        RowEncoder(chosen, ENCODER, None).encode(batch_of(**arrays))


def test_a_payload_that_cannot_be_sent_names_its_field_and_a_note_names_its_event() -> None:
    batch = batch_of(id=["e-1", "e-2"], part=[{"share": 0.5}, {"share": float("nan")}])
    with pytest.raises(BadPayloadError, match=r"field part\.share") as refused:
        RowEncoder(columns(["part"]), ENCODER, None).encode(batch)
    assert refused.value.__notes__ == ["in the row of the event with the id e-2"]


def test_without_a_time_an_event_happens_when_it_is_encoded() -> None:
    before = datetime.now(UTC)
    ((_, _, _, headers, _),) = records(RowEncoder(columns([]), ENCODER, None).encode(batch_of(id=["a"])))
    assert timedelta() <= datetime.fromisoformat(dict(headers)["ce_time"].decode()) - before < timedelta(seconds=30)


def test_integers_are_keys_as_their_text_and_bytes_as_they_are() -> None:
    batch = batch_of(id=["a", "b"], n=[7, None], y=[b"\xff", None])
    for key, expected in (("n", [b"7", None]), ("y", [b"\xff", None])):
        rows = records(RowEncoder(columns(["n"], key=key), ENCODER, None).encode(batch))
        assert [row[1] for row in rows] == expected
    assert [Decoder().decode(row[0], row[2]) for row in rows] == [{"n": 7}, {"n": None}]


def test_a_registry_is_asked_in_each_process() -> None:
    assert connected(ENCODER, "") is ENCODER
    with pytest.raises(RegistryUnavailableError):
        connected(ENCODER, "http://127.0.0.1:1").encode("order.created")


def test_many_events_are_taken_at_once_and_the_buffer_stays_bounded(bootstrap: str) -> None:
    kafka = {**PublisherSettings.of(bootstrap).kafka, "queue.buffering.max.messages": 10}
    buffer = Buffer(kafka, 30, None)
    events = [ENCODER.encode("many.at.once", {"n": number}) for number in range(100)]
    buffer.put_all("many.at.once", [event[1:4] for event in events], "many.at.once")
    assert len(buffer) <= 10
    buffer.flush(None)
    sent = golden.read_all(bootstrap, "many.at.once", len(events))
    assert sorted(record.value() for record in sent) == sorted(event.value for event in events)
    assert all(abs(record.timestamp()[1] / 1000 - time.time()) < 60 for record in sent)
    buffer.close()


def test_failures_of_many_events_are_told_once_each_reason() -> None:
    kafka = {**PublisherSettings.of("127.0.0.1:1").kafka, "message.timeout.ms": 200}
    buffer = Buffer(kafka, 1, None)
    buffer.put_all("lost", [ENCODER.encode("lost", {"n": number})[1:4] for number in range(3)], "lost")
    with pytest.raises(NotDeliveredError) as lost:
        buffer.flush(None)
    buffer.close()
    assert lost.value.failed == 3
    assert str(lost.value).splitlines() == [
        "3 events were not delivered, 0 are still in the buffer",
        "  lost: not acknowledged in time (Local: Message timed out); is Kafka reachable?",
    ]
