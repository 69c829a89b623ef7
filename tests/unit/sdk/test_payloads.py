"""What a generic payload may hold, that it reads back equal, and how it is refused."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbridge_sdk.codec import PAYLOAD_LIMIT, Decoder, Encoder
from flowbridge_sdk.errors import BadPayloadError, RefusedError, TooLargeError
from flowbridge_sdk.schemas import GENERIC

PREFIX = 10
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
    st.binary(max_size=20),
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones),  # noqa: DTZ001 - Hypothesis adds the zone
    st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: abs(d.as_tuple().exponent) <= 1000),  # type: ignore[arg-type] # it is finite
    st.uuids(),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
payloads = st.dictionaries(text, values, max_size=5)


@given(payloads)
def test_what_is_written_reads_back_equal(payload: dict[str, Any]) -> None:
    value = Encoder().encode("any", payload)
    assert Decoder().decode("any", value) == payload


@given(payloads)
def test_types_survive(payload: dict[str, Any]) -> None:
    back = Decoder().decode("any", Encoder().encode("any", payload))
    assert [type(value) for value in back.values()] == [type(value) for value in payload.values()]


def _plain(value: Any) -> Any:
    """Take the schema's wrapper records off what a plain Avro reader returns."""
    if isinstance(value, dict) and value.keys() == {"value"}:
        return _plain(value["value"])
    if isinstance(value, dict) and value.keys() == {"micros"}:
        return value["micros"]
    if isinstance(value, dict) and value.keys() == {"unscaled", "scale"}:
        return Decimal(int.from_bytes(value["unscaled"], "big", signed=True)).scaleb(-value["scale"])
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def test_any_avro_reader_reads_it_with_the_schema_file() -> None:
    payload = {
        "none": None,
        "yes": True,
        "rows": -7,
        "amount": 12.5,
        "text": "grün",
        "raw": b"\x00\xff",
        "at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "price": Decimal("-1.50"),
        "lines": [1, "two", {"deep": [None]}],
    }
    value = Encoder().encode("any", payload)
    plain = fastavro.schemaless_reader(io.BytesIO(value[PREFIX:]), json.loads(GENERIC.text), None)
    assert _plain(plain["fields"]) == payload  # type: ignore[index,call-overload] # the schema is a record


def test_a_uuid_travels_as_its_16_bytes() -> None:
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    assert Encoder().encode("any", {"id": uuid})[PREFIX:].endswith(b"\x10" + uuid.bytes + b"\x00")


def test_a_tuple_reads_back_as_a_list_and_a_datetime_in_utc() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    back = Decoder().decode("any", Encoder().encode("any", {"t": (1, 2), "at": noon}))
    assert back["t"] == [1, 2]
    assert back["at"].isoformat() == "2026-07-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("payload", "path", "right"),
    [
        ({"order": {"lines": [{}, {}, {}, {"price": 1j}]}}, "order.lines[3].price", "a payload holds None"),
        ({"when": datetime(2026, 1, 1)}, "when", "time zone"),  # noqa: DTZ001 - it is what is refused
        ({"n": 2**63}, "n", "64 bits"),
        ({"n": float("nan")}, "n", "finite"),
        ({"n": [float("-inf")]}, "n[0]", "finite"),
        ({"n": Decimal("Infinity")}, "n", "finite"),
        ({"n": Decimal("1e1001")}, "n", "1000 digits"),
        ({"s": {1, 2}}, "s", "a payload holds"),
        ({"m": {3: "x"}}, "m['3']", "str"),
        ({"t": "\ud800"}, "t", "surrogate"),
        ({"odd key": object()}, "['odd key']", "a payload holds"),
        ({"late": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, "late", "9999"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_field(payload: Any, path: str, right: str) -> None:
    with pytest.raises(BadPayloadError) as refused:
        Encoder().encode("order.created", payload)
    assert refused.value.path == path
    assert right in refused.value.right
    assert path in str(refused.value)
    assert "order.created" in str(refused.value)


@pytest.mark.parametrize("payload", [[1], "text", 7, b"bytes"])
def test_a_payload_is_a_mapping(payload: Any) -> None:
    with pytest.raises(BadPayloadError, match="mapping"):
        Encoder().encode("any", payload)


def _nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = wrap(value)
    return value


def test_64_containers_inside_one_another_pass_and_65_do_not() -> None:
    fits = {"a": _nested(63, lambda inner: [inner])}
    assert Decoder().decode("any", Encoder().encode("any", fits)) == fits
    with pytest.raises(BadPayloadError, match="at most 64 containers"):
        Encoder().encode("any", {"a": _nested(64, lambda inner: {"b": inner})})


def test_a_payload_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(RefusedError):
        Encoder().encode("any", {"circle": circle})


def test_a_mebibyte_passes_and_more_does_not() -> None:
    around = len(Encoder().encode("any", {"data": b"x" * 500_000})) - PREFIX - 500_000
    Encoder().encode("any", {"data": b"x" * (PAYLOAD_LIMIT - around)})
    with pytest.raises(TooLargeError, match=f"{PAYLOAD_LIMIT + 1} bytes"):
        Encoder().encode("any", {"data": b"x" * (PAYLOAD_LIMIT - around + 1)})
