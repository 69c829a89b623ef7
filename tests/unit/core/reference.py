"""The rules of windows once more, naive and slow, written from design.md section 5: what the real ones must equal.

Everything that waits stands in one list, everything that is remembered in one dictionary; a tick looks at all of it.
Nothing here is shared with the rules under test but the shapes of their data and where boundaries lie.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity, Micros
from bridge.core.trigger import Schedule, Trigger, WindowPlan
from bridge.core.windows.boundaries import frame_of
from bridge.core.windows.window import Arrival
from unit.core.reference_choice import Choice, age, best_choice, best_within

Outcome = tuple[Reason, int, EventIdentity]
"""A decision without its evidence: the reason, the slot, the event."""
Frame = tuple[Micros, Micros]
FOREVER: Frame = (-(10**18), 10**18)


class Remembered(NamedTuple):
    """What is known of an event at a slot after it has left the window."""

    arrival: Arrival
    until: Micros
    fate: Reason


class Matched(NamedTuple):
    """A match, with the calendar window that it is of."""

    key: str
    choice: Choice
    frame: Frame | None = None


class Happened(NamedTuple):
    """What an arrival or a tick brought about."""

    decided: list[Outcome]
    matches: list[Matched]


@dataclass
class Pending:
    """A match that waits for an absence."""

    key: str
    choice: Choice
    until: Micros

    @property
    def used(self) -> list[Arrival]:
        return [arrival for slot in self.choice for arrival in slot]

    @property
    def newest(self) -> Micros:
        return max(arrival.time for arrival in self.used)


@dataclass
class Reference:
    """One trigger's windows and identities, of all keys."""

    trigger: Trigger
    bound: int = 10_000
    most: int = 1_000_000
    waiting: list[tuple[str, Arrival]] = field(default_factory=list)
    remembered: dict[tuple[str, int, EventIdentity], Remembered] = field(default_factory=dict)
    marks: dict[tuple[str, int], tuple[Arrival, Micros]] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)
    cancelling: list[tuple[str, Arrival]] = field(default_factory=list)
    fired: set[tuple[str, Frame]] = field(default_factory=set)
    groups: list[tuple[str, list[Arrival]]] = field(default_factory=list)
    ticked: Micros = -(10**9)
    through: Micros | None = None
    decided: list[Outcome] = field(default_factory=list)
    matches: list[Matched] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.trigger.window is not None
        self.plan: WindowPlan = self.trigger.window
        self.is_calendar = self.plan.kind in {"every", "until"}
        self.absent = [index for index, slot in enumerate(self.trigger.slots) if slot.absent]

    # -- an arrival ----------------------------------------------------------------------------------------------------

    def arrive(self, key: str, new: Arrival) -> Happened:
        """Decide a new arrival."""
        places = {(at, one.slot, one.event) for at, one in self._held()}
        known = {*self.remembered, *places}
        if len(known) >= self.most and not [1 for at, _, event in known if (at, event) == (key, new.event)]:
            self.decided.append((Reason.OVER_BOUND, new.slot, new.event))
        elif (key, new.slot, new.event) in known:
            self.decided.append((Reason.DUPLICATE, new.slot, new.event))
        elif self._is_used(key, new.event):
            self._leave(key, [new], Reason.SUPERSEDED, new.reached)
        elif self.plan.kind == "within":
            self._slide(key, new)
        elif self.is_calendar:
            self._calendar(key, new)
        else:
            self._gather(key, new)
        return self._happened()

    def _slide(self, key: str, new: Arrival) -> None:
        mark = self.marks.get((key, new.slot))
        if self._is_over(self._reset_frame(new.time)[1] + self.trigger.grace, new):
            self._leave(key, [new], Reason.RESET, new.reached)
        elif new.slot in self.absent:
            fitting = [pending for pending in self.pending if pending.key == key and self._cancels(new, pending)]
            for arrival in fitting:
                self.pending.remove(arrival)
                self._leave(key, arrival.used, Reason.CANCELLED, None, arrival.until)
            if fitting:
                self._leave(key, [new], Reason.MATCHED, new.reached)
                self.cancelling.append((key, new))
            else:
                self._wait(key, new)
        elif mark is not None and age(new) < age(mark[0]):
            self._leave(key, [new], Reason.SUPERSEDED, new.reached)
        else:
            here = self._waiting_at(key)
            frames: dict[int, object] = {one.offset: self._reset_frame(one.time) for one in (*here, new)}
            choice = best_within(self.trigger, here, new, frames)
            if self._wait(key, new, counts=choice is None) and choice is not None:
                self._take(key, choice)

    def _cancels(self, absent: Arrival, pending: Pending) -> bool:
        due = self._pending_due(pending)
        return self._is_in_interval(absent, pending) and absent.reached <= due

    def _is_in_interval(self, absent: Arrival, pending: Pending) -> bool:
        near = pending.newest < absent.time <= pending.newest + (self.trigger.within or 0)
        return near and self._reset_frame(absent.time) == self._reset_frame(pending.newest)

    def _pending_due(self, pending: Pending) -> Micros:
        last = min(pending.newest + (self.trigger.within or 0), self._reset_frame(pending.newest)[1])
        return last + self.trigger.grace

    def _take(self, key: str, choice: Choice) -> None:
        """Take a sliding match, or let it wait for the absence."""
        used = [one for slot in choice for one in slot]
        until = max(one.reached for one in used) + self.trigger.dedupe
        here, latest = self._waiting_at(key), self.trigger.collect == "latest"
        marked = {slot[-1].slot: slot[-1] for slot in choice if slot}
        if latest:
            until = max([until, *[self.marks[key, slot][1] for slot in marked if (key, slot) in self.marks]])
        pending = Pending(key, choice, until)
        pending.until = max(until, self._pending_due(pending)) if self.absent else until
        events = [arrival.event for arrival in used]
        cancelling = [
            arrival
            for arrival in here
            if arrival.slot in self.absent
            and arrival.event not in events
            and self._cancels(arrival, pending)
            # The absent event was still waiting when the match became complete, whether or not a tick came.
            and self._newest_offset(used).reached <= arrival.reached + self.trigger.span
        ]
        before = [arrival for at, arrival in self.cancelling if at == key and self._is_in_interval(arrival, pending)]
        if not self.absent:
            self._leave(key, used, Reason.MATCHED, None, until)
            self.matches.append(Matched(key, choice))
        elif cancelling or before:
            self._leave(key, used, Reason.CANCELLED, None, until)
            for arrival in cancelling:
                self._leave(key, [arrival], Reason.MATCHED, arrival.reached)
            self.cancelling += [(key, arrival) for arrival in cancelling]
        else:
            self._remove(key, used)
            self.pending.append(pending)
            self.decided.append((Reason.WAITING, self._newest_offset(used).slot, self._newest_offset(used).event))
        for arrival in here:
            older = arrival.slot in marked and age(arrival) < age(marked[arrival.slot])
            if arrival not in (*used, *cancelling) and (arrival.event in events or (older and latest)):
                self._leave(key, [arrival], Reason.SUPERSEDED, None, until)
        if latest and not self.absent:  # with absent slots each match is an alarm: a late one has its own
            self.marks.update({(key, slot): (arrival, until) for slot, arrival in marked.items()})

    def _calendar(self, key: str, new: Arrival) -> None:
        frame = frame_of(self._schedule(), new.time)
        if self._is_over(frame[1] + self.trigger.grace, new):
            self._leave(key, [new], Reason.LATE, new.reached)
        elif (key, frame) in self.fired:
            self._leave(key, [new], Reason.SUPERSEDED, new.reached)
        else:
            self._wait(key, new, counts=False)
            held = self._in_frame(key, frame)
            at_close = self.trigger.collect == "all" or self.absent
            if not at_close and best_choice(self.trigger, held) is not None:
                self._close(key, held, frame[1] + self.trigger.grace, frame)
                self.fired.add((key, frame))
            else:
                self._remove(key, [new])
                self._wait(key, new)

    def _gather(self, key: str, new: Arrival) -> None:
        frame = self._reset_frame(new.time)
        joined = [group for group in self.groups if group[0] == key and self._belongs(new, group[1])]
        group = [*[arrival for _, arrivals in joined for arrival in arrivals], new]
        quiet = max(arrival.time for arrival in group) + self.plan.length + self.trigger.grace
        if self._is_over(frame[1] + self.trigger.grace, new):
            self._leave(key, [new], Reason.RESET, new.reached)
            return
        if self.plan.kind == "session" and self._is_over(quiet, new):
            self._leave(key, [new], Reason.LATE, new.reached)
            return
        is_full = self.plan.kind == "batch" and self.plan.size is not None and len(group) >= self.plan.size
        if self._wait(key, new, counts=not is_full):
            self.groups = [one for one in self.groups if one not in joined]
            if is_full:
                self._close(key, group, new.reached)
            else:
                self.groups.append((key, group))

    def _belongs(self, new: Arrival, group: list[Arrival]) -> bool:
        near = self.plan.kind != "session" or any(abs(arrival.time - new.time) <= self.plan.length for arrival in group)
        return near and self._reset_frame(group[0].time) == self._reset_frame(new.time)

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, time: Micros) -> Happened:
        """End what is due at ``time``, and forget what is remembered until then."""
        self._end_pending(time)
        self._end_waiting(time)
        self._end_groups(time)
        self._end_frames(time)
        self._forget(time)
        self.ticked = max(self.ticked, time)
        if len(self.absent) == len(self.trigger.slots) and self.through is None:
            start, end = frame_of(self._schedule(), time)
            self.through = start if start == time else end
        return self._happened()

    def retire(self) -> Happened:
        """End everything, as when the trigger's condition has changed."""
        for pending in self.pending:
            self._leave(pending.key, pending.used, Reason.CANCELLED, 0)
        for key, group in self.groups:
            self._close(key, group, 0)
        for key, frame in sorted(self._frames_held()):
            held = self._in_frame(key, frame)
            if self.trigger.require and self.absent:
                self._leave(key, held, Reason.CANCELLED, 0)
            else:
                self._close(key, held, 0, frame)
        for key, arrival in list(self.waiting):
            self._leave(key, [arrival], Reason.EXPIRED, 0)
        happened = self._happened()
        self.__init__(self.trigger, self.bound, self.most)  # type: ignore[misc]  # nothing is left of it
        return happened

    def _end_pending(self, time: Micros) -> None:
        for one in [pending for pending in self.pending if self._pending_due(pending) <= time]:
            self.pending.remove(one)
            is_reset = self._reset_frame(one.newest)[1] < one.newest + (self.trigger.within or 0)
            self._leave(one.key, one.used, Reason.RESET if is_reset else Reason.MATCHED, None, one.until)
            if not is_reset:
                self.matches.append(Matched(one.key, one.choice))
            for used in one.used if is_reset else ():  # the match had taken them
                place = (one.key, used.slot, used.event)
                self.remembered[place] = self.remembered[place]._replace(fate=Reason.CANCELLED)

    def _end_waiting(self, time: Micros) -> None:
        for key, one in list(self.waiting) if self.plan.kind == "within" else ():
            expires, resets = one.reached + self.trigger.span, self._reset_frame(one.time)[1] + self.trigger.grace
            if min(expires, resets) <= time:
                self._leave(key, [one], Reason.RESET if resets < expires else Reason.EXPIRED, min(expires, resets))

    def _end_groups(self, time: Micros) -> None:
        for key, group in list(self.groups):
            ends, resets = self._group_end(group), self._reset_frame(group[0].time)[1] + self.trigger.grace
            if min(ends, resets) > time:
                continue
            self.groups.remove((key, group))
            if resets < ends:
                self._leave(key, group, Reason.RESET, resets)
            else:
                self._close(key, group, ends)

    def _group_end(self, group: list[Arrival]) -> Micros:
        reached = [arrival.reached for arrival in group]
        if self.plan.kind == "batch":
            return min(reached) + self.plan.length if self.plan.length else FOREVER[1] * 2
        if self.plan.kind == "settle":
            end = max(reached) + self.plan.length
        else:
            end = max(arrival.time for arrival in group) + self.plan.length + self.trigger.grace
        return end if self.plan.max_wait is None else min(end, min(reached) + self.plan.max_wait)

    def _end_frames(self, time: Micros) -> None:
        if not self.is_calendar:
            return
        held, watched = self._frames_held(), set()
        while self.through is not None and self._is_due(frame := frame_of(self._schedule(), self.through), time):
            watched.add(("", frame))
            self.through = frame[1]
        for key, frame in sorted(held | watched):
            if self._is_due(frame, time):
                at, is_watched = frame[1] + self.trigger.grace, (key, frame) in watched
                self._close(key, self._in_frame(key, frame), at, frame, is_watched=is_watched)
        self.fired = {(key, frame) for key, frame in self.fired if not self._is_due(frame, time)}

    def _frames_held(self) -> set[tuple[str, Frame]]:
        return {(key, frame_of(self._schedule(), one.time)) for key, one in self.waiting if self.is_calendar}

    def _in_frame(self, key: str, frame: Frame) -> list[Arrival]:
        return [one for one in self._waiting_at(key) if frame_of(self._schedule(), one.time) == frame]

    def _is_due(self, frame: Frame, time: Micros) -> bool:
        return frame[1] + self.trigger.grace <= time

    def _forget(self, time: Micros) -> None:
        for place, one in list(self.remembered.items()):
            if one.until <= time:
                del self.remembered[place]
                self.cancelling = [held for held in self.cancelling if held != (place[0], one.arrival)]
                if self.marks.get(place[:2], (None, 0))[0] == one.arrival:
                    del self.marks[place[:2]]

    # -- closing -------------------------------------------------------------------------------------------------------

    def _close(
        self, key: str, held: list[Arrival], at: Micros, frame: Frame | None = None, *, is_watched: bool = False
    ) -> None:
        """Take what a window holds as a match, if it is one."""
        absent = [arrival for arrival in held if arrival.slot in self.absent]
        present = [arrival for arrival in held if arrival not in absent]
        choice = best_choice(self.trigger, held) if self.trigger.require else ((),) * len(self.trigger.slots)
        if choice is None or (not self.trigger.require and not is_watched):
            self._leave(key, held, Reason.EXPIRED, at)
        elif absent:
            self._leave(key, present, Reason.CANCELLED, at)
            self._leave(key, absent, Reason.MATCHED, at)
        else:
            choice = self._with_all(choice, held) if self.trigger.collect == "all" else choice
            used = [arrival for slot in choice for arrival in slot]
            last_use = max([arrival.reached for arrival in used], default=0)
            self._leave(key, used, Reason.MATCHED, last_use)
            self._leave(key, [arrival for arrival in held if arrival not in used], Reason.SUPERSEDED, last_use)
            self.matches.append(Matched(key, choice, frame))

    def _with_all(self, choice: Choice, held: list[Arrival]) -> Choice:
        whole = [list(slot) for slot in choice]
        for index, slot in enumerate(whole):
            used = [one.event for there in whole for one in there]
            rest = [arrival for arrival in held if arrival.slot == index and arrival.event not in used]
            if slot or len(rest) >= self.trigger.slots[index].count:
                slot.extend(rest)
        return tuple(tuple(sorted(slot)) for slot in whole)

    # -- what is held --------------------------------------------------------------------------------------------------

    def _wait(self, key: str, new: Arrival, *, counts: bool = True) -> bool:
        """Let an arrival wait; False if it has to, but its window is full."""
        if counts and len([one for at, one in self._held() if at == key]) >= self.bound:
            self.decided.append((Reason.OVER_BOUND, new.slot, new.event))
            return False
        self.waiting.append((key, new))
        if counts:
            self.decided.append((Reason.WAITING, new.slot, new.event))
        return True

    def _happened(self) -> Happened:
        happened = Happened(self.decided, self.matches)
        self.decided, self.matches = [], []
        return happened

    def _leave(
        self, key: str, gone: Iterable[Arrival], fate: Reason, last_use: Micros | None, until: Micros = 0
    ) -> None:
        for arrival in list(gone):
            self._remove(key, [arrival])
            end = until if last_use is None else last_use + self.trigger.dedupe
            self.remembered[key, arrival.slot, arrival.event] = Remembered(arrival, end, fate)
            self.decided.append((fate, arrival.slot, arrival.event))

    def _remove(self, key: str, gone: Iterable[Arrival]) -> None:
        self.waiting = [one for one in self.waiting if one not in [(key, arrival) for arrival in gone]]

    def _is_used(self, key: str, event: EventIdentity) -> bool:
        fates = [one.fate for (at, _, of), one in self.remembered.items() if (at, of) == (key, event)]
        pending = [arrival.event for one in self.pending if one.key == key for arrival in one.used]
        return Reason.MATCHED in fates or Reason.CANCELLED in fates or event in pending

    def _held(self) -> list[tuple[str, Arrival]]:
        return [*self.waiting, *[(pending.key, arrival) for pending in self.pending for arrival in pending.used]]

    def _waiting_at(self, key: str) -> list[Arrival]:
        return [arrival for at, arrival in self.waiting if at == key]

    def _is_over(self, end: Micros, new: Arrival) -> bool:
        return new.reached > end or self.ticked >= end

    def _reset_frame(self, time: Micros) -> Frame:
        return frame_of(self.plan.reset, time) if self.plan.reset else FOREVER

    def _schedule(self) -> Schedule:
        assert self.plan.schedule is not None
        return self.plan.schedule

    @staticmethod
    def _newest_offset(used: list[Arrival]) -> Arrival:
        return max(used, key=lambda arrival: arrival.offset)
