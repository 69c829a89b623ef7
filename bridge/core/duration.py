"""How people write a length of time, in triggers and in settings: ``1h30m``, ``250ms``, ``7d``.

A number without a unit is refused, because 10 could mean seconds or milliseconds. Only 0 needs no unit.
"""

from __future__ import annotations

import re
from fractions import Fraction

from bridge.core.event import DAY, HOUR, MINUTE, SECOND, Micros

LONGEST: Micros = 3_660 * DAY
"""Ten years: no rule waits longer, and every sum of such lengths stays far within 64 bits."""

_UNITS: dict[str, Micros] = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": SECOND // 1_000, "us": 1}
_NUMBER = r"(\d{1,18}(?:\.\d{1,9})?)"
_SHAPE = re.compile("".join(rf"(?:{_NUMBER}{unit}(?![a-z]))?" for unit in _UNITS), re.ASCII)


class DurationError(ValueError):
    """A text that is no length of time."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no length of time: write 30s, 10m, 1h30m or 7d (units d, h, m, s, ms, us)")


def parse_duration(text: str) -> Micros:
    """Return the length that ``text`` names: numbers with units, the largest unit first.

    Raises:
        DurationError: It is no length of time, finer than a microsecond, or longer than ten years.

    """
    stripped = text.strip()
    if stripped == "0":
        return 0
    numbers = _SHAPE.fullmatch(stripped)
    if not stripped or numbers is None:
        raise DurationError(text)
    total = sum(
        (Fraction(number) * unit for number, unit in zip(numbers.groups(), _UNITS.values(), strict=True) if number),
        Fraction(),
    )
    if total.denominator != 1 or total > LONGEST:
        raise DurationError(text)
    return int(total)


def duration_text(length: Micros) -> str:
    """Return ``length`` (0 or more) as :func:`parse_duration` reads it: ``1h30m``."""
    parts: list[str] = []
    for unit, size in _UNITS.items():
        number, length = divmod(length, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
