"""An event's attributes as a publisher gives them: checked, with what was found and what would be right."""

from __future__ import annotations

from datetime import UTC, datetime

from flowbridge_sdk.errors import BadAttributeError

TEXT_LIMIT = 1024
"""Bytes of an id or a source."""


def text_of(what: str, text: str) -> str:
    """Return an id or a source that can be sent."""
    if not isinstance(text, str) or not text:
        raise BadAttributeError(f"an event's {what} is a text that is not empty, found {text!r}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadAttributeError(f"an event's {what} holds half a character (a lone surrogate): {text!r}") from None
    if size > TEXT_LIMIT:
        raise BadAttributeError(f"an event's {what} has {size} bytes; {TEXT_LIMIT} is the limit")
    return text


def key_of(key: str | bytes | None) -> bytes | None:
    """Return a key as bytes."""
    if key is None or isinstance(key, bytes):
        return key
    if not isinstance(key, str):
        raise BadAttributeError(f"an event's key is str or bytes, found {type(key).__name__}")
    return key.encode("utf-8", "surrogateescape")


def moment_of(moment: datetime | None) -> datetime:
    """Return when an event happened, with a time zone; now unless given."""
    if moment is None:
        return datetime.now(UTC)
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise BadAttributeError(f"an event's time is a datetime with a time zone (tzinfo=UTC), found {moment!r}")
    return moment
