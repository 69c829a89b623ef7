"""What the real rules make of a scene: routing, windows and runs as in the bridge, with time as the scene says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from bridge.core.decision import Decision
from bridge.core.definition import Definition
from bridge.core.event import HOUR, MINUTE, SECOND, Event, EventIdentity, Micros
from bridge.core.route import route
from bridge.core.runs.limits import Brake
from bridge.core.runs.run_of_match import make_run, start_by
from bridge.core.trigger import Schedule, Trigger
from bridge.core.windows.boundaries import frame_of
from bridge.core.windows.window import Arrival, Match
from drawings.scene import Scene
from drawings.scenes import OUTAGE
from drawings.tale import Band, Dot, Mark, Tale
from kinds import KINDS
from unit.core.stepping import Stepping


class Line(NamedTuple):
    """An event of a scene: the slot that it comes to, and itself."""

    slot: int
    event: Event


def told(scene: Scene, trigger: Trigger, title: str) -> Tale:
    """Return what becomes of a scene's events at ``trigger``."""
    lanes = [slot.variable for slot in trigger.slots]
    tale = Tale(title, time_of(scene, scene.start), time_of(scene, scene.end), scene.timezone, lanes)
    lines = sorted(lines_of(scene, trigger), key=lambda line: line.event.reached)
    tell = _tell_windows if trigger.is_windowed else _tell_runs
    tell(tale, trigger, lines, scene)
    return tale


def _tell_runs(tale: Tale, trigger: Trigger, lines: list[Line], scene: Scene) -> None:
    """Tell of a trigger of which each event is a match: what its run's key, limits and deadline make of it."""
    definition, seen, brake = Definition(trigger), set[str](), Brake(trigger.run.limits)
    free_from = tale.start
    for slot, event in lines:
        passed = route(definition, definition.slots[slot], event)
        if isinstance(passed, Decision):
            tale.dots.append(_dot(slot, event, passed.reason))
            continue
        run_key = make_run(definition, "fb.", passed.key, [[event]]).run_key
        fate = "already-ran" if run_key in seen else "matched"
        tale.dots.append(_dot(slot, event, fate))
        if fate == "matched":
            free_from = _create(tale, trigger, brake, max(event.reached, free_from), event, scene)
        seen.add(run_key)


def _create(tale: Tale, trigger: Trigger, brake: Brake, time: Micros, event: Event, scene: Scene) -> Micros:
    """Let a run start when its trigger's limits and the scene's outage let it; return when that was."""
    brake.ask(event.reached)
    if scene.page == "start-deadline":
        outage = [time_of(scene, text) for text in OUTAGE]
        tale.bands[:] = [Band(outage[0], outage[1], "other")]
        time = outage[1] if outage[0] <= time < outage[1] else time
    while (wait := brake.wait(time)) is not None:
        time = wait.until
    until = start_by(trigger, event.time, event.reached)
    is_late = until is not None and time >= until
    if not is_late:
        brake.start(time)
    text = f"{event.id} skipped" if is_late else f"run {event.id}"
    tale.marks.append(Mark(time, text, is_run=not is_late))
    return time


def _tell_windows(tale: Tale, trigger: Trigger, lines: list[Line], _: Scene) -> None:
    """Tell of a trigger with a window: each event when it reaches us, and a tick a minute."""
    teller = _WindowTeller(tale, trigger)
    for time in range(tale.start, tale.end + 1, MINUTE if tale.end - tale.start > HOUR else 10 * SECOND):
        teller.tick(time)
        for offset, line in enumerate(lines):
            if line.event.reached == time:
                teller.come(offset, line)
    tale.dots += [_dot(line.slot, line.event, teller.fates[offset]) for offset, line in enumerate(lines)]
    _draw_windows(tale, trigger, teller.stepping, teller.waits_for_absence)


