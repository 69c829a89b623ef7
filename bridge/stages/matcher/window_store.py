"""The window store: the state of one partition of arrivals, in memory and in the changelog ``windows``.

The store is the only owner of windows, remembered identities, clocks and of the retirement that is under way. Each of
its writing methods changes memory, indexes (timers, counts, bytes) and changelog together, so they cannot drift apart.
What it sends joins the transaction of the batch. After an abort its owner drops the store and restores another one.

Rules decide (:mod:`bridge.core.windows.apply`, :mod:`bridge.core.windows.expiry`) and return a
:class:`~bridge.core.windows.window_step.Step`, which the store applies. Only values and bytes cross this interface, so
no other object holds a part of the store that may change.

Beyond a bound of memory, the windows that were not touched lately move to disk
(:mod:`bridge.stages.matcher.spilled_windows`). Each of them comes back as a whole when an arrival or a timer asks for
it. What a store decides and sends does not depend on where a window is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from math import inf
from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.core.event import EventIdentity, Micros
from bridge.core.trigger import Trigger
from bridge.core.windows.apply import apply_arrival
from bridge.core.windows.boundaries import LONG_AGO
from bridge.core.windows.expiry import (
    UNTICKED,
    ConditionClock,
    advanced,
    deadline,
    forget,
    has_own_deadlines,
    needs_clock,
    next_due,
)
from bridge.core.windows.kinds.within import step_alone
from bridge.core.windows.window import Arrival, Spent, Window
from bridge.core.windows.window_step import Step
from bridge.kafka.log import Partition
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import RecordError
from bridge.stages.matcher.spilled_windows import SpilledWindow, SpilledWindows
from bridge.stages.matcher.window_indexes import (
    WHOLE,
    Condition,
    OpenWindows,
    Timer,
    Timers,
    Usage,
    held_bytes,
    is_of,
    size_of,
    waiting_bytes,
)
from bridge.stages.matcher.window_records import (
    RETIRING_KEY,
    Place,
    WindowKey,
    beside_records,
    clock_key,
    encode_clock,
    encode_retiring,
    encode_spent,
    encode_waiting,
    place_key,
)
from bridge.stages.matcher.window_restore import Kept, restored_state
from bridge.stages.matcher.window_states import LARGEST, Held, WindowState, at, known_at, new_state, places, window_of

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs
_PAIR = 2
_BROUGHT_BACK = 8  # a part of the memory: windows that are due come back from disk so many at a time
_SPILLED_AT_ONCE = 16 * 1024 * 1024
_TEXTS_BYTES = 128 * 1024  # more than an arrival's key, id and source take, which a router bounds


class Contents(NamedTuple):
    """All contents of a store; two stores of the same log at the same offset have equal contents.

    Attributes:
        open: The windows in which something waits or is marked.
        remembered: The waiting arrival, or its spent identity, of each event at each slot.
        counts: Number of remembered arrivals, by condition.
        sizes: Bytes of memory that they take, by condition.
        size: Bytes of memory that all of them take.
        clocks: The clocks of conditions whose rules need one.
        retiring: The conditions whose retirement is under way, or None.

    """

    open: Mapping[WindowKey, Window]
    remembered: Mapping[Place, Arrival | Spent]
    counts: Mapping[Condition, int]
    sizes: Mapping[Condition, int]
    size: int
    clocks: Mapping[Condition, ConditionClock]
    retiring: tuple[Condition, ...] | None


class Bounds(NamedTuple):
    """How much a store may hold.

    Attributes:
        window: Arrivals that wait in one window.
        remembered: Events of one condition that are remembered.
        bytes: Bytes of memory.
        disk: Bytes of windows that are on disk, counted as in memory; 0 for a store that keeps all in memory.

    """

    window: int
    remembered: int
    bytes: int
    disk: int = 0


class Excess(NamedTuple):
    """There is no room for an arrival. ``evidence``: the bound, and what is held."""

    evidence: dict[str, str]


class WindowStore:
    """The windows, remembered identities, clocks and timers of one partition.

    Args:
        changelog: The partition of ``windows`` that it writes; None for a store that is not restored, as of a replay.
        bounds: How much it may hold, in memory and on disk; None for a store that keeps all in memory.

    """

    def __init__(self, changelog: Partition | None, bounds: Bounds | None = None) -> None:
        self._is_logged = changelog is not None
        self._topic, self._partition = changelog or Partition("", 0)
        self._windows: dict[WindowKey, Held] = {}
        self._slots: dict[str, int] = {}  # by the condition hash of each window that is kept as its one arrival
        self._open = OpenWindows()
        self._clocks: dict[Condition, ConditionClock] = {}
        self._retiring: tuple[Condition, ...] | None = None
        self._timers = Timers()
        self._usage = Usage()
        self._large = Usage()  # of windows with too many events for the disk
        self._room = bounds.bytes if bounds is not None else 0
        self._memory: float = self._room if bounds is not None and bounds.disk else inf
        self._disk = bounds.disk if bounds is not None else 0
        self._spilled: SpilledWindows | None = None

    # -- what it holds -------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Return the bytes that all contents take, counted as in memory."""
        return self._usage.size

    @property
    def size_on_disk(self) -> int:
        """Return the bytes that the windows on disk would take in memory."""
        return self._spilled.size if self._spilled is not None else 0

    @property
    def open_windows(self) -> int:
        """Return the number of windows in which something waits or is marked."""
        return self._open.count

    def oldest_windows(self) -> dict[Condition, Micros]:
        """Return, by condition, since when the oldest event in an open window waits, to ten seconds."""
        return self._open.oldest()

    @property
    def retiring(self) -> tuple[Condition, ...] | None:
        """Return the conditions that the tick at the committed offset retires, from its first slice to its last."""
        return self._retiring

    def contents(self) -> Contents:
        """Return a copy of all contents, for comparisons of stores."""
        usage = self._usage
        opened: dict[WindowKey, Window] = {}
        remembered: dict[Place, Arrival | Spent] = {}
        for key, held in chain(self._windows.items(), self._spilled.windows() if self._spilled is not None else ()):
            window = held.window if isinstance(held, WindowState) else window_of(held, self._slots[key.condition_hash])
            if window is not None:
                opened[key] = window
            remembered.update((Place(key, *spot), what) for spot, what in places(held))
        return Contents(
            opened,
            remembered,
            dict(usage.counts),
            dict(usage.sizes),
            usage.size,
            dict(self._clocks),
            self._retiring,
        )

    def window(self, key: WindowKey, slots: int) -> Window:
        """Return a window; an empty one if nothing has happened in it."""
        return window_of(self._held(key), slots)

    def step(self, key: WindowKey, trigger: Trigger, arrival: Arrival, bounds: Bounds) -> Step | Excess:
        """Return what the rules make of a new arrival, or why there is no room for it. Nothing is changed yet.

        Args:
            key: The window.
            trigger: The definition that the arrival carries.
            arrival: The arrival.
            bounds: How much the store may hold.

        """
        usage, condition = self._usage, key[:2]
        if usage.size > self._memory:
            self._make_room()
        held = self._windows.get(key)
        if held is None and self._spilled is not None:
            held = self._held(key)
        state, lone = (held, None) if isinstance(held, WindowState) else (None, held)
        slots = len(trigger.slots)
        known = known_at(held, arrival.event, slots) if held is not None else {}
        if not known and usage.counts.get(condition, 0) >= bounds.remembered:
            return Excess({"bound": str(bounds.remembered)})
        step = step_alone(trigger, lone, key.key, arrival) if trigger.is_plain and not known and state is None else None
        if step is None:
            ticked = None if trigger.is_plain else self.ticked(condition, trigger)
            step = apply_arrival(
                trigger, window_of(held, slots), key.key, arrival, known, bound=bounds.window, ticked=ticked
            )
        # No step adds more than its new arrival. So a step is measured only where its arrival might not fit.
        is_large = state is not None and len(state) >= LARGEST and bounds.disk > 0
        if not is_large and usage.has_room(condition, len(arrival.value) + _TEXTS_BYTES, bounds.bytes + bounds.disk):
            return step
        excess = self._excess(key, held, step, bounds, is_large=is_large)
        return step if excess is None else Excess(excess)

    def known(self, key: WindowKey, event: EventIdentity, trigger: Trigger) -> dict[int, Arrival | Spent]:
        """Return, by slot, what is remembered of an event in a window."""
        return known_at(self._held(key), event, len(trigger.slots))

    def remembered(self, place: Place) -> Arrival | Spent | None:
        """Return what is remembered of an event at a slot of a window; None if nothing is."""
        return at(self._held(place.window), place[1:])

    def clock(self, condition: Condition) -> ConditionClock:
        """Return the clock of a condition."""
        return self._clocks.get(condition, UNTICKED)

    def ticked(self, condition: Condition, trigger: Trigger) -> Micros | None:
        """Return the time of a condition's last tick; None where its rules do not need it."""
        return self.clock(condition).ticked if needs_clock(trigger) else None

    def _excess(
        self, key: WindowKey, held: Held | None, step: Step, bounds: Bounds, *, is_large: bool
    ) -> dict[str, str] | None:
        """Return the evidence that there is no room for what the step of an arrival adds, or None.

        A step that completes a match may add less than nothing. A window with too many events for the disk must fit
        into the memory, whatever else is on disk.
        """
        usage, condition, bound = self._usage, key[:2], bounds.bytes + bounds.disk
        size = 0
        if step.kept is not None:
            size += held_bytes(Place(key, step.kept.slot, step.kept.event), step.kept)
        for left, spent in step.spent:
            place = Place(key, left.slot, left.event)
            before = at(held, place[1:])
            size += held_bytes(place, spent) if before is None else -waiting_bytes(before)
        if is_large and usage.has_room(condition, size, bound):
            usage, bound = self._large, bounds.bytes
        if size <= 0 or usage.has_room(condition, size, bound):
            return None
        of_trigger = usage.sizes.get(condition, 0)
        return {
            "bound": f"{bound} bytes",
            "held": str(usage.size),
            "held_by_trigger": str(of_trigger),
            "more": str(size),
        }

    # -- what is due ---------------------------------------------------------------------------------------------------

    def conditions(self) -> Iterator[Condition]:
        """Yield each trigger and condition hash of which something is held."""
        spilled = self._spilled.conditions() if self._spilled is not None else ()
        yield from dict.fromkeys(chain(self._timers, spilled, self._clocks))

    def next_due(self, condition: Condition) -> Micros | None:
        """Return when the first timer of a condition is due; a stale timer may make this earlier than needed."""
        timer = self._timers.first(condition)
        spilled = self._spilled.first_due(condition) if self._spilled is not None else None
        return min([first[0] for first in (timer, spilled) if first is not None], default=None)

    def due(self, condition: Condition, time: Micros, trigger: Trigger) -> Timer | None:
        """Return the first timer of a condition that is due at ``time``; stale timers are dropped."""
        timers = self._timers
        while (timer := self._first(condition, time)) is not None:
            _, key, slot, event = timer
            if slot == WHOLE:
                due = None
                if timers.alarms.get(key) == timer.due:
                    due = next_due(trigger, self.window(key, len(trigger.slots)), self.clock(condition))
                    if due is not None and due <= timer.due:
                        return timer
                timers.drop_first(condition)
                if due is not None:  # the window has changed: it is due later
                    timers.set_whole(key, due)
                continue
            held = at(self._windows.get(key), (slot, event))
            if isinstance(held, Spent):
                is_current = held.until == timer.due
            else:
                is_current = held is not None and deadline(trigger, held) == timer.due
                if is_current and trigger.absent_slots:  # it may wait in a pending match instead
                    is_current = held in self.window(key, len(trigger.slots)).waiting[slot]
            if is_current:
                return timer
            timers.drop_first(condition)
        return None

    # -- changes -------------------------------------------------------------------------------------------------------

    def apply(
        self,
        key: WindowKey,
        trigger: Trigger,
        step: Step,
        out: Outbox,
        *,
        arrived: bytes = b"",
        forgotten: Iterable[Place] = (),
    ) -> None:
        """Apply a step to memory and changelog.

        Args:
            key: The window.
            trigger: A trigger of its condition.
            step: The step. The store holds its window at the state before.
            out: The batch that the changelog's records join.
            arrived: The value of the new arrival's record in ``arrivals``, if the step keeps the arrival.
            forgotten: Events at slots that are remembered no longer.

        Raises:
            OversizeError: The new arrival is too large for the changelog. The store can no longer be used.

        """
        topic, partition, send, is_logged = self._topic, self._partition, out.send_last, self._is_logged
        if self._spilled is not None:
            self._held(key)
        for place in forgotten:
            self._forget(place)
            if is_logged:
                send(topic, partition, place_key(place), None)
        if (kept := step.kept) is not None:
            place = _new_tuple(Place, (key, kept.slot, kept.event))
            self._remember(place, kept, trigger)
            if trigger.is_plain:  # the usual kind, without a detour
                self._timers.set(kept.reached + trigger.span, *place)
            elif has_own_deadlines(trigger):
                self._timers.set(deadline(trigger, kept), *place)
            if is_logged:
                send(topic, partition, place_key(place), encode_waiting(kept, arrived))
        if not trigger.is_plain:
            before = self.window(key, len(trigger.slots))
            if before.pending or before.fired or step.window.pending or step.window.fired:
                for record_key, value in beside_records(key, before, step.window):
                    send(topic, partition, record_key, value)
            if step.through is not None:
                self._set_clock(key[:2], self.clock(key[:2])._replace(through=step.through), trigger, out)
        held = self._windows.get(key)
        ended = step.spent
        is_pair = step.match is not None and len(ended) == _PAIR and isinstance(held, Arrival)
        lone = held if is_pair and (ended[0][0] is held or ended[1][0] is held) else None
        for arrival, spent in ended:
            slot, event = arrival.slot, arrival.event
            place = _new_tuple(Place, (key, slot, event))
            if lone is None:
                self._remember(place, spent, trigger)
            self._timers.set(spent.until, key, slot, event)
            if is_logged:
                send(topic, partition, place_key(place), encode_spent(spent))
        if lone is not None:
            self._complete(key, lone, step)
        elif ended or not isinstance(held, Arrival):  # an arrival alone is kept as it is
            self._put(key, step.window, trigger)
        if self._spilled is not None and (held := self._windows.pop(key, None)) is not None:
            self._windows[key] = held  # the last to be moved to disk
        if self._usage.size > self._memory:
            self._make_room()

    def forget_due(self, condition: Condition, time: Micros, trigger: Trigger, out: Outbox) -> None:
        """Forget the identities that are due at ``time``, up to the first timer that may end something else.

        It does what ``due``, :func:`bridge.stages.matcher.ticks.ended_by` and ``apply`` do for each of them. Nothing is
        decided about an identity that is forgotten, and most timers are of such identities, or stale.
        """
        timers, windows = self._timers, self._windows
        while (timer := self._first(condition, time)) is not None:
            place = timer.place
            state = windows.get(place.window)
            held = at(state, place[1:])
            if not isinstance(held, Spent) or not isinstance(state, WindowState):
                return
            timers.drop_first(condition)
            if held.until != timer.due:  # its deadline, which it did not come to
                continue
            self._forget(place)
            if self._is_logged:
                out.send_last(self._topic, self._partition, place_key(place), None)
            if state.window is not None:
                self._put(place.window, forget(trigger, state.window, place.slot, held), trigger)

    def advance(self, condition: Condition, trigger: Trigger, time: Micros, out: Outbox) -> None:
        """Set the clock of a condition to the time of a tick that is over, where its rules need a clock."""
        if needs_clock(trigger):
            self._set_clock(condition, advanced(trigger, self.clock(condition), time), trigger, out)

    def drop_clock(self, condition: Condition, out: Outbox) -> None:
        """Forget the clock of a condition that is retired."""
        if self._clocks.pop(condition, None) is not None:
            out.send_last(self._topic, self._partition, clock_key(condition), None)

    def keep_retiring(self, retiring: tuple[Condition, ...] | None, out: Outbox) -> None:
        """Keep the conditions that the tick at the head of the log retires, until its slices are over; then None."""
        if retiring == self._retiring:
            return
        self._retiring = retiring
        value = None if retiring is None else encode_retiring(retiring)
        out.send_last(self._topic, self._partition, RETIRING_KEY, value)

    def arm(self, condition: Condition) -> None:
        """Ask for a tick that arms a dead man's switch, unless it is armed."""
        if self.clock(condition).through is None:
            self._timers.set_whole(WindowKey(*condition, ""), LONG_AGO)

    def restore(
        self,
        batches: Iterable[list[Kept]],
        definitions: Mapping[str, Definition],
        unreadable: Callable[[bytes, RecordError], None],
    ) -> None:
        """Bring an empty store to the state that the records of its changelog describe; the lists are used up.

        Args:
            batches: The last record of each key. All records of a window are in one batch, and those that belong to no
                window are in the first.
            definitions: A definition of each condition, by its hash.
            unreadable: Hears of each record that is left out because it cannot be read, by its key.

        Raises:
            NewerFormatError: A newer version has written something that this one cannot read.

        """
        for records in batches:
            state = restored_state(records, definitions, unreadable)
            self._clocks.update(state.clocks)
            self._retiring = self._retiring or state.retiring
            self._timers.restore({condition: restored.timers for condition, restored in state.conditions.items()})
            for condition, restored in state.conditions.items():
                self._usage.add_all(condition, restored.count, restored.size)
                self._slots[condition[1]] = len(restored.trigger.slots)
            states = dict(state.states())
            since: dict[Condition, list[Micros]] = defaultdict(list)
            for key, alone in state.windows.items():
                if not isinstance(alone, WindowState):
                    since[key[:2]].append(alone.reached)
            for condition, moments in since.items():
                self._open.add_all(condition, moments)
            self._windows.update(state.windows)
            for key, held in states.items():
                if len(held) > LARGEST:
                    self._large.add(key[:2], size_of(key, held))
                if (window := held.window) is not None:
                    held.window = None
                    self._put(key, window, definitions[key.condition_hash].trigger)
            if self._usage.size > self._memory:
                self._make_room()
        for condition, clock in self._clocks.items():
            self._set_switch(condition, clock, definitions[condition[1]].trigger)

    # -- memory and disk -----------------------------------------------------------------------------------------------

    def leave_disk_alone(self) -> None:
        """Write nothing to disk any more: the store is in a child process, which has its parent's file."""
        self._memory = inf
        if self._spilled is not None:
            self._spilled.is_read_only = True

    def _held(self, key: WindowKey) -> Held | None:
        """Return what is held of a window, which comes back from disk if it is there."""
        held = self._windows.get(key)
        if held is None and self._spilled is not None and (spilled := self._spilled.take(key)) is not None:
            self._bring_back(spilled)
            return spilled.held
        return held

    def _bring_back(self, spilled: SpilledWindow) -> None:
        self._windows[spilled.key] = spilled.held
        for timer in spilled.timers:
            if timer.is_whole:
                self._timers.set_whole(timer.window, timer.due)
            else:
                self._timers.set(*timer)

    def _first(self, condition: Condition, time: Micros) -> Timer | None:
        """Return the first timer of a condition that is due at ``time``; windows that are due before it come back."""
        timer = self._timers.first(condition)
        while self._spilled is not None:
            spilled = self._spilled.first_due(condition)
            if spilled is None or spilled[0] > time:
                break
            if timer is not None and (timer.due, timer.window.key) < spilled:
                break
            self._make_room()
            for window in self._spilled.take_due(condition, time, self._room // _BROUGHT_BACK):
                self._bring_back(window)
            timer = self._timers.first(condition)
        return timer if timer is not None and timer.due <= time else None

    def _make_room(self) -> None:
        """Move windows to disk that were not touched lately, if windows take more memory than they may.

        Windows with too many events for the disk stay in memory. The others have a quarter of it at least.
        """
        memory = self._room
        if self._usage.size <= self._memory:
            return
        room = max(memory - self._large.size, memory // 4)
        left = self._usage.size - self.size_on_disk - self._large.size - room
        if left <= 0:
            return
        left += min(room // 4, _SPILLED_AT_ONCE)
        sizes: dict[WindowKey, int] = {}
        for key, held in self._windows.items():
            if isinstance(held, WindowState) and len(held) > LARGEST:
                continue
            size = sizes[key] = size_of(key, held)
            left -= size
            if left <= 0:
                break
        windows = []
        for key, timers in self._timers.take(sizes).items():
            held = self._windows.pop(key)
            current = [timer for timer in timers if timer.is_whole or is_of(timer, held)]
            windows.append(SpilledWindow(key, held, current, sizes[key]))
        if self._spilled is None:
            self._spilled = SpilledWindows(self._disk)
        self._spilled.put(windows)

    # -- parts of changes ----------------------------------------------------------------------------------------------

    def _put(self, key: WindowKey, window: Window, trigger: Trigger) -> None:
        """Keep a window, or release one in which nothing waits, and set its timer."""
        held = self._windows.get(key)
        if isinstance(held, WindowState):
            opened, before = None if window.is_empty else window, held.window
            if before is None or opened is None or before.since != opened.since:
                if before is not None:
                    self._open.remove(key[:2], before.since)
                if opened is not None:
                    self._open.add(key[:2], opened.since)
            held.window = opened
            if opened is None and not held:
                del self._windows[key]
        elif held is None and not window.is_empty:
            self._windows[key] = new_state(window)
            self._open.add(key[:2], window.since)
        if not trigger.is_plain and (due := next_due(trigger, window, self.clock(key[:2]))) is not None:
            self._timers.set_whole(key, due)

    def _complete(self, key: WindowKey, lone: Arrival, step: Step) -> None:
        """Do at once what :meth:`_remember` and :meth:`_put` do for a pair, of which one arrival waited alone."""
        condition, window = key[:2], step.window
        state = self._windows[key] = new_state()
        size = -waiting_bytes(lone)
        for arrival, spent in step.spent:
            state[arrival.slot, arrival.event] = spent
            if arrival is not lone:
                size += held_bytes(_new_tuple(Place, (key, arrival.slot, arrival.event)), spent)
        self._usage.add(condition, size)
        self._open.remove(condition, lone.reached)
        if not window.is_empty:
            state.window = window
            self._open.add(condition, window.since)

    def _remember(self, place: Place, what: Arrival | Spent, trigger: Trigger) -> None:
        """Keep an arrival or its spent identity; :meth:`_put` follows."""
        key, spot = place.window, place[1:]
        held = self._windows.get(key)
        if held is None and trigger.is_plain and isinstance(what, Arrival):
            self._windows[key] = what
            self._slots[key.condition_hash] = len(trigger.slots)
            self._open.add(key[:2], what.reached)
            self._usage.add(key[:2], held_bytes(place, what))
            return
        if not isinstance(held, WindowState):
            state = self._windows[key] = new_state()
            if held is not None:
                state[held.slot, held.event] = held
                self._open.remove(key[:2], held.reached)
            held = state
        before = held.get(spot)
        held[spot] = what
        if before is None:
            more = held_bytes(place, what)
            self._usage.add(key[:2], more)
            if len(held) == LARGEST + 1:
                self._large.add(key[:2], size_of(key, held))
                return
        elif (more := waiting_bytes(what) - waiting_bytes(before)) != 0:
            self._usage.resize(key[:2], more)
        if len(held) > LARGEST:
            self._large.resize(key[:2], more)

    def _forget(self, place: Place) -> None:
        held, spot = self._windows.get(place.window), place[1:]
        what = at(held, spot)
        if what is None:
            return
        size = held_bytes(place, what)
        self._usage.remove(place.window[:2], size)
        if isinstance(held, WindowState):
            if len(held) == LARGEST + 1:
                self._large.remove(place.window[:2], size_of(place.window, held))
            elif len(held) > LARGEST:
                self._large.resize(place.window[:2], -size)
            del held[spot]
            if not held and held.window is None:
                del self._windows[place.window]
        elif held is not None:
            del self._windows[place.window]
            self._open.remove(place.window[:2], held.reached)

    def _set_clock(self, condition: Condition, clock: ConditionClock, trigger: Trigger, out: Outbox) -> None:
        self._clocks[condition] = clock
        self._set_switch(condition, clock, trigger)
        out.send_last(self._topic, self._partition, clock_key(condition), encode_clock(clock))

    def _set_switch(self, condition: Condition, clock: ConditionClock, trigger: Trigger) -> None:
        """Set the timer of a dead man's switch that follows from its clock."""
        if trigger.is_switch:
            key = WindowKey(*condition, "")
            due = next_due(trigger, self.window(key, len(trigger.slots)), clock)
            if due is not None:
                self._timers.set_whole(key, due)
