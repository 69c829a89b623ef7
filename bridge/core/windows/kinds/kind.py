"""A kind of window. The rules that all kinds share ask it these questions and never test the kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from bridge.core.decision import Reason
from bridge.core.event import Micros
from bridge.core.trigger import Collect, Trigger, WindowKind, WindowPlan
from bridge.core.windows.window import Arrival, Frame, Match, Spent, Window
from bridge.core.windows.window_step import RemovedArrivals, Step


class Kind(ABC):
    """A kind of window. It holds no state: a window is an immutable value, and a rule returns another one.

    Attributes:
        name: The field of ``spec.window`` that chooses this kind.
        has_own_deadlines: Each waiting arrival expires at a deadline of its own.
        needs_clock: The rules ask for the condition's clock, also without ``reset``.
        default_collect: Which arrivals a match takes if the trigger does not say it.
        needs_partners: The window makes no sense for one event that is required once.
        takes_absent: Slots may be absent.
        takes_only_absent: All slots may be absent: the window then needs no event.
        keeps_order: Event times can follow the order of the slots.
        closes: The window ends as a whole, so that a match can take all of it.
        resets: ``reset`` makes sense in it.
        takes_max_wait: ``maxWait`` makes sense in it.
        uses_grace: ``grace`` makes sense in it, also without ``reset``.

    """

    name: ClassVar[WindowKind]
    has_own_deadlines: ClassVar[bool] = False
    needs_clock: ClassVar[bool] = False
    default_collect: ClassVar[Collect] = "latest"
    needs_partners: ClassVar[bool] = False
    takes_absent: ClassVar[bool] = True
    takes_only_absent: ClassVar[bool] = False
    keeps_order: ClassVar[bool] = True
    closes: ClassVar[bool] = True
    resets: ClassVar[bool] = True
    takes_max_wait: ClassVar[bool] = False
    uses_grace: ClassVar[bool] = True

    @abstractmethod
    def arrive(
        self, trigger: Trigger, window: Window, key: str, new: Arrival, bound: int, ticked: Micros | None
    ) -> Step:
        """Apply an arrival whose event is new at its slot.

        Args:
            trigger: The definition that the arrival carries.
            window: The window of its correlation key.
            key: The correlation key in canonical text.
            new: The arrival.
            bound: How many arrivals may wait in the window.
            ticked: Time of the condition's last tick; None before the first.

        """

    @abstractmethod
    def next_due(self, trigger: Trigger, window: Window, through: Micros | None) -> Micros | None:
        """Return when a tick ends the first thing that a window holds as a whole; None if it holds no such thing.

        ``through`` is the boundary up to which a dead man's switch was watched; None if it is not armed.
        """

    @abstractmethod
    def end(self, trigger: Trigger, window: Window, key: str, through: Micros | None) -> Step:
        """End the thing that :meth:`next_due` names, when a tick reaches its time."""

    def deadline(self, trigger: Trigger, arrival: Arrival) -> Micros:
        """Return the reached time after which no event can match a waiting arrival any more.

        Raises:
            ValueError: The arrivals of this kind have no deadlines of their own (:attr:`has_own_deadlines`).

        """
        raise ValueError(f"arrivals in a window of kind {self.name} have no deadlines of their own")

    def expire(self, trigger: Trigger, window: Window, key: str, arrival: Arrival) -> Step:
        """End the wait of an arrival when a tick has passed its deadline.

        Raises:
            ValueError: The arrivals of this kind have no deadlines of their own (:attr:`has_own_deadlines`).

        """
        raise ValueError(f"arrivals in a window of kind {self.name} have no deadlines of their own")

    def forget(self, window: Window, slot: int, spent: Spent) -> Window:
        """Return the window after an identity of it was forgotten, without the parts that rested on the identity."""
        return window

    @abstractmethod
    def retire(self, trigger: Trigger, window: Window, key: str) -> Step | None:
        """End the next thing that a window of a changed trigger holds; None if it holds only memories."""

    @abstractmethod
    def restore(
        self, trigger: Trigger, window: Window, waiting: Sequence[Arrival], spent: Sequence[tuple[int, Spent]]
    ) -> Window:
        """Return a window with the parts that have no records of their own in the changelog.

        Args:
            trigger: The trigger.
            window: The window, with its waiting arrivals, pending matches and fired frames.
            waiting: All arrivals that wait, in any order.
            spent: Slots and arrivals that matches have taken; empty unless :attr:`has_own_deadlines`.

        """

    def frame(self, trigger: Trigger, event_time: Micros, *, is_empty: bool) -> Frame | None:
        """Return the calendar window that a match lies in; None for the kinds that have none.

        Args:
            trigger: The trigger.
            event_time: Newest event time of the match; the end of its window if it has no events.
            is_empty: The match is the absence of all its events.

        """
        return None

    def can_be_forced(self, trigger: Trigger) -> bool:
        """Return whether the events of a past match can be taken out of a window by themselves (:meth:`force`).

        If not, which events a match passes over follows from the whole window alone.
        """
        return True

    def force(self, trigger: Trigger, window: Window, key: str, match: Match) -> Step:
        """Return the step of a match that was made in the past. None of its arrivals waits in the window.

        A replay applies the matches of recorded runs in this way, so that their events are used up as they were.

        Args:
            trigger: The trigger.
            window: The window of the correlation key.
            key: The correlation key in canonical text.
            match: The match, with at least one arrival.

        """
        removed = RemovedArrivals(trigger, key)
        used = [arrival for slot in match for arrival in slot]
        removed.remove(used, Reason.MATCHED, {}, max([arrival.reached for arrival in used]) + trigger.dedupe)
        return Step(window, tuple(removed.decisions), spent=tuple(removed.spent), match=match)

    def reaches_back(self, trigger: Trigger) -> Micros | None:
        """Return how long before its match was complete an event can have reached us; None if that has no bound."""
        return None

    @abstractmethod
    def complete_at(self, trigger: Trigger, event_time: Micros, reached: Micros, frame: Frame | None) -> Micros:
        """Return the reached time at which a match was complete.

        Args:
            trigger: The trigger.
            event_time: Newest event time of the match.
            reached: When the last event of the match reached us.
            frame: Start and end of the calendar window of the match; None for other kinds.

        """

    @abstractmethod
    def default_dedupe(self, plan: WindowPlan, grace: Micros, *, has_absent: bool) -> Micros:
        """Return how long an event's identity is remembered after its last use if the trigger does not say it."""
