"""Windows as docs/triggers tells them: what waits, what matches, and what ends it. Without absent slots.

Written from the pages alone, without knowledge of bridge/core. One key. Time is ideal: whatever is due before an event
reaches us has ended. No two slots have the same event.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from bridge.core.event import EventIdentity
from bridge.core.trigger import Trigger
from bridge.core.windows.window import Arrival

Outcome = tuple[str, int, str]
"""A reason, the slot and the event's id."""

Choice = tuple[tuple[str, ...], ...]
"""The ids of the events that a match holds, slot by slot."""


class Group(NamedTuple):
    """What is taken together: a calendar window, a session, a batch, or all between two boundaries of ``reset``."""

    arrivals: list[Arrival]
    epoch: int
    """The last boundary before the events of the group; 0 without boundaries."""


class Docs:
    """One trigger and one key.

    Attributes:
        outcomes: What was decided, but ``waiting``.
        matches: The events of each match.

    """

    def __init__(self, trigger: Trigger) -> None:
        assert trigger.window is not None
        self.trigger = trigger
        self.plan = trigger.window
        self.groups: list[Group] = []
        self.remembered: dict[tuple[int, EventIdentity], int] = {}
        self.taken: dict[int, tuple[tuple[int, int], int]] = {}
        self.fired: set[int] = set()
        self.outcomes: Counter[Outcome] = Counter()
        self.matches: Counter[Choice] = Counter()

    # ------------------------------------------------------------------ an event comes

    def arrive(self, new: Arrival) -> None:
        """Take an event that has reached us; what is due before that has ended."""
        self.advance(new.reached)
        place = (new.slot, new.event)
        if any(place == (arrival.slot, arrival.event) for group in self.groups for arrival in group.arrivals):
            return self._decide("duplicate", new)
        if self.remembered.get(place, -1) >= new.reached:
            return self._decide("duplicate", new)
        return {"within": self._slide, "every": self._calendar}.get(self.plan.kind, self._gather)(new)

    def _slide(self, new: Arrival) -> None:
        if self._is_reset(new):
            return self._leave("reset", [new], new.reached)
        mark = self.taken.get(new.slot)
        if self.trigger.collect == "latest" and mark and mark[0] > age(new) and mark[1] >= new.reached:
            return self._leave("superseded", [new], new.reached)
        group = self._group(self._epoch(new))
        group.arrivals.append(new)
        choice = self._sliding_choice(group.arrivals, new)
        if choice is None:
            return None
        used = self._match(group, choice)
        if self.trigger.collect == "latest":
            for slot, chosen in enumerate(choice):
                if chosen:
                    newest = max(age(one) for one in chosen)
                    older = [arrival for arrival in group.arrivals if arrival.slot == slot and age(arrival) < newest]
                    for arrival in [*older, *self._older_elsewhere(group, slot, newest)]:
                        self._holding(arrival).arrivals.remove(arrival)
                        self._leave("superseded", [arrival], used)
                    self.taken[slot] = (newest, used + self.trigger.dedupe)
        return None

    def _older_elsewhere(self, group: Group, slot: int, newest: tuple[int, int]) -> list[Arrival]:
        others = [arrival for other in self.groups if other is not group for arrival in other.arrivals]
        return [other for other in others if other.slot == slot and age(other) < newest]

    def _holding(self, arrival: Arrival) -> Group:
        return next(group for group in self.groups if arrival in group.arrivals)

    def _sliding_choice(self, arrivals: list[Arrival], new: Arrival) -> list[list[Arrival]] | None:
        is_latest = self.trigger.collect == "latest"
        for start in sorted({arrival.time for arrival in arrivals}, reverse=is_latest):
            end = start + self.plan.length
            if start <= new.time <= end:
                choice = self._choice([arrival for arrival in arrivals if start <= arrival.time <= end])
                if choice is not None:
                    return choice
        return None

    def _choice(self, arrivals: list[Arrival]) -> list[list[Arrival]] | None:
        """Return what fills the slots, as ``collect`` says; None where too few are filled."""
        slots = [
            sorted((arrival for arrival in arrivals if arrival.slot == at), key=age)
            for at in range(len(self.trigger.slots))
        ]
        if self.trigger.order == "sequence":
            return self._sequence(slots)
        is_filled = [len(have) >= slot.count for have, slot in zip(slots, self.trigger.slots, strict=True)]
        if sum(is_filled) < self.trigger.require:
            return None
        if self.trigger.collect == "all":
            return [have if filled else [] for have, filled in zip(slots, is_filled, strict=True)]
        for at in reversed(range(len(slots))):  # of more slots than a match holds, the first in `events` count
            is_filled[at] = is_filled[at] and sum(is_filled[:at]) < self.trigger.require
        return [
            (have[-slot.count :] if self.trigger.collect == "latest" else have[: slot.count]) if filled else []
            for have, slot, filled in zip(slots, self.trigger.slots, is_filled, strict=True)
        ]

    def _sequence(self, slots: list[list[Arrival]]) -> list[list[Arrival]] | None:
        counts = [slot.count for slot in self.trigger.slots]
        choice: list[list[Arrival]] = []
        if self.trigger.collect == "latest":
            limit = None
            for have, count in reversed([*zip(slots, counts, strict=True)]):
                fitting = [one for one in have if limit is None or one.time <= limit][-count:]
                if len(fitting) < count:
                    return None
                choice.insert(0, fitting)
                limit = fitting[0].time
            return choice
        limit = None
        for have, count in zip(slots, counts, strict=True):
            fitting = [one for one in have if limit is None or one.time >= limit][:count]
            if len(fitting) < count:
                return None
            choice.append(fitting)
            limit = fitting[-1].time
        return choice

    def _calendar(self, new: Arrival) -> None:
        epoch = self._epoch(new)
        if new.reached > self._closes(epoch):
            return self._leave("late", [new], new.reached)
        if epoch in self.fired:
            return self._leave("superseded", [new], new.reached)
        group = self._group(epoch)
        group.arrivals.append(new)
        if self.trigger.collect == "all":
            return None
        choice = self._choice(group.arrivals)
        if choice is not None:
            self.fired.add(epoch)
            self._close(group, new.reached)
        return None

    def _gather(self, new: Arrival) -> None:
        if self._is_reset(new):
            return self._leave("reset", [new], new.reached)
        epoch = self._epoch(new)
        if self.plan.kind == "session":
            return self._join_session(new, epoch)
        group = self._group(epoch)
        group.arrivals.append(new)
        if self.plan.kind == "batch" and self.plan.size and len(group.arrivals) >= self.plan.size:
            self._close(group, new.reached)
        return None

    def _join_session(self, new: Arrival, epoch: int) -> None:
        near = [
            group
            for group in self.groups
            if group.epoch == epoch
            and any(abs(arrival.time - new.time) <= self.plan.length for arrival in group.arrivals)
        ]
        together = Group([*(arrival for group in near for arrival in group.arrivals), new], epoch)
        if new.reached > self._due(together)[0]:
            return self._leave("late", [new], new.reached)
        self.groups = [group for group in self.groups if group not in near]
        self.groups.append(together)
        return None

    # ------------------------------------------------------------------ time passes

    def advance(self, time: int) -> None:
        """End whatever is due before that time, in order."""
        while True:
            groups = [(index, group) for index, group in enumerate(self.groups) if group.arrivals]
            if self.plan.kind == "within":
                dues = [(*self._waits_until(arrival), index) for index, group in groups for arrival in group.arrivals]
            else:
                dues = [(*self._due(group), index) for index, group in groups]
            if not dues or min(dues)[0] >= time:
                return
            due, why, index = min(dues)
            group = self.groups[index]
            if self.plan.kind == "within":
                ended = [arrival for arrival in group.arrivals if self._waits_until(arrival) == (due, why)]
                for one in ended:
                    group.arrivals.remove(one)
                self._leave(why, ended, due)
            elif why == "reset":
                self.groups.remove(group)
                self._leave("reset", group.arrivals, due)
            else:
                self._close(group, due)

    def _waits_until(self, arrival: Arrival) -> tuple[int, str]:
        expires = arrival.reached + self.plan.length + self.trigger.grace
        return min((expires, "expired"), (self._forgotten(self._epoch(arrival)), "reset"))

    def _due(self, group: Group) -> tuple[int, str]:
        first = min(arrival.reached for arrival in group.arrivals)
        last = max(arrival.reached for arrival in group.arrivals)
        newest = max(arrival.time for arrival in group.arrivals)
        ends = {
            "every": self._closes(group.epoch),
            "session": newest + self.plan.length + self.trigger.grace,
            "settle": last + self.plan.length,
            "batch": first + self.plan.length if self.plan.length else 10**12,
        }[self.plan.kind]
        if self.plan.max_wait is not None:
            ends = min(ends, first + self.plan.max_wait)
        return min((ends, "close"), (self._forgotten(group.epoch), "reset"))

    # ------------------------------------------------------------------ boundaries

    def _epoch(self, arrival: Arrival) -> int:
        schedule = self.plan.schedule or self.plan.reset
        if schedule is None:
            return 0
        assert schedule.every is not None
        return (arrival.time - schedule.offset) // schedule.every * schedule.every + schedule.offset

    def _closes(self, epoch: int) -> int:
        if self.plan.schedule is None:
            return 10**12
        return epoch + (self.plan.schedule.every or 0) + self.trigger.grace

    def _forgotten(self, epoch: int) -> int:
        if self.plan.reset is None:
            return 10**12
        return epoch + (self.plan.reset.every or 0) + self.trigger.grace

    def _is_reset(self, new: Arrival) -> bool:
        return new.reached > self._forgotten(self._epoch(new))

    # ------------------------------------------------------------------ decisions

    def _group(self, epoch: int) -> Group:
        for group in self.groups:
            if group.epoch == epoch:
                return group
        self.groups.append(Group([], epoch))
        return self.groups[-1]

    def _close(self, group: Group, time: int) -> None:
        choice = self._choice(group.arrivals)
        self.groups.remove(group)
        if choice is None:
            return self._leave("expired", group.arrivals, time)
        used = self._match(group, choice)
        return self._leave("superseded", group.arrivals, used)

    def _match(self, group: Group, choice: list[list[Arrival]]) -> int:
        """Take a match out of its group, and return when its events were last used: when the last of them came."""
        time = max(arrival.reached for slot in choice for arrival in slot)
        self.matches[tuple(tuple(arrival.event.id for arrival in slot) for slot in choice)] += 1
        for slot in choice:
            for arrival in slot:
                group.arrivals.remove(arrival)
            self._leave("matched", slot, time)
        return time

    def _leave(self, reason: str, arrivals: list[Arrival], time: int) -> None:
        for arrival in arrivals:
            self._decide(reason, arrival)
            self.remembered[arrival.slot, arrival.event] = time + self.trigger.dedupe

    def _decide(self, reason: str, arrival: Arrival) -> None:
        self.outcomes[reason, arrival.slot, arrival.event.id] += 1


def age(arrival: Arrival) -> tuple[int, int]:
    """Return what newest and oldest go by: event time, then when it came to the bridge."""
    return (arrival.time, arrival.offset)
