"""Explain what happened to events: what the live bridge recorded, and what the rules say where nothing is recorded.

A question is answered in three steps. The records of the topics are read by the live rules, as a replay reads them,
with the definitions that were in force then (:mod:`bridge.explain.tracing`). What the live bridge recorded about the
same events is read (:mod:`bridge.explain.live_records`). Then both are joined: a recorded decision stands, and a
recomputed one fills the place where none is recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bridge.core.decision import Decision, Reason, RunReason
from bridge.core.definition import Definition
from bridge.core.event import DAY, SECOND, EventIdentity, Micros, time_text
from bridge.core.runs.run import Run
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.core.windows.window import Arrival, Spent
from bridge.explain.live_records import (
    Chosen,
    LedgerRun,
    LiveRecords,
    MadeDecision,
    letter_reason,
    read_live,
    run_reason,
)
from bridge.explain.sentences import About, apart, event_sentence, run_sentence, skipped_text, step_text
from bridge.explain.story import (
    NOT_APPLIED,
    NOT_BEGUN,
    NOT_IN_FORCE,
    NOT_READ,
    UNKNOWN,
    EventStory,
    Knowledge,
    Moment,
    RunStory,
    Story,
    Told,
    TriggerStory,
)
from bridge.explain.tracing import (
    Choose,
    Place,
    RememberingReader,
    Traced,
    Tracer,
    event_story,
    keys_of,
    run_events,
    run_parameters,
    told,
    window_story,
)
from bridge.kafka.log import Partition, Record
from bridge.kafka.ownership import read_note
from bridge.replay.frozen import Freezer, Frozen
from bridge.replay.history import History
from bridge.replay.merge import merged
from bridge.replay.past import EVERYTHING, Past, PastDecision, PastMatch
from bridge.replay.planner import Progress, ReplayDependencies
from bridge.replay.recorded import Outcome, Recorded
from bridge.replay.request import Bound, ReplayError, Request
from bridge.stages.matcher.window_store import Bounds
from bridge.stages.process import group_of
from bridge.stages.router.reached_time import TRUSTED_AHEAD
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.triggers.topic_mapping import slot_topic, topics_of
from flowbridge_sdk.errors import DecodeError
from flowbridge_sdk.headers import read_headers

LOOK_BACK: Micros = DAY
"""How far back a question reaches that names no time."""

_LATE: Micros = 60 * SECOND  # a step in the life of a run that took longer is named in the answer
_TRIES = 10  # for a schema that cannot be looked up now
_TOLD_RECORDS = 2_000
_CLOSEST = 1_000  # of filtered events, the newest ones that are compared
_WINDOWS_TOLD = 3

_WAITS = {
    "rate": "for the rate of its trigger (`run.limits.rate`)",
    "storm": "for the end of a storm of its trigger (`run.limits.storm`)",
}
"""What a run waits for, for people, by the reason in the ledger."""

PhaseOf = Callable[[str, str], str]
"""Returns the phase of a Workflow by namespace and name; ``GONE``, ``NOT_BEGUN_BY_ARGO``, or empty for not known."""


@dataclass(frozen=True)
class Question:
    """A question about a trigger.

    Attributes:
        trigger: ``namespace/name``.
        event: Id of events; None if they are not asked about.
        key: Correlation key; None if none is asked about.
        run: A run's key, or the name of its Workflow; None if none is asked about.
        start: Where the range begins; without a time and offsets, a day ago.
        end: Where it ends.
        limit: Events that are told one by one.

    """

    trigger: str
    event: str | None = None
    key: str | None = None
    run: str | None = None
    start: Bound = field(default_factory=Bound)
    end: Bound = field(default_factory=Bound)
    limit: int = 50

    @property
    def is_ranged(self) -> bool:
        """Return whether it names where its range begins."""
        return self.start != Bound()


class Located(NamedTuple):
    """A record of an event that is asked about."""

    identity: EventIdentity
    place: Place
    reached: Micros


@dataclass
class Reading:
    """What was read of the past.

    Attributes:
        tracer: The events that were followed.
        past: The windows as they are at the end.
        frozen: The ranges.
        records: Records that were read.

    """

    tracer: Tracer
    past: Past
    frozen: Frozen
    records: int


class Explainer:
    """Answers questions about triggers.

    Args:
        around: What it works with.
        definitions: The triggers, read to the end.
        phase_of: Returns the phase of a Workflow.
        progress: Hears how far reading has come.

    """

    def __init__(
        self,
        around: ReplayDependencies,
        definitions: Definitions,
        phase_of: PhaseOf,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._around = around
        self._definitions = definitions
        self._phase_of = phase_of
        self._progress = progress

    def explain(self, question: Question) -> Story:
        """Return the answer to a question.

        Raises:
            ReplayError: There is no such trigger, or its range cannot be read.
            LogError: Kafka did not answer.
            DecodeError: The schema registry does not answer.
            RecordError: A newer version has written something that this one cannot read.

        """
        history = History.read(self._around.log, self._around.topics.triggers, question.trigger)
        definition = self.definition(question.trigger, history)
        trigger = self._trigger_story(question.trigger, definition, history)
        if question.run is not None:
            return self._of_run(question, question.run, definition, history, trigger)
        if question.event is not None:
            return self._of_event(question, question.event, definition, history, trigger)[0]
        if question.key is not None or question.is_ranged:
            return self._of_range(question, definition, history, trigger)[0]
        return self._of_trigger(question, definition, history, trigger)

    def definition(self, trigger: str, history: History) -> Definition:
        """Return the definition in force, or the last one that was.

        Raises:
            ReplayError: There is none.

        """
        in_force = self._definitions.in_force.get(trigger)
        if in_force is not None:
            return in_force
        former = [change.definition for change in history.changes if change.definition is not None]
        if former:
            return former[-1]
        known = ", ".join(sorted(self._definitions.in_force)) or "none"
        raise ReplayError(f"there is no trigger {trigger}", f"there are: {known}")

    # -- the questions -------------------------------------------------------------------------------------------------

    def follow(self, question: Question) -> tuple[Definition, Story, Reading | None]:
        """Return the trigger, the answer about an event, a key or a range, and what was read; None if nothing was.

        It raises as :meth:`explain`.
        """
        history = History.read(self._around.log, self._around.topics.triggers, question.trigger)
        definition = self.definition(question.trigger, history)
        trigger = self._trigger_story(question.trigger, definition, history)
        if question.event is not None:
            story, reading = self._of_event(question, question.event, definition, history, trigger)
        else:
            story, reading = self._of_range(question, definition, history, trigger)
        return definition, story, reading

    def _of_event(
        self, question: Question, id_: str, definition: Definition, history: History, trigger: TriggerStory
    ) -> tuple[Story, Reading | None]:
        """Tell about the events with an id, and their windows."""
        found, frozen = self._located(question, id_, definition)
        if not found:
            topics = ", ".join(topics_of(definition.trigger))
            answer = (
                f"No event with the id {id_!r} reached {topics} between {time_text(frozen.begin)} and "
                f"{time_text(frozen.end)}. Check the id and the topic, or look further back with --from."
            )
            begin, end = time_text(frozen.begin), time_text(frozen.end)
            return Story(trigger, [answer], begin, end, notes=list(frozen.notes)), None
        asked = {located.identity for located in found} | {
            EventIdentity(located.place.topic, located.place.topic, located.place.text()) for located in found
        }
        places = {located.place for located in found}
        back = _reach(definition)
        start = Bound(time=max(0, min(located.reached for located in found) - back))
        stop = Bound(time=max(located.reached for located in found) + 2 * back + SECOND)
        keys: set[str] = set()

        def choose(identity: EventIdentity, place: Place, of_event: Sequence[str]) -> bool | None:
            if identity in asked or place in places:
                keys.update(of_event)
                return True
            return False if definition.trigger.is_windowed and keys.intersection(of_event) else None

        narrowed = replace(question, start=start, end=stop)
        if definition.trigger.is_windowed:
            keys.update(self._keys_of(narrowed, definition, asked))
        if len(keys) == 1 and keys != {""}:
            narrowed = replace(narrowed, key=next(iter(keys)))
        reading = self._read(narrowed, definition, history, choose)
        story = self._story(question, definition, history, trigger, reading, keys)
        story.answer = [sentence for event in story.events if event.is_asked for sentence in _answer_of(event)]
        story.answer += _twice(story)
        return story, reading

    def _of_range(
        self, question: Question, definition: Definition, history: History, trigger: TriggerStory
    ) -> tuple[Story, Reading]:
        """Tell about the events of a key, or of a range."""
        key = question.key
        if key is not None and all(slot.key is None for slot in definition.trigger.slots):
            raise ReplayError(f"trigger {question.trigger} has no correlation key", "leave --key out")

        def choose(_identity: EventIdentity, _place: Place, of_event: Sequence[str]) -> bool | None:
            return True if key is None or key in of_event else None

        reading = self._read(question, definition, history, choose)
        keys = {key} if key is not None else set()
        story = self._story(question, definition, history, trigger, reading, keys)
        story.answer = self._range_answer(story, key) + _twice(story)
        return story, reading

    def _of_run(
        self, question: Question, name: str, definition: Definition, history: History, trigger: TriggerStory
    ) -> Story:
        """Tell about a run, by its key or the name of its Workflow."""
        live = read_live(
            self._around.log, self._around.topics, self._definitions, definition, Chosen(runs=(name,), keys=())
        )
        run = next(iter(live.runs.values()), None)
        if run is None:
            days = self._around.horizon // DAY
            answer = (
                f"No run {name!r} of {question.trigger} is recorded. The ledger remembers runs for {days} days. It "
                "knows them by their run key, and by the name of their Workflow."
            )
            return Story(trigger, [answer])
        if run.facts is None:
            story = Story(trigger, [], runs=[self._run_story(definition, run, None, live)])
            story.notes.append("the ledger does not know the events of this run: version 0.1.0 has written its entry")
            story.answer = [story.runs[0].text]
            return story
        facts = run.facts
        back = _reach(definition)
        start = Bound(time=max(0, facts.reached - back))
        end = Bound(time=facts.reached + 2 * back + SECOND)
        asked = {event for _, event in facts.events}

        def choose(identity: EventIdentity, _place: Place, of_event: Sequence[str]) -> bool | None:
            if identity in asked:
                return True
            return False if definition.trigger.is_windowed and facts.key in of_event else None

        narrowed = replace(question, start=start, end=end, key=facts.key or None)
        reading = self._read(narrowed, definition, history, choose)
        story = self._story(question, definition, history, trigger, reading, {facts.key}, runs=(run.run_key,))
        mine = [told_ for told_ in story.runs if told_.run_key == run.run_key]
        story.answer = [sentence for told_ in mine for sentence in [told_.text, *_lateness(run)]] + _twice(story)
        return story

    def _of_trigger(self, question: Question, definition: Definition, history: History, trigger: TriggerStory) -> Story:
        """Tell about the trigger itself: when it matched last, what it waits for, what came nearest to a match."""
        nearest = _Nearest(definition)
        reading = self._read(question, definition, history, lambda *_: None, hears=nearest.hear)
        chosen = Chosen(keys=None, begin=reading.frozen.begin)
        live = read_live(self._around.log, self._around.topics, self._definitions, definition, chosen)
        story = self._begun_story(trigger, reading)
        newest = max(live.runs.values(), key=lambda run: run.facts.reached if run.facts else run.at, default=None)
        if newest is not None:
            told_ = self._run_story(definition, newest, None, live)
            story.runs.append(told_)
            at = newest.facts.reached if newest.facts is not None else newest.at
            story.answer.append(f"It matched last with an event of {time_text(at)}. {told_.text}")
        else:
            story.answer.append(f"No run of it is recorded in the last {self._around.horizon // DAY} days.")
        open_ = sorted(live.windows, key=lambda window: -sum(map(bool, window.window.waiting)))
        for window in open_[:_WINDOWS_TOLD]:
            story.windows.append(window_story(definition, window, "recorded"))
        if open_:
            count = len(open_)
            story.answer.append(
                f"{count} {'window is' if count == 1 else 'windows are'} open. The fullest: {story.windows[0].text}"
            )
        if newest is None:
            miss = nearest.story()
            if miss is not None:
                story.events.append(miss)
                story.answer.append(f"The nearest miss: {miss.name} {miss.id}. {miss.decisions[-1].text}")
            elif not reading.records:
                topics = ", ".join(topics_of(definition.trigger))
                story.answer.append(f"No record reached {topics} since {story.begin}.")
        if not reading.records and newest is not None:
            story.answer.append(f"No record reached its topics since {story.begin}.")
        return story

    # -- reading -------------------------------------------------------------------------------------------------------

    def _request(self, question: Question) -> Request:
        start = question.start if question.is_ranged else Bound(time=self._around.clock() - LOOK_BACK, text="24h")
        return Request(question.trigger, start, question.end)

    def _freezer(self) -> Freezer:
        around = self._around
        return Freezer(
            around.log,
            around.topics,
            self._definitions,
            around.clock,
            around.horizon,
            around.windows.clock_skew,
            around.wait,
            is_patient=False,
        )

    def _located(self, question: Question, id_: str, definition: Definition) -> tuple[list[Located], Frozen]:
        """Return the records of events with an id, by their headers alone."""
        frozen = self._freezer().ranges(self._request(question), definition)
        found: list[Located] = []
        for record in self._records(frozen, from_begin=True):
            place = Place(record.topic, record.partition, record.offset)
            try:
                head = read_headers(record.headers, *place, record.timestamp)
            except DecodeError:
                head = None
            if place.text() == id_ or (head is not None and head.id == id_):
                identity = EventIdentity(
                    *(head.name, head.source, head.id) if head else (record.topic, record.topic, id_)
                )
                found.append(Located(identity, place, record.timestamp * 1000))
        return found, frozen

    def _keys_of(self, question: Question, definition: Definition, asked: set[EventIdentity]) -> Iterator[str]:
        """Yield the correlation keys of events, so that the others of their windows are known when they come."""
        frozen = self._freezer().ranges(self._request(question), definition)
        reader = RememberingReader(self._decoder(), self._definitions)
        for record in self._records(frozen):
            try:
                head = read_headers(record.headers, *record[:3], record.timestamp)
                if EventIdentity(head.name, head.source, head.id) not in asked:
                    continue
                event = reader.read(record, record.timestamp, record.timestamp * 1000).event
            except DecodeError:
                continue
            yield from keys_of(event, [slot for slot in definition.slots if slot_topic(slot.slot) == record.topic])

    def _records(self, frozen: Frozen, *, from_begin: bool = False) -> Iterator[Record]:
        """Yield the records of ranges, in any order of partitions."""
        with closing(self._around.log.reader()) as reader:
            for place, part in frozen.reads.items():
                first = part.begin if from_begin else part.first
                for records in reader.read(place, first, part.end) if first < part.end else ():
                    yield from records

    def _decoder(self) -> EventDecoder:
        return EventDecoder(self._around.decoder, self._around.pace)

    def _read(
        self,
        question: Question,
        definition: Definition,
        history: History,
        choose: Choose,
        *,
        hears: Callable[[PastDecision], None] | None = None,
    ) -> Reading:
        """Read the past of a trigger by the definitions that were in force then."""
        around, request = self._around, self._request(question)
        recorded = Recorded(question.trigger)
        frozen = self._freezer().read(request, definition, recorded, to_end=True)
        decoder = self._decoder()
        reader = RememberingReader(decoder, self._definitions)
        changes = deque(history.changes)
        first: Definition | None = None if changes else definition
        while changes and changes[0].at <= frozen.first:
            first = changes.popleft().definition
        tracer = Tracer(definition, reader, choose, question.limit, lambda match: _is_alone(match, question))
        held = around.windows

        def hear(decision: PastDecision) -> None:
            tracer.hear(decision)
            if hears is not None:
                hears(decision)

        past = Past(
            first or definition,
            around.topics.prefix,
            recorded,
            reader,
            decoder,
            Bounds(held.window_bound, held.remembered_bound * around.topics.partitions, held.window_bytes),
            key=question.key,
            needs=EVERYTHING,
            decided=hear,
        )
        past.begin(frozen.first, frozen.begin, frozen.end)
        if first is None:
            tracer.follow(past, None, frozen.first)
        count = 0
        latest = (around.clock() + TRUSTED_AHEAD) // 1000
        total = sum(part.end - part.first for part in frozen.reads.values())
        with closing(around.log.ranges({place: part.first for place, part in frozen.reads.items()})) as ranges:
            ends = {place: part.end for place, part in frozen.reads.items()}
            for timed in merged(ranges, ends, around.pace, latest):
                record, time = timed.record, timed.time * 1000
                place = Partition(record.topic, record.partition)
                while changes and changes[0].at <= time:
                    tracer.follow(past, changes[0].definition, changes[0].at)
                    changes.popleft()
                is_inside = record.offset >= frozen.reads[place].begin
                count += 1
                if count % _TOLD_RECORDS == 0:
                    self._progress(Progress(count, total, time))
                if record.offset >= frozen.routed[place]:
                    self._feed(lambda: tracer.see_unread(record, time))  # noqa: B023 - called at once
                    continue
                self._feed(lambda: tracer.feed(past, record, time, is_inside=is_inside))  # noqa: B023
        while changes and changes[0].at <= frozen.end:
            tracer.follow(past, changes[0].definition, changes[0].at)
            changes.popleft()
        tracer.advance(past, frozen.end)
        self._progress(Progress(count, total, frozen.end))
        recorded.close()
        return Reading(tracer, past, frozen, count)

    def _feed(self, feed: Callable[[], None]) -> None:
        """Feed a record; wait for a schema that cannot be looked up now. Nothing of the record is applied before."""
        for tries in range(_TRIES):
            try:
                feed()
            except DecodeError:
                if tries == _TRIES - 1:
                    raise
                self._around.wait(1.0)
            else:
                return

    # -- the story -----------------------------------------------------------------------------------------------------

    def _trigger_story(self, name: str, definition: Definition, history: History) -> TriggerStory:
        in_force = self._definitions.in_force.get(name)
        since = history.changes[-1].at if history.changes else None
        since_text = time_text(since) if since is not None else ""
        origin = str(self._definitions.origins.get(definition.hash, ""))
        if in_force is None:
            text = f"Trigger {name} is not in force any more{f', since {since_text}' if since_text else ''}."
            return TriggerStory(name, "", origin, since_text, is_applied=True, is_suspended=False, text=text)
        is_applied = self._routers_applied(definition) >= self._definitions.changed.get(name, 0)
        state = "in force" if is_applied else "in force, but not every router has applied it yet"
        if in_force.trigger.suspend:
            state = f"suspended ({state})"
        text = f"Trigger {name} is {state}: definition {definition.hash[:12]}"
        text += f" of {origin}" if origin else ""
        text += f", since {since_text}." if since_text else "."
        return TriggerStory(
            name, definition.hash, origin, since_text, is_applied, is_suspended=in_force.trigger.suspend, text=text
        )

    def _routers_applied(self, definition: Definition) -> int:
        """Return the offset of ``triggers`` up to which the routers of the trigger's topics have applied it."""
        with closing(self._around.log.admin()) as admin:
            counts = admin.topics()
            names = [name for name in topics_of(definition.trigger) if name in counts]
            places = [Partition(name, number) for name in names for number in range(counts[name])]
            committed = admin.committed(group_of(self._around.topics, "router"), places, stable=False)
        if len(committed) < len(places) or not places:
            return 0
        return min(read_note(offset).triggers for offset in committed.values())

    def _begun_story(self, trigger: TriggerStory, reading: Reading) -> Story:
        frozen = reading.frozen
        return Story(
            trigger,
            [],
            time_text(frozen.begin),
            time_text(frozen.end),
            reading.records,
            dict(reading.past.decisions),
            notes=list(frozen.notes),
            unshown=reading.tracer.unshown,
        )

    def _story(
        self,
        question: Question,
        definition: Definition,
        history: History,
        trigger: TriggerStory,
        reading: Reading,
        keys: set[str],
        runs: Sequence[str] = (),
    ) -> Story:
        """Join what was read with what is recorded."""
        tracer = reading.tracer
        traced = list(tracer.traced.values())
        chosen = Chosen(
            events=frozenset(tracer.traced),
            places=frozenset(place for event in traced for place in event.places),
            keys=keys,
            runs=runs,
            begin=reading.frozen.begin,
        )
        live = read_live(self._around.log, self._around.topics, self._definitions, definition, chosen)
        story = self._begun_story(trigger, reading)
        matches = {run_key: match for match in tracer.matches for run_key in _run_keys(match)}
        names = {
            (slot, event): run.workflow
            for run in live.runs.values()
            if run.facts is not None and not run.facts.replay_id
            for slot, event in run.facts.events
        }
        for event in traced:
            then = history.at(event.reached) or definition
            decisions = _joined(self, event, then, live, names, reading)
            story.events.append(event_story(event, decisions))
        windows = [window for window in live.windows if not keys or window.key in keys]
        if keys or not definition.trigger.is_windowed or len(windows) <= _WINDOWS_TOLD:
            story.windows = [window_story(definition, window, "recorded") for window in windows]
        for run in sorted(live.runs.values(), key=lambda run: run.facts.reached if run.facts else run.at):
            is_near = run.run_key in runs or any(
                used in tracer.traced for _, used in (run.facts.events if run.facts is not None else ())
            )
            if is_near or (question.key is not None and run.facts is not None and run.facts.key == question.key):
                story.runs.append(self._run_story(definition, run, matches.get(run.run_key), live))
        decided = {
            (event.name, event.source, event.id): decision.reason
            for event in story.events
            for decision in event.decisions
            if decision.reason not in (Reason.MATCHED.value, Reason.WAITING.value)
        }
        for match in tracer.matches:
            if match.recorded is None and match.is_inside and not set(_run_keys(match)) & live.runs.keys():
                others = [
                    f"{event.name} {event.id} is {decided[event.identity]}"
                    for filled in match.events
                    for event in filled
                    if event.identity in decided
                ]
                if not any(text.endswith(NOT_BEGUN) for text in others):
                    story.runs.append(self._missing_run(definition, match, others))
        return story

    def state_of(
        self, event: Traced, then: Definition, slot: str, reading: Reading, *, is_unapplied: bool = False
    ) -> Told:
        """Return why nothing was decided about an event at a slot; ``is_unapplied``: it waits for a matcher."""
        place = event.places[0]
        partition = Partition(place.topic, place.partition)
        evidence: dict[str, str] = {}
        start = self._definitions.starts.get(place.topic)
        begun_at = start.offsets[place.partition] if start and place.partition < len(start.offsets) else 0
        if place.offset >= reading.frozen.routed.get(partition, 0):
            behind = reading.frozen.reads[partition].end - reading.frozen.routed.get(partition, 0)
            state, evidence = NOT_READ, {"behind": str(behind)}
        elif place.offset < begun_at:
            state, evidence = NOT_BEGUN, {"offset": str(begun_at)}
        elif is_unapplied:
            state = NOT_APPLIED
        elif event.is_out_of_force:
            state = NOT_IN_FORCE
        else:
            state = UNKNOWN
        text = event_sentence(state, About(then.trigger, slot, evidence))
        known: Knowledge = "recomputed" if state in (UNKNOWN, NOT_IN_FORCE) else "recorded"
        return Told(slot, state, "", known, text, evidence)

    def _run_story(
        self, definition: Definition, run: LedgerRun, match: PastMatch | None, live: LiveRecords
    ) -> RunStory:
        facts, reason = run.facts, run_reason(run)
        namespace, _, name = run.workflow.partition("/")
        phase = self._phase_of(namespace, name) if run.state == "done" else ""
        outcome = {"done": Outcome.RAN, "dead": Outcome.DEAD}.get(run.state, Outcome.WAITING)
        if reason is RunReason.SKIPPED:
            outcome = Outcome.SKIPPED
        if phase in ("Failed", "Error"):
            outcome = Outcome.FAILED
        steps = live.steps.get(run.run_key, ())
        if reason is RunReason.SKIPPED and steps:
            text = skipped_text(steps[-1].evidence)
        elif run.state in ("done", "dead"):
            text = run.reason.partition(": ")[2]
        elif run.state == "asked":
            text = "for a submitter: none has taken it up"
        else:
            text = _WAITS.get(run.reason.removeprefix("waits for "), run.reason)
            text = text or (steps[-1].evidence.get("because", "") if steps else "")
        made_by = self._definitions.known.get(facts.definition_hash, definition) if facts is not None else definition
        return RunStory(
            run_key=run.run_key,
            workflow=run.workflow,
            outcome=outcome.value,
            reason=run.reason,
            phase=phase,
            attempts=run.attempts,
            key=definition.redacted_key(facts.key) if facts is not None else "",
            replay=facts.replay if facts is not None else "",
            events=run_events(facts.events) if facts is not None else [],
            parameters=run_parameters(made_by, match.run if match is not None else None),
            moments=list(_moments(run, match, live)),
            known="recorded",
            text=run_sentence(reason, text.removeprefix("waits "), run.workflow, phase),
        )

    @staticmethod
    def _missing_run(definition: Definition, match: PastMatch, others: Sequence[str]) -> RunStory:
        """Return the story of a match that has no run in the ledger; ``others``: what else became of its events."""
        run = match.run
        events = [
            (slot.slot.variable, event.identity)
            for slot, filled in zip(definition.slots, match.events, strict=True)
            for event in filled
        ]
        is_run = isinstance(run, Run)
        why = ", ".join(others) or "the bridge met the events in another order, or lost the run"
        text = (
            f"By the rules this match has a run, and the ledger has none: {why}. "
            f"`flowbridge replay --trigger {definition.identity} --from TIME` makes it."
        )
        if not isinstance(run, Run):
            fault = run.redacted_text(definition.trigger.sensitive) if run is not None else "it is not known why"
            text = f"No run can be made of this match: {fault}"
        return RunStory(
            run_key=run.run_key if isinstance(run, Run) else "",
            workflow=f"{run.namespace}/{run.name}" if isinstance(run, Run) else "",
            outcome=Outcome.MISSING.value if is_run else "unrunnable",
            reason="",
            phase="",
            attempts=0,
            key=definition.redacted_key(run.key) if isinstance(run, Run) else "",
            replay="",
            events=run_events(events),
            parameters=run_parameters(definition, run),
            moments=[Moment(time_text(match.complete), "its match was complete")],
            known="recomputed",
            text=text,
        )

    @staticmethod
    def _range_answer(story: Story, key: str | None) -> list[str]:
        about = f" with key {key!r}" if key is not None else ""
        if not story.events and not story.runs:
            return [f"No event{about} reached its topics between {story.begin} and {story.end}."]
        made = [run for run in story.runs if run.known == "recorded"]
        lost = [run for run in story.runs if run.outcome == Outcome.MISSING.value]
        counts = f"{len(made)} {'run' if len(made) == 1 else 'runs'}{about}"
        answer = [f"{counts}: " + ", ".join(f"{run.workflow} ({run.outcome})" for run in made) + "." if made else ""]
        if not made:
            answer = [f"No run{about} between {story.begin} and {story.end}."]
        if lost:
            answer.append(f"{len(lost)} {'run is' if len(lost) == 1 else 'runs are'} missing by the rules.")
        answer += [window.text for window in story.windows]
        if not made and not lost and not story.windows and key is not None:
            final = [decision for event in story.events for decision in event.decisions[-1:]]
            answer += list(dict.fromkeys(f"{decision.slot}: {decision.text}" for decision in final))[:3]
        return answer


