"""``flowbridge replay list | show | pause | resume | cancel | retry-failed``: replays that exist."""

from __future__ import annotations

import json
import shlex
import time
from collections import Counter
from dataclasses import asdict, replace

from bridge.cli.output import Output
from bridge.cli.replay.carrying_out import carry_out, counts_text, summary, tell_state
from bridge.cli.replay.cluster import Cluster
from bridge.cli.wiring.installation import agrees, kafka
from bridge.core.event import time_text
from bridge.errors import ExitCode, UsageError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log
from bridge.replay.execution import retried
from bridge.replay.frozen import read_recorded
from bridge.replay.recorded import Recorded
from bridge.replay.replays import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    FAILED,
    PAUSED,
    PLANNED,
    RUNNING,
    STALE,
    Replay,
    ReplayLog,
    ReplayOwner,
    definition_of,
    user_and_machine,
)
from bridge.replay.request import NAME_LIMIT, Bound, Request
from bridge.settings.settings import Settings
from bridge.stages.stage_thread import wall_clock

_ENDED = frozenset({"Succeeded", "Failed", "Error"})


def execute_list(*, settings: Settings, output: Output) -> int:
    """Show all replays."""
    with kafka(settings) as (log, topics):
        replays = ReplayLog(log, topics).all()
        if not replays:
            output.remark("there are no replays")
        for replay in replays.values():
            text = f"{replay.name:<32} {_state_text(replay):<12} {replay.trigger:<24} {counts_text(replay)}"
            output.result(f"{text}  {time_text(replay.created_at)}  {replay.why}".rstrip(), summary(replay))
    return ExitCode.OK


def execute_show(*, name: str, settings: Settings, output: Output) -> int:
    """Show one replay."""
    with kafka(settings) as (log, topics):
        replay = _existing(log, topics, name)
        cluster = Cluster(settings, is_needed=False)
        phases = cluster.phases(replay)
        if phases is None:
            finished = f"not known: {cluster.failing}"
        else:
            ended = Counter(phase for phase in phases.values() if phase in _ENDED)
            shown = "".join(f", {count} {phase}" for phase, count in sorted(ended.items()))
            finished = f"{ended.total()} of {len(phases)} Workflows that are there{shown}"
        lines = [
            f"replay {replay.name} of {replay.trigger}",
            f"  state        {_state_text(replay)}{': ' + replay.text if replay.text else ''}",
            f"  runs         {counts_text(replay)}",
            f"  finished     {finished}",
            f"  began        {time_text(replay.created_at)} by {replay.who}",
            f"  advanced     {time_text(replay.advanced_at)}",
            f"  why          {replay.why or '(no reason was given)'}",
            f"  definition   {replay.definition}",
            f"  asked for    {_request_text(replay)}",
            f"  plan found   {', '.join(f'{count} {outcome}' for outcome, count in sorted(replay.found.items()))}",
            f"  position     {replay.position - replay.plan_start} of {replay.plan_end - replay.plan_start} offsets",
        ]
        output.result(lines, {**summary(replay), "kind": "replay", **asdict(replay), "phases": phases})
    return ExitCode.OK


def execute_pause(*, name: str, settings: Settings, output: Output) -> int:
    """Pause a replay."""
    with kafka(settings) as (log, topics):
        _going(log, topics, name)
        owner = ReplayOwner(log, topics, name)  # from now on no other process sends anything
        replay = _going(log, topics, name)  # as its former owner left it
        stands = replace(replay, state=PAUSED, text=f"by {user_and_machine()}", advanced_at=wall_clock())
        owner.write(stands)
        owner.close()
        text = f"replay {replay.name} is paused; go on with: flowbridge replay resume {replay.name}"
        output.result(text, summary(stands))
    return ExitCode.OK


def execute_resume(*, name: str, settings: Settings, output: Output) -> int:
    """Go on with a replay."""
    with kafka(settings) as (log, topics):
        _going(log, topics, name)
        owner = ReplayOwner(log, topics, name)
        replay = _going(log, topics, name)  # as its former owner left it
        return carry_out(log, topics, owner, replay, Cluster(settings, is_needed=False), output)


