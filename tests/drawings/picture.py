"""A timeline as SVG: plain text, the same for the same tale, legible on light and on dark ground."""

from __future__ import annotations

from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from bridge.core.event import DAY, HOUR, MINUTE, Micros, moment
from drawings.tale import Band, Dot, Tale

WIDTH, LEFT, RIGHT = 820, 104, 36
TOP, LANE, RUNS, RULER = 14, 58, 52, 26
_STEPS = (MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR)
_LABELS = 9
_MARK_ROOM = 60  # what a mark and its text take up at least
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px }
.name { font-weight: 600 }
.quiet { fill: #57606a }
.line { stroke: #8c959f; stroke-width: 1 }
.edge { stroke: #8c959f; stroke-width: 1; stroke-dasharray: 3 3 }
.window { fill: #0969da; fill-opacity: .13 }
.grace { fill: #0969da; fill-opacity: .06 }
.other { fill: #bf8700; fill-opacity: .16 }
.dot { fill: #57606a }
.good { fill: #1a7f37 }
.bad { fill: #cf222e }
.delay, .came { stroke: #57606a; stroke-width: 1.5; fill: none }
.delay { stroke-dasharray: 2 2 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.quiet { fill: #9198a1 }
.window { fill: #4493f8; fill-opacity: .22 }
.grace { fill: #4493f8; fill-opacity: .1 }
.other { fill: #d29922; fill-opacity: .22 }
.dot { fill: #9198a1 }
.good { fill: #3fb950 }
.bad { fill: #f85149 }
.delay, .came { stroke: #9198a1 }
}
"""
_GOOD = frozenset({"matched", "created"})
_BAD = frozenset({"late", "expired", "cancelled", "reset", "skipped"})


def picture(tale: Tale) -> str:
    """Return the timeline as the text of an SVG file."""
    return _Painter(tale).painted()


class _Painter:
    """Draws one tale; knows where a time and a lane lie."""

    def __init__(self, tale: Tale) -> None:
        self._tale = tale
        self._floor = TOP + LANE * len(tale.lanes)
        self._height = self._floor + RUNS + RULER

    def painted(self) -> str:
        tale = self._tale
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" role="img">',
            f"<title>{escape(tale.title)}</title>",
            f"<style>{_STYLE}</style>",
            *[self._band(band) for band in tale.bands],
            *[self._boundary(time) for time in tale.lines],
            *[part for index, name in enumerate(tale.lanes) for part in self._lane(index, name)],
            *[part for dot in tale.dots for part in self._dot(dot)],
            *[part for index in range(len(tale.marks)) for part in self._mark(index)],
            *self._ruler(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _at(self, time: Micros) -> int:
        whole = self._tale.end - self._tale.start
        inside = min(max(time, self._tale.start), self._tale.end) - self._tale.start
        return LEFT + inside * (WIDTH - LEFT - RIGHT) // whole

    def _band(self, band: Band) -> str:
        start, end = self._at(band.start), self._at(band.end)
        height = self._floor - TOP
        return f'<rect class="{band.kind}" x="{start}" y="{TOP}" width="{end - start}" height="{height}"/>'

    def _boundary(self, time: Micros) -> str:
        at = self._at(time)
        return f'<line class="edge" x1="{at}" y1="{TOP}" x2="{at}" y2="{self._floor + RUNS}"/>'

    def _lane(self, index: int, name: str) -> list[str]:
        middle = TOP + LANE * index + LANE // 2
        return [
            f'<line class="line" x1="{LEFT}" y1="{middle}" x2="{WIDTH - RIGHT}" y2="{middle}"/>',
            f'<text class="name" x="{LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>',
        ]

    def _dot(self, dot: Dot) -> list[str]:
        at, middle = self._at(dot.time), TOP + LANE * dot.lane + LANE // 2
        kind = "good" if dot.fate in _GOOD else "bad" if dot.fate in _BAD else "dot"
        parts = []
        if dot.reached != dot.time:
            came = self._at(dot.reached)
            bend = f"Q{(at + came) // 2} {middle - 40} {came} {middle}"
            parts += [
                f'<path class="delay" d="M{at} {middle} {bend}"/>',
                f'<circle class="came" cx="{came}" cy="{middle}" r="4"/>',
                f'<text class="small quiet" x="{came}" y="{middle + 20}" text-anchor="middle">reached us</text>',
            ]
        return [
            *parts,
            f'<circle class="{kind}" cx="{at}" cy="{middle}" r="6"/>',
            f'<text class="small" x="{at}" y="{middle - 11}" text-anchor="middle">{escape(dot.name)}</text>',
            f'<text class="small {kind}" x="{at}" y="{middle + 20}" text-anchor="middle">{escape(dot.fate)}</text>',
        ]

    def _mark(self, index: int) -> list[str]:
        mark = self._tale.marks[index]
        near = [
            earlier for earlier in self._tale.marks[:index] if self._at(mark.time) - self._at(earlier.time) < _MARK_ROOM
        ]
        at, top = self._at(mark.time), self._floor + 6 + 20 * (len(near) % 2)
        kind = "good" if mark.is_run else "bad"
        anchor, beside = ("end", at - 10) if at > WIDTH - 110 else ("start", at + 10)
        return [
            f'<path class="{kind}" d="M{at} {top} l7 14 h-14 z"/>',
            f'<text class="small" x="{beside}" y="{top + 12}" text-anchor="{anchor}">{escape(mark.text)}</text>',
        ]

    def _ruler(self) -> list[str]:
        level, step = self._floor + RUNS, self._step()
        parts = [
            f'<text class="name" x="{LEFT - 10}" y="{self._floor + 18}" text-anchor="end">runs</text>',
            f'<line class="line" x1="{LEFT}" y1="{level}" x2="{WIDTH - RIGHT}" y2="{level}"/>',
        ]
        time = self._tale.start
        while time <= self._tale.end:
            at, clock = self._at(time), self._clock(time)
            is_day = step >= 6 * HOUR and not clock.hour
            text = clock.strftime("%a %d") if is_day else clock.strftime("%H:%M")
            parts += [
                f'<line class="line" x1="{at}" y1="{level}" x2="{at}" y2="{level + 5}"/>',
                f'<text class="small quiet" x="{at}" y="{level + 18}" text-anchor="middle">{text}</text>',
            ]
            time += step
        return parts

    def _step(self) -> Micros:
        whole = self._tale.end - self._tale.start
        return next((step for step in _STEPS if whole // step <= _LABELS), 12 * HOUR if whole < 5 * DAY else DAY)

    def _clock(self, time: Micros) -> datetime:
        return moment(time).astimezone(ZoneInfo(self._tale.timezone))
