"""From the ``window`` of a trigger file to core's plan of it, and the durations that follow from it by default.

==========  =========================  ===============================  =====================================
kind        its length                 grace, if not given              dedupe, if not given
==========  =========================  ===============================  =====================================
within      ``within``                 a tenth of it, at least 1 min    length + grace; twice that with absent
every       the longest step           a tenth of it, 1 to 5 min        the longest frame + a tenth of it
until       the longest step           a tenth of it, 1 to 5 min        the longest frame + a tenth of it
session     ``session``                a tenth of it, at least 1 min    length or ``maxWait`` + grace
batch       ``wait``                   a tenth of it, at least 1 min    length + grace; an hour without wait
settle      ``settle``                 a tenth of it, at least 1 min    length or ``maxWait`` + grace
==========  =========================  ===============================  =====================================

A frame may be longer than its step by the wall clock, on days when clocks change.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.core.duration import duration_text
from bridge.core.event import SECOND, Micros
from bridge.core.trigger import Collect, Schedule, WindowKind, WindowPlan
from bridge.core.windows.boundaries import longest_step, schedule_fault
from bridge.core.windows.kinds.all_kinds import KINDS
from bridge.core.windows.kinds.kind import Kind
from bridge.triggers.errors import FieldPath, Misfit, quote_value
from bridge.triggers.model import CronPart, SpecPart, WindowPart
from bridge.triggers.values import DURATION_LIMIT
from flowbridge_sdk.avro.misfit import MisfitError

_WINDOW: FieldPath = ("spec", "window")
_ONE_KIND = f"write one of {', '.join(KINDS)}"


def window_misfits(window: WindowPart) -> Iterator[Misfit]:
    """Yield what is wrong with a window by itself."""
    kinds = _kinds(window)
    if len(kinds) != 1:
        yield _WINDOW, MisfitError(f"found {' and '.join(kinds) or 'none of its kinds'}", _ONE_KIND)
        return
    for name in ("timezone", "offset"):
        if getattr(window, name) is not None and kinds[0] != "every":
            expected = "write it inside of until" if kinds[0] == "until" and name == "timezone" else "leave it out"
            yield (*_WINDOW, name), MisfitError(f"{name} belongs to every", expected)
    if window.every is not None and window.every < SECOND:
        yield (*_WINDOW, "every"), MisfitError(f"found {duration_text(window.every)}", "write 1s at least")
    elif window.every is not None:
        schedule = _every(window)
        fault = schedule_fault(schedule)
        if fault is not None:
            name, expected = fault
            value = window.timezone if name == "timezone" else duration_text(getattr(schedule, name))
            yield (*_WINDOW, name), MisfitError(f"found {quote_value(value)}", expected)
    for name, part in (("until", window.until), ("reset", window.reset)):
        boundaries = _schedule(part)
        if part is None or boundaries is None:
            continue
        fault = schedule_fault(boundaries)
        if fault is not None:
            found = f"found {quote_value(getattr(part, fault[0]))}"
            yield (*_WINDOW, name, fault[0]), MisfitError(found, fault[1])
        elif longest_step(boundaries) > DURATION_LIMIT:
            found = f"found {quote_value(part.cron)}, which may leave out more than a year"
            yield (*_WINDOW, name, "cron"), MisfitError(found, "write one that comes every year")
    shortest = window.session or window.settle
    if window.max_wait is not None and shortest is not None and window.max_wait < shortest:
        found = f"found {duration_text(window.max_wait)}, which is over before {duration_text(shortest)} are"
        yield (*_WINDOW, "maxWait"), MisfitError(found, f"write {duration_text(shortest)} at least")
    if window.batch is not None and window.batch.size is None and window.batch.wait is None:
        yield (*_WINDOW, "batch"), MisfitError("found neither size nor wait", "write size, wait, or both")


def window_kind(window: WindowPart | None) -> Kind | None:
    """Return the kind of a window that is one; None without a window."""
    return KINDS[_kinds(window)[0]] if window is not None else None


def window_plan(window: WindowPart) -> WindowPlan:
    """Return core's plan of a window in which nothing is wrong."""
    kind = _kinds(window)[0]
    written = getattr(window, kind)
    schedule = _every(window) if window.every is not None else _schedule(window.until)
    length = written if isinstance(written, int) else getattr(written, "wait", None)
    return WindowPlan(
        kind=kind,
        length=0 if length is None or schedule is not None else length,
        schedule=schedule,
        size=window.batch.size if window.batch is not None else None,
        max_wait=window.max_wait,
        reset=_schedule(window.reset),
    )


def default_dedupe(plan: WindowPlan, grace: Micros, *, has_absent: bool) -> Micros:
    """Return how long the identity of an event is remembered after its last use."""
    return KINDS[plan.kind].default_dedupe(plan, grace, has_absent=has_absent)


def default_collect(spec: SpecPart) -> Collect:
    """Return which arrivals a match takes: what gathers is taken whole."""
    kind = window_kind(spec.window)
    return kind.default_collect if kind is not None else "latest"


def _kinds(window: WindowPart) -> list[WindowKind]:
    return [kind for kind in KINDS if getattr(window, kind) is not None]


def _every(window: WindowPart) -> Schedule:
    return Schedule(window.timezone or "UTC", every=window.every, offset=window.offset or 0)


def _schedule(part: CronPart | None) -> Schedule | None:
    return Schedule(part.timezone, cron=" ".join(part.cron.split())) if part is not None else None
