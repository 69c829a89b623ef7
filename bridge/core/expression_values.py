"""Values on their way into CEL: what it has no type for, and how much there is of them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

SCALARS = frozenset({str, int, float, bool, type(None), bytes, dt.datetime})
"""Types that CEL takes as they are and that hold nothing else."""


def elements(values: Iterable[Any], limit: int) -> int:
    """Count the members of lists and mappings at any depth; stop counting above ``limit``."""
    count = 0
    waiting = list(values)
    while waiting and count <= limit:
        value = waiting.pop()
        if isinstance(value, Mapping):
            count += len(value)
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            count += len(value)
            waiting.extend(value)
    return count


def plain(value: Any) -> Any:
    """Return ``value`` with what CEL has no type for as text, at any depth."""
    if isinstance(value, Mapping):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dt.time) or (isinstance(value, dt.date) and type(value) not in SCALARS):
        return value.isoformat()
    return value


def ordered(value: Any) -> Any:
    """Return ``value`` with its mappings in the order of their keys: CEL has its own maps in no order."""
    if isinstance(value, Mapping):
        return {name: ordered(value[name]) for name in sorted(value, key=str)}
    return [ordered(member) for member in value] if isinstance(value, list) else value
