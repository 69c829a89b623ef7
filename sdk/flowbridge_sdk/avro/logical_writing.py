"""Avro's logical types in the direction of writing: conversions from Python's types to Avro's plain ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from flowbridge_sdk.avro.logical import DAYS_BEFORE_EPOCH, DIGITS_LIMIT, EPOCH, LOCAL_EPOCH
from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.payloads.foreign import plain

Convert: TypeAlias = Callable[[Any], Any]

_MICROSECOND = timedelta(microseconds=1)
EARLIEST = (LOCAL_EPOCH.min - LOCAL_EPOCH) // _MICROSECOND
"""The first moment of the year 1, in microseconds since 1970."""

LATEST = (LOCAL_EPOCH.max - LOCAL_EPOCH) // _MICROSECOND
"""The last one of the year 9999."""


def micros_of(value: object) -> int:
    """Return a moment as microseconds since 1970 in UTC.

    Raises:
        MisfitError: It is no datetime, has no time zone, or lies outside the years 1 to 9999 in UTC.

    """
    if type(value) is not datetime:
        value = _datetime(value)
    if value.utcoffset() is None:
        raise MisfitError.of(value, "a datetime with a time zone, as in .replace(tzinfo=UTC)")
    past = value - EPOCH
    micros = (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds  # half of what dividing costs
    if not EARLIEST <= micros <= LATEST:
        raise MisfitError.of(value, "a moment in the years 1 to 9999 in UTC")
    return int(micros)


def _datetime(value: object) -> datetime:
    value = plain(value)
    if not isinstance(value, datetime):
        expected = "a datetime" if not isinstance(value, date) else "a datetime; a date alone names no moment"
        raise MisfitError.of(value, expected)
    if value != value:  # noqa: PLR0124 - only pandas' NaT differs from itself
        raise MisfitError.of(value, "a datetime; None says that there is none")
    return value


def scaled(value: Decimal) -> tuple[int, int]:
    """Return a decimal as (unscaled, scale), exactly.

    Raises:
        MisfitError: It is not finite, or has more than 1000 digits or places.

    """
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise MisfitError.of(value, "a finite Decimal: a workflow's parameters cannot hold NaN or infinity")
    if len(digits) > DIGITS_LIMIT or abs(exponent) > DIGITS_LIMIT:
        raise MisfitError.of(value, f"a Decimal of at most {DIGITS_LIMIT} digits and places")
    unscaled = int("".join(map(str, digits)))
    return (-unscaled if sign else unscaled), -exponent


def twos_complement(number: int) -> bytes:
    """Return the shortest big-endian two's complement."""
    bits = (~number if number < 0 else number).bit_length()
    return number.to_bytes(bits // 8 + 1, "big", signed=True)


def _decimal(schema: Mapping[str, Any]) -> Convert:
    precision: int = schema["precision"]
    scale: int = schema.get("scale", 0)
    size: int | None = schema.get("size")
    expected = f"at most {precision} digits, {scale} of them behind the point"

    def convert(value: object) -> bytes:
        value = plain(value)
        if isinstance(value, int) and value is not True and value is not False and value.bit_length() < DIGITS_LIMIT:
            value = Decimal(value)
        if not isinstance(value, Decimal):
            raise MisfitError.of(value, "a Decimal")
        unscaled, places = scaled(value)
        if places > scale and unscaled % 10 ** (places - scale):
            raise MisfitError.of(value, expected)
        shift: int = 10 ** abs(scale - places)
        unscaled = unscaled * shift if places <= scale else unscaled // shift
        if abs(unscaled) >= 10**precision:
            raise MisfitError.of(value, expected)
        encoded = twos_complement(unscaled)
        if size is None:
            return encoded
        if len(encoded) > size:
            raise MisfitError.of(value, f"a Decimal that fits {size} bytes")
        return unscaled.to_bytes(size, "big", signed=True)

    return convert


def _local_micros(value: object) -> int:
    value = _datetime(value)
    if value.utcoffset() is not None:
        raise MisfitError.of(value, "a datetime without a time zone: the field is a local timestamp")
    return int((value.replace(tzinfo=None) - LOCAL_EPOCH) // _MICROSECOND)


def _days(value: object) -> int:
    value = plain(value)
    if isinstance(value, datetime):
        raise MisfitError.of(value, "a date, as in .date()")
    if not isinstance(value, date):
        raise MisfitError.of(value, "a date")
    return value.toordinal() - DAYS_BEFORE_EPOCH


def _clock_micros(value: object) -> int:
    if not isinstance(value, time) or value.tzinfo is not None:
        raise MisfitError.of(value, "a time without a time zone")
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def _uuid(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    raise MisfitError.of(value, "a UUID")


STRICT: dict[tuple[str, str], Callable[[Mapping[str, Any]], Convert]] = {
    ("long", "timestamp-millis"): lambda _: lambda value: micros_of(value) // 1000,
    ("long", "timestamp-micros"): lambda _: micros_of,
    ("long", "local-timestamp-millis"): lambda _: lambda value: _local_micros(value) // 1000,
    ("long", "local-timestamp-micros"): lambda _: _local_micros,
    ("int", "date"): lambda _: _days,
    ("int", "time-millis"): lambda _: lambda value: _clock_micros(value) // 1000,
    ("long", "time-micros"): lambda _: _clock_micros,
    ("string", "uuid"): lambda _: lambda value: str(_uuid(value)),
    ("fixed", "uuid"): lambda _: lambda value: _uuid(value).bytes,
    ("bytes", "decimal"): _decimal,
    ("fixed", "decimal"): _decimal,
}
"""(type, logical type) to a function from a schema to its conversion. A union tries these before ``LENIENT``."""


class _Forms(NamedTuple):
    """The forms that a field for a day or a time takes, in addition to Python's own type.

    Attributes:
        parse: Returns the value of a text, or raises ValueError.
        least: The least number, in the unit of the schema.
        most: The largest number.
        expected: All forms, for errors.

    """

    parse: Callable[[str], Any]
    least: int
    most: int
    expected: str


def _lenient(strict: Callable[[Mapping[str, Any]], Convert], forms: _Forms) -> Any:
    """Return a conversion that also takes the number that the schema means, and a text."""

    def converted(schema: Mapping[str, Any]) -> Convert:
        convert = strict(schema)

        def convert_leniently(value: object) -> Any:
            if isinstance(value, str):
                try:
                    return convert(forms.parse(value))
                except (ValueError, MisfitError):
                    raise MisfitError.of(value, forms.expected) from None
            value = plain(value)
            if isinstance(value, int) and value is not True and value is not False:
                if not forms.least <= value <= forms.most:
                    raise MisfitError.of(value, f"{forms.expected}; a number is {forms.least} to {forms.most}")
                return value
            if not isinstance(value, date | time):
                raise MisfitError.of(value, forms.expected)
            return convert(value)

        return convert_leniently

    return converted


def _decimal_leniently(schema: Mapping[str, Any]) -> Convert:
    convert = _decimal(schema)

    def convert_leniently(value: object) -> bytes:
        value = plain(value)
        if isinstance(value, str | float):
            text = value if isinstance(value, str) else repr(value)
            try:
                value = Decimal(text) if len(text) <= 2 * DIGITS_LIMIT else value
            except ArithmeticError:
                raise MisfitError.of(value, 'a Decimal, or its text, such as "12.50"') from None
        return convert(value)  # type: ignore[no-any-return] # _decimal returns bytes

    return convert_leniently


_MOMENT = 'a datetime, a number in the unit of the schema, or a text with a time zone, such as "2026-01-31T12:00:00Z"'
_LOCAL = 'a datetime without a time zone, a number in the unit of the schema, or a text, such as "2026-01-31T12:00:00"'
_DATE = 'a date, a number of days since 1970, or a text, such as "2026-01-31"'
_TIME = 'a time, a number in the unit of the schema, or a text, such as "12:00:00"'
_DAY = 86_400_000_000  # microseconds
_FORMS = {
    "timestamp-millis": _Forms(datetime.fromisoformat, EARLIEST // 1000, LATEST // 1000, _MOMENT),
    "timestamp-micros": _Forms(datetime.fromisoformat, EARLIEST, LATEST, _MOMENT),
    "local-timestamp-millis": _Forms(datetime.fromisoformat, EARLIEST // 1000, LATEST // 1000, _LOCAL),
    "local-timestamp-micros": _Forms(datetime.fromisoformat, EARLIEST, LATEST, _LOCAL),
    "date": _Forms(date.fromisoformat, EARLIEST // _DAY, LATEST // _DAY, _DATE),
    "time-millis": _Forms(time.fromisoformat, 0, _DAY // 1000 - 1, _TIME),
    "time-micros": _Forms(time.fromisoformat, 0, _DAY - 1, _TIME),
}

LENIENT = {
    (kind, logical): _lenient(strict, _FORMS[logical]) if logical in _FORMS else strict
    for (kind, logical), strict in STRICT.items()
} | {("bytes", "decimal"): _decimal_leniently, ("fixed", "decimal"): _decimal_leniently}
"""The same, for fields that may be nothing else: they also take numbers and texts."""
