"""What Avro's logical types are in Python, in the direction of reading.

The values equal those of fastavro's reader, except that a decimal of more digits than its schema allows is refused
(fastavro rounds it) and that a ``uuid`` on 16 fixed bytes is a UUID.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - Avro's local-timestamp has no zone by definition
DAYS_BEFORE_EPOCH = date(1970, 1, 1).toordinal()

DIGITS_LIMIT = 1000
"""Digits in a decimal, and places by which its point may be shifted either way."""

_EXACT = Context(prec=2 * DIGITS_LIMIT)


class UnreadableError(ValueError):
    """Bytes that are not what the schema says."""


UNREADABLE = (IndexError, ValueError, OverflowError, KeyError, ArithmeticError)
"""What a reader raises on bytes that are not what the schema says."""


def _clock(seconds: int, micros: int) -> time:
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return time(hour, minute, second, micros)


CONVERSIONS: dict[tuple[str, str | None], Callable[[Any], Any]] = {
    ("long", "timestamp-millis"): lambda n: EPOCH + timedelta(milliseconds=n),
    ("long", "timestamp-micros"): lambda n: EPOCH + timedelta(microseconds=n),
    ("long", "local-timestamp-millis"): lambda n: LOCAL_EPOCH + timedelta(milliseconds=n),
    ("long", "local-timestamp-micros"): lambda n: LOCAL_EPOCH + timedelta(microseconds=n),
    ("int", "date"): lambda n: date.fromordinal(n + DAYS_BEFORE_EPOCH),
    ("int", "time-millis"): lambda n: _clock(n // 1000, n % 1000 * 1000),
    ("long", "time-micros"): lambda n: _clock(n // 1_000_000, n % 1_000_000),
    ("string", "uuid"): UUID,
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