# -- joining -----------------------------------------------------------------------------------------------------------


def _joined(
    explainer: Explainer,
    event: Traced,
    then: Definition,
    live: LiveRecords,
    names: dict[tuple[str, EventIdentity], str],
    reading: Reading,
) -> list[Told]:
    """Return the decisions about an event at each slot: those that are recorded, and else those of the rules."""
    by_slot: dict[str, list[PastDecision]] = {}
    for made in event.decisions:
        by_slot.setdefault(made.decision.slot, []).append(made)
    recorded_at = [
        slot for slot, identity in (*live.decisions, *live.held, *live.unapplied, *names) if identity == event.identity
    ]
    topics = {place.topic for place in event.places}
    read_at = [
        slot.slot.variable
        for slot in then.slots
        if slot_topic(slot.slot) in topics and (not slot.slot.shared_topic or slot.slot.event == event.identity.name)
    ]
    joined: list[Told] = []
    for slot in dict.fromkeys((*read_at, *by_slot, *recorded_at)):
        run = names.get((slot, event.identity), "")
        decisions = _at_slot(event, then, slot, by_slot.get(slot, ()), live, run)
        is_unapplied = (slot, event.identity) in live.unapplied
        state = explainer.state_of(event, then, slot, reading, is_unapplied=is_unapplied)
        is_recomputed = all(made.known == "recomputed" for made in decisions)
        if not decisions or (state.reason in (NOT_BEGUN, NOT_APPLIED) and is_recomputed):
            decisions = [state]
        joined += decisions
    return joined


