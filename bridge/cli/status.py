"""``flowbridge status``: the state of the bridge, read from Kafka alone."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import click

from bridge.cli.checks.timestamps import claimed_times
from bridge.cli.output import Output
from bridge.cli.replay.carrying_out import counts_text, summary
from bridge.cli.runs.holding import plain_order, read_orders
from bridge.cli.wiring.kafka import connect, internal_topics, require_kafka
from bridge.core.event import Micros, time_text
from bridge.core.runs.holds import order_text
from bridge.errors import KafkaRefusedError, KafkaUnreachableError, NewerRecordsError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Admin, Log, LogError, Partition, Reader
from bridge.kafka.ownership import Note, read_note
from bridge.kafka.records import DEAD_LETTER, LEDGER_ENTRY, WAITING, RecordError
from bridge.replay.replays import ReplayLog
from bridge.settings.settings import Settings
from bridge.stages.matcher.window_records import read_place
from bridge.stages.matcher.window_restore import read_changelog
from bridge.stages.process import group_of
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock
from bridge.stages.submitter.ledger.ledger_restore import NO_REFUSALS

_PATIENCE = 3.0  # seconds that Kafka has for a first answer
_WATCH = 2.0
_letter = DEAD_LETTER.only("stage", "reason", "at")
_WAITING_FOR = {"storm": "the end of a storm", "hold": "a person to release them"}
_LETTERS = 20_000  # dead letters that are looked at, a second or two


class StageStatus(NamedTuple):
    """The progress of one stage.

    Attributes:
        stage: The stage.
        partitions: How many partitions it has committed.
        lag: Records that it has not processed.
        owners: Names of the processes that own its partitions.
        applied: Offset of ``triggers`` that all its partitions show as applied.

    """

    stage: str
    partitions: int
    lag: int
    owners: tuple[str, ...]
    applied: int


class DeadLetterCount(NamedTuple):
    """Dead letters of one stage and reason.

    Attributes:
        stage: The stage that wrote them.
        reason: The decision.
        number: How many there are.
        latest: When the newest of them was written, microseconds since the epoch.

    """

    stage: str
    reason: str
    number: int
    latest: Micros


def execute(*, watch: bool, settings: Settings, output: Output) -> None:
    """Show the lag of each stage, triggers and their errors, windows, and runs by outcome."""
    require_kafka(settings, _PATIENCE)
    log, topics = connect(settings), internal_topics(settings)
    try:
        _show(log, topics, output, settings)
        with suppress(KeyboardInterrupt):
            while watch:
                time.sleep(_WATCH)
                click.clear()
                try:
                    _show(log, topics, output, settings)
                except LogError as error:  # Kafka may come back, and a person waits to see that
                    output.result(
                        f"no answer from {settings.bootstrap_servers}: {error}",
                        {"kind": "no answer", "reason": str(error)},
                    )
    except RecordError as error:
        raise NewerRecordsError(str(error)) from error
    except LogError as error:
        raise KafkaUnreachableError(f"no answer from {settings.bootstrap_servers}: {error}") from error


def _show(log: Log, topics: InternalTopics, output: Output, settings: Settings) -> None:
    admin, reader = log.admin(), log.reader()
    existing = admin.topics()
    if topics.triggers not in existing:
        found = f"there is no installation with the prefix {topics.prefix!r} at {settings.bootstrap_servers}"
        raise KafkaRefusedError(found, "check --internal-prefix, or start one with flowbridge run")
    definitions = Definitions(log, topics.triggers, steady_clock)
    definitions.refresh()
    applied = 0
    for stage in list(_stages(admin, topics, definitions, existing)):  # all or none, if Kafka stops to answer
        owners = ", ".join(stage.owners) or "none"
        text = f"{stage.stage:<10} lag {stage.lag:>8}   {stage.partitions:>3} partitions   {owners}"
        output.result(text, {"kind": "stage", **stage._asdict()})
        if stage.stage == "router":
            applied = stage.applied
    for name, definition in sorted(definitions.in_force.items()):
        ready = applied >= definitions.changed[name]
        origin = definitions.origins.get(definition.hash, "")
        state = "ready" if ready else "not yet applied by every router"
        suspended = definition.trigger.suspend
        text = f"trigger    {name}   {'suspended, ' if suspended else ''}{state}   {origin}"
        fields = {"trigger": name, "ready": ready, "suspended": suspended, "definition": definition.hash}
        output.result(text, {"kind": "trigger", **fields, "origin": origin})
    with suppress(LogError):  # an account that may not describe topics sees the rest
        for claimed in claimed_times(admin, definitions.topics(), settings.bootstrap_servers):
            text = f"warning    {claimed.found}; {claimed.expected}"
            warning = {"kind": "warning", "topic": claimed.topic, "found": claimed.found, "right": claimed.expected}
            output.result(text, warning)
    for error in sorted(error for errors in definitions.errors.values() for error in errors):
        place = {"source": error.origin.file, "line": error.origin.line}
        output.result(f"error      {error}", {"kind": "error", **place, **error.texts()})
    waiting_arrivals = [  # the window of each
        read_place(key).window
        for number in range(existing[topics.windows])
        for key, value in read_changelog(reader, admin, Partition(topics.windows, number))
        if value.startswith(WAITING.prefix)
    ]
    arrivals, windows = len(waiting_arrivals), len(set(waiting_arrivals))
    output.result(
        f"windows    {windows} open, {arrivals} arrivals wait",
        {"kind": "windows", "open": windows, "waiting": arrivals},
    )
    _show_dead_letters(reader, admin, topics, existing.get(topics.dead_letters, 0), output)
    if topics.replays in existing:
        for replay in ReplayLog(log, topics).all().values():
            if not replay.is_over:
                output.result(f"replay     {replay.name}   {replay.state}   {counts_text(replay)}", summary(replay))
    if topics.holds in existing:
        for scope, order in sorted(read_orders(log, topics).items()):
            if order.allowed is not None:
                output.result(f"held       {order_text(scope, order)}", plain_order(scope, order))
    counts, waiting, refused = _runs(reader, admin, topics, existing[topics.ledger])
    for outcome, count in sorted(counts.items()):
        output.result(f"runs       {count:>8} {outcome}", {"kind": "runs", "outcome": outcome, "count": count})
    for (trigger, reason), number in sorted(waiting.items()):
        fields = {"kind": "waiting runs", "trigger": trigger, "count": number, "waits_for": reason}
        output.result(f"waiting    {number:>8} of {trigger} wait for {_WAITING_FOR.get(reason, reason)}", fields)
    for trigger, reasons in sorted(refused.items()):
        fields = {"kind": "refused", "trigger": trigger, "count": len(reasons), "reason": reasons[0]}
        output.result(f"refused    {len(reasons):>8} of {trigger} are tried again: {reasons[0]}", fields)


def _stages(
    admin: Admin, topics: InternalTopics, definitions: Definitions, existing: dict[str, int]
) -> Iterable[StageStatus]:
    inputs = {
        "controller": [topics.triggers],
        "router": sorted(definitions.topics() & existing.keys()),
        "matcher": [topics.arrivals],
        "submitter": [topics.runs],
    }
    for stage, names in inputs.items():
        places = [Partition(name, number) for name in names for number in range(existing[name])]
        committed = admin.committed(group_of(topics, stage), places, stable=False)
        ends = admin.end_offsets(places)
        lag = sum(max(0, ends[place] - committed[place].offset) for place in committed if place in ends)
        notes: list[Note] = [read_note(offset) for offset in committed.values()]
        owners = sorted({note.owner.partition(f"{stage}-")[2] for note in notes if note.owner})
        applied = min((note.triggers for note in notes), default=0) if len(committed) == len(places) else 0
        yield StageStatus(stage, len(committed), lag, tuple(owners), applied)


def _show_dead_letters(reader: Reader, admin: Admin, topics: InternalTopics, partitions: int, output: Output) -> None:
    """Show the newest dead letters by stage and reason, and how many older records were not looked at."""
    places = [Partition(topics.dead_letters, number) for number in range(partitions)]
    starts, ends = admin.start_offsets(places), admin.stable_ends(places)
    groups: dict[tuple[str, str], DeadLetterCount] = {}
    unread = 0
    for place in places:
        start, end = starts[place], ends[place]
        begin = max(start, end - _LETTERS // partitions)
        unread += begin - start
        for records in reader.read(place, begin, end) if begin < end else ():
            for record in records:
                stage, reason, at = _letter(record.value or b"")
                before = groups.get((stage, reason), DeadLetterCount(stage, reason, 0, at))
                groups[stage, reason] = DeadLetterCount(stage, reason, before.number + 1, max(before.latest, at))
    for group in sorted(groups.values()):
        text = (
            f"letters    {group.number:>8} dead: {group.reason} ({group.stage}), the latest {time_text(group.latest)}"
        )
        output.result(text, {"kind": "dead letters", **group._asdict()})
    if unread:
        text = f"letters    {unread:>8} older records of {topics.dead_letters} are not counted"
        output.result(text, {"kind": "dead letters not counted", "records": unread})


def _runs(
    reader: Reader, admin: Admin, topics: InternalTopics, partitions: int
) -> tuple[dict[str, int], dict[tuple[str, str], int], dict[str, list[str]]]:
    """Return how many runs there are by outcome, how many wait by trigger and reason, and why others were refused.

    Runs that have not ended count by their state.
    """
    counts: Counter[str] = Counter()
    waiting: Counter[tuple[str, str]] = Counter()
    refused: defaultdict[str, list[str]] = defaultdict(list)
    for number in range(partitions):
        for _, value in read_changelog(reader, admin, Partition(topics.ledger, number)):
            entry = LEDGER_ENTRY.decode(value)
            if entry["state"] in ("done", "dead"):
                counts[str(entry["reason"]).partition(":")[0]] += 1
            else:
                counts["parked" if entry["state"] == "parked" else "under way"] += 1
            if entry["state"] != "parked" or not entry["reason"]:
                continue
            if entry["reason"] in NO_REFUSALS:
                waiting[entry["trigger"], entry["reason"].removeprefix("waits for ")] += 1
            elif entry["at"]:
                refused[entry["trigger"]].append(entry["reason"])
    return counts, waiting, refused
