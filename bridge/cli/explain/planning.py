"""``flowbridge plan``: what an edited trigger would change, on the events of the log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bridge.cli.explain.telling import decision_lines, wrapped
from bridge.cli.naming import bound
from bridge.cli.output import Output
from bridge.cli.past import ReadingProgress, definitions_in
from bridge.cli.wiring.installation import kafka
from bridge.cli.wiring.process import replay_dependencies
from bridge.core.duration import DurationError, parse_duration
from bridge.errors import ExitCode, UsageError
from bridge.explain.comparison import Comparison, can_be_divided, compare_divided, joined_reads
from bridge.explain.difference import FAILABLE, Difference, EventExample, RunExample
from bridge.replay.request import Bound, Request
from bridge.settings.settings import Settings
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock, wall_clock

_FOR_A_PROCESS = 20_000  # records: a process that has less to do is not worth its start
_MOST_PROCESSES = 8  # each reads all records


def execute(
    *,
    file: Path,
    trigger: str | None,
    last: str,
    start: str | None,
    end: str | None,
    examples: int,
    fail_on: str,
    workers: int | None,
    settings: Settings,
    output: Output,
) -> int:
    """Compare each trigger of the file with the deployed one, and print what differs."""
    failing = [name.strip() for name in fail_on.split(",") if name.strip()]
    unknown = [name for name in failing if name not in FAILABLE]
    if unknown:
        raise UsageError(f"--fail-on: found {', '.join(unknown)}", f"known are {', '.join(FAILABLE)}")
    now = wall_clock()
    if start:
        begin = bound(start, now)
    else:
        try:
            begin = Bound(now - parse_duration(last), text=last)
        except DurationError as error:
            raise UsageError(f"--last: {error}", "write 24h or 7d") from None
    edited = definitions_in(file, trigger, settings)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    has_failed = False
    with kafka(settings) as (log, topics):
        definitions = Definitions(log, topics.triggers, steady_clock)
        definitions.refresh()
        around = replay_dependencies(settings)
        freezer = around.freezer(definitions, is_patient=False)
        for after in edited:
            before = definitions.in_force.get(after.identity)
            request = Request(after.identity, begin, bound(end, now) if end else Bound())
            ranges = [freezer.ranges(request, side) for side in (before, after) if side is not None]
            reading = ReadingProgress()
            count = sum(part.end - part.first for part in joined_reads(ranges).values())
            processes = workers or min(processors, _MOST_PROCESSES, 1 + count // _FOR_A_PROCESS)
            if processes > 1 and can_be_divided(after) and (before is None or can_be_divided(before)):
                make = partial(replay_dependencies, settings)
                difference = compare_divided(make, before, after, ranges, examples, processes, reading.tell)
            else:
                difference = Comparison(around, before, after, examples, reading.tell).compare(ranges)
            reading.end()
            output.result(list(_lines(difference, file)), difference.plain())
            has_failed = has_failed or any(difference.counts()[name] for name in failing)
    return ExitCode.NOT_SO if has_failed else ExitCode.OK


def _lines(difference: Difference, file: Path) -> Iterator[str]:
    runs, events, windows = difference.runs, difference.events, difference.windows
    if difference.before == difference.after:
        yield f"{difference.trigger}: {file} is what is deployed (definition {difference.after[:12]})"
    elif difference.before:
        yield f"{difference.trigger}: deployed {difference.before[:12]}, {file} {difference.after[:12]}"
    else:
        yield f"{difference.trigger}: new ({file} {difference.after[:12]})"
    yield f"  range    {difference.begin} to {difference.end}, {difference.records} records read"
    for note in difference.notes:
        yield from wrapped(f"note     {note}", 2, hanging=9)
    yield (
        f"  runs     {runs['same']} the same, {runs['new']} new, {runs['removed']} removed, {runs['changed']} with "
        "other parameters"
    )
    yield (
        f"  events   {events['filtered']} newly filtered, {events['passed']} newly pass, {events['errors']} fail that "
        "did not"
    )
    before = f" (deployed: {windows['before']})" if "before" in windows else ""
    yield f"  windows  {windows.get('after', 0)} open at the end{before}"
    for name, examples in (("new", difference.new), ("removed", difference.removed)):
        for number, run in enumerate(examples):
            yield from _run_lines(run, name if number == 0 else "")
        yield from _more(runs[name], len(examples))
    for was, now in difference.changed:
        yield from _run_lines(was, "changed")
        changed = [
            f"{name}: {was.parameters.get(name, '(none)')} -> {now.parameters.get(name, '(none)')}"
            for name in {**was.parameters, **now.parameters}
            if was.parameters.get(name) != now.parameters.get(name)
        ]
        yield from wrapped("; ".join(changed) or f"now {now.workflow}", 11)
    yield from _more(runs["changed"], len(difference.changed))
    for name in ("filtered", "passed", "errors"):
        kept: list[EventExample] = getattr(difference, name)
        for number, event in enumerate(kept):
            head = f"{name if number == 0 else '':<9}{event.event}{f' at slot {event.slot}' if event.slot else ''}"
            former = f"{event.before} -> " if event.before else ""
            yield from wrapped(f"{head}: {former}{event.after}  {event.place}".rstrip(), 2, hanging=9)
            if event.decision is not None:
                yield from (f"     {line}" for line in decision_lines(event.decision, with_head=False))
        yield from _more(events[name], len(kept))
    for number, window in enumerate(difference.open):
        yield from wrapped(f"{'open' if number == 0 else '':<9}{window.text}", 2, hanging=9)


def _run_lines(run: RunExample, name: str) -> Iterator[str]:
    key = f"  key {run.key}" if run.key else ""
    yield from wrapped(f"{name:<9}{run.at}  {run.workflow}{key}  {', '.join(run.events)}", 2, hanging=9)


def _more(count: int, shown: int) -> Iterator[str]:
    if shown and count > shown:
        yield f"           … and {count - shown} more (--examples)"