def _at_slot(
    event: Traced,
    then: Definition,
    slot: str,
    computed: Sequence[PastDecision],
    live: LiveRecords,
    run: str,
) -> list[Told]:
    recomputed = [told(then, made.decision, made.at, "recomputed", run) for made in computed]
    recorded = [told(then, made.decision, made.at, "recorded", run) for made in _recorded(event, then, slot, live, run)]
    for decision in recorded:  # the record says that it was so; the rules say in more detail why
        alike = next((other for other in recomputed if other.reason == decision.reason), None)
        if alike is not None:
            decision.fields, decision.parts = alike.fields, alike.parts
            if not decision.evidence:
                decision.evidence, decision.text = alike.evidence, alike.text
            decision.at = decision.at or alike.at
    if not recorded:
        return recomputed
    reasons = {decision.reason for decision in recorded}
    others = [other for other in recomputed if other.reason not in reasons]
    again = [other for other in others if other.reason == Reason.DUPLICATE.value]
    key = (slot, event.identity)
    final = [decision for decision in recorded if decision.reason != Reason.WAITING.value]
    if key in live.unapplied or Reason.OVER_BOUND.value in reasons or len(final) >= len(event.places):
        again = []  # it is not remembered, not applied again yet, or each of its records is decided
    is_over = any(decision.reason != Reason.DUPLICATE.value for decision in final)
    if is_over or any(isinstance(held, Arrival) for held in live.held.get(key, ())):
        return _in_order([*recorded, *again])
    joined = _in_order([*recorded, *others])
    if reasons == {Reason.WAITING.value} and len(joined) == len(
        recorded
    ):  # it has left its window, and nothing says how
        text = event_sentence(UNKNOWN, About(then.trigger, slot, {}))
        joined.append(Told(slot, UNKNOWN, "", "recomputed", text))
    return joined


