"""``flowbridge replay``: plan a replay, ask, and have it carried out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bridge.cli.naming import bound, identity_of
from bridge.cli.output import Output
from bridge.cli.past import ReadingProgress, definitions_in
from bridge.cli.replay.carrying_out import carry_out
from bridge.cli.replay.cluster import Cluster
from bridge.cli.wiring.installation import agrees, kafka
from bridge.cli.wiring.process import replay_dependencies
from bridge.core.definition import Definition
from bridge.core.event import SECOND, Micros, time_text
from bridge.core.expressions.errors import ExpressionSyntaxError
from bridge.core.expressions.expression import Expression
from bridge.errors import ExitCode, UsageError
from bridge.replay.plan import UNRUNNABLE
from bridge.replay.planner import Draft, Planner
from bridge.replay.recorded import Outcome, Recorded
from bridge.replay.replays import ReplayLog, ReplayOwner, new_replay
from bridge.replay.request import NAME_LIMIT, Bound, Request
from bridge.replay.workers import Workers
from bridge.settings.settings import Settings
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock, wall_clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SHOWN = 10  # runs of a plan that are printed for people
_WORDS = {
    Outcome.MISSING: "would run",
    Outcome.RAN: "ran already",
    Outcome.FAILED: "failed",
    Outcome.WAITING: "waiting",
    Outcome.DEAD: "dead",
    Outcome.SKIPPED: "skipped",
}


def execute(
    *,
    trigger: str | None,
    start: str | None,
    end: str | None,
    file: Path | None,
    name: str | None,
    dry_run: bool,
    yes: bool,
    workers: int,
    settings: Settings,
    output: Output,
    **asked: Any,
) -> int:
    """Plan a replay, ask, and carry it out."""
    if trigger is None or start is None:
        raise UsageError("--trigger and --from are needed", "flowbridge replay --help shows examples")
    identity = identity_of(trigger, settings)
    now = wall_clock()
    reason = asked.pop("reason")
    request = Request(identity, bound(start, now), bound(end, now) if end else Bound(), reason=reason, **asked)
    if request.mode == "all" and not request.replay_id:
        raise UsageError("--mode all without --replay-id", "name a second set of runs, or use --mode missing+failed")
    where = _expression(request.where)
    given = definitions_in(file, identity, settings)[0] if file is not None else None
    name = _name_for(identity, now) if name is None else name
    if len(name) > NAME_LIMIT or not _NAME.fullmatch(name):
        raise UsageError(
            f"--name: found {name!r}", "write at most 63 lower-case letters, digits and '-', such as gap-of-monday"
        )
    with kafka(settings) as (log, topics):
        if not dry_run and ReplayLog(log, topics).find(name) is not None:
            raise UsageError(
                f"there is a replay {name} already", "flowbridge replay list shows them; choose another name"
            )
        make = partial(replay_dependencies, settings)
        definitions = Definitions(log, topics.triggers, steady_clock)
        definitions.refresh()
        cluster = Cluster(settings, is_needed=request.mode == "missing+failed")
        planner = Planner(make(), definitions)

        def read(definition: Definition, frozen: Any, past: Any, plan: Any, recorded: Recorded) -> int:
            return Workers(make, workers, name, request, definition).read(frozen, past, plan, recorded)

        reading = ReadingProgress()
        draft = planner.draft(
            name,
            request,
            given=given,
            where=where,
            failed=cluster.failed,
            told=reading.tell,
            read=read if workers > 1 else None,
        )
        reading.end()
        _show_plan(name, request, draft, cluster, output, dry_run=dry_run, is_given=given is not None)
        count = draft.plan.count(request.limit)
        if dry_run or not count:
            return ExitCode.OK
        if not yes and not agrees(f"Start {count} {'run' if count == 1 else 'runs'} of {identity}?"):
            output.remark("nothing was started")
            return ExitCode.OK
        owner = ReplayOwner(log, topics, name)
        runs = (planned.run for planned in draft.plan.runs(newest_first=request.newest_first, limit=request.limit))
        planned = owner.write_plan(new_replay(name, request, draft, wall_clock()), runs)
        draft.plan.close()
        return carry_out(log, topics, owner, planned, cluster, output)


def _expression(where: str | None) -> Expression | None:
    if where is None:
        return None
    try:
        expression = Expression(where)
    except ExpressionSyntaxError as error:
        raise UsageError(f"--where: {error.reason} (column {error.column})", error.expected or "write CEL") from None
    unknown = sorted(expression.names - {"payload", "event"})
    if unknown:
        raise UsageError(f"--where: there is no variable {', '.join(unknown)}", "use payload and event")
    return expression


def _name_for(identity: str, now: Micros) -> str:
    stamp = datetime.fromtimestamp(now / SECOND, UTC).strftime("%Y%m%d-%H%M%S")
    stem = re.sub(r"[^-a-z0-9]", "-", identity.partition("/")[2].lower())[: NAME_LIMIT - len(stamp) - 1].strip("-")
    return f"{stem}-{stamp}" if stem else stamp


def _show_plan(
    name: str, request: Request, draft: Draft, cluster: Cluster, output: Output, *, dry_run: bool, is_given: bool
) -> None:
    """Print the plan."""
    definition, frozen, plan = draft.definition, draft.frozen, draft.plan
    found, starts = plan.outcomes(), plan.count(request.limit)
    record = {
        "kind": "plan",
        "name": name,
        "trigger": request.trigger,
        "definition": definition.hash,
        "mode": request.mode,
        "from": time_text(frozen.begin),
        "to": time_text(frozen.end),
        "reads": [
            {"topic": place.topic, "partition": place.number, **part._asdict()}
            for place, part in sorted(frozen.reads.items())
        ],
        "records": draft.read,
        "decisions": dict(draft.decisions),
        "held": draft.held,
        "outcomes": dict(found),
        "runs": starts,
        "notes": list(frozen.notes),
        "unrunnable": plan.unrunnable,
    }
    lines = [f"replay {name} of {request.trigger}"]
    origin = "of the file" if is_given else f"in force {request.definition}"
    lines.append(f"  decides by   definition {definition.hash}, {origin}")
    lines.append(f"  range        {time_text(frozen.begin)} to {time_text(frozen.end)}")
    by_topic: dict[str, list[str]] = {}
    for place, part in sorted(frozen.reads.items()):
        fill = f" (filled from {part.first})" if part.first < part.begin else ""
        by_topic.setdefault(place.topic, []).append(f"{place.number}: {part.begin} to {part.end}{fill}")
    lines += [f"  offsets      {topic}  {', '.join(parts)}" for topic, parts in by_topic.items()]
    lines += [f"  note         {note}" for note in frozen.notes]
    decided = ", ".join(f"{count} {reason}" for reason, count in sorted(draft.decisions.items())) or "none"
    lines.append(f"  events       {draft.read} records read; decided in the range: {decided}")
    if draft.held:
        lines.append(f"  left alone   {draft.held} events that a live window holds")
    if found[UNRUNNABLE]:
        lines.append(f"  unrunnable   {found[UNRUNNABLE]}, such as: {plan.unrunnable[0]}")
    for outcome, word in _WORDS.items():
        if outcome is Outcome.FAILED and cluster.failing:
            lines.append(f"  {word:<12} not known: {cluster.failing}")
        else:
            lines.append(f"  {word:<12} {found.get(outcome, 0)}")
    if starts != found.get(Outcome.MISSING, 0) or request.limit:
        lines.append(f"  starts       {starts} of these, by --mode {request.mode}")
    output.result(lines, record)
    if dry_run:
        runs = plan.runs(newest_first=request.newest_first, limit=request.limit)
        for number, (run, complete) in enumerate(runs):
            events = [{"slot": slot, **event._asdict()} for slot, event in run.events]
            plain = {
                "kind": "run",
                "run_key": run.run_key,
                "workflow": f"{run.namespace}/{run.name}",
                "key": "" if definition.hides_key else run.key,
                "complete": time_text(complete),
                "repeats": run.repeats,
                "events": events,
            }
            if number < _SHOWN:
                shown = ", ".join(f"{slot} {event.id}" for slot, event in run.events[:3])
                more = f" and {len(run.events) - 3} more" if len(run.events) > 3 else ""  # noqa: PLR2004
                output.result(f"  {time_text(complete)}  {run.namespace}/{run.name}  {shown}{more}", plain)
            else:
                output.record(plain)
        unshown = starts - _SHOWN
        if unshown > 0:
            output.remark(f"  … and {unshown} more (-o json lists all)")
