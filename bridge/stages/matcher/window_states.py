"""The state of one window in memory: the window itself, and the identities of its events that are remembered.

Most windows are plain and hold one waiting arrival. Such a window is kept as that arrival alone. All others are a
:class:`WindowState`. This halves the memory that an open window takes besides its event.
"""

from __future__ import annotations

from bridge.core.event import EventIdentity
from bridge.core.windows.window import Arrival, Spent, Window, empty_window

LARGEST = 100
"""Events that a window may remember and still be moved to disk, and back: a larger one would take milliseconds."""

Spot = tuple[int, EventIdentity]
"""A place inside its window: slot and event."""


class WindowState(dict[Spot, Arrival | Spent]):
    """The waiting arrival, or its spent identity, of each event at each slot of a window.

    Attributes:
        window: The window; None if nothing waits or is marked in it.

    """

    __slots__ = ("window",)

    window: Window | None


def new_state(window: Window | None = None) -> WindowState:
    """Return the state of a window of which nothing is remembered yet; a constructor would cost three times as much."""
    state = WindowState()
    state.window = window
    return state


Held = Arrival | WindowState
"""What is held of a window: an arrival that waits in it alone, or its state."""


def window_of(held: Held | None, slots: int) -> Window:
    """Return a window with a number of slots; an empty one if nothing waits or is marked in it."""
    if isinstance(held, WindowState):
        return held.window or empty_window(slots)
    empty = empty_window(slots)
    if held is None:
        return empty
    waiting = list(empty.waiting)
    waiting[held.slot] = (held,)
    return Window(tuple(waiting), empty.marks)


def at(held: Held | None, spot: Spot) -> Arrival | Spent | None:
    """Return what is remembered of an event at a slot."""
    if isinstance(held, WindowState):
        return held.get(spot)
    return held if held is not None and (held.slot, held.event) == spot else None


def known_at(held: Held | None, event: EventIdentity, slots: int) -> dict[int, Arrival | Spent]:
    """Return, by slot, what is remembered of an event."""
    if isinstance(held, WindowState):
        known = [(slot, held.get((slot, event))) for slot in range(slots)]
        return {slot: what for slot, what in known if what is not None}
    return {} if held is None or held.event != event else {held.slot: held}


def places(held: Held) -> list[tuple[Spot, Arrival | Spent]]:
    """Return all that is remembered of a window."""
    return list(held.items()) if isinstance(held, WindowState) else [((held.slot, held.event), held)]