def _in_order(decisions: list[Told]) -> list[Told]:
    """Return decisions by time; those without one keep their place at the end."""
    return sorted(decisions, key=lambda decision: (decision.at or "~", decision.reason != Reason.WAITING.value))


def _recorded(event: Traced, then: Definition, slot: str, live: LiveRecords, run: str) -> list[MadeDecision]:
    """Return the decisions about an event at a slot that the live bridge recorded somewhere."""
    key = (slot, event.identity)
    made = list(live.decisions.get(key, ()))
    known = {decision.decision.reason for decision in made}

    def add(reason: Reason, at: Micros | None, evidence: dict[str, str]) -> None:
        if reason not in known:
            known.add(reason)
            decision = Decision(reason, then.identity, slot, event.identity, "", evidence)
            made.append(MadeDecision(decision, at))

    for held in live.held.get(key, ()):
        if isinstance(held, Spent):
            add(held.fate, None, {})
        else:
            add(Reason.WAITING, held.reached, {})
    if run:
        used_by = [used for used in live.runs_of(event.identity) if used.workflow == run and used.facts is not None]
        replay = used_by[0].facts.replay if used_by and used_by[0].facts is not None else ""
        add(Reason.MATCHED, None, {"replay": replay} if replay else {})
    letters = [letter for place in event.places for letter in live.letters.get(place, ())]
    for letter in (*letters, *live.event_letters.get(key, ())):
        reason = letter_reason(letter)
        if reason is not None:
            add(reason, letter.at, {"error": letter.text})
    return made


