"""Try a trigger out on the events of a test file, by the live rules and without Kafka.

The events become records, and a past of the trigger reads them (:mod:`bridge.replay.past`): so routing, windows, ticks
and runs are those of the bridge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from typing_extensions import override

from bridge.core.decision import Reason
from bridge.core.definition import Definition
from bridge.core.event import EventIdentity, Micros, moment
from bridge.core.runs.parameters import default_parameters
from bridge.core.runs.run import Run
from bridge.explain.case import Case, CaseEvent, DecisionExpectation, RunExpectation
from bridge.explain.run_stories import computed_run
from bridge.explain.story import EventStory, RunStory, WindowStory
from bridge.explain.tracing import (
    RememberingReader,
    Tracer,
    event_story,
    match_events,
    told,
    window_story,
)
from bridge.kafka.log import Record
from bridge.replay.past import EVERYTHING, Past, PastMatch
from bridge.replay.recorded import NothingRecorded
from bridge.stages.matcher.window_store import Bounds
from bridge.stages.shared.decoding import EventDecoder
from bridge.triggers.errors import FieldPath, path_text
from bridge.triggers.topic_mapping import slot_topic
from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.headers import Headers, write_headers
from flowbridge_sdk.schemas import EventSchemas
from flowbridge_sdk.topics import topic_of

_INSTALLATION = "flowbridge."
_PREFIX = b"\xc3\x01flowbridge-test "  # begins like Avro; no fingerprint is made of these bytes
_FAR: Micros = 2**61


@dataclass
class Failure:
    """An expectation that does not hold.

    Attributes:
        line: Line of the expectation in its file.
        what: What it is about: ``expect.runs[0].parameters.amount``.
        expected: What is expected.
        got: What there is.

    """

    line: int
    what: str
    expected: str
    got: str


@dataclass
class Trial:
    """The result of a test file.

    Attributes:
        file: Its path.
        trigger: The trigger that was tried out.
        failures: The expectations that do not hold.
        events: The events with their decisions.
        runs: The runs.
        windows: The windows that are still open.

    """

    file: str
    trigger: str
    failures: list[Failure]
    events: list[EventStory]
    runs: list[RunStory]
    windows: list[WindowStory] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return the result as plain values, for JSON."""
        return {"kind": "test", "passed": not self.failures, **asdict(self)}


def try_out(case: Case, definition: Definition, schemas: EventSchemas, bounds: Bounds) -> Trial:
    """Return what a trigger makes of the events of a test file, and which expectations do not hold.

    Args:
        case: The file.
        definition: The trigger.
        schemas: The schemas of events; a payload of an event that has one is read as its publisher would write it.
        bounds: How much the windows may hold.

    Raises:
        RefusedError: A payload does not fit its schema.

    """
    payloads: list[dict[str, Any]] = []
    records = _records(case.events, definition, schemas, payloads)
    decoder = EventDecoder(lambda: _CaseDecoder(payloads, schemas), lambda: 0)
    reader = RememberingReader(decoder)
    tracer = Tracer(definition, reader, lambda *_: True, len(records), lambda _: True)
    past = Past(
        definition, _INSTALLATION, NothingRecorded(), reader, decoder, bounds, needs=EVERYTHING, decided=tracer.hear
    )
    last = records[-1].timestamp * 1000 if records else case.begin
    past.begin(case.begin, case.begin, _FAR)
    for record in records:
        tracer.feed(past, record, record.timestamp * 1000)
    until = case.until
    if until is None:  # all windows end; those of a dead man's switch would follow each other without end
        until = last if definition.trigger.is_switch else _FAR
    tracer.advance(past, until)
    matches: list[PastMatch] = []
    names: dict[tuple[str, EventIdentity], str] = {}  # of the Workflow that uses an event at a slot
    run_keys: set[str] = set()
    for match in tracer.matches:
        if isinstance(match.run, Run):
            names.update(dict.fromkeys(match.run.events, match.run.name))
            if match.run.run_key in run_keys:
                continue  # the ledger makes each run key once
            run_keys.add(match.run.run_key)
        matches.append(match)
    events = [
        event_story(
            traced,
            [
                told(
                    definition,
                    made.decision,
                    made.at,
                    "recomputed",
                    names.get((made.decision.slot, traced.identity), ""),
                )
                for made in traced.decisions
            ],
        )
        for traced in tracer.traced.values()
    ]
    runs = [computed_run(definition, match, "would run", "would run") for match in matches]
    windows = [window_story(definition, open_, "recomputed") for open_ in past.open_windows()]
    failures: list[Failure] = []
    if case.expect is not None:
        if case.expect.runs is not None:
            failures += _wrong_runs(case, case.expect.runs, definition, matches)
        for index, expected in enumerate(case.expect.decisions):
            path: FieldPath = ("expect", "decisions", index)
            failures += _wrong_decision(case.line_of(path), path_text(path), expected, events)
    return Trial(case.file, definition.identity, failures, events, runs, windows)


