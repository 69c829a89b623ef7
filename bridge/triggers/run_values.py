"""The values of the fields below ``run``, and of ``sensitive``: rates, locks, event names, field paths.

As in :mod:`bridge.triggers.values`, each function returns the value or raises :class:`MisfitError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from bridge.core.event import DAY, HOUR, MINUTE, SECOND, Micros
from bridge.triggers import values
from bridge.triggers.errors import quote_value
from flowbridge_sdk.avro.misfit import MisfitError

Rate = tuple[int, Micros]
"""A number of runs, and the time in which they are counted."""

RATE_LIMIT = 10_000
"""Runs that a limit may count. As many moments are remembered."""

LIST_LIMIT = 100
"""Entries of a list of names or paths."""

_RATE = re.compile(r"(\d{1,9})\s*/\s*([smhd])", re.ASCII)
_UNITS: dict[str, Micros] = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_LOCKS = {"semaphores": list, "mutexes": list, "semaphore": dict, "mutex": dict}


def rate(value: Any) -> Rate:
    """Return ``10/s`` or ``100/m`` as a number and the time in which it is counted."""
    parts = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if parts is None or not 1 <= int(parts[1]) <= RATE_LIMIT:
        expected = f"write how many in a second, minute, hour or day, as 10/s or 100/m: 1 to {RATE_LIMIT}"
        raise MisfitError(f"found {quote_value(value)}", expected)
    return int(parts[1]), _UNITS[parts[2]]


def storm_count(value: Any) -> int:
    """Return the largest number of runs that is no storm."""
    return values.whole(value, 1, RATE_LIMIT, "how many runs are not yet a storm")


def synchronization(value: Any) -> str:
    """Return a Workflow's ``spec.synchronization`` as JSON text. Only its outer shape is checked."""
    if not isinstance(value, dict) or not value:
        raise MisfitError(
            f"found {quote_value(value)}", "write it as in a Workflow: {mutexes: [{name: …}]}, or semaphores"
        )
    for name, content in value.items():
        if name not in _LOCKS:
            raise MisfitError(f"found {quote_value(name)}", f"known here are {', '.join(_LOCKS)}")
        entries = content if _LOCKS[name] is list and isinstance(content, list) else [content]
        is_shaped = isinstance(content, _LOCKS[name]) and content
        if not is_shaped or not all(isinstance(entry, dict) for entry in entries):
            expected = "a list of mappings" if _LOCKS[name] is list else "a mapping"
            raise MisfitError(f"found {quote_value(content)} for {name}", f"write {expected}, as in a Workflow")
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise MisfitError("found a number that JSON does not know", "write it as in a Workflow") from error


def event_names(value: Any) -> tuple[str, ...]:
    """Return names of events, each once."""
    return _each(value, values.event_name, "a list of events' names")


def field_paths(value: Any) -> tuple[str, ...]:
    """Return paths of payload fields, each once."""
    return _each(value, _path_below_payload, "a list of payload fields, as [customer.email]")


def _path_below_payload(value: Any) -> str:
    path = values.field_path(value)
    if path.startswith("payload."):
        raise MisfitError(f"found {quote_value(path)}", f"leave payload out: write {path.removeprefix('payload.')}")
    return path


def _each(value: Any, read: Callable[[Any], str], meaning: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise MisfitError(f"found {quote_value(value)}", f"write {meaning}")
    if len(value) > LIST_LIMIT:
        raise MisfitError(f"found {len(value)} entries", f"write at most {LIST_LIMIT}")
    return tuple(dict.fromkeys(read(entry) for entry in value))