def _run_keys(match: PastMatch) -> list[str]:
    """Return the keys under which the run of a match may be recorded."""
    keys = [match.recorded.run_key] if match.recorded is not None else []
    return [*keys, match.run.run_key] if isinstance(match.run, Run) else keys


def _is_alone(match: PastMatch, question: Question) -> bool:
    """Return whether a match without events is asked about: no event leads to it."""
    return not any(match.events) and question.event is None and question.run is None


def _reach(definition: Definition) -> Micros:
    """Return how long before its end a window of a trigger can have begun."""
    trigger = definition.trigger
    if trigger.window is None:
        return SECOND
    back = kind_of_window(trigger).reaches_back(trigger)
    return LOOK_BACK if back is None else back + trigger.grace + SECOND


# -- the life of a run -------------------------------------------------------------------------------------------------


def _moments(run: LedgerRun, match: PastMatch | None, live: LiveRecords) -> Iterator[Moment]:
    """Yield the steps in the life of a run, in order."""
    facts = run.facts
    if facts is not None:
        yield Moment(time_text(facts.event_time), "the newest of its events happened")
        late = facts.reached - facts.event_time
        behind = f", {apart(late)} after it happened" if late >= _LATE else ""
        yield Moment(time_text(facts.reached), f"the last of its events reached Kafka{behind}")
        if match is not None and match.complete > facts.reached:
            yield Moment(time_text(match.complete), "its match was complete")
    if run.since:
        waited = run.since - (facts.reached if facts is not None else run.since)
        behind = f", {apart(waited)} after its last event" if waited >= _LATE else ""
        yield Moment(time_text(run.since), f"a submitter took it up{behind}")
    for step in live.steps.get(run.run_key, ()):
        yield Moment(time_text(step.at), step_text(step.reason, step.evidence))
    if run.state in ("done", "dead") and not any(
        step.reason == run_reason(run).value for step in live.steps.get(run.run_key, ())
    ):
        yield Moment(time_text(run.at), run.reason)


