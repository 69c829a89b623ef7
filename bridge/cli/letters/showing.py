"""``flowbridge dead-letters show``: one letter, and whether it would pass now."""

from __future__ import annotations

import json
from typing import Any

from bridge.cli.letters.choosing import PAGE, about, place_of, summary
from bridge.cli.letters.desk import Desk, desk
from bridge.cli.output import Output
from bridge.core.event import Event, time_text
from bridge.errors import ExitCode, UsageError
from bridge.explain.tracing import run_parameters
from bridge.letters.judging import schema_id, shown
from bridge.letters.letter import Choice, Letter, LetterState
from bridge.letters.letter_file import marks_of
from bridge.letters.letter_log import LetterLog
from bridge.settings.settings import Settings

_VALUE = 64  # bytes of a value that cannot be decoded


def execute_show(*, letter: str, settings: Settings, output: Output) -> int:
    """Show one letter."""
    choice = Choice(frozenset({place_of(letter)}), states=frozenset(LetterState))
    with desk(settings, choice, asks_cluster=True) as place:
        found = one(place.letters, letter)
        verdict = place.judge.verdict(found, place.way.of(found))
        sensitive = place.judge.sensitive(found)
        lines = [
            f"letter {found.name}: {found.reason} ({found.stage}), {found.state}",
            f"  text         {found.text}",
            f"  documented   {PAGE}{found.reason}",
            f"  triggers     {', '.join(found.triggers) or 'all that read the topic'}",
            f"  written      {time_text(found.at)}",
            f"  about        {about(found)}",
        ]
        more: dict[str, Any] = {"marks": marks_of(found), "schema": "", "headers": {}}
        if found.run_key or found.record.topic == place.topics.runs:
            lines += _run_lines(place, found, more)
        else:
            lines += _record_lines(place, found, sensitive, more)
        lines.append(f"  now          {verdict.outcome}: {verdict.text}")
        if verdict.field:
            lines.append(f"  field        {verdict.field}")
        lines += [f"  {name:<12} {value}" for name, value in verdict.evidence.items()]
        lines += [
            f"  {mark.cause:<12} {time_text(mark.at)} by {mark.by or 'the bridge'}"
            + (f", as {mark.successor}" if mark.successor else "")
            + (f": {mark.why}" if mark.why else "")
            for mark in found.marks
        ]
        now = {
            "outcome": verdict.outcome.value,
            "text": verdict.text,
            "field": verdict.field,
            "evidence": dict(verdict.evidence),
        }
        output.result(lines, {**summary(found), **more, "now": now})
    return ExitCode.OK


def one(letters: LetterLog, name: str) -> Letter:
    """Return the letter of a name.

    Raises:
        UsageError: There is none.

    """
    choice = Choice(frozenset({place_of(name)}), states=frozenset(LetterState))
    for letter in letters.read(choice):
        return letter
    unreadable = "it is none that this version can read" if letters.unreadable else "retention may have removed it"
    raise UsageError(f"there is no dead letter {name}; {unreadable}", "flowbridge dead-letters list --each shows them")


def payload_of(place: Desk, letter: Letter) -> Any:
    """Return the decoded payload of a letter's event, sensitive fields redacted; None if it cannot be decoded."""
    if letter.run_key or letter.record.topic in (place.topics.runs, place.topics.arrivals):
        return None
    event = place.judge.event(letter)
    return shown(event.payload, place.judge.sensitive(letter)) if isinstance(event, Event) else None


def _record_lines(place: Desk, letter: Letter, sensitive: tuple[str, ...], more: dict[str, Any]) -> list[str]:
    """Return the lines about the record of a letter, and note the same as plain values."""
    record = letter.record
    value = record.value
    headers = {name: (content or b"").decode(errors="replace") for name, content in record.headers}
    more.update(key=letter.key(), schema=schema_id(record), headers=headers, timestamp=record.timestamp)
    lines = [f"  reached      {time_text(record.timestamp * 1000)}", f"  key          {letter.key() or '(none)'}"]
    lines.append(f"  schema       {more['schema'] or '(none)'}")
    lines += [f"  header       {name}: {content}" for name, content in headers.items()]
    event = None if record.topic == place.topics.arrivals else place.judge.event(letter)
    if isinstance(event, Event):
        payload = shown(event.payload, sensitive)
        more.update(event={"name": event.name, "id": event.id, "source": event.source}, payload=payload)
        lines.append(f"  event        {event.name} {event.id} of {event.source}")
        lines.append(f"  payload      {json.dumps(payload, ensure_ascii=False, default=str)}")
        return lines
    size = "no value" if value is None else f"{len(value)} bytes"
    more.update(payload=None, size=None if value is None else len(value))
    begin = "" if value is None or sensitive else f", which begin with {value[:_VALUE].hex(' ')}"
    lines.append(f"  value        {size}{begin}")
    if event is not None:
        more["undecodable"] = str(event)
        lines.append(f"  undecodable  {event}")
    return lines


def _run_lines(place: Desk, letter: Letter, more: dict[str, Any]) -> list[str]:
    """Return the lines about the run of a letter, and note the same as plain values."""
    run = letter.run()
    if run is None:
        return ["  run          cannot be read"]
    definition = place.definitions.known.get(run.definition_hash)
    key = definition.redacted_key(run.key) if definition is not None else run.key
    parameters = {each.name: each.value for each in run_parameters(definition, run)} if definition is not None else {}
    more["run"] = {
        "workflow": f"{run.namespace}/{run.name}",
        "template": run.template,
        "key": key,
        "parameters": parameters,
        "events": [{"slot": slot, **event._asdict()} for slot, event in run.events],
        "repeats": run.repeats,
    }
    lines = [f"  workflow     {run.namespace}/{run.name} of the WorkflowTemplate {run.template}"]
    lines += [f"  key          {key}"] if key else []
    lines += [f"  event        {event.name} {event.id} of {event.source} ({slot})" for slot, event in run.events]
    lines += [f"  parameter    {name}: {value}" for name, value in parameters.items()]
    return lines
