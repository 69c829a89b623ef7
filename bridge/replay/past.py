"""The past of one trigger, by the live rules: records go in, matches and decisions come out.

The rules are those of the live bridge: :func:`bridge.core.route.route` decides about an event, the window store makes
and applies the steps of arrivals, and a tick ends what is due. Time comes from the records. When a record comes, all
records before it have come, so everything is over that was due before its time.

Two things are known about the past that the live bridge did not know then:

- **A recorded run** has used its events. They are kept aside, and none of them joins another match. When the last of
  them comes, the match is applied as it was made (:meth:`bridge.core.windows.kinds.kind.Kind.force`). So whatever order
  the live bridge met, the events that are left are those that it left, and only they can make a match that is missing.
  Of a session, a batch or a settling window with `latest` or `first` the events that were passed over follow from the
  whole group. So the group forms again by the rules, and a match with an event of a recorded run is that run's.
- **A held event** waits in a live window, or will. It is left alone: the live bridge may still use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.definition import CompiledSlot, Definition
from bridge.core.event import Event, EventIdentity, Micros
from bridge.core.route import Accepted, route
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError, make_run
from bridge.core.windows.expiry import deadline, has_own_deadlines, next_due
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.core.windows.window import Arrival, Match, Window
from bridge.core.windows.window_step import Step
from bridge.kafka.log import Record
from bridge.kafka.outbox import Discard
from bridge.replay.recorded import RecordedRun, Records
from bridge.stages.matcher.safe_time import EVER
from bridge.stages.matcher.ticks import ended_by
from bridge.stages.matcher.window_indexes import Timer
from bridge.stages.matcher.window_records import WindowKey
from bridge.stages.matcher.window_store import Bounds, Excess, WindowStore
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.event_reader import DecodedEvent, EventReader, excess_of, place_identity
from bridge.stages.shared.slot_index import SlotIndex
from bridge.triggers.topic_mapping import slot_topic
from flowbridge_sdk.errors import DecodeError

_ASIDE = 100_000  # recorded runs of which some events have come, and others have not
_FIRST_TRUSTED = 86_400_000  # milliseconds; no record is from 1970-01-01, as for a router


class PastMatch(NamedTuple):
    """A match of the past.

    Attributes:
        run: Its run, or why none can be made; None if it was not asked for, since one is recorded.
        recorded: The run of the live set that is recorded for it; None if it is missing.
        second: The run of the second set that is recorded for it, if that set is asked for; None if it is missing.
        complete: When it was complete, by record time.
        is_inside: It was completed inside the range.
        used: The identities of its events, by slot.
        events: Its events, by slot; none where no runs were asked for.
        make: Makes its run, where no runs were asked for; None where they were.

    """

    run: Run | UnrunnableError | None
    recorded: RecordedRun | None
    second: RecordedRun | None
    complete: Micros
    is_inside: bool
    used: Sequence[Sequence[EventIdentity]]
    events: Sequence[Sequence[Event]] = ()
    make: Callable[[], Run | UnrunnableError] | None = None


class Needs(NamedTuple):
    """What is asked of matches, apart from the runs that are not recorded.

    Attributes:
        payloads: The payloads of their events, also where no run is made of these.
        recorded_runs: The runs that are recorded for the events of a match, made again.
        runs: Any runs. Without them, a match has the identities of its events alone, and can make its run later.

    """

    payloads: bool
    recorded_runs: bool
    runs: bool = True


EVERYTHING = Needs(payloads=True, recorded_runs=True)


class PastDecision(NamedTuple):
    """A decision about an event at a slot.

    Attributes:
        decision: The decision.
        record: The record that was applied when it was made, which may be that of another event; None where time
            decided.
        at: When it was made, by record time.

    """

    decision: Decision
    record: Record | None
    at: Micros


class OpenWindow(NamedTuple):
    """A window in which something waits.

    Attributes:
        key: Its correlation key.
        window: What is in it.
        due: When the next thing in it ends; None if nothing ends by itself.

    """

    key: str
    window: Window
    due: Micros | None


def open_windows(store: WindowStore, definition: Definition) -> Iterator[OpenWindow]:
    """Yield the windows of a store in which something waits, of the condition of a definition."""
    trigger = definition.trigger
    for key, window in store.contents().open.items():
        arrivals = [arrival for slot in window.waiting for arrival in slot]
        if key.condition_hash != definition.condition_hash or not (arrivals or window.pending):
            continue
        dues = [deadline(trigger, arrival) for arrival in arrivals] if has_own_deadlines(trigger) else []
        due = next_due(trigger, window, store.clock(key[:2]))
        yield OpenWindow(key.key, window, min(dues if due is None else [*dues, due], default=None))


class _Aside:
    """The events of a recorded run that have come so far."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.arrivals: dict[EventIdentity, Arrival] = {}


