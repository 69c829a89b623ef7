"""The rules of windows once more, naive and slow, written from the first design. The real rules must equal them.

All waiting arrivals stand in one list and all remembered ones in one dictionary. A tick looks at all of them. Only the
shapes of the data and the places of boundaries are shared with the rules under test. This module has what holds for
windows of every kind; :mod:`kinds.sliding`, :mod:`kinds.calendar` and :mod:`kinds.groups` have the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity, Micros
from bridge.core.trigger import Trigger, WindowPlan
from bridge.core.windows.boundaries import frame_of
from bridge.core.windows.window import Arrival
from kinds.choice import Choice, best_choice

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
    """The decisions and matches of an arrival or a tick."""

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
class Reference(ABC):
    """One trigger's windows and identities, of all keys. Each kind adds its own rule.

    All fields stand here, since the comparison with the real rules looks at all of them for every kind.
    """

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
        self.absent = [index for index, slot in enumerate(self.trigger.slots) if slot.absent]

    # -- an arrival ----------------------------------------------------------------------------------------------------

    def arrive(self, key: str, new: Arrival) -> Happened:
        """Decide a new arrival."""
        places = {(at, arrival.slot, arrival.event) for at, arrival in self._held()}
        known = {*self.remembered, *places}
        if len(known) >= self.most and not [1 for at, _, event in known if (at, event) == (key, new.event)]:
            self.decided.append((Reason.OVER_BOUND, new.slot, new.event))
        elif (key, new.slot, new.event) in known:
            self.decided.append((Reason.DUPLICATE, new.slot, new.event))
        elif self._is_used(key, new.event):
            self._leave(key, [new], Reason.SUPERSEDED, new.reached)
        else:
            self._apply(key, new)
        return self._happened()

    @abstractmethod
    def _apply(self, key: str, new: Arrival) -> None:
        """Apply an arrival whose event is new at its slot and is in no match."""

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, time: Micros) -> Happened:
        """End what is due at ``time``, and forget what is remembered until then."""
        self._end_due(time)
        self._forget(time)
        self.ticked = max(self.ticked, time)
        return self._happened()

    @abstractmethod
    def _end_due(self, time: Micros) -> None:
        """End what is due at ``time``."""

    def retire(self) -> Happened:
        """End everything, as when the trigger's condition has changed."""
        self._end_all()
        for key, arrival in list(self.waiting):
            self._leave(key, [arrival], Reason.EXPIRED, 0)
        happened = self._happened()
        self.__init__(self.trigger, self.bound, self.most)  # type: ignore[misc]  # nothing is left of it
        return happened

    @abstractmethod
    def _end_all(self) -> None:
        """End what is held as a whole; single arrivals that still wait after that expire."""

    def _forget(self, time: Micros) -> None:
        for place, remembered in list(self.remembered.items()):
            if remembered.until <= time:
                del self.remembered[place]
                self.cancelling = [held for held in self.cancelling if held != (place[0], remembered.arrival)]
                if self.marks.get(place[:2], (None, 0))[0] == remembered.arrival:
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
            used = [arrival.event for arrivals in whole for arrival in arrivals]
            rest = [arrival for arrival in held if arrival.slot == index and arrival.event not in used]
            if slot or len(rest) >= self.trigger.slots[index].count:
                slot.extend(rest)
        return tuple(tuple(sorted(slot)) for slot in whole)

    # -- what is held --------------------------------------------------------------------------------------------------

    def _wait(self, key: str, new: Arrival, *, counts: bool = True) -> bool:
        """Let an arrival wait; False if it has to, but its window is full."""
        if counts and len([at for at, _ in self._held() if at == key]) >= self.bound:
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
        self.waiting = [place for place in self.waiting if place not in [(key, arrival) for arrival in gone]]

    def _is_used(self, key: str, event: EventIdentity) -> bool:
        fates = [known.fate for (at, _, of), known in self.remembered.items() if (at, of) == (key, event)]
        pending = [arrival.event for match in self.pending if match.key == key for arrival in match.used]
        return Reason.MATCHED in fates or Reason.CANCELLED in fates or event in pending

    def _held(self) -> list[tuple[str, Arrival]]:
        return [*self.waiting, *[(pending.key, arrival) for pending in self.pending for arrival in pending.used]]

    def _waiting_at(self, key: str) -> list[Arrival]:
        return [arrival for at, arrival in self.waiting if at == key]

    def _is_over(self, end: Micros, new: Arrival) -> bool:
        return new.reached > end or self.ticked >= end

    def _reset_frame(self, time: Micros) -> Frame:
        return frame_of(self.plan.reset, time) if self.plan.reset else FOREVER
