"""What a timeline shows, as plain data: the rules' side fills it in, the painter's side draws it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bridge.core.event import Micros


@dataclass(frozen=True)
class Dot:
    """An event.

    Attributes:
        lane: Index of its lane.
        time: When it happened.
        reached: When it reached us.
        name: What it is called.
        fate: What became of it.

    """

    lane: int
    time: Micros
    reached: Micros
    name: str
    fate: str


@dataclass(frozen=True)
class Band:
    """A stretch of time: a window, or what is added to it."""

    start: Micros
    end: Micros
    kind: Literal["window", "grace", "other"] = "window"


@dataclass(frozen=True)
class Mark:
    """A run that starts, or a thing that happens to one."""

    time: Micros
    text: str
    is_run: bool = True


@dataclass
class Tale:
    """All of a timeline.

    Attributes:
        title: What it is, in a sentence.
        start: Where it begins.
        end: Where it ends.
        timezone: Whose clock the ruler shows.
        lanes: Their names, from above.
        dots: The events.
        bands: The windows.
        lines: Boundaries.
        marks: The runs.

    """

    title: str
    start: Micros
    end: Micros
    timezone: str
    lanes: list[str]
    dots: list[Dot] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    lines: list[Micros] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
