"""Avro's logical types in the direction of reading: conversions from Avro's plain types to Python's.

The values equal those of fastavro's reader, with these exceptions. A decimal of more digits than its schema allows is
refused (fastavro rounds it). A ``uuid`` on 16 fixed bytes is a UUID. A value that Python's type cannot hold stays the
number or text of the wire: a moment outside the years 1 to 9999, a time of 24:00 and an invalid ``uuid``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

from flowbridge_sdk.avro.misfit import path_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - Avro's local-timestamp has no zone by definition
DAYS_BEFORE_EPOCH = date(1970, 1, 1).toordinal()

DIGITS_LIMIT = 1000
"""Digits in a decimal, and places by which its point may be shifted either way."""

_EXACT = Context(prec=2 * DIGITS_LIMIT)


class UnreadableError(ValueError):
    """Bytes that do not follow the schema.

    Attributes:
        path: Names and indexes from the record down to the value.

    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.path: list[str | int] = []

    def __str__(self) -> str:
        where = path_text(self.path)
        return f"field {where}: {super().__str__()}" if where else super().__str__()


def unreadable_in(part: str | int, error: Exception) -> UnreadableError:
    """Return the error of a value, with the value's name or index added to its path."""
    if not isinstance(error, UnreadableError):
        error = UnreadableError("the message ends too early" if isinstance(error, IndexError) else str(error))
    error.path.insert(0, part)
    return error


def _moment_of(epoch: datetime, unit: timedelta) -> Callable[[int], datetime | int]:
    def convert(number: int) -> datetime | int:
        try:
            return epoch + number * unit
        except OverflowError:  # outside the years 1 to 9999
            return number

    return convert


def _day_of(days: int) -> date | int:
    try:
        return date.fromordinal(days + DAYS_BEFORE_EPOCH)
    except (ValueError, OverflowError):
        return days


def _clock_of(units: int) -> Callable[[int], time | int]:
    to_micros = 1_000_000 // units

    def convert(number: int) -> time | int:
        seconds, rest = divmod(number, units)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        try:
            return time(hour, minute, second, rest * to_micros)
        except (ValueError, OverflowError):  # 24:00 and beyond
            return number

    return convert


def _uuid_of(text: str) -> UUID | str:
    try:
        return UUID(text)
    except ValueError:
        return text


_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)

CONVERSIONS: dict[tuple[str, str | None], Callable[[Any], Any]] = {
    ("long", "timestamp-millis"): _moment_of(EPOCH, _MILLISECOND),
    ("long", "timestamp-micros"): _moment_of(EPOCH, _MICROSECOND),
    ("long", "local-timestamp-millis"): _moment_of(LOCAL_EPOCH, _MILLISECOND),
    ("long", "local-timestamp-micros"): _moment_of(LOCAL_EPOCH, _MICROSECOND),
    ("int", "date"): _day_of,
    ("int", "time-millis"): _clock_of(1000),
    ("long", "time-micros"): _clock_of(1_000_000),
    ("string", "uuid"): _uuid_of,
    ("fixed", "uuid"): lambda b: UUID(bytes=b),
}


def decimal_of(unscaled: bytes, scale: int) -> Decimal:
    """Return ``unscaled * 10**-scale`` exactly; ``unscaled`` is two's complement, big endian."""
    return Decimal(int.from_bytes(unscaled, "big", signed=True)).scaleb(-scale, _EXACT)


def decimal_reader(schema: Mapping[str, Any]) -> Callable[[bytes], Decimal]:
    """Return the conversion of a decimal field's bytes; it refuses more digits than the schema allows."""
    precision, scale = schema["precision"], schema.get("scale", 0)
    most = 10**precision

    def convert(unscaled: bytes) -> Decimal:
        # compared as an int: writing a hostile megabyte out as decimal digits would take seconds
        if abs(int.from_bytes(unscaled, "big", signed=True)) >= most:
            raise UnreadableError(f"a decimal has more than {precision} digits")
        return decimal_of(unscaled, scale)

    return convert
