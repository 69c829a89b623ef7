"""Correlation keys: the text under which arrivals of different events meet.

Two values are the same key when a person would read them as the same: 7 and "7", true and "true". A float is refused,
because 7.0 and 7 would meet in one language and not in another.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

KEY_LIMIT = 1_024
"""Bytes of UTF-8 in a key: it is part of record keys, of run keys' input and of labels for people."""

_INT_BITS = 2_048  # 617 digits; Python refuses to print far longer ones


class UnkeyedError(ValueError):
    """A value that is no correlation key. The error's text says why, and never quotes the value."""


def key_text(value: Any) -> str:
    """Return the canonical text of a correlation key.

    str stays itself; int is decimal; bool is ``true`` or ``false``; bytes are their lower-case hex digits; UUID and
    date are their usual texts.

    Raises:
        UnkeyedError: A value of another type, an empty text, or one over ``KEY_LIMIT``.

    """
    if type(value) is str:
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int) and value.bit_length() > _INT_BITS:
        raise UnkeyedError(f"the key is an int of {value.bit_length()} bits; at most {_INT_BITS} are allowed")
    elif isinstance(value, str | int | UUID):
        text = str(value)
    elif isinstance(value, bytes):
        text = value.hex()
    elif isinstance(value, date) and not isinstance(value, datetime):
        text = value.isoformat()
    elif value is None:
        raise UnkeyedError("the key is null")
    elif isinstance(value, float):
        raise UnkeyedError("the key is a float; write int(...) or string(...) around it")
    else:
        raise UnkeyedError(f"the key is a {type(value).__name__}; a key is a string, an int, a bool or bytes")
    if not text:
        raise UnkeyedError("the key is empty")
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > KEY_LIMIT:
        raise UnkeyedError(f"the key has {size} bytes; at most {KEY_LIMIT} are allowed")
    return text