class Past:
    """The windows of one trigger while its past is read.

    Args:
        definition: The definition that decides.
        installation: The bridge's internal prefix.
        recorded: What is recorded.
        reader: Reads events.
        decoder: Reads the events of a match.
        bounds: How much the windows may hold.
        replay_id: Id of a second set of runs; empty for the live set.
        key: Correlation key that is followed alone; None for all.
        needs: What is asked of its matches.
        decided: Hears of each decision.

    Attributes:
        routed: Hears how each event was routed at each slot that reads it: the decision that refused it, or None; no
            function by default.
        follows: Tells which correlation keys are followed; None for all.
        decisions: How many decisions there were inside the range, by reason.
        held: Events that were left alone because a live window holds them.

    """

    def __init__(
        self,
        definition: Definition,
        installation: str,
        recorded: Records,
        reader: EventReader,
        decoder: EventDecoder,
        bounds: Bounds,
        *,
        replay_id: str = "",
        key: str | None = None,
        needs: Needs = EVERYTHING,
        decided: Callable[[PastDecision], None] | None = None,
    ) -> None:
        self._define(definition)
        self._installation = installation
        self._recorded = recorded
        self._reader = reader
        self._decoder = decoder
        self._replay_id = replay_id
        self._needs = needs
        self._decided = decided
        self.routed: Callable[[CompiledSlot, Decision | None], None] | None = None
        self.follows: Callable[[str], bool] | None = None if key is None else key.__eq__
        self._out = Discard()
        self._store = WindowStore(None, bounds)
        self._bounds = bounds
        self._aside: dict[str, _Aside] = {}
        self._matches: list[PastMatch] = []  # those that are not returned yet
        self._next_offset = 0
        self._now: Micros = 0
        self._begin: Micros = 0
        self._end: Micros = 0
        self.decisions: Counter[str] = Counter()
        self.held = 0

    def _define(self, definition: Definition) -> None:
        self._definition = definition
        self._trigger = definition.trigger
        self._kind = kind_of_window(definition.trigger)
        self._forces = definition.trigger.is_windowed and self._kind.can_be_forced(definition.trigger)
        self._variables = {slot.variable for slot in definition.trigger.slots}
        self._slots = SlotIndex([definition])
        self._condition = (definition.identity, definition.condition_hash)

    @property
    def is_windowed(self) -> bool:
        """Return whether records have to come in the order of their times."""
        return self._trigger.is_windowed

    def begin(self, at: Micros, begin: Micros, end: Micros) -> None:
        """Begin to read.

        Args:
            at: The time of the first record that is read.
            begin: When the range begins.
            end: Up to when windows can have ended in it.

        """
        self._begin, self._end = begin, end
        self._arm(at)

    def _arm(self, at: Micros) -> None:
        if self._trigger.is_switch:
            self._store.arm(self._condition)
            for _ in self.advance(at):
                """Arming ends nothing."""

    def follow(self, definition: Definition | None, at: Micros) -> Iterator[PastMatch]:
        """Go on by another definition of the trigger, which was in force from ``at`` on; None where none was.

        What its windows hold ends if its condition is another one, as a retirement by a tick ends it.
        """
        yield from self.advance(at - 1)
        if definition is not None and definition.condition_hash == self._definition.condition_hash:
            self._define(definition)
            return
        self._store.drop_clock(self._condition, self._out)  # first, as a matcher does: a switch watches nothing more
        while (timer := self._store.due(self._condition, EVER, self._trigger)) is not None:
            yield from self._end_by(timer, at, is_retired=True)
        if definition is None:
            self._slots = SlotIndex()
            return
        self._define(definition)
        self._arm(at)

    def open_windows(self) -> Iterator[OpenWindow]:
        """Yield the windows in which something waits, as they are now."""
        yield from open_windows(self._store, self._definition)

    def feed(self, record: Record, time: Micros, *, is_inside: bool) -> Sequence[PastMatch]:
        """Apply a record; return the matches that it completes, after those that time completed before it.

        Args:
            record: The record.
            time: Its time in the merged order.
            is_inside: It lies in the range.

        Raises:
            DecodeError: A schema cannot be looked up now. The record can be fed again, and no match is lost.

        """
        reading = self._slots.own.get(record.topic) or self._slots.of_shared(record.topic, record.headers)
        read = self._read(record, time) if reading else None
        if isinstance(read, DecodedEvent):
            reading = self._slots.named(record.topic, read.event.name, reading)
        if (due := self._store.next_due(self._condition)) is not None and due < time:
            self._matches.extend(self.advance(time - 1))
        self._now = time
        for _, slots in reading:
            for slot in slots:
                if isinstance(read, DecodedEvent):
                    routed = route(self._definition, slot, read.event)
                    if isinstance(routed, Accepted):
                        if self.routed is not None:
                            self.routed(slot, None)
                        if self.follows is None or self.follows(routed.key):
                            match = self._accept(read, slot, routed.key, is_inside=is_inside)
                            if match is not None:
                                self._matches.append(match)
                        continue
                else:
                    routed = self._refused(record, slot, read)
                if self.routed is not None:
                    self.routed(slot, routed)
                self._decide(routed, record, is_inside=is_inside)
        if not self._matches:
            return ()
        matches, self._matches = self._matches, []
        return matches

    def feed_together(self, records: Sequence[tuple[Record, Micros, bool]]) -> list[PastMatch]:
        """Apply records of a trigger without windows; return their matches.

        Each step is made for all records before the next step. So its code and data stay in the processor's caches,
        which doubles the speed. :meth:`feed` makes all steps for each record.

        Args:
            records: Each with its time, and whether it lies in the range.

        Raises:
            DecodeError: A schema cannot be looked up now. Nothing was applied, and the records can be fed again.

        """
        own, of_shared = self._slots.own, self._slots.of_shared
        readings = [own.get(record.topic) or of_shared(record.topic, record.headers) for record, _, _ in records]
        events = [
            self._read(record, time) if reading else ""
            for (record, time, _), reading in zip(records, readings, strict=True)
        ]
        accepted: list[tuple[Event, str, bool]] = []
        for (record, time, is_inside), readers, read in zip(records, readings, events, strict=True):
            self._now = time
            reading = readers
            if isinstance(read, DecodedEvent):
                reading = self._slots.named(record.topic, read.event.name, readers)
            for _, slots in reading:
                for slot in slots:
                    if not isinstance(read, DecodedEvent):
                        self._decide(self._refused(record, slot, read), record, is_inside=is_inside)
                        continue
                    routed = route(self._definition, slot, read.event)
                    if not isinstance(routed, Accepted):
                        self._decide(routed, record, is_inside=is_inside)
                    elif self.follows is None or self.follows(routed.key):
                        self._decide_matched(read, slot, routed.key, is_inside=is_inside)
                        accepted.append((read.event, routed.key, is_inside))
        runs = [self._made(((event,),), key, None, self._replay_id) for event, key, _ in accepted]
        return [
            self._match_of(run, [[event.identity]], ((event,),), key, event.reached, is_inside=is_inside)
            for (event, key, is_inside), run in zip(accepted, runs, strict=True)
        ]

    def _read(self, record: Record, time: Micros) -> DecodedEvent | str:
        """Return the event of a record, or why there is none."""
        is_true = _FIRST_TRUSTED <= record.timestamp <= time // 1000
        timestamp = record.timestamp if is_true else time // 1000
        excess = excess_of(record)
        if excess is not None:
            return excess
        try:
            return self._reader.read(record, timestamp, timestamp * 1000)
        except DecodeError as error:
            if not error.permanent:
                raise
            return str(error)

    def _refused(self, record: Record, slot: CompiledSlot, why: str | None) -> Decision:
        reason = Reason.OVERSIZE if excess_of(record) is not None else Reason.UNDECODABLE
        identity, variable = place_identity(record), slot.slot.variable
        return Decision(reason, self._trigger.identity, variable, identity, "", {"error": why or ""})

    def advance(self, time: Micros) -> Iterator[PastMatch]:
        """End everything that is due at ``time`` or before; yield the matches that are complete by that."""
        due = self._store.next_due(self._condition)
        if due is None or due > time:
            return
        while True:
            self._store.forget_due(self._condition, time, self._trigger, self._out)
            timer = self._store.due(self._condition, time, self._trigger)
            if timer is None:
                break
            yield from self._end_by(timer, timer.due)
        self._store.advance(self._condition, self._trigger, time, self._out)

    def _end_by(self, timer: Timer, at: Micros, *, is_retired: bool = False) -> Iterator[PastMatch]:
        """End what a timer ends; yield the match that is complete by that."""
        self._now = at
        ended = ended_by(self._store, timer, self._definition, is_retired=is_retired)
        match = self._applied(ended.key, ended.step, None, is_inside=at >= self._begin)
        self._store.apply(ended.key, self._trigger, ended.step, self._out, forgotten=ended.forgotten)
        if match is not None:
            yield match

    # -- arrivals ------------------------------------------------------------------------------------------------------

    def _accept(self, decoded: DecodedEvent, slot: CompiledSlot, key: str, *, is_inside: bool) -> PastMatch | None:
        """Take an event that passed a slot: at once a match, or an arrival in its window. Return the match, if any."""
        event, record, value = decoded
        if not self._trigger.is_windowed:
            self._decide_matched(decoded, slot, key, is_inside=is_inside)
            return self._match(((event,),), key, event.reached, is_inside=is_inside)
        self._next_offset += 1
        identity = event.identity
        arrival = Arrival(
            event.time,
            self._next_offset,
            slot.index,
            identity,
            event.reached,
            self._definition.hash,
            event.key,
            value,
            event.traceparent,
        )
        use = self._recorded.use_of(identity) if self._forces else None
        if use is not None:
            return self._keep_aside(use.run_key, use.slot, arrival, key, record, is_inside=is_inside)
        if self._recorded.is_held(identity):
            self.held += 1
            self._tell(
                arrival, key, Reason.WAITING, {"for": "the live bridge, which holds it"}, record, is_inside=is_inside
            )
            return None
        # All that was due is over. A calendar window whose event says an earlier time than the record in front of it is
        # closed as well, whether or not another window was due meanwhile.
        self._store.advance(self._condition, self._trigger, self._now - 1, self._out)
        window_key = WindowKey(*self._condition, key)
        step = self._store.step(window_key, self._trigger, arrival, self._bounds)
        if isinstance(step, Excess):
            self._tell(arrival, key, Reason.OVER_BOUND, step.evidence, record, is_inside=is_inside)
            return None
        match = self._applied(window_key, step, record, is_inside=is_inside)
        self._store.apply(window_key, self._trigger, step, self._out)
        return match

    def _keep_aside(
        self, run_key: str, used_at: str, arrival: Arrival, key: str, record: Record, *, is_inside: bool
    ) -> PastMatch | None:
        """Keep an event of a recorded run aside; apply the run's match when the last of its events has come."""
        window_key, slots = WindowKey(*self._condition, key), self._trigger.slots
        if used_at in self._variables and slots[arrival.slot].variable != used_at:  # an edit may have renamed the slot
            self._tell(arrival, key, Reason.SUPERSEDED, {"used_at": used_at}, record, is_inside=is_inside)
            return None
        aside = self._aside.get(run_key)
        is_repeat = aside is not None and arrival.event in aside.arrivals
        if is_repeat or arrival.slot in self._store.known(window_key, arrival.event, self._trigger):
            self._tell(arrival, key, Reason.DUPLICATE, {"which_is": "matched"}, record, is_inside=is_inside)
            return None
        if aside is None:
            facts = self._recorded.facts(run_key)
            aside = self._aside[run_key] = _Aside(len(facts.events) if facts is not None else 1)
            if len(self._aside) > _ASIDE:  # the oldest is of a run of which not all events come
                del self._aside[next(iter(self._aside))]
        aside.arrivals[arrival.event] = arrival
        if len(aside.arrivals) < aside.expected:
            return None
        del self._aside[run_key]
        match = tuple(
            [
                tuple(sorted([kept for kept in aside.arrivals.values() if kept.slot == index]))
                for index in range(len(slots))
            ]
        )
        window = self._store.window(window_key, len(slots))
        step = self._kind.force(self._trigger, window, key, match)
        forced = self._applied(window_key, step, record, is_inside=is_inside, run_key=run_key)
        self._store.apply(window_key, self._trigger, step, self._out)
        return forced

    def _applied(
        self, key: WindowKey, step: Step, record: Record | None, *, is_inside: bool, run_key: str = ""
    ) -> PastMatch | None:
        """Hear the decisions of a step; return its match, if it has one."""
        match = None
        if step.match is not None:
            recorded = self._recorded.find(run_key) if run_key else None
            arrivals = [arrival for slot in step.match for arrival in slot]
            reached = max([arrival.reached for arrival in arrivals], default=0)
            newest = max([arrival.time for arrival in arrivals], default=step.frame[1] if step.frame else 0)
            complete = self._kind.complete_at(self._trigger, newest, reached, step.frame)
            is_reported = is_inside
            if run_key and complete > reached:  # time completed it, and not the last of its events
                is_reported = self._begin <= complete <= self._end
            frame = None if step.ended_early else step.frame
            if self._needs.runs:
                is_made = recorded is None or self._needs.recorded_runs
                is_read = self._needs.payloads or (is_made and self._definition.run_needs_payload)
                events = [[self._event(arrival, is_read=is_read) for arrival in slot] for slot in step.match]
                match = self._match(events, key.key, complete, is_inside=is_reported, frame=frame, recorded=recorded)
            else:
                used = [[arrival.event for arrival in slot] for slot in step.match]
                make = partial(self._made_later, step.match, key.key, frame)
                match = PastMatch(None, recorded, None, complete, is_reported, used, make=make)
        for decision in step.decisions:
            self._decide(decision, record, is_inside=is_inside)
        return match

    def _event(self, arrival: Arrival, *, is_read: bool) -> Event:
        topic = slot_topic(self._definition.slots[arrival.slot].slot)
        payload = self._decoder.decode(topic, arrival.value) if is_read else {}
        name, source, id_ = arrival.event
        return Event(name, source, id_, arrival.time, arrival.reached, arrival.key, payload, arrival.traceparent)

    # -- matches and decisions -----------------------------------------------------------------------------------------

    def _match(
        self,
        events: Sequence[Sequence[Event]],
        key: str,
        complete: Micros,
        *,
        is_inside: bool,
        frame: tuple[Micros, Micros] | None = None,
        recorded: RecordedRun | None = None,
    ) -> PastMatch:
        """Return a match, with what is recorded of its run: ``recorded``, or the run of the key that it would have."""
        used = [[event.identity for event in slot] for slot in events]
        if not self._needs.runs:
            make = partial(self._made, events, key, frame, self._replay_id)
            return PastMatch(None, recorded, None, complete, is_inside, used, make=make)
        if recorded is not None and not self._needs.recorded_runs:
            return PastMatch(None, recorded, None, complete, is_inside, used, events)
        run = self._made(events, key, frame, self._replay_id)
        return self._match_of(run, used, events, key, complete, is_inside=is_inside, frame=frame, recorded=recorded)

    def _match_of(
        self,
        run: Run | UnrunnableError,
        used: Sequence[Sequence[EventIdentity]],
        events: Sequence[Sequence[Event]],
        key: str,
        complete: Micros,
        *,
        is_inside: bool,
        frame: tuple[Micros, Micros] | None = None,
        recorded: RecordedRun | None = None,
    ) -> PastMatch:
        """Return a match with the run that is made of it, and what is recorded."""
        second = None
        if self._replay_id and isinstance(run, Run):
            second = self._recorded.find(run.run_key)
        if recorded is None and not self._forces:
            for slot in used:
                for event in slot:
                    use = self._recorded.use_of(event)
                    if use is not None and recorded is None:
                        recorded = self._recorded.find(use.run_key)
        if recorded is None:
            live = self._made(events, key, frame, "") if self._replay_id else run
            recorded = self._recorded.find(live.run_key) if isinstance(live, Run) else None
        return PastMatch(run, recorded, second, complete, is_inside, used, events)

    def _made(
        self, events: Sequence[Sequence[Event]], key: str, frame: tuple[Micros, Micros] | None, replay_id: str
    ) -> Run | UnrunnableError:
        try:
            return make_run(self._definition, self._installation, key, events, frame, replay_id=replay_id)
        except UnrunnableError as error:
            return error

    def _made_later(self, match: Match, key: str, frame: tuple[Micros, Micros] | None) -> Run | UnrunnableError:
        is_read = self._definition.run_needs_payload
        events = [[self._event(arrival, is_read=is_read) for arrival in slot] for slot in match]
        return self._made(events, key, frame, self._replay_id)

    def _tell(
        self, arrival: Arrival, key: str, reason: Reason, evidence: dict[str, str], record: Record, *, is_inside: bool
    ) -> None:
        slot = self._trigger.slots[arrival.slot].variable
        decision = Decision(reason, self._trigger.identity, slot, arrival.event, key, evidence)
        self._decide(decision, record, is_inside=is_inside)

    def _decide_matched(self, decoded: DecodedEvent, slot: CompiledSlot, key: str, *, is_inside: bool) -> None:
        """Decide that an event alone is a match."""
        if self._decided is None:  # nobody sees the decision
            self.decisions[Reason.MATCHED._value_] += is_inside
            return
        event, record, _ = decoded
        decision = Decision(Reason.MATCHED, self._trigger.identity, slot.slot.variable, event.identity, key)
        self._decide(decision, record, is_inside=is_inside)

    def _decide(self, decision: Decision, record: Record | None, *, is_inside: bool) -> None:
        if is_inside:
            self.decisions[decision.reason._value_] += 1  # `value` is a call
            if self._decided is not None:
                self._decided(PastDecision(decision, record, self._now))
