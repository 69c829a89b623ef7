"""What a data engineer has in hand is taken: numbers and texts for days and times, rows, numpy's and pandas' values."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from io import BytesIO
from typing import Any, NamedTuple
from uuid import UUID

import fastavro
import numpy as np
import pytest

from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.errors import BadPayloadError
from flowbridge_sdk.schemas import EventSchema, EventSchemas

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LOCAL_NOON = NOON.replace(tzinfo=None)
MILLIS = int(NOON.timestamp() * 1000)
DAYS = (date(2026, 1, 31) - date(1970, 1, 1)).days


def _field(logical: str) -> dict[str, Any]:
    kind = "int" if logical in ("date", "time-millis") else "long"
    return {"type": kind, "logicalType": logical}


def _decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def _codec(*types: Any) -> tuple[Encoder, Decoder]:
    fields = [{"name": f"f{index}", "type": kind} for index, kind in enumerate(types)]
    text = json.dumps({"type": "record", "name": "T", "fields": fields})
    schemas = EventSchemas.of([EventSchema.parse("t", text, "t.avsc")])
    return Encoder(schemas), Decoder(schemas)


def _read_back(kind: Any, value: Any) -> Any:
    encoder, decoder = _codec(kind)
    return decoder.decode("t", encoder.encode("t", {"f0": value}))["f0"]


def _generic(value: Any) -> Any:
    return Decoder().decode("t", Encoder().encode("t", {"f0": value}))["f0"]


# -- days and times ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda kind: kind, lambda kind: ["null", kind]], ids=["alone", "nullable"])
@pytest.mark.parametrize(
    ("logical", "given", "expected"),
    [
        ("timestamp-millis", MILLIS, NOON),
        ("timestamp-micros", MILLIS * 1000, NOON),
        ("timestamp-millis", "2026-01-31T12:00:00Z", NOON),
        ("timestamp-micros", "2026-01-31T13:00:00.000001+01:00", NOON + timedelta(microseconds=1)),
        ("timestamp-micros", "20260131T120000Z", NOON),
        ("local-timestamp-millis", MILLIS, LOCAL_NOON),
        ("local-timestamp-micros", "2026-01-31T12:00:00", LOCAL_NOON),
        ("local-timestamp-micros", "2026-01-31", datetime(2026, 1, 31)),  # noqa: DTZ001 - local by definition
        ("date", DAYS, date(2026, 1, 31)),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("time-millis", 43_200_000, time(12)),
        ("time-micros", "12:00:00.5", time(12, 0, 0, 500_000)),
        ("time-micros", "12:00", time(12)),
        ("timestamp-millis", np.int64(MILLIS), NOON),
        ("local-timestamp-micros", np.datetime64("2026-01-31T12:00:00.000000001"), LOCAL_NOON),
        ("date", np.datetime64("2026-01-31"), date(2026, 1, 31)),
    ],
)
def test_a_number_in_the_schemas_unit_and_a_text_in_iso_8601_are_taken(
    wrap: Any, logical: str, given: Any, expected: Any
) -> None:
    assert _read_back(wrap(_field(logical)), given) == expected


@pytest.mark.parametrize(
    ("logical", "given", "right"),
    [
        ("timestamp-millis", "2026-01-31T12:00:00", "a text with a time zone, such as"),
        ("timestamp-millis", "noon", "a text with a time zone, such as"),
        ("timestamp-millis", "0001-01-01T00:00:00+02:00", "a datetime, a number"),
        ("timestamp-millis", MILLIS * 1_000_000, "a number is -62135596800000 to 253402300799999"),  # nanoseconds
        ("timestamp-micros", True, "a datetime, a number in the unit of the schema, or a text"),
        ("timestamp-micros", 1.5, "a datetime, a number in the unit of the schema, or a text"),
        ("timestamp-micros", LOCAL_NOON, r"a time zone, as in \.replace\(tzinfo=UTC\)"),
        ("timestamp-micros", date(2026, 1, 31), "a date alone names no moment"),
        ("timestamp-micros", np.datetime64("2026-01-31T12:00"), r"as in \.replace\(tzinfo=UTC\)"),
        ("local-timestamp-micros", NOON, "without a time zone"),
        ("local-timestamp-micros", "2026-01-31T12:00:00Z", "a datetime without a time zone"),
        ("date", NOON, r"a date, as in \.date\(\)"),
        ("date", "2026-02-30", "a date, a number of days since 1970"),
        ("date", 3_000_000, "a number is -719162 to 2932896"),
        ("time-millis", 86_400_000, "a number is 0 to 86399999"),
        ("time-millis", time(12, tzinfo=UTC), "a time without a time zone"),
        ("time-micros", "12:00:00+01:00", "a time, a number in the unit of the schema"),
    ],
)
def test_what_is_no_such_day_or_time_is_refused_with_what_to_write(logical: str, given: Any, right: str) -> None:
    with pytest.raises(BadPayloadError, match=rf"field f0: found .*{right}"):
        _read_back(_field(logical), given)


def test_a_text_stays_a_text_where_the_union_has_one() -> None:
    kind = ["null", _field("timestamp-micros"), "string"]
    assert _read_back(kind, "2026-01-31T12:00:00Z") == "2026-01-31T12:00:00Z"
    assert _read_back(kind, NOON) == NOON


@pytest.mark.parametrize("given", ["12.50", Decimal("12.5"), 12.5, "1250e-2", np.float64(12.5)])
def test_a_decimal_takes_texts_and_floats_by_the_digits_that_they_show(given: Any) -> None:
    assert _read_back(_decimal(9, 2), given) == Decimal("12.50")
    assert _read_back(["null", _decimal(9, 2)], given) == Decimal("12.50")


@pytest.mark.parametrize("given", ["", "twelve", "NaN", 0.1 + 0.2, float("inf"), True, "9" * 5000])
def test_what_is_no_such_decimal_is_refused(given: Any) -> None:
    with pytest.raises(BadPayloadError, match="field f0"):
        _read_back(_decimal(9, 2), given)


def test_a_generic_payload_takes_days_and_times_as_text() -> None:
    assert _generic(date(2026, 1, 31)) == "2026-01-31"
    assert _generic(time(12, 30)) == "12:30:00"
    assert _generic(datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))) == NOON
    with pytest.raises(BadPayloadError, match=r"field f0: found a datetime .*as in \.replace\(tzinfo=UTC\)"):
        _generic(LOCAL_NOON)


# -- numpy, pandas, Spark ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.int32(7), 7),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),  # noqa: FBT003 - numpy's constructor
        (np.str_("a"), "a"),
        (np.bytes_(b"a"), b"a"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array("a"), "a"),
        (np.array(["2026-01-31"], "datetime64[D]"), ["2026-01-31"]),
        (np.datetime64("NaT"), None),
        ([np.int8(1), {"a": np.float64(2)}], [1, {"a": 2.0}]),
    ],
)
def test_what_numpy_holds_is_the_plain_value(given: Any, expected: Any) -> None:
    found = _generic(given)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "given",
    [
        np.timedelta64(5, "ns"),
        np.timedelta64(5, "s"),
        np.longdouble("0.1"),
        np.complex128(1j),
        np.datetime64("20000-01-01"),
        np.uint64(2**63),
        np.float64("nan"),
        np.array([1j]),
    ],
)
def test_what_numpy_holds_and_a_payload_cannot_is_refused(given: Any) -> None:
    with pytest.raises(BadPayloadError, match="field f0"):
        _generic(given)
    with pytest.raises(BadPayloadError, match="field f0"):
        _read_back("long", given)


def test_typed_fields_take_numpys_values() -> None:
    encoder, decoder = _codec("int", "long", "double", "boolean", "string", {"type": "array", "items": "float"})
    row = (np.int8(1), np.int64(2), np.float32(0.5), np.bool_(False), np.str_("a"), np.array([1.0, 2.0]))  # noqa: FBT003 - numpy's
    value = encoder.encode("t", {f"f{index}": field for index, field in enumerate(row)})
    assert list(decoder.decode("t", value).values()) == [1, 2, 0.5, False, "a", [1.0, 2.0]]


class Pandas(NamedTuple):
    """As ``DataFrame.itertuples(index=False)`` yields."""

    f0: Any
    f1: Any


class Row(tuple[Any, ...]):  # noqa: SLOT001 - nor does Spark's
    """As Spark's ``Row``: a tuple that knows its names."""

    __fields__: tuple[str, ...] = ("f0", "f1")


