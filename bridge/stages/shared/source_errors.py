"""The errors of trigger sources, as stored in the topic ``triggers``.

There they outlive the process that found them, and ``flowbridge status`` can show them where no source can be read.
One record for each place (a file, a Sensor) holds its errors, up to a bound. A tombstone says that it has none left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bridge.core.event import Micros
from bridge.kafka.records import SOURCE_ERRORS
from bridge.triggers.errors import Origin, TriggerError

SourceErrors = Mapping[str, tuple[TriggerError, ...]]
"""Errors by place."""

ERROR_LIMIT = 20
"""Errors of one place that are kept; of the others only the number is kept."""
TEXT_LIMIT = 1_000
"""Characters of each of an error's texts that are kept."""


def by_place(errors: Iterable[TriggerError]) -> SourceErrors:
    """Return errors by their place, each once, within the bounds."""
    unique: dict[str, set[TriggerError]] = defaultdict(set)
    for error in errors:
        unique[error.origin.file].add(replace(error, found=_cut(error.found), expected=_cut(error.expected)))
    bounded: dict[str, tuple[TriggerError, ...]] = {}
    for place, found in unique.items():
        kept = sorted(found)
        if len(kept) > ERROR_LIMIT:
            more = f"{len(kept) - ERROR_LIMIT} more errors"
            kept = [*kept[:ERROR_LIMIT], TriggerError(Origin(place), "", more, "put those before right first")]
        bounded[place] = tuple(kept)
    return bounded


def encode_errors(place: str, errors: Iterable[TriggerError], now: Micros) -> bytes:
    """Return the record of the errors of a place."""
    plain = [{"line": error.origin.line, **error.texts()} for error in errors]
    return SOURCE_ERRORS.encode({"place": place, "errors": plain, "at": now})


def decode_errors(fields: Mapping[str, Any]) -> tuple[TriggerError, ...]:
    """Return the errors in the fields of such a record."""
    place = fields["place"]
    return tuple(
        TriggerError(Origin(place, error["line"]), error["field"], error["found"], error["right"], error["trigger"])
        for error in fields["errors"]
    )


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 1]}…"
