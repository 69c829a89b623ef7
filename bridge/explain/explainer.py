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
from dataclasses import replace

from bridge.core.decision import Reason
from bridge.core.definition import Definition
from bridge.core.event import DAY, SECOND, EventIdentity, time_text
from bridge.explain.joining import joined
from bridge.explain.live_records import (
    Chosen,
    read_live,
)
from bridge.explain.question_reader import Question, QuestionReader, Reading, reach
from bridge.explain.run_stories import PhaseOf, lateness, missing_run, run_keys, run_story, told_apart
from bridge.explain.story import (
    NOT_BEGUN,
    EventStory,
    Story,
    TriggerStory,
)
from bridge.explain.tracing import (
    Place,
    Traced,
    event_story,
    told,
    window_story,
)
from bridge.kafka.log import Partition
from bridge.kafka.ownership import read_note
from bridge.replay.history import History
from bridge.replay.past import PastDecision
from bridge.replay.planner import Progress, ReplayDependencies
from bridge.replay.recorded import Outcome
from bridge.replay.request import Bound, ReplayError
from bridge.stages.process import group_of
from bridge.stages.shared.definitions import Definitions
from bridge.triggers.topic_mapping import topics_of

_CREATED = {Outcome.RAN.value: "created"}
_CLOSEST = 1_000  # of filtered events, the newest ones that are compared
_WINDOWS_TOLD = 3


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
        self._reader = QuestionReader(around, definitions, progress)

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
        found, frozen = self._reader.located(question, id_, definition)
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
        back = reach(definition)
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
            keys.update(self._reader.keys_of_events(narrowed, definition, asked))
        if len(keys) == 1 and keys != {""}:
            narrowed = replace(narrowed, key=next(iter(keys)))
        reading = self._reader.read(narrowed, definition, history, choose)
        story = self._story(question, definition, history, trigger, reading, keys)
        for event in story.events:
            if event.is_asked:
                last = {decision.slot: decision for decision in event.decisions}
                story.answer += [
                    f"{event.name} {event.id} at slot {slot}: {decision.reason}. {decision.text}"
                    for slot, decision in last.items()
                ] or [f"{event.name} {event.id}: no slot of the trigger reads it."]
        story.answer += told_apart(story)
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

        reading = self._reader.read(question, definition, history, choose)
        keys = {key} if key is not None else set()
        story = self._story(question, definition, history, trigger, reading, keys)
        story.answer = self._range_answer(story, key) + told_apart(story)
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
            story = Story(
                trigger, [], runs=[run_story(self._definitions.known, self._phase_of, definition, run, None, live)]
            )
            story.notes.append("the ledger does not know the events of this run: version 0.1.0 has written its entry")
            story.answer = [story.runs[0].text]
            return story
        facts = run.facts
        back = reach(definition)
        start = Bound(time=max(0, facts.reached - back))
        end = Bound(time=facts.reached + 2 * back + SECOND)
        asked = {event for _, event in facts.events}

        def choose(identity: EventIdentity, _place: Place, of_event: Sequence[str]) -> bool | None:
            if identity in asked:
                return True
            return False if definition.trigger.is_windowed and facts.key in of_event else None

        narrowed = replace(question, start=start, end=end, key=facts.key or None)
        reading = self._reader.read(narrowed, definition, history, choose)
        story = self._story(question, definition, history, trigger, reading, {facts.key}, runs=(run.run_key,))
        mine = [told_ for told_ in story.runs if told_.run_key == run.run_key]
        story.answer = [
            sentence
            for told_ in mine
            for sentence in [told_.text, *lateness(run, is_windowed=definition.trigger.is_windowed)]
        ] + told_apart(story)
        return story

    def _of_trigger(self, question: Question, definition: Definition, history: History, trigger: TriggerStory) -> Story:
        """Tell about the trigger itself: when it matched last, what it waits for, what came nearest to a match."""
        nearest = _Nearest(definition)
        reading = self._reader.read(question, definition, history, lambda *_: None, hears=nearest.hear)
        chosen = Chosen(keys=None, begin=reading.frozen.begin)
        live = read_live(self._around.log, self._around.topics, self._definitions, definition, chosen)
        story = self._begun_story(trigger, reading)
        newest = next(iter(live.runs.values()), None)
        if newest is not None:
            told_ = run_story(self._definitions.known, self._phase_of, definition, newest, None, live)
            story.runs.append(told_)
            story.answer.append(f"It matched last with an event of {time_text(newest.newest)}. {told_.text}")
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

    # -- the story -----------------------------------------------------------------------------------------------------

    def _trigger_story(self, name: str, definition: Definition, history: History) -> TriggerStory:
        in_force = self._definitions.in_force.get(name)
        since = history.changes[-1].at if history.changes else None
        since_text = time_text(since) if since is not None else ""
        origin = self._definitions.origins.get(definition.hash, "")
        if in_force is None:
            text = f"Trigger {name} is not in force any more{f', since {since_text}' if since_text else ''}."
            return TriggerStory(name, "", origin, since_text, is_applied=True, is_suspended=False, text=text)
        is_applied = self._routers_applied(definition) >= self._definitions.changed.get(name, 0)
        state = "in force" if is_applied else "in force, but not every router has applied it yet"
        if in_force.trigger.suspend:
            state = f"suspended ({state})"
        text = f"Trigger {name} is {state}. Its newest definition {definition.hash[:12]}"
        text += f" of {origin}" if origin else ""
        text += f" has been in force since {since_text}." if since_text else " is in force."
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
        story.notes += _edits(history, reading)
        matches = {run_key: match for match in tracer.matches for run_key in run_keys(match)}
        names = {
            (slot, event): run.workflow
            for run in live.runs.values()
            if run.facts is not None and not run.facts.replay_id
            for slot, event in run.facts.events
        }
        for event in traced:
            then = history.at(event.reached) or definition
            decisions = joined(self._definitions.starts, event, history, then, live, names, reading)
            story.events.append(event_story(event, decisions))
        windows = [window for window in live.windows if not keys or window.key in keys]
        if keys or not definition.trigger.is_windowed or len(windows) <= _WINDOWS_TOLD:
            story.windows = [window_story(definition, window, "recorded") for window in windows]
        for run in sorted(live.runs.values(), key=lambda run: run.newest):
            is_near = run.run_key in runs or any(
                used in tracer.traced for _, used in (run.facts.events if run.facts is not None else ())
            )
            if is_near or (question.key is not None and run.facts is not None and run.facts.key == question.key):
                story.runs.append(
                    run_story(self._definitions.known, self._phase_of, definition, run, matches.get(run.run_key), live)
                )
        decided = {
            (event.name, event.source, event.id): decision.reason
            for event in story.events
            for decision in event.decisions
            if decision.reason not in (Reason.MATCHED.value, Reason.WAITING.value)
        }
        for match in tracer.matches:
            if match.recorded is None and match.is_inside and not set(run_keys(match)) & live.runs.keys():
                others = [
                    f"{event.name} {event.id} is {decided[event]}"
                    for filled in match.used
                    for event in filled
                    if event in decided
                ]
                if not any(text.endswith(NOT_BEGUN) for text in others):
                    story.runs.append(missing_run(definition, match, others))
        return story

    @staticmethod
    def _range_answer(story: Story, key: str | None) -> list[str]:
        about = f" with key {key!r}" if key is not None else ""
        if not story.events and not story.runs:
            return [f"No event{about} reached its topics between {story.begin} and {story.end}."]
        made = [run for run in story.runs if run.known == "recorded"]
        lost = [run for run in story.runs if run.outcome == Outcome.MISSING.value]
        counts = f"{len(made)} {'run' if len(made) == 1 else 'runs'}{about}"
        answer = [
            f"{counts}: "
            + ", ".join(f"{run.workflow} ({_CREATED.get(run.outcome, run.outcome)})" for run in made)
            + "."
            if made
            else ""
        ]
        if not made:
            answer = [f"No run{about} between {story.begin} and {story.end}."]
        if lost:
            answer.append(f"{len(lost)} {'run is' if len(lost) == 1 else 'runs are'} missing by the rules.")
        answer += [window.text for window in story.windows]
        if not made and not lost and not story.windows and key is not None:
            final = [decision for event in story.events for decision in event.decisions[-1:]]
            answer += list(dict.fromkeys(f"{decision.slot}: {decision.text}" for decision in final))[:3]
        return answer


def _edits(history: History, reading: Reading) -> Iterator[str]:
    """Yield what changed of the trigger in the range: events before a change were decided by what was in force then."""
    former: Definition | None = None
    for change in history.changes:
        if reading.frozen.begin < change.at <= reading.frozen.end:
            if former is None:
                yield f"the trigger was put in force at {time_text(change.at)}; it decides nothing that came before"
            elif change.definition is None:
                yield f"the trigger was deleted at {time_text(change.at)}"
            elif change.definition.hash != former.hash:
                state = " (suspended)" if former.trigger.suspend else ""
                yield (
                    f"the trigger was edited at {time_text(change.at)}; definition {former.hash[:12]}{state} decided "
                    "what came before"
                )
        former = change.definition


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