class _CaseDecoder(Decoder):
    """Decodes the values of a file's records: payloads without a schema are found by their number."""

    def __init__(self, payloads: Sequence[dict[str, Any]], schemas: EventSchemas) -> None:
        super().__init__(schemas)
        self._payloads = payloads

    @override
    def decode(self, topic: str, value: bytes | None, headers: Headers | None = None) -> dict[str, Any]:
        if value is not None and value.startswith(_PREFIX):
            return self._payloads[int(value.removeprefix(_PREFIX))]
        return super().decode(topic, value, headers)


def _records(
    events: Sequence[CaseEvent], definition: Definition, schemas: EventSchemas, payloads: list[dict[str, Any]]
) -> list[Record]:
    """Return the events as records, in the order in which they reach Kafka."""
    topics = {slot.slot.event: slot_topic(slot.slot) for slot in definition.slots}
    encoder = Encoder(schemas)
    records = []
    for offset, event in enumerate(sorted(events, key=lambda event: event.reached)):
        headers = [
            (name, text if isinstance(text, bytes) else str(text).encode())
            for name, text in write_headers(event.name, event.id, event.source, moment(event.time))
        ]
        value = event.value
        if value is None and event.name in schemas.current:
            value = encoder.encode(event.name, event.payload)
        elif value is None:
            value = _PREFIX + str(len(payloads)).encode()
            payloads.append(event.payload or {})
        key = None if event.key is None else event.key.encode()
        topic = topics.get(event.name) or topic_of(event.name)
        records.append(Record(topic, 0, offset, event.reached // 1000, key, value, headers))
    return records


# -- expectations ------------------------------------------------------------------------------------------------------


def _wrong_runs(
    case: Case, expected: Sequence[RunExpectation], definition: Definition, matches: Sequence[PastMatch]
) -> Iterator[Failure]:
    """Yield where the runs differ: each expected run takes a run that is as expected, or the first that is left."""
    left = list(matches)
    pairs: list[tuple[int, PastMatch | None]] = []
    unmet: list[int] = []
    for index, run in enumerate(expected):
        alike = next((match for match in left if not _differences(run, match)), None)
        if alike is None:
            unmet.append(index)
        else:
            left.remove(alike)
    pairs += [(index, left.pop(0) if left else None) for index in unmet]
    for index, match in pairs:
        path: FieldPath = ("expect", "runs", index)
        if match is None:
            run = expected[index]
            parts = [f"key {run.key}"] if run.key is not None else []
            parts += [f"events {', '.join(run.events)}"] if run.events is not None else []
            parts += [f"{name}={text}" for name, text in (run.parameters or {}).items()]
            wanted = f"a run ({'; '.join(parts)})" if parts else "a run"
            got = f"no such run: {len(matches)} {'run' if len(matches) == 1 else 'runs'} in all"
            yield Failure(case.line_of(path), path_text(path), wanted, got)
            continue
        for name, wanted, got in _differences(expected[index], match):
            place: FieldPath = (*path, *name)
            yield Failure(case.line_of(place), path_text(place), wanted, got)
    for match in left:
        path = ("expect", "runs")
        events = ", ".join(f"{slot} {event.id}" for slot, event in match_events(definition, match))
        got = f"a run of {events}" if events else "a run without events"
        yield Failure(case.line_of(path), path_text(path), "no further run", got)


def _differences(expected: RunExpectation, match: PastMatch) -> list[tuple[tuple[str, ...], str, str]]:
    """Return where a run is other than expected: the field, what is expected, what there is."""
    run = match.run
    if not isinstance(run, Run):
        return [((), "a run", f"no run can be made: {run}")]
    wrong: list[tuple[tuple[str, ...], str, str]] = []
    if expected.key is not None and expected.key != run.key:
        wrong.append((("key",), expected.key, run.key))
    if expected.events is not None:
        ids = sorted(event.id for _, event in run.events)
        if sorted(expected.events) != ids:
            wrong.append((("events",), ", ".join(expected.events), ", ".join(ids)))
    texts = expected.parameters or {}
    if run.parameters is not None:
        found = dict(run.parameters)
    else:  # by the default mapping; no template is known here, so only those that are expected
        found = dict(default_parameters(texts, run.payload or "{}", allow_template_tags=run.allow_template_tags))
    for name, text in texts.items():
        if name not in found:
            wrong.append((("parameters", name), text, "no such parameter"))
        elif found[name] != text:
            wrong.append((("parameters", name), text, found[name]))
    return wrong


def _wrong_decision(
    line: int, place: str, expected: DecisionExpectation, events: Sequence[EventStory]
) -> Iterator[Failure]:
    """Yield a failure if an event was not decided as expected. An event that waited counts as decided at its end."""
    wanted = f"{expected.reason}{f' at slot {expected.slot}' if expected.slot else ''}"
    about = [event for event in events if event.id == expected.event]
    if not about:
        known = ", ".join(event.id for event in events) or "none"
        yield Failure(
            line, f"{place} (event {expected.event})", wanted, f"no event with that id was decided; ids: {known}"
        )
        return
    decisions = [made for event in about for made in event.decisions if expected.slot in (None, made.slot)]
    final = [made for made in decisions if made.reason != Reason.WAITING.value] or decisions
    if not any(made.reason == expected.reason for made in final):
        got = "; ".join(f"{made.reason} at slot {made.slot}: {made.text}" for made in final)
        yield Failure(line, f"{place} (event {expected.event})", wanted, got or "no decision: no slot reads this event")