class _WindowTeller:
    """Lets events come to a trigger's windows, and notes what becomes of them.

    Attributes:
        stepping: The windows.
        fates: By event of the scene: its last decision.
        waits_for_absence: The matches that waited for an absence.

    """

    def __init__(self, tale: Tale, trigger: Trigger) -> None:
        self.stepping = Stepping(trigger)
        self.fates: dict[int, str] = {}
        self.waits_for_absence: list[Match] = []
        self._tale = tale
        self._definition = Definition(trigger)
        self._offsets: dict[tuple[str, EventIdentity], int] = {}

    def tick(self, time: Micros) -> None:
        before = len(self.stepping.matches)
        self._note(self.stepping.tick(time))
        self._mark(before, time)

    def come(self, offset: int, line: Line) -> None:
        slot, event = self._definition.slots[line.slot], line.event
        passed = route(self._definition, slot, event)
        if isinstance(passed, Decision):
            self.fates[offset] = passed.reason
            return
        before, known = len(self.stepping.matches), self._definition.hash
        came = self.stepping.arrive(
            passed.key,
            Arrival(event.time, offset, line.slot, event.identity, event.reached, known, event.key, b""),
        )
        if any(decision.reason == "duplicate" for decision in came.decisions):
            self.fates[offset] = "duplicate"
            return
        self._offsets[slot.slot.variable, event.identity] = offset
        self._note(came.decisions)
        self.waits_for_absence += [came.waits_for_absence.match] if came.waits_for_absence is not None else []
        self._mark(before, event.reached)

    def _note(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            self.fates[self._offsets[decision.slot, decision.event]] = decision.reason

    def _mark(self, before: int, time: Micros) -> None:
        for _, match, _ in self.stepping.matches[before:]:
            names = " + ".join(arrival.event.id for slot in match for arrival in slot)
            self._tale.marks.append(Mark(time, f"run {names}" if names else "run: nothing came"))


def _draw_windows(tale: Tale, trigger: Trigger, stepping: Stepping, waits_for_absence: list[Match]) -> None:
    """Draw as bands what the trigger's window is."""
    plan = trigger.window
    if plan is None:
        return
    if plan.reset is not None:
        tale.lines += [start for start, _ in _frames(tale, plan.reset) if start > tale.start]
    if plan.schedule is not None:
        for start, end in _frames(tale, plan.schedule):
            tale.lines += [start] if start > tale.start else []
            tale.bands += [Band(start, end)] if (len(tale.bands) // 2) % 2 == 0 else [Band(start, start)]
            tale.bands.append(Band(end, end + trigger.grace, "grace"))
        return
    if waits_for_absence:
        newest = [max(arrival.time for slot in match for arrival in slot) for match in waits_for_absence]
        tale.bands += [Band(time, time + plan.length) for time in newest]
        return
    band = KINDS[plan.kind].band
    assert band is not None
    for mark, (_, match, _) in zip(tale.marks, stepping.matches, strict=True):
        tale.bands.append(band(plan, [arrival for slot in match for arrival in slot], mark.time))


def _frames(tale: Tale, schedule: Schedule) -> list[tuple[Micros, Micros]]:
    frames = [frame_of(schedule, tale.start)]
    while frames[-1][1] < tale.end:
        frames.append(frame_of(schedule, frames[-1][1]))
    return frames


def _dot(slot: int, event: Event, fate: str) -> Dot:
    return Dot(slot, event.time, event.reached, event.id, str(fate))


def lines_of(scene: Scene, trigger: Trigger) -> Iterable[Line]:
    """Yield the events of a scene, as it has them."""
    variables = [slot.variable for slot in trigger.slots]
    for text in scene.events.strip().splitlines():
        day, clock, variable, name, *rest = text.split()
        time = time_of(scene, f"{day} {clock}")
        reached = [time_of(scene, f"{day} {word[1:]}") for word in rest if word.startswith("@")]
        payload = dict(_field(word) for word in rest if "=" in word)
        slot = variables.index(variable)
        yield Line(slot, Event(trigger.slots[slot].event, "shop", name, time, (reached or [time])[0], None, payload))


def _field(word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    try:
        return name, float(value) if "." in value else int(value)
    except ValueError:
        return name, value


def time_of(scene: Scene, text: str) -> Micros:
    """Return a time that a scene names: a day of May 2026, and a clock."""
    day, _, clock = text.partition(" ")
    local = datetime.fromisoformat(f"2026-05-{int(day):02}T{clock}").replace(tzinfo=ZoneInfo(scene.timezone))
    return int(local.timestamp()) * SECOND