def _lateness(run: LedgerRun) -> Iterator[str]:
    """Yield where a run lost time."""
    facts = run.facts
    if facts is None:
        return
    if facts.reached - facts.event_time >= _LATE:
        yield (
            f"The last of its events reached Kafka {apart(facts.reached - facts.event_time)} after it happened: the "
            "publisher was late, or the times of its events are wrong."
        )
    if run.since and run.since - facts.reached >= _LATE:
        yield (
            f"A submitter took it up {apart(run.since - facts.reached)} after its last event: its window ended later, "
            "or the bridge was down or behind."
        )
    if run.state == "done" and run.since and run.at - run.since >= _LATE:
        yield (
            f"It then took {apart(run.at - run.since)} until its Workflow was created: it waited for its limits, its "
            "template or the API server."
        )


def _twice(story: Story) -> list[str]:
    """Return what several runs of one key have in common, and what not."""
    runs = [run for run in story.runs if run.known == "recorded"]
    answer: list[str] = []
    for number, run in enumerate(runs):
        for other in runs[:number]:
            if run.key != other.key or run.run_key == other.run_key:
                continue
            if run.replay or other.replay:
                replayed = run if run.replay else other
                answer.append(f"{replayed.workflow} was made by the replay {replayed.replay}.")
                continue
            differing = [
                f"{mine['slot']}: {theirs['id']} and {mine['id']}"
                for mine in run.events
                for theirs in other.events
                if mine["slot"] == theirs["slot"] and mine["id"] != theirs["id"]
            ]
            if differing:
                answer.append(
                    f"{other.workflow} and {run.workflow} are runs of different events ({'; '.join(differing[:3])}). A "
                    "publisher that repeats an event under a new id makes a new event: give the repeat the same id, "
                    "or say with `run.id` which matches are the same run."
                )
    return list(dict.fromkeys(answer))[:3]


