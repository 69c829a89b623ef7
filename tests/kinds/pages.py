"""Windows as docs/triggers tells them, without absent slots.

This is written from the pages alone, without knowledge of bridge/core. There is one key. Time is ideal: a window that
is due before an event reaches us has ended. No two slots have the same event. This module has what holds for windows of
every kind; :mod:`kinds.sliding`, :mod:`kinds.calendar` and :mod:`kinds.groups` have the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import NamedTuple

from bridge.core.event import EventIdentity
from bridge.core.trigger import Trigger
from bridge.core.windows.window import Arrival
from kinds.choice import age

Outcome = tuple[str, int, str]
"""A reason, the slot and the event's id."""

Choice = tuple[tuple[str, ...], ...]
"""The ids of the events that a match holds, slot by slot."""


class Group(NamedTuple):
    """What is taken together: a calendar window, a session, a batch, or all between two boundaries of ``reset``."""

    arrivals: list[Arrival]
    epoch: int
    """The last boundary before the events of the group; 0 without boundaries."""


class Pages(ABC):
    """One trigger and one key. Each kind adds its own rule.

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
        return self._apply(new)

    @abstractmethod
    def _apply(self, new: Arrival) -> None:
        """Take an event that is new at its slot."""

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
                fitting = [arrival for arrival in have if limit is None or arrival.time <= limit][-count:]
                if len(fitting) < count:
                    return None
                choice.insert(0, fitting)
                limit = fitting[0].time
            return choice
        limit = None
        for have, count in zip(slots, counts, strict=True):
            fitting = [arrival for arrival in have if limit is None or arrival.time >= limit][:count]
            if len(fitting) < count:
                return None
            choice.append(fitting)
            limit = fitting[-1].time
        return choice

    # ------------------------------------------------------------------ time passes

    def advance(self, time: int) -> None:
        """End each thing that is due before that time, in order."""
        while True:
            dues = [(*self._due(group), index) for index, group in enumerate(self.groups) if group.arrivals]
            if not dues or min(dues)[0] >= time:
                return
            due, why, index = min(dues)
            self._end(self.groups[index], due, why)

    def _due(self, group: Group) -> tuple[int, str]:
        """Return when something of a group ends next, and why."""
        ends = self._ends(group)
        if self.plan.max_wait is not None:
            ends = min(ends, min(arrival.reached for arrival in group.arrivals) + self.plan.max_wait)
        return min((ends, "close"), (self._forgotten(group.epoch), "reset"))

    def _ends(self, group: Group) -> int:
        """Return when a group closes, without regard to ``maxWait`` and ``reset``. Each kind says its own."""
        raise NotImplementedError

    def _end(self, group: Group, due: int, why: str) -> None:
        if why == "reset":
            self.groups.remove(group)
            self._leave("reset", group.arrivals, due)
        else:
            self._close(group, due)

    # ------------------------------------------------------------------ boundaries

    def _epoch(self, arrival: Arrival) -> int:
        schedule = self.plan.schedule or self.plan.reset
        if schedule is None:
            return 0
        assert schedule.every is not None
        return (arrival.time - schedule.offset) // schedule.every * schedule.every + schedule.offset

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
