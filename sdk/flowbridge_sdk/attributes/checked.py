"""Checks of the attributes that a publisher gives an event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flowbridge_sdk.avro.logical_writing import micros_of
from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.errors import BadAttributeError
from flowbridge_sdk.payloads.foreign import plain

TEXT_LIMIT = 1024
"""Bytes of an id or a source."""


def text_of(attribute: str, text: str) -> str:
    """Return an id or a source that can be sent."""
    if not isinstance(text, str) or not text:
        raise BadAttributeError(f"an event's {attribute} is a text that is not empty, found {text!r}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadAttributeError(f"an event's {attribute} holds half a character (a lone surrogate): {text!r}") from None
    if size > TEXT_LIMIT:
        raise BadAttributeError(f"an event's {attribute} has {size} bytes; {TEXT_LIMIT} is the limit")
    return text


def key_of(key: str | bytes | None) -> bytes | None:
    """Return a key as bytes."""
    if key is None or isinstance(key, bytes):
        return key
    if not isinstance(key, str):
        raise BadAttributeError(f"an event's key is str or bytes, found {type(key).__name__}")
    return key.encode("utf-8", "surrogateescape")


def moment_of(moment: datetime) -> datetime:
    """Return when an event happened, with a time zone.

    Raises:
        BadAttributeError: It is no datetime with a time zone, or outside the years 1 to 9999 in UTC.

    """
    time: Any = plain(moment)
    try:
        micros_of(time)
    except MisfitError as misfit:
        raise BadAttributeError(f"an event's time: expected {misfit.expected}; found {misfit.found}") from None
    return time  # type: ignore[no-any-return] # micros_of takes datetimes alone