def execute_cancel(*, name: str, terminate: bool, settings: Settings, output: Output) -> int:
    """Stop a replay for good."""
    with kafka(settings) as (log, topics):
        replay = _existing(log, topics, name)
        if replay.is_over and replay.state != CANCELLING and not terminate:
            raise UsageError(f"replay {name} is {replay.state}", "--terminate stops the Workflows that it started")
        cluster = Cluster(settings, is_needed=terminate)
        if not replay.is_over or replay.state == CANCELLING:
            owner = ReplayOwner(log, topics, name)
            replay = _existing(log, topics, name)
            for state in (CANCELLING, CANCELLED) if replay.state not in (COMPLETED, FAILED) else ():
                replay = replace(replay, state=state, text=f"by {user_and_machine()}", advanced_at=wall_clock())
                owner.write(replay)
            owner.close()
        tell_state(replay, None, output)
        if terminate:
            time.sleep(2)  # a submitter looks once a second whether a replay is cancelled
            stopped, errors = cluster.terminate(replay)
            output.result(f"{stopped} Workflows are stopped", {"kind": "terminated", "stopped": stopped})
            for error in errors:
                output.result(f"not stopped: {error}", {"kind": "not stopped", "reason": error})
            return ExitCode.NOT_SO if errors else ExitCode.OK
    return ExitCode.OK


def execute_retry_failed(*, name: str, yes: bool, settings: Settings, output: Output) -> int:
    """Make new runs in place of those of a replay that did not succeed."""
    with kafka(settings) as (log, topics):
        replay = _existing(log, topics, name)
        if not replay.is_over:
            raise UsageError(f"replay {name} is {replay.state}", "wait until it is over, or cancel it first")
        cluster = Cluster(settings, is_needed=False)
        recorded = Recorded(replay.trigger)
        ledger_end = read_recorded(log, topics, recorded)
        recorded.fail(cluster.failed(definition_of(replay)))
        runs = list(retried(log, topics, replay, recorded))
        if cluster.failing:
            output.remark(f"Workflows that failed are not known: {cluster.failing}")
        if not runs:
            output.result(f"no run of replay {name} has failed", {"kind": "nothing", "name": name})
            return ExitCode.OK
        if not yes and not agrees(f"Start {len(runs)} runs of {replay.trigger} again?"):
            return ExitCode.OK
        known = ReplayLog(log, topics).all()
        stem = name[: NAME_LIMIT - len("-retry-999")]
        again = next(again for number in range(1, 1_000) if (again := f"{stem}-retry-{number}") not in known)
        now = wall_clock()
        following = replace(
            replay,
            name=again,
            who=user_and_machine(),
            why=f"retry of {name}",
            created_at=now,
            advanced_at=now,
            state=PLANNED,
            text="",
            ledger_from=ledger_end,
            planned=len(runs),
            found={"failed": len(runs)},
            counts={},
        )
        owner = ReplayOwner(log, topics, again)
        planned = owner.write_plan(following, (run._replace(replay=again) for run in runs))
        return carry_out(log, topics, owner, planned, cluster, output)


def _existing(log: Log, topics: InternalTopics, name: str) -> Replay:
    replay = ReplayLog(log, topics).find(name)
    if replay is None:
        raise UsageError(f"there is no replay {name}", "flowbridge replay list shows them")
    return replay


def _going(log: Log, topics: InternalTopics, name: str) -> Replay:
    replay = _existing(log, topics, name)
    if replay.is_over:
        raise UsageError(f"replay {name} is {replay.state}", "plan another one: it finds what is still missing")
    return replay


def _request_text(replay: Replay) -> str:
    """Return what was asked for as the options of the command; those that were left out are left out."""
    asked = json.loads(replay.request)
    start, end = asked.pop("start")["text"], asked.pop("end")["text"]
    words = {"from": start, **({"to": end} if end else {})}
    usual = asdict(Request("", Bound()))
    words |= {name.replace("_", "-"): value for name, value in asked.items() if value != usual.get(name)}
    for shown in ("trigger", "reason"):
        words.pop(shown, None)
    return " ".join(
        f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}" for name, value in words.items()
    )


def _state_text(replay: Replay) -> str:
    if replay.state == RUNNING and wall_clock() - replay.advanced_at > STALE:
        return f"{RUNNING}?"
    return replay.state