class Series:
    """As a row of a frame, ``frame.iloc[0]``."""

    __module__ = "pandas.core.series"
    ndim = 1

    def to_dict(self) -> dict[str, Any]:
        return {"f0": np.int64(1), "f1": "a"}


@pytest.mark.parametrize("row", [Pandas(1, "a"), Row((1, "a")), Series()])
def test_a_row_is_a_mapping_of_its_fields(row: Any) -> None:
    encoder, decoder = _codec("long", "string")
    assert decoder.decode("t", encoder.encode("t", row)) == {"f0": 1, "f1": "a"}
    assert Decoder().decode("t", Encoder().encode("t", row)) == {"f0": 1, "f1": "a"}
    assert _generic([row]) == [{"f0": 1, "f1": "a"}]


def test_a_row_without_names_is_a_list() -> None:
    assert _generic((1, "a")) == [1, "a"]


# -- unions of records -------------------------------------------------------------------------------------------------

CARD = {"type": "record", "name": "Card", "namespace": "pay", "fields": [{"name": "number", "type": "string"}]}
CASH = {"type": "record", "name": "Cash", "namespace": "pay", "fields": [{"name": "number", "type": "string"}]}


@pytest.mark.parametrize(
    ("given", "branch"),
    [
        ({"number": "1"}, 1),  # the first that fits
        (("Cash", {"number": "1"}), 2),
        (("pay.Cash", {"number": "1"}), 2),
        ({"-type": "Cash", "number": "1"}, 2),
        ({"-type": "pay.Card", "number": "1"}, 1),
    ],
)
def test_a_name_chooses_the_branch_of_a_union_of_records(given: Any, branch: int) -> None:
    encoder, decoder = _codec(["null", CARD, CASH])
    value = encoder.encode("t", {"f0": given})
    assert value[10:11] == bytes([2 * branch])
    assert decoder.decode("t", value) == {"f0": {"number": "1"}}


