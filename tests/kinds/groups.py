"""The reference rules of windows in which events gather, which ``session``, ``batch`` and ``settle`` share.

:class:`GroupReference` is written from the first design, :class:`GroupPages` from ``docs/triggers``.
"""

from __future__ import annotations

from abc import abstractmethod

from bridge.core.decision import Reason
from bridge.core.event import Micros
from bridge.core.windows.window import Arrival
from kinds.pages import Pages
from kinds.reference import Reference


class GroupReference(Reference):
    """Groups as the first design tells them."""

    def _apply(self, key: str, new: Arrival) -> None:
        frame = self._reset_frame(new.time)
        joined = [group for group in self.groups if group[0] == key and self._belongs(new, group[1])]
        group = [*[arrival for _, arrivals in joined for arrival in arrivals], new]
        if self._is_over(frame[1] + self.trigger.grace, new):
            self._leave(key, [new], Reason.RESET, new.reached)
            return
        if self._is_late(new, group):
            self._leave(key, [new], Reason.LATE, new.reached)
            return
        is_full = self._is_full(group)
        if self._wait(key, new, counts=not is_full):
            self.groups = [other for other in self.groups if other not in joined]
            if is_full:
                self._close(key, group, new.reached)
            else:
                self.groups.append((key, group))

    def _belongs(self, new: Arrival, group: list[Arrival]) -> bool:
        return self._reset_frame(group[0].time) == self._reset_frame(new.time)

    def _is_late(self, new: Arrival, group: list[Arrival]) -> bool:
        """Tell whether the group that an arrival joins was over before it; only the end of a session is event time."""
        del new, group
        return False

    def _is_full(self, group: list[Arrival]) -> bool:
        del group
        return False

    @abstractmethod
    def _end_of(self, group: list[Arrival]) -> Micros:
        """Return when a group ends, without regard to ``maxWait`` and ``reset``."""

    def _end_due(self, time: Micros) -> None:
        for key, group in list(self.groups):
            ends, resets = self._end_of(group), self._reset_frame(group[0].time)[1] + self.trigger.grace
            if self.plan.max_wait is not None:
                ends = min(ends, min(arrival.reached for arrival in group) + self.plan.max_wait)
            if min(ends, resets) > time:
                continue
            self.groups.remove((key, group))
            if resets < ends:
                self._leave(key, group, Reason.RESET, resets)
            else:
                self._close(key, group, ends)

    def _end_all(self) -> None:
        for key, group in self.groups:
            self._close(key, group, 0)


class GroupPages(Pages):
    """Groups as the pages tell them."""

    def _apply(self, new: Arrival) -> None:
        if self._is_reset(new):
            return self._leave("reset", [new], new.reached)
        return self._join(new, self._epoch(new))

    def _join(self, new: Arrival, epoch: int) -> None:
        self._group(epoch).arrivals.append(new)
