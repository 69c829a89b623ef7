"""``flowbridge dead-letters retry | edit | discard``: what a person does about dead letters."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any

import click

from bridge.cli.letters.choosing import chosen, letter_log, require_choice, summary
from bridge.cli.letters.desk import Desk, desk
from bridge.cli.letters.showing import one
from bridge.cli.output import Output
from bridge.cli.publish import payload_of, registry_of, sdk_errors
from bridge.cli.wiring.installation import agrees
from bridge.core.event import Event, moment
from bridge.errors import ExitCode, KafkaUnreachableError, UsageError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import FencedError, Log
from bridge.letters.dealing import Dealing, Progress
from bridge.letters.judging import Outcome, shown
from bridge.letters.letter import Choice, Group, Letter, LetterState, grouped
from bridge.letters.letter_log import LetterOwner, Sending
from bridge.letters.way_back import LETTER, PARENT, Stays
from bridge.replay.replays import user_and_machine
from bridge.settings.settings import Settings
from bridge.stages.shared.dead_letters import Cause
from bridge.stages.stage_thread import steady_clock, wall_clock
from flowbridge_sdk.codec import SCHEMA_ID_HEADER
from flowbridge_sdk.topics import name_of

_REASONS = 10  # reasons for which letters stay, that are shown
_NOBODY = "use --yes to do it without asking"
_OWN = frozenset({"ce_id", "ce_source", "ce_type", "ce_time", "ce_specversion", "content-type", LETTER, PARENT})


def execute_retry(
    *,
    letters: tuple[str, ...],
    is_all: bool,
    dry_run: bool,
    rate: float,
    limit: int | None,
    why: str,
    yes: bool,
    settings: Settings,
    output: Output,
    **options: Any,
) -> int:
    """Send letters back, or tell what would happen to each."""
    require_choice(letters, options, is_all=is_all)
    choice = chosen(settings, letters, **options)
    with desk(settings, choice, asks_cluster=dry_run) as place:
        if dry_run:
            return _judge(place, choice, output)
        staying: Counter[str] = Counter()

        def sendable() -> Iterator[Letter]:
            for letter in place.letters.read(choice):
                way = place.way.of(letter)
                if isinstance(way, Stays):
                    staying[way.why] += 1
                else:
                    yield letter

        groups = grouped(sendable())
        _require_named(letters, sum(group.count for group in groups) + staying.total())
        _show_plan("send back", groups, output)
        count = min(sum(group.count for group in groups), limit or sys.maxsize)
        if not count:
            _show_staying(staying, output)
            return ExitCode.NOT_SO if staying else ExitCode.OK
        if not yes and not agrees(f"Send {_letters(count)} back?", _NOBODY + ", or --dry-run to try it"):
            output.remark("nothing was sent")
            return ExitCode.OK
        read = place.letters.read
        with _dealing(place.log, place.topics, Cause.RETRY, why, output) as dealing:
            progress = dealing.all(read(choice, is_current=True), place.way.of, rate=rate, limit=limit)
        _show_staying(Counter(stays.why for _, stays in progress.staying), output)
        return _ended("sent back", progress, output)


def execute_discard(
    *,
    letters: tuple[str, ...],
    is_all: bool,
    why: str,
    yes: bool,
    settings: Settings,
    output: Output,
    **options: Any,
) -> int:
    """Give letters up."""
    require_choice(letters, options, is_all=is_all)
    if not why.strip():
        raise UsageError("--because: found nothing in it", "write why the letters are given up")
    choice = chosen(settings, letters, **options)
    with letter_log(settings) as (log, topics, letter_reader):
        groups = grouped(letter_reader.read(choice))
        count = sum(group.count for group in groups)
        _require_named(letters, count)
        _show_plan("discard", groups, output)
        if not count:
            return ExitCode.OK
        if not yes and not agrees(f"Discard {_letters(count)}?", _NOBODY):
            output.remark("nothing was discarded")
            return ExitCode.OK
        with _dealing(log, topics, Cause.DISCARD, why, output) as dealing:
            progress = dealing.all(letter_reader.read(choice, is_current=True), lambda _: None)
        return _ended("discarded", progress, output)


def execute_edit(
    *,
    letter: str,
    fields: tuple[str, ...],
    file: Path | None,
    remove: tuple[str, ...],
    event_id: str | None,
    why: str,
    yes: bool,
    settings: Settings,
    output: Output,
) -> int:
    """Send a corrected event in place of that of a letter."""
    changes = payload_of(fields)
    if not (changes or remove or file):
        raise UsageError("nothing is edited", "write FIELD=TEXT, FIELD:=JSON, --remove FIELD or --payload FILE")
    choice = Choice(states=frozenset({LetterState.OPEN}))
    with desk(settings, choice, asks_cluster=False) as place:
        found = one(place.letters, letter)
        _require_open(found)
        if found.run_key or found.record.topic in ("", place.topics.runs, place.topics.arrivals):
            raise UsageError(
                f"letter {found.name} is about a run or an arrival, and no event",
                "correct the trigger or the WorkflowTemplate, and use flowbridge dead-letters retry",
            )
        event = place.judge.event(found)
        if file is not None:
            payload = _payload_in(file)
        elif isinstance(event, Event):
            payload = dict(event.payload)
        else:
            raise UsageError(f"its payload cannot be decoded: {event}", "give the whole payload with --payload FILE")
        for name in remove:
            if name not in payload:
                raise UsageError(f"--remove: the payload has no field {name!r}", f"it has: {', '.join(payload)}")
            del payload[name]
        payload |= changes
        sending = _corrected(found, event if isinstance(event, Event) else None, payload, event_id, settings)
        sensitive = place.judge.sensitive(found)
        verdict = place.judge.verdict(found, sending)
        plain = json.dumps(shown(payload, sensitive), ensure_ascii=False, default=str)
        output.remark(f"letter {found.name}: {found.reason}\n  new payload  {plain}\n  now          {verdict.text}")
        if not yes and not agrees(f"Send it to {sending.topic}?", _NOBODY):
            output.remark("nothing was sent")
            return ExitCode.OK
        with _owning(place.log, place.topics) as owner:
            _require_open(one(place.letters, letter))  # as the former owner left it
            owner.deal([(found, sending)], Cause.EDIT, why, wall_clock())
        text = f"sent {sending.successor} in place of letter {found.name}"
        output.result(text, {**summary(found), "kind": "edited", "event": sending.successor, "now": verdict.outcome})
    return ExitCode.OK


def _corrected(
    letter: Letter, event: Event | None, payload: dict[str, Any], event_id: str | None, settings: Settings
) -> Sending:
    """Return the record of a new event in place of that of a letter."""
    from flowbridge_sdk.encoder import EventEncoder  # noqa: PLC0415 - 0.1 s that the other commands need not wait
    from flowbridge_sdk.schemas import EventSchemas  # noqa: PLC0415

    record = letter.record
    parent = f"{record.topic}/{record.partition}/{record.offset}" if event is None else event.id
    with sdk_errors(settings):
        encoder = EventEncoder(
            schemas=EventSchemas.load(*settings.schemas),
            registry=registry_of(settings),
            shared_topics=settings.shared_topics,
        )
        made = encoder.encode(
            name_of(record.topic) if event is None else event.name,
            payload,
            key=record.key,
            id=event_id,
            time=moment(record.timestamp * 1000 if event is None else event.time),
            source=record.topic if event is None else event.source,
        )
    kept = [(name, value) for name, value in record.headers if name not in _OWN and name != SCHEMA_ID_HEADER]
    headers = [*made.headers, *kept, (PARENT, parent.encode()), (LETTER, letter.name.encode())]
    return Sending(record.topic, record.partition, record.key, made.value, headers, made.id)


def _payload_in(file: Path) -> dict[str, Any]:
    """Return the payload in a file, which is one JSON object.

    Raises:
        UsageError: It is none, or the file cannot be read.

    """
    remedy = "name a file with a JSON object"
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        payload = payload_of([f"payload:={content.decode()}"])["payload"]
    except OSError as error:
        raise UsageError(f"--payload: {file} cannot be read: {error.strerror}", remedy) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--payload: {file} is no UTF-8 at byte {error.start}", remedy) from None
    if not isinstance(payload, dict):
        raise UsageError(f"--payload: {file} holds no JSON object", remedy)
    return payload


def _require_open(letter: Letter) -> None:
    if letter.state is not LetterState.OPEN:
        mark = letter.marks[-1]
        by = mark.by or "the bridge"
        raise UsageError(
            f"letter {letter.name} is {letter.state} by {by}",
            f"flowbridge dead-letters show {letter.name} tells what was done",
        )


def _require_named(letters: tuple[str, ...], found: int) -> None:
    """Refuse names of letters that are not open."""
    if len(set(letters)) > found:
        raise UsageError(
            f"{len(set(letters)) - found} of the letters that are named are not there, do not fit the options, or are "
            "not open any more",
            "flowbridge dead-letters show LETTER tells what was done with one",
        )


def _judge(place: Desk, choice: Choice, output: Output) -> int:
    """Tell for each letter whether it would pass now: for people by verdict, as JSON one by one."""
    verdicts: Counter[tuple[Outcome, str]] = Counter()
    samples: dict[tuple[Outcome, str], str] = {}
    for letter in place.letters.read(choice):
        verdict = place.judge.verdict(letter, place.way.of(letter))
        said = verdict.outcome, verdict.text
        verdicts[said] += 1
        samples.setdefault(said, letter.name)
        output.record(
            {
                **summary(letter),
                "kind": "verdict",
                "outcome": verdict.outcome.value,
                "why": verdict.text,
                "field": verdict.field,
            }
        )
    for said, count in sorted(verdicts.most_common(), key=lambda item: list(Outcome).index(item[0][0])):
        output.remark(f"{count:>8} {said[0]:<8} {said[1]}  (such as {samples[said]})")
    counts = {outcome.value: 0 for outcome in Outcome}
    for (outcome, _), count in verdicts.items():
        counts[outcome.value] += count
    would = verdicts.total() - counts[Outcome.FAILS] - counts[Outcome.STAYS]
    text = f"{would} of {_letters(verdicts.total())} would be no dead letter again"
    output.result(text, {"kind": "verdicts", "letters": verdicts.total(), **counts})
    return ExitCode.NOT_SO if counts[Outcome.FAILS] or counts[Outcome.STAYS] else ExitCode.OK


def _show_plan(verb: str, groups: list[Group], output: Output) -> None:
    if not groups:
        output.remark(f"there is no dead letter to {verb}")
    for group in groups:
        output.remark(f"{group.count:>8} {group.reason:<16} {group.about}")
    output.record(
        {
            "kind": "plan",
            "groups": [
                {"reason": group.reason, "triggers": list(group.triggers), "topic": group.topic, "count": group.count}
                for group in groups
            ],
        }
    )


def _show_staying(staying: Counter[str], output: Output) -> None:
    for why, count in staying.most_common(_REASONS):
        output.result(f"{count:>8} stay: {why}", {"kind": "staying", "count": count, "why": why})
    rest = len(staying) - _REASONS
    if rest > 0:
        output.result(f"letters stay for {rest} further reasons", {"kind": "staying", "further_reasons": rest})


@contextmanager
def _owning(log: Log, topics: InternalTopics) -> Iterator[LetterOwner]:
    """Own the letters, and say so in clear words if another process takes them over."""
    with closing(LetterOwner(log, topics, user_and_machine())) as owner:
        try:
            yield owner
        except FencedError as error:
            raise KafkaUnreachableError(
                "another process deals with dead letters now, and this one stopped",
                "wait until it has ended, and give the same command again: it goes on with what is left",
            ) from error


@contextmanager
def _dealing(log: Log, topics: InternalTopics, cause: Cause, why: str, output: Output) -> Iterator[Dealing]:
    """Own the letters, show how far dealing with them has come, and stop between two batches on Ctrl-C and SIGTERM."""
    stop = Flag()
    former = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    is_shown = sys.stderr.isatty()

    def tell(progress: Progress) -> None:
        if is_shown:
            click.echo(f"\r\x1b[K{_letters(progress.done)} dealt with", err=True, nl=False)
        output.record({"kind": "progress", "done": progress.done})

    try:
        with _owning(log, topics) as owner:
            yield Dealing(owner, cause, why, wall_clock, steady_clock, stop.wait, tell)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _ended(verb: str, progress: Progress, output: Output) -> int:
    record = {"kind": "done", "done": progress.done, "stay": len(progress.staying), "stopped": progress.is_stopped}
    if progress.is_stopped:
        output.result(f"stopped: {_letters(progress.done)} {verb}; the same command goes on", record)
        return ExitCode.INTERRUPTED
    output.result(f"{_letters(progress.done)} {verb}", record)
    return ExitCode.NOT_SO if progress.staying else ExitCode.OK


def _letters(count: int) -> str:
    return "1 letter" if count == 1 else f"{count} letters"
