"""Times as RFC 3339 writes them: no more, no less.

Python's ``fromisoformat`` reads other forms of ISO 8601, too (weeks, no separators, no zone). A time that one reader
takes and another refuses is worse than one that all refuse, so only RFC 3339's ``date-time`` is read here. A
leap second, which it allows, is the first moment of the next minute.

The range is checked after the conversion to UTC: ``0001-01-01T00:00:00+02:00`` has four digits of a year, and lies
before the year 1.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_FORM = re.compile(
    r"\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
).fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime.min.replace(tzinfo=UTC) - _EPOCH
_LATEST = datetime.max.replace(tzinfo=UTC) - _EPOCH
_SECONDS = slice(17, 19)
_LEAP = "60"
_UNITS = {24: 1_000, 27: 1}  # microseconds that the last digit stands for, by the length of a time in UTC
_TEN_SECONDS, _POINT = 17, 19
_DOT, _SIX = b".6"  # a second that begins with 6 is a leap second
_fromisoformat = datetime.fromisoformat

TIME_FORM = "RFC 3339 with a time zone, as in 2026-01-31T12:00:00.000000Z, in the years 1 to 9999 in UTC"
"""The form of a time, for errors."""


def read_time(text: str) -> timedelta:
    """Return the time since 1970 in UTC, cut to the microsecond.

    Raises:
        TypeError: It is no text.
        ValueError: It is no RFC 3339 time, or outside the years 1 to 9999 in UTC.

    """
    problem = f"expected {TIME_FORM}; found {text[:40]!r}"
    if not _FORM(text):
        raise ValueError(problem)
    is_leap = text[_SECONDS] == _LEAP
    moment = _fromisoformat(f"{text[:17]}59{text[19:]}".upper() if is_leap else text.upper())
    elapsed = moment - _EPOCH
    if is_leap:
        elapsed = timedelta(elapsed.days, elapsed.seconds + 1)
        if elapsed.seconds:
            raise ValueError(f"expected a leap second at 23:59:60 in UTC alone; {problem}")
    if not _EARLIEST <= elapsed <= _LATEST:
        raise ValueError(problem)
    return elapsed


def read_micros(time: bytes) -> int:
    """Return the time in a header as microseconds since 1970 in UTC.

    Raises:
        ValueError: As ``read_time``.

    """
    unit = _UNITS.get(len(time))
    if unit is not None and time.endswith(b"Z") and time[_POINT] == _DOT and time[_TEN_SECONDS] != _SIX:
        fraction = time[_POINT + 1 : -1]
        if fraction.isdigit():
            return _second(time[:_POINT]) + int(fraction) * unit
    elapsed = read_time(time.decode())
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


@lru_cache(maxsize=256)  # events that come together happened in few seconds
def _second(time: bytes) -> int:
    elapsed = read_time(f"{time.decode()}Z")
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000
