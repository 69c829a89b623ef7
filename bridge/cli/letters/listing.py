"""``flowbridge dead-letters list``: what could not be done, by reason and trigger."""

from __future__ import annotations

from itertools import islice
from typing import Any

from bridge.cli.letters.choosing import PAGE, about, chosen, letter_log, summary
from bridge.cli.output import Output
from bridge.core.event import time_text
from bridge.errors import ExitCode, UsageError
from bridge.letters.letter import LetterState, grouped
from bridge.settings.settings import Settings

_TEXT = 120  # characters of a letter's text


def execute_list(*, each: bool, limit: int | None, settings: Settings, output: Output, **options: Any) -> int:
    """Show letters, by group or one by one."""
    if limit is not None and not each:
        raise UsageError("--limit without --each", "groups are all shown; add --each to show letters")
    choice = chosen(settings, **options)
    with letter_log(settings) as (_, _, letters):
        if each:
            number = 0
            for number, letter in enumerate(islice(letters.read(choice), limit), 1):  # noqa: B007 - how many there were
                where = f"{letter.name:<10} {time_text(letter.at)}  {letter.reason:<16} {about(letter)}"
                state = "" if letter.state is LetterState.OPEN else f"  ({letter.state})"
                output.result(f"{where}{state}  {_short(letter.text)}", summary(letter))
        else:
            groups = grouped(letters.read(choice))
            number = sum(group.count for group in groups)
            for group in groups:
                span = f"first {time_text(group.first)}  last {time_text(group.last)}"
                output.result(
                    [
                        f"{group.count:>8} {group.reason:<16} {group.about}  {span}",
                        f"{'':>8} the last, {group.sample.name}: {_short(group.sample.text)}",
                    ],
                    {
                        "kind": "letters",
                        "reason": group.reason,
                        "stage": group.stage,
                        "triggers": list(group.triggers),
                        "topic": group.topic,
                        "count": group.count,
                        "first": time_text(group.first),
                        "last": time_text(group.last),
                        "sample": group.sample.name,
                        "text": group.sample.text,
                        "documented": PAGE + group.reason,
                    },
                )
        if not number:
            output.remark("no dead letter fits")
        if letters.unreadable:
            text = f"{letters.unreadable} records of the topics of dead letters cannot be read, and are left out"
            output.result(text, {"kind": "unreadable", "records": letters.unreadable})
    return ExitCode.OK


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else f"{line[:_TEXT]} …"
