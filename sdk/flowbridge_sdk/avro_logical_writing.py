"""What Avro's logical types are in Python, in the direction of writing: a conversion to the plain type, or a misfit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from flowbridge_sdk.avro_logical import DAYS_BEFORE_EPOCH, DIGITS_LIMIT, EPOCH, LOCAL_EPOCH
from flowbridge_sdk.misfit import MisfitError

Convert: TypeAlias = Callable[[Any], Any]

_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (LOCAL_EPOCH.min - LOCAL_EPOCH) // _MICROSECOND
_LATEST = (LOCAL_EPOCH.max - LOCAL_EPOCH) // _MICROSECOND


def micros_of(value: object) -> int:
    """Return a moment as microseconds since 1970 in UTC.

    Raises:
        MisfitError: It is no datetime, has no time zone, or lies outside the years 1 to 9999 in UTC.

    """
    if not isinstance(value, datetime):
        raise MisfitError(value, "a datetime")
    if value.utcoffset() is None:
        raise MisfitError(value, "a datetime with a time zone, as in .replace(tzinfo=UTC)")
    micros = (value - EPOCH) // _MICROSECOND
    if not _EARLIEST <= micros <= _LATEST:
        raise MisfitError(value, "a moment in the years 1 to 9999 in UTC")
    return micros


def scaled(value: Decimal) -> tuple[int, int]:
    """Return a decimal as (unscaled, scale), exactly.

    Raises:
        MisfitError: It is not finite, or has more than 1000 digits or places.

    """
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise MisfitError(value, "a finite Decimal: a workflow's parameters cannot hold NaN or infinity")
    if len(digits) > DIGITS_LIMIT or abs(exponent) > DIGITS_LIMIT:
        raise MisfitError(value, f"a Decimal of at most {DIGITS_LIMIT} digits and places")
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
    right = f"at most {precision} digits, {scale} of them behind the point"

    def convert(value: object) -> bytes:
        if isinstance(value, int) and value is not True and value is not False and value.bit_length() < DIGITS_LIMIT:
            value = Decimal(value)
        if not isinstance(value, Decimal):
            raise MisfitError(value, "a Decimal")
        unscaled, places = scaled(value)
        if places > scale and unscaled % 10 ** (places - scale):
            raise MisfitError(value, right)
        shift: int = 10 ** abs(scale - places)
        unscaled = unscaled * shift if places <= scale else unscaled // shift
        if abs(unscaled) >= 10**precision:
            raise MisfitError(value, right)
        encoded = twos_complement(unscaled)
        if size is None:
            return encoded
        if len(encoded) > size:
            raise MisfitError(value, f"a Decimal that fits {size} bytes")
        return unscaled.to_bytes(size, "big", signed=True)

    return convert


def _local_micros(value: object) -> int:
    if not isinstance(value, datetime):
        raise MisfitError(value, "a datetime")
    if value.utcoffset() is not None:
        raise MisfitError(value, "a datetime without a time zone: the field is a local timestamp")
    return (value.replace(tzinfo=None) - LOCAL_EPOCH) // _MICROSECOND


def _days(value: object) -> int:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise MisfitError(value, "a date")
    return value.toordinal() - DAYS_BEFORE_EPOCH


def _clock_micros(value: object) -> int:
    if not isinstance(value, time) or value.tzinfo is not None:
        raise MisfitError(value, "a time without a time zone")
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def _uuid(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    raise MisfitError(value, "a UUID")


LOGICAL: dict[tuple[str, str], Callable[[Mapping[str, Any]], Convert]] = {
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
"""(type, logical type) to what makes the conversion from that type's schema."""
