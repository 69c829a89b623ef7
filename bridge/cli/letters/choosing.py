"""What the commands of dead letters share: which letters are meant, what reads them, and how one is told.

It imports little, so that a list does not wait for it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bridge.cli.naming import bound, identity_of
from bridge.cli.wiring.installation import kafka
from bridge.core.event import Micros, time_text
from bridge.errors import UsageError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log
from bridge.letters.letter import Choice, Letter, LetterState, Place
from bridge.letters.letter_log import LetterLog
from bridge.settings.settings import Settings

PAGE = "docs/errors.md#letter-"
"""Where the reasons of dead letters are documented; the reason stands behind it."""

_NAME = re.compile(r"(\d{1,9})/(\d{1,18})")
_OPEN = "open"
_EVERY = "all"


def place_of(name: str) -> Place:
    """Return the place of the letter that a person calls PARTITION/OFFSET.

    Raises:
        UsageError: It is no such name.

    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageError(
            f"expected a letter as PARTITION/OFFSET, such as 3/120; found {name!r}",
            "flowbridge dead-letters list --each shows their names",
        )
    return int(found[1]), int(found[2])


def chosen(
    settings: Settings,
    letters: Sequence[str] = (),
    *,
    trigger: str | None,
    reason: str | None,
    topic: str | None,
    key: str | None,
    start: str | None,
    end: str | None,
    state: str = _OPEN,
) -> Choice:
    """Return which letters the options mean.

    Raises:
        UsageError: A name or a time is none.

    """
    now = time.time_ns() // 1000
    return Choice(
        frozenset(map(place_of, letters)) if letters else None,
        identity_of(trigger, settings) if trigger is not None else None,
        reason,
        topic,
        key,
        _time("--from", start, now),
        _time("--to", end, now),
        frozenset(LetterState) if state == _EVERY else frozenset({LetterState(state)}),
    )


def require_choice(letters: Sequence[str], options: Mapping[str, str | None], *, is_all: bool) -> None:
    """Refuse to act on all letters where none was asked for.

    Raises:
        UsageError: Neither letters nor options nor --all are given, or --all with one of them.

    """
    is_narrow = bool(letters) or any(value is not None for value in options.values())
    if is_all == is_narrow:
        found = "--all together with letters or options that choose some" if is_all else "no letters are named"
        raise UsageError(found, "name letters (PARTITION/OFFSET), narrow them with --trigger or --reason, or use --all")


def _time(option: str, text: str | None, now: Micros) -> Micros | None:
    if text is None:
        return None
    found = bound(text, now)
    if found.offsets:
        raise UsageError(f"{option}: found offsets", "write 2026-01-31T12:00Z, or 2h (so long ago)")
    return found.time


@contextmanager
def letter_log(settings: Settings) -> Iterator[tuple[Log, InternalTopics, LetterLog]]:
    """Connect to Kafka, and yield what reads letters."""
    with kafka(settings) as (log, topics):
        yield log, topics, LetterLog(log, topics)


def about(letter: Letter) -> str:
    """Return what a letter is about, for people."""
    record = letter.record
    if not record.topic:
        return f"run {letter.run_key}"
    return f"{record.topic}/{record.partition}@{record.offset}"


def summary(letter: Letter) -> dict[str, Any]:
    """Return a letter as plain values, without its record's bytes."""
    return {
        "kind": "letter",
        "letter": letter.name,
        "state": letter.state.value,
        "reason": letter.reason,
        "stage": letter.stage,
        "text": letter.text,
        "triggers": list(letter.triggers),
        "run_key": letter.run_key,
        "topic": letter.record.topic,
        "partition": letter.record.partition,
        "offset": letter.record.offset,
        "at": time_text(letter.at),
        "documented": PAGE + letter.reason,
    }
