"""What people call triggers and times on the command line."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from bridge.core.duration import DurationError, parse_duration
from bridge.core.event import Micros
from bridge.errors import UsageError
from bridge.kafka.log import Partition
from bridge.replay.request import Bound
from bridge.settings.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def identity_of(trigger: str, settings: Settings) -> str:
    """Return the identity, ``namespace/name``, of a trigger that is named with or without its namespace."""
    return trigger if "/" in trigger else f"{settings.namespace}/{trigger}"


def bound(text: str, now: Micros) -> Bound:
    """Return the bound that a text names: a time, a length of time ago, ``earliest``, or offsets.

    Raises:
        UsageError: It names none.

    """
    if text == "earliest":
        return Bound(text=text)
    if "=" in text:
        offsets: dict[Partition, int] = {}
        for part in text.split(","):
            place, _, offset = part.strip().rpartition("=")
            topic, _, number = place.rpartition("/")
            if not topic or not number.isdecimal() or not offset.isdecimal():
                raise UsageError(
                    f"{part.strip()!r} names no offset", "write TOPIC/PARTITION=OFFSET, several with commas"
                )
            offsets[Partition(topic, int(number))] = int(offset)
        return Bound(offsets=offsets, text=text)
    with suppress(DurationError):
        return Bound(now - parse_duration(text), text=text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        expected = "write 2026-01-31T12:00Z, 2h (so long ago), earliest, or offsets as TOPIC/0=120"
        raise UsageError(f"{text!r} names no time", expected) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Bound((moment - _EPOCH) // timedelta(microseconds=1), text=text)
