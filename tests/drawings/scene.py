"""A scene: a few events that come to the trigger of a page of ``docs/triggers``.

A line is an event: day of May 2026 and time at which it happened, by the scene's clock; the slot; the event's id; and
the fields of its payload. ``@14:20`` is when it reached us, where that is another time of the day.
"""

from __future__ import annotations

from typing import NamedTuple


class Scene(NamedTuple):
    """Some events and the stretch of time that is shown.

    Attributes:
        page: The page whose example they come to; also the drawing's name.
        start: Where the drawing begins: day and time.
        end: Where it ends.
        events: The events, a line each.
        timezone: Whose clock is shown.

    """

    page: str
    start: str
    end: str
    events: str
    timezone: str = "UTC"
