"""An event's attributes as record headers."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbridge_sdk.attributes.checked import moment_of
from flowbridge_sdk.avro.logical import EPOCH
from flowbridge_sdk.errors import BadAttributeError, BadHeaderError
from flowbridge_sdk.headers import EventHead, read_headers, write_headers
from flowbridge_sdk.payloads.times import read_micros, read_time

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
moments = st.datetimes(timezones=st.just(UTC))


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@given(names, text, text, moments)
def test_what_is_written_reads_back(name: str, event_id: str, source: str, moment: datetime) -> None:
    head = read_headers(write_headers(name, event_id, source, moment), "t", 0, 0, 0)
    assert head == EventHead(name, event_id, source, (moment - EPOCH) // timedelta(microseconds=1))


def test_the_headers_are_those_of_the_cloudevents_binding() -> None:
    assert write_headers("order.created", "o-1", "shop", datetime(2026, 1, 31, 12, tzinfo=UTC)) == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"o-1"),
        ("ce_source", b"shop"),
        ("ce_type", b"order.created"),
        ("ce_time", b"2026-01-31T12:00:00.000000Z"),
        ("content-type", b"application/avro"),
    ]


@pytest.mark.parametrize("headers", [None, [], [("trace", b"7"), ("ce_id", None)]])
def test_without_headers_the_record_speaks(headers: list[tuple[str, bytes | None]] | None) -> None:
    assert read_headers(headers, "a_x20b", 3, 42, 1_700_000_000_123) == EventHead(
        "a b", "a_x20b/3/42", "a_x20b", 1_700_000_000_123_000
    )


def test_each_header_falls_back_by_itself() -> None:
    head = read_headers([("ce_source", b"shop")], "order.created", 0, 1, 2)
    assert head == EventHead("order.created", "order.created/0/1", "shop", 2000)


@pytest.mark.parametrize(
    ("time", "micros"),
    [
        (b"1970-01-01T00:00:01Z", 1_000_000),
        (b"1970-01-01T01:00:00+01:00", 0),
        (b"1970-01-01T00:00:00.123456789Z", 123_456),  # Java writes nanoseconds
        (b"1969-12-31T23:59:59.999999Z", -1),
        (b"1970-01-01t00:00:01.5z", 1_500_000),
        (b"1970-01-01T00:00:01-00:00", 1_000_000),
        (b"1969-12-31T23:59:60Z", 0),  # a leap second is the first moment of the next minute
        (b"1970-01-01T00:59:60+01:00", 0),
    ],
)
def test_times_are_read_to_the_microsecond(time: bytes, micros: int) -> None:
    assert read_headers([("ce_time", time)], "t", 0, 0, 0).time_us == micros


NO_TIMES = [
    b"",
    b"yesterday",
    b"2026-01-31T12:00:00",
    b"2026-02-30T00:00:00Z",
    b"\xff",
    b"0001-01-01T00:00:00+02:00",  # a zero date east of Greenwich lies before the year 1
    b"9999-12-31T23:59:59-05:00",
    b"9999-12-31T23:59:60Z",
    b"2026-01-31T12:00:60Z",  # no leap second
    b"2026-01-31T24:00:00Z",
    b"2026-01-31T12:00Z",
    b"2026-01-31 12:00:00Z",
    b"2026-01-31T12:00:00.Z",
    b"2026-01-31T12:00:00,5Z",
    b"2026-01-31T12:00:300Z",  # Python reads this, and the next four
    b"2026-01-31T12:00:00+0100",
    b"20260131T120000Z",
    b"2026-W05-6T12:00:00Z",
    b"2026-01-31T12:00:00.123456tZ",
    "\N{FULLWIDTH DIGIT TWO}026-01-31T12:00:00Z".encode(),
]


@pytest.mark.parametrize("time", NO_TIMES)
def test_a_bad_time_is_named(time: bytes) -> None:
    with pytest.raises(BadHeaderError, match="ce_time") as bad:
        read_headers([("ce_time", time)], "t", 0, 0, 0)
    assert bad.value.header == "ce_time"
    assert bad.value.permanent


@pytest.mark.parametrize("header", ["ce_id", "ce_source", "ce_type"])
@pytest.mark.parametrize("content", [b"\xff\xfe", b""])
def test_a_bad_header_is_named(header: str, content: bytes) -> None:
    with pytest.raises(BadHeaderError) as bad:
        read_headers([("ce_id", b"1"), (header, content)], "t", 0, 0, 0)
    assert bad.value.header == header


def test_a_name_with_a_control_character_is_refused_and_not_shown_raw() -> None:
    with pytest.raises(BadHeaderError, match="no control characters") as bad:
        read_headers([("ce_type", b"order\x1b[2J.created")], "order.created", 0, 0, 0)
    assert bad.value.header == "ce_type"
    assert bad.value.permanent
    assert "\x1b" not in str(bad.value)


@given(
    st.text("0123456789-+:.,TtZz W", max_size=34),
    st.sampled_from([b"2026-01-31T12:00:00.123456Z", b"2026-12-31T23:59:59.123Z", b"2026-01-31T12:00:00Z"]),
)
def test_the_short_way_to_read_a_time_takes_what_the_long_one_takes(noise: str, usual: bytes) -> None:
    for end in range(len(usual) + 1):
        time = usual[:end] + noise.encode()[: len(usual) - end]
        try:
            expected: object = read_time(time.decode()) // timedelta(microseconds=1)
        except ValueError:
            expected = "refused"
        try:
            found: object = read_micros(time)
        except ValueError:
            found = "refused"
        assert found == expected


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
        datetime(2026, 1, 31),  # noqa: DTZ001 - refused
        "2026-01-31T12:00:00Z",
    ],
)
def test_a_time_that_no_reader_could_take_is_not_published(moment: Any) -> None:
    with pytest.raises(BadAttributeError, match="an event's time: expected a"):
        moment_of(moment)
