"""Keys, identities of runs and texts of parameters as docs/triggers tells them (README, key, run-id, require).

Written from the pages alone, without knowledge of bridge/core.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

KEY_BYTES = 1_024
PARAMETER_BYTES = 65_536


class RefusedError(Exception):
    """The pages say that a value has no text."""


def key_of(value: Any) -> str | None:
    """Return what stands for a key; None for a value that is none."""
    if value is None or isinstance(value, float | list | Mapping | Decimal | datetime):
        return None
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, bytes):
        text = "".join(f"{byte:02x}" for byte in value)
    else:
        text = _iso(value) if isinstance(value, date | time) else str(value)
    return text if 0 < len(text.encode("utf-8", "surrogatepass")) <= KEY_BYTES else None


def parameter_of(value: Any, *, allows_tags: bool = False) -> str:
    """Return the text of a parameter; JSON with its names in the order of the value.

    Raises:
        RefusedError: It has none.

    """
    if isinstance(value, list | Mapping):
        return json.dumps(_plain(value))
    plain = _plain(value)
    text = plain if isinstance(plain, str) else json.dumps(plain)
    is_object = re.match(r'\{\s*["}]', text) is not None
    is_tag = "{{" in text or text.endswith("{") or (text.startswith("{") and not is_object)
    if isinstance(value, str) and is_tag and not allows_tags:
        raise RefusedError
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, bytes):
        return base64.standard_b64encode(value).decode()
    if isinstance(value, Decimal):
        return _digits(value)
    if isinstance(value, date | time):
        return _iso(value)
    return str(value) if isinstance(value, UUID) else value


def _iso(value: date | time) -> str:
    if not isinstance(value, datetime):
        return value.isoformat()
    moment = value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
    seconds = f"{moment.year:04}-{moment.month:02}-{moment.day:02}T{moment:%H:%M:%S}"
    return f"{seconds}.{moment.microsecond:06}Z" if moment.microsecond else f"{seconds}Z"


def _digits(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)) + "0" * max(0, exponent)
    if exponent < 0:
        text = text.rjust(1 - exponent, "0")
        text = f"{text[:exponent]}.{text[exponent:]}"
    return "-" * sign + text


def field_of(payload: Mapping[str, Any], path: str) -> Sequence[Any]:
    """Return the payload field of a path, or nothing where it is missing."""
    if path in payload:
        return [payload[path]]
    found: Any = payload
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return []
        found = found[name]
    return [found]


def filled(slots: Sequence[Sequence[Any]], are_lists: Sequence[bool]) -> list[Any]:
    """Return what each slot's variable holds: null or an event, or a list of events, the oldest first."""
    return [
        list(events) if is_list else (events[0] if events else None)
        for events, is_list in zip(slots, are_lists, strict=True)
    ]
