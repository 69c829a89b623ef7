"""Ids that come out the same whenever the same parts go in.

A job that publishes again after a crash, with ``event_id("job", batch, row)``, publishes the *same* events again,
and the bridge applies each once. Each part is hashed behind its type and its length, so ``("a", "bc")`` and
``("ab", "c")`` differ, and ``1``, ``"1"``, ``1.0`` and ``True`` do too.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from flowbridge_sdk.errors import BadAttributeError

IdPart: TypeAlias = str | int | float | bool | bytes | datetime | Decimal | UUID | None

_ID_BYTES = 16  # 128 bits: a collision among 10**12 ids has a chance of about 1e-15

_AT_ONCE = 256  # asking the system for random bytes costs as much as all else of an id's event
_random_ids: list[str] = []
os.register_at_fork(after_in_child=_random_ids.clear)  # a child would make its parent's ids again


def random_id() -> str:
    """Return an id that no other event has: 32 hex digits."""
    try:
        return _random_ids.pop()
    except IndexError:
        digits, size = os.urandom(_ID_BYTES * _AT_ONCE).hex(), 2 * _ID_BYTES
        made = [digits[at : at + size] for at in range(0, len(digits), size)]
        own = made.pop()  # before other threads see them
        _random_ids.extend(made)
        return own


def _moment(part: datetime) -> bytes:
    if part.utcoffset() is None:
        raise BadAttributeError(f"event_id: {part} has no time zone; add one, as in .replace(tzinfo=UTC)")
    return part.astimezone(UTC).isoformat(timespec="microseconds").encode()


_FORMS: tuple[tuple[type, bytes, Callable[[Any], bytes]], ...] = (
    (type(None), b"n", lambda _: b""),
    (bool, b"b", lambda part: b"1" if part else b"0"),  # before int, of which it is one
    (int, b"i", lambda part: b"%d" % part),
    (float, b"f", lambda part: part.hex().encode()),
    (str, b"s", lambda part: part.encode("utf-8", "surrogatepass")),
    (bytes, b"y", bytes),
    (UUID, b"u", lambda part: part.bytes),
    (Decimal, b"d", lambda part: str(part).encode()),
    (datetime, b"t", _moment),
)
"""(type, tag, encoding) of each kind of part."""


def event_id(*parts: IdPart) -> str:
    """Return an id for the event that these parts identify: 26 characters of lower-case base32.

    Raises:
        BadAttributeError: No part, a naive datetime, or a part of another type.

    """
    if not parts:
        raise BadAttributeError("event_id needs at least one part, or all events would share one id")
    digest = hashlib.sha256()
    for part in parts:
        for kind, tag, encode in _FORMS:
            if isinstance(part, kind):
                encoded = encode(part)
                digest.update(tag + len(encoded).to_bytes(8, "big") + encoded)
                break
        else:
            raise BadAttributeError(
                "event_id takes str, int, float, bool, bytes, None, datetime, Decimal and UUID, "
                f"found {type(part).__name__}",
            )
    return base64.b32encode(digest.digest()[:_ID_BYTES]).decode().rstrip("=").lower()
