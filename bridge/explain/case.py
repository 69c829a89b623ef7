"""Test files of triggers: events, and what is expected of them.

A file is YAML, or JSON lines (``*.jsonl``): then each line is one event, and a line with ``expect``, ``from``,
``trigger``, ``triggers`` or ``until`` is about the whole file. Every error has its file, line and field.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import yaml
from pydantic import BeforeValidator, Field, PlainValidator, ValidationError

from bridge.core.duration import DurationError, parse_duration
from bridge.core.event import Micros, moment, time_text
from bridge.errors import CaseFileError
from bridge.triggers.documents import Document, DocumentError, read_documents
from bridge.triggers.errors import FieldPath, Misfit, Origin, TriggerError, path_text, quote_value
from bridge.triggers.shapes import Part, Shapes, misfits_of
from bridge.triggers.values import text as text_value
from flowbridge_sdk.avro.misfit import MisfitError

BEGIN: Micros = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
"""The time of the first event that names none."""

APART: Micros = 1_000_000
"""How long after the event before an event happens that names no time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = frozenset({"expect", "from", "trigger", "triggers", "until"})
_TYPED = re.compile(r"\$[a-z]+")
_SOURCE = "test"


@dataclass(frozen=True)
class When:
    """A time of a file: a moment, or a length of time behind another one."""

    moment: Micros | None = None
    after: Micros = 0

    def from_(self, base: Micros) -> Micros:
        """Return the moment, where a length of time counts from ``base``."""
        return self.moment if self.moment is not None else base + self.after