def test_of_two_records_with_one_short_name_the_full_name_decides() -> None:
    other = {**CASH, "name": "Card", "namespace": "gift"}
    encoder, _ = _codec([CARD, other])
    assert encoder.encode("t", {"f0": ("gift.Card", {"number": "1"})})[10:11] == b"\x02"
    with pytest.raises(BadPayloadError, match=r"field f0\['-type'\]: found a str 'Card'; one of pay.Card, gift.Card"):
        encoder.encode("t", {"f0": {"-type": "Card", "number": "1"}})


def test_a_misfit_in_a_union_is_told_with_all_that_the_field_takes() -> None:
    item = {"type": "record", "name": "Item", "fields": [{"name": "at", "type": _field("timestamp-millis")}]}
    encoder, _ = _codec(["null", item])
    with pytest.raises(BadPayloadError, match=r"field f0\.at: found a str 'noon'; a datetime, a number in the unit"):
        encoder.encode("t", {"f0": {"at": "noon"}})


def test_what_lenient_fields_wrote_any_avro_reader_reads() -> None:
    encoder, _ = _codec(_field("date"), ["null", _decimal(9, 2)], {"type": "string", "logicalType": "uuid"})
    uuid = "12345678-1234-5678-1234-567812345678"
    value = encoder.encode("t", {"f0": DAYS, "f1": "12.5", "f2": uuid})
    fields = [
        ("f0", _field("date")),
        ("f1", ["null", _decimal(9, 2)]),
        ("f2", {"type": "string", "logicalType": "uuid"}),
    ]
    schema = {"type": "record", "name": "T", "fields": [{"name": name, "type": kind} for name, kind in fields]}
    read = fastavro.schemaless_reader(BytesIO(value[10:]), fastavro.parse_schema(schema), None)
    assert read == {"f0": date(2026, 1, 31), "f1": Decimal("12.50"), "f2": UUID(uuid)}