def _answer_of(event: EventStory) -> Iterator[str]:
    """Yield what became of an event: the last decision at each slot."""
    last: dict[str, Told] = {}
    for decision in event.decisions:
        last[decision.slot] = decision
    for slot, decision in last.items():
        yield f"{event.name} {event.id} at slot {slot}: {decision.reason}. {decision.text}"
    if not last:
        yield f"{event.name} {event.id}: no slot of the trigger reads it."


class _Nearest:
    """Listens for the event that came nearest to a match."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._filtered: deque[PastDecision] = deque(maxlen=_CLOSEST)
        self._expired: PastDecision | None = None
        self._missing = 0

    def hear(self, made: PastDecision) -> None:
        """Hear of a decision."""
        reason = made.decision.reason
        if reason is Reason.FILTERED:
            self._filtered.append(made)
        elif reason is Reason.EXPIRED:
            missing = len(made.decision.evidence.get("missing", "").split(", "))
            if self._expired is None or missing <= self._missing:
                self._expired, self._missing = made, missing

    def story(self) -> EventStory | None:
        """Return the nearest miss: an event whose window ended incomplete, else the best of the filtered ones."""
        if self._expired is not None:
            return self._told(self._expired)
        best: tuple[float, PastDecision] | None = None
        for made in self._filtered:
            decision = told(self._definition, made.decision, made.at, "recomputed")
            parts = decision.parts
            share = sum(part.value is True for part in parts) / len(parts) if parts else 0.0
            if best is None or share >= best[0]:
                best = share, made
        return None if best is None else self._told(best[1])

    def _told(self, made: PastDecision) -> EventStory:
        record, event = made.record, made.decision.event
        places = [] if record is None else [Place(record.topic, record.partition, record.offset)]
        reached = made.at if record is None else record.timestamp * 1000
        traced = Traced(event, None, places, reached, reached, is_asked=True)
        return event_story(traced, [told(self._definition, made.decision, made.at, "recomputed")])
