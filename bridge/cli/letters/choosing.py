"""What the commands of dead letters share: which letters are meant, what reads and judges them, and how one is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from random import Random
from typing import Any, NamedTuple

from bridge.argo.api import WorkflowApi
from bridge.cli.past import bound, identity_of
from bridge.cli.replay.carrying_out import kafka
from bridge.cli.wiring.cluster import connect_cluster
from bridge.cli.wiring.process import replay_dependencies
from bridge.core.event import Micros, time_text
from bridge.errors import KubernetesUnreachableError, UsageError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log
from bridge.letters.judging import Judge
from bridge.letters.letter import Choice, Letter, LetterState, Place
from bridge.letters.letter_log import LetterLog
from bridge.letters.way_back import OUTCOME_UNKNOWN, WayBack
from bridge.replay.frozen import read_recorded
from bridge.replay.recorded import Recorded
from bridge.settings.settings import Settings
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock, wall_clock
from bridge.stages.submitter.templates import Templates

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
    now = wall_clock()
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


class Desk(NamedTuple):
    """What reads, judges and sends letters.

    Attributes:
        log: The Kafka cluster.
        topics: The internal topics.
        letters: Reads letters.
        definitions: The triggers.
        way: Finds what is sent for a letter.
        judge: Tells what would happen to it.

    """

    log: Log
    topics: InternalTopics
    letters: LetterLog
    definitions: Definitions
    way: WayBack
    judge: Judge


@contextmanager
def letter_log(settings: Settings) -> Iterator[tuple[Log, InternalTopics, LetterLog]]:
    """Connect to Kafka, and yield what reads letters."""
    with kafka(settings) as (log, topics):
        yield log, topics, LetterLog(log, topics)


@contextmanager
def desk(settings: Settings, choice: Choice, *, asks_cluster: bool) -> Iterator[Desk]:
    """Connect, read the triggers, and yield what deals with letters.

    Args:
        settings: The settings.
        choice: Which letters are asked for.
        asks_cluster: Whether WorkflowTemplates are looked at, if a cluster can be reached.

    """
    with letter_log(settings) as (log, topics, letters):
        definitions = Definitions(log, topics.triggers, steady_clock)
        with closing(definitions):
            definitions.refresh()
            with closing(log.admin()) as admin:
                partitions = admin.topics()

            @cache
            def recorded(trigger: str) -> Recorded:
                runs = Recorded(trigger)
                read_recorded(log, topics, runs)
                return runs

            is_named = choice.places is not None or choice.reason == OUTCOME_UNKNOWN
            way = WayBack(topics, partitions, definitions, recorded, wall_clock, is_named=is_named)
            decoder = EventDecoder(replay_dependencies(settings).decoder, steady_clock)
            templates = _templates(settings) if asks_cluster else None
            yield Desk(
                log, topics, letters, definitions, way, Judge(topics, definitions, decoder, templates, wall_clock)
            )


def _templates(settings: Settings) -> Templates | None:
    try:
        api: WorkflowApi = connect_cluster(settings)
    except KubernetesUnreachableError:
        return None
    return Templates(api, wall_clock, Random())  # noqa: S311 - jitter


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
