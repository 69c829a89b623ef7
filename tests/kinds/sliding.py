"""The reference rules of sliding windows: what fits together within so long.

:class:`SlidingReference` is written from the first design, :class:`SlidingPages` from ``docs/triggers``.
"""

from __future__ import annotations

from bridge.core.decision import Reason
from bridge.core.event import Micros
from bridge.core.windows.window import Arrival
from kinds.choice import Choice, age, best_within
from kinds.pages import Group, Pages
from kinds.reference import Matched, Pending, Reference


class SlidingReference(Reference):
    """Sliding windows as the first design tells them."""

    def _apply(self, key: str, new: Arrival) -> None:
        mark = self.marks.get((key, new.slot))
        if self._is_over(self._reset_frame(new.time)[1] + self.trigger.grace, new):
            self._leave(key, [new], Reason.RESET, new.reached)
        elif new.slot in self.absent:
            fitting = [pending for pending in self.pending if pending.key == key and self._cancels(new, pending)]
            for pending in fitting:
                self.pending.remove(pending)
                self._leave(key, pending.used, Reason.CANCELLED, None, pending.until)
            if fitting:
                self._leave(key, [new], Reason.MATCHED, new.reached)
                self.cancelling.append((key, new))
            else:
                self._wait(key, new)
        elif mark is not None and age(new) < age(mark[0]):
            self._leave(key, [new], Reason.SUPERSEDED, new.reached)
        else:
            here = self._waiting_at(key)
            frames: dict[int, object] = {arrival.offset: self._reset_frame(arrival.time) for arrival in (*here, new)}
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
        used = [arrival for slot in choice for arrival in slot]
        until = max(arrival.reached for arrival in used) + self.trigger.dedupe
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

    def _end_due(self, time: Micros) -> None:
        for pending in [pending for pending in self.pending if self._pending_due(pending) <= time]:
            self.pending.remove(pending)
            is_reset = self._reset_frame(pending.newest)[1] < pending.newest + (self.trigger.within or 0)
            fate = Reason.RESET if is_reset else Reason.MATCHED
            self._leave(pending.key, pending.used, fate, None, pending.until)
            if not is_reset:
                self.matches.append(Matched(pending.key, pending.choice))
            for arrival in pending.used if is_reset else ():  # the match had taken them
                place = (pending.key, arrival.slot, arrival.event)
                self.remembered[place] = self.remembered[place]._replace(fate=Reason.CANCELLED)
        for key, arrival in list(self.waiting):
            expires = arrival.reached + self.trigger.span
            resets = self._reset_frame(arrival.time)[1] + self.trigger.grace
            if min(expires, resets) <= time:
                fate = Reason.RESET if resets < expires else Reason.EXPIRED
                self._leave(key, [arrival], fate, min(expires, resets))

    def _end_all(self) -> None:
        for pending in self.pending:
            self._leave(pending.key, pending.used, Reason.CANCELLED, 0)

    @staticmethod
    def _newest_offset(used: list[Arrival]) -> Arrival:
        return max(used, key=lambda arrival: arrival.offset)


class SlidingPages(Pages):
    """Sliding windows as the pages tell them."""

    def _apply(self, new: Arrival) -> None:
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
                    newest = max(age(arrival) for arrival in chosen)
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

    def _due(self, group: Group) -> tuple[int, str]:
        return min(self._waits_until(arrival) for arrival in group.arrivals)

    def _end(self, group: Group, due: int, why: str) -> None:
        ended = [arrival for arrival in group.arrivals if self._waits_until(arrival) == (due, why)]
        for arrival in ended:
            group.arrivals.remove(arrival)
        self._leave(why, ended, due)

    def _waits_until(self, arrival: Arrival) -> tuple[int, str]:
        expires = arrival.reached + self.plan.length + self.trigger.grace
        return min((expires, "expired"), (self._forgotten(self._epoch(arrival)), "reset"))