def _when(value: Any) -> When:
    wrong = MisfitError(f"found {quote_value(value)}", "write 2026-01-31T12:00:00Z, or +10m after the one before")
    if not isinstance(value, str):
        raise wrong
    if value.startswith("+"):
        try:
            return When(after=parse_duration(value[1:]))
        except DurationError:
            raise wrong from None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise wrong from None
    read = read if read.tzinfo else read.replace(tzinfo=UTC)
    return When(moment=(read - _EPOCH) // timedelta(microseconds=1))


def _payload(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MisfitError(f"found {quote_value(value)}", "write a mapping {field: value}")
    return {name: typed(member) for name, member in value.items()}


def typed(value: Any) -> Any:
    """Turn a value of a test file into the value that an event carries: ``{$time: …}`` becomes a time, and so on.

    Raises:
        MisfitError: The text has not the form of its type.

    """
    if isinstance(value, list):
        return [typed(member) for member in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not _TYPED.fullmatch(next(iter(value))):
        return {name: typed(member) for name, member in value.items()}
    ((kind, text),) = value.items()
    try:
        if kind == "$time":
            return moment(_when(text).from_(0))
        if kind == "$bytes":
            return base64.b64decode(text, validate=True)
        if kind == "$decimal":
            return Decimal(str(text))
        if kind == "$uuid":
            return UUID(text)
        if kind == "$duration":
            return timedelta(microseconds=parse_duration(text))
        if kind == "$number":
            return float(text)
    except (ValueError, TypeError, AttributeError, InvalidOperation, binascii.Error):
        raise MisfitError(f"found {kind}: {quote_value(text)}", f"write it as {_FORMS[kind]}") from None
    raise MisfitError(f"there is no type {kind}", f"known are {', '.join(_FORMS)}")


_FORMS = {
    "$time": "{$time: 2026-01-31T12:00:00Z}",
    "$bytes": "{$bytes: aGVsbG8=} (base64)",
    "$decimal": "{$decimal: '12.50'}",
    "$uuid": "{$uuid: 6f1c…}",
    "$duration": "{$duration: 90s}",
    "$number": "{$number: nan}",
}
"""How values are written for which YAML and JSON have no type."""


def untyped(value: Any) -> Any:
    """Return a value of an event as a file has it; the inverse of :func:`typed`."""
    if isinstance(value, Mapping):
        return {str(name): untyped(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [untyped(member) for member in value]
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return {"$time": aware.astimezone(UTC).isoformat().replace("+00:00", "Z")}
    if isinstance(value, timedelta):
        return {"$duration": f"{value // timedelta(microseconds=1)}us"}
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124
        return {"$number": str(value)}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise MisfitError(f"found {quote_value(value)}", "write the value of the record in base64") from None


Text = Annotated[str, BeforeValidator(text_value)]
Time = Annotated[When, PlainValidator(_when)]


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        found = quote_value(value)
        if isinstance(value, dict):
            name, wrong = next((name, text) for name, text in value.items() if not isinstance(text, str))
            found = f"{name}: {quote_value(wrong)}"
        raise MisfitError(f"found {found}", "parameters of a Workflow are texts; put quotes around the value")
    return value


class EventPart(Part):
    """One event of the file."""

    name: Text
    id: Text | None = None
    source: Text = _SOURCE
    key: str | None = None
    time: Time | None = None
    reached: Time | None = None
    payload: Annotated[dict[str, Any], PlainValidator(_payload)] | None = None
    value: Annotated[bytes, PlainValidator(_bytes)] | None = None


class RunExpectation(Part):
    """One expected run."""

    key: str | None = None
    parameters: Annotated[dict[str, str], PlainValidator(_texts)] | None = None
    events: list[Text] | None = None


class DecisionExpectation(Part):
    """One expected decision."""

    event: Text
    slot: Text | None = None
    reason: Text


class ExpectPart(Part):
    """What is expected."""

    runs: list[RunExpectation] | None = None
    decisions: list[DecisionExpectation] = Field(default_factory=list)


class CasePart(Part):
    """A test file."""

    triggers: list[Text] = Field(default_factory=list)
    trigger: Text | None = None
    begin: Time | None = Field(default=None, alias="from")
    until: Time | None = None
    events: list[EventPart]
    expect: ExpectPart | None = None


_SHAPES: Shapes = {("events",): "[{name: …}]", ("expect",): "{runs: …}"}


@dataclass(frozen=True)
class CaseEvent:
    """An event of a file.

    Attributes:
        name: Its name.
        id: Its id.
        source: Its source.
        key: The key of its record.
        time: When it happened.
        reached: When it reached Kafka.
        payload: Its payload; None where ``value`` stands for it.
        value: The value of its record as it is, such as bytes that nobody can decode; None for a payload.

    """

    name: str
    id: str
    source: str
    key: str | None
    time: Micros
    reached: Micros
    payload: dict[str, Any] | None
    value: bytes | None = None


@dataclass(frozen=True)
class Case:
    """A test file as read.

    Attributes:
        file: Its path.
        triggers: The files of its triggers; empty where the command line names them.
        trigger: The trigger that is tested; None where the files have a single one.
        begin: Since when the trigger is in force, which matters to a dead man's switch.
        until: Up to when time goes on behind the last event; None until all windows have ended.
        events: Its events, in order.
        expect: What is expected; None for nothing.
        lines: Lines of its values, by path.

    """

    file: str
    triggers: tuple[Path, ...]
    trigger: str | None
    begin: Micros
    until: Micros | None
    events: tuple[CaseEvent, ...]
    expect: ExpectPart | None
    lines: Mapping[FieldPath, int] = field(default_factory=dict)

    def line_of(self, path: FieldPath) -> int:
        """Return the line of a value, or of the nearest value around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_case(file: Path) -> Case:
    """Return the test in a file.

    Raises:
        CaseFileError: It cannot be read, or is no test file. It names the line and the field of each fault.

    """
    try:
        content = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CaseFileError([f"{file}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise CaseFileError([f"{file}: no UTF-8 at byte {error.start}"]) from None
    try:
        document = _lines(content) if file.suffix == ".jsonl" else _document(content)
    except DocumentError as error:
        raise CaseFileError([_text(file, error.line, error.path, error)]) from None
    try:
        part = CasePart.model_validate(document.value)
    except ValidationError as error:
        misfits = misfits_of(error, CasePart, _SHAPES)
        raise CaseFileError([_text(file, document.line_of(path), path, fault) for path, fault in misfits]) from None
    return Case(
        str(file),
        tuple([file.parent / name for name in part.triggers]),
        part.trigger,
        *_events(file, document, part),
        part.expect,
        document.lines,
    )


def _events(file: Path, document: Document, part: CasePart) -> tuple[Micros, Micros | None, tuple[CaseEvent, ...]]:
    """Return from when on and up to when time goes on, and the events with their times."""
    events: list[CaseEvent] = []
    faults: list[Misfit] = []
    time, last = BEGIN - APART, BEGIN
    for index, event in enumerate(part.events):
        if (event.payload is None) == (event.value is None):
            what = "both payload and value" if event.payload is not None else "no payload"
            faults.append((("events", index), MisfitError(f"the event has {what}", "write payload: {field: value}")))
            continue
        time = event.time.from_(time) if event.time is not None else time + APART
        reached = event.reached.from_(time) if event.reached is not None else time
        last = max(last, reached)
        id_ = event.id or f"event-{index + 1}"
        events.append(CaseEvent(event.name, id_, event.source, event.key, time, reached, event.payload, event.value))
    if faults:
        raise CaseFileError([_text(file, document.line_of(path), path, fault) for path, fault in faults])
    first = min([event.reached for event in events], default=BEGIN)
    begin = first if part.begin is None else part.begin.from_(first)
    return begin, None if part.until is None else part.until.from_(last), tuple(events)


def _document(content: str) -> Document:
    documents = list(read_documents(content))
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        found = "no document" if not documents else f"{len(documents)} documents"
        if len(documents) == 1:
            found = quote_value(documents[0].value)
        raise DocumentError(f"found {found}", "write one mapping with events: and expect:", 1)
    return documents[0]


def _lines(content: str) -> Document:
    """Return JSON lines as a document of the same shape as YAML."""
    whole: dict[str, Any] = {"events": []}
    lines: dict[FieldPath, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DocumentError(f"no JSON: {error}", "write one JSON object in each line", number) from None
        if not isinstance(value, dict):
            raise DocumentError(f"found {quote_value(value)}", "write one JSON object in each line", number)
        if "name" in value or not value.keys() <= _WHOLE:
            lines["events", len(whole["events"])] = number
            whole["events"].append(value)
            continue
        for name in value:
            lines[name,] = number
        whole.update(value)
    return Document(whole, 1, lines)


def _text(file: Path, line: int, path: FieldPath, misfit: MisfitError) -> str:
    return str(TriggerError(Origin(str(file), line), path_text(path), misfit.found, misfit.expected))


# -- writing -----------------------------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Writes no aliases, and texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def case_text(
    events: Sequence[CaseEvent],
    trigger: str,
    triggers: Sequence[str],
    expect: Mapping[str, Any],
    comment: Sequence[str],
) -> str:
    """Return the YAML of a test file.

    Args:
        events: Its events.
        trigger: The trigger, ``namespace/name``.
        triggers: The files with the trigger; empty where the command line will name them.
        expect: What is expected, in the shape of the file.
        comment: Lines that stand on top.

    """
    whole: dict[str, Any] = {"triggers": list(triggers)} if triggers else {}
    whole["trigger"] = trigger
    whole["events"] = []
    for event in events:
        plain: dict[str, Any] = {"name": event.name, "id": event.id, "source": event.source}
        if event.key is not None:
            plain["key"] = event.key
        plain["time"] = precise_text(event.time)
        if event.reached != event.time:
            plain["reached"] = precise_text(event.reached)
        if event.payload is not None:
            plain["payload"] = untyped(event.payload)
        if event.value is not None:
            plain["value"] = base64.b64encode(event.value).decode()
        whole["events"].append(plain)
    whole["expect"] = dict(expect)
    head = "".join([f"# {line}\n" for line in comment])
    body: str = yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return head + body


def precise_text(time: Micros) -> str:
    """Return a time with all its digits, as RFC 3339 in UTC."""
    try:
        return moment(time).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return time_text(time)
