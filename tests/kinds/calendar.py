"""The reference rules of calendar windows, which are those of ``every`` and of ``until``.

:class:`CalendarReference` is written from the first design, :class:`CalendarPages` from ``docs/triggers``.
"""

from __future__ import annotations

from bridge.core.decision import Reason
from bridge.core.event import Micros
from bridge.core.trigger import Schedule
from bridge.core.windows.boundaries import frame_of
from bridge.core.windows.window import Arrival
from kinds.choice import best_choice
from kinds.pages import Group, Pages
from kinds.reference import Frame, Reference


class CalendarReference(Reference):
    """Calendar windows as the first design tells them."""

    def _apply(self, key: str, new: Arrival) -> None:
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

    def _end_due(self, time: Micros) -> None:
        held, watched = self._frames_held(), set()
        while self.through is not None and self._is_due(frame := frame_of(self._schedule(), self.through), time):
            watched.add(("", frame))
            self.through = frame[1]
        for key, frame in sorted(held | watched):
            if self._is_due(frame, time):
                at, is_watched = frame[1] + self.trigger.grace, (key, frame) in watched
                self._close(key, self._in_frame(key, frame), at, frame, is_watched=is_watched)
        self.fired = {(key, frame) for key, frame in self.fired if not self._is_due(frame, time)}
        if len(self.absent) == len(self.trigger.slots) and self.through is None:
            start, end = frame_of(self._schedule(), time)
            self.through = start if start == time else end

    def _end_all(self) -> None:
        for key, frame in sorted(self._frames_held()):
            held = self._in_frame(key, frame)
            if self.trigger.require and self.absent:
                self._leave(key, held, Reason.CANCELLED, 0)
            else:
                self._close(key, held, 0, frame)

    def _frames_held(self) -> set[tuple[str, Frame]]:
        return {(key, frame_of(self._schedule(), arrival.time)) for key, arrival in self.waiting}

    def _in_frame(self, key: str, frame: Frame) -> list[Arrival]:
        return [arrival for arrival in self._waiting_at(key) if frame_of(self._schedule(), arrival.time) == frame]

    def _is_due(self, frame: Frame, time: Micros) -> bool:
        return frame[1] + self.trigger.grace <= time

    def _schedule(self) -> Schedule:
        assert self.plan.schedule is not None
        return self.plan.schedule


class CalendarPages(Pages):
    """Calendar windows as the pages tell them."""

    def _apply(self, new: Arrival) -> None:
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

    def _closes(self, epoch: int) -> int:
        if self.plan.schedule is None:
            return 10**12
        return epoch + (self.plan.schedule.every or 0) + self.trigger.grace

    def _ends(self, group: Group) -> int:
        return self._closes(group.epoch)
