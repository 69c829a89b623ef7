"""``flowbridge runs list | show``: runs as the ledger has them, and what the cluster says now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from bridge.argo.api import Unavailable
from bridge.cli.naming import bound, identity_of
from bridge.cli.output import Output
from bridge.cli.runs.ledger_runs import DEAD, SKIPPED, WAITING, Filter, LedgerRun, LedgerRuns
from bridge.cli.wiring.cluster import connect_cluster
from bridge.cli.wiring.installation import kafka
from bridge.core.event import Micros, time_text
from bridge.errors import ExitCode, KubernetesUnreachableError, UsageError
from bridge.settings.settings import Settings
from bridge.stages.stage_thread import steady_clock, wall_clock


def execute_list(
    *,
    trigger: str | None,
    phases: Sequence[str],
    start: str | None,
    end: str | None,
    key: str | None,
    parameters: Sequence[str],
    limit: int,
    settings: Settings,
    output: Output,
) -> int:
    """Show the newest runs that are wanted."""
    wanted = Filter(
        None if trigger is None else identity_of(trigger, settings),
        frozenset(phases),
        _moment("--from", start),
        _moment("--to", end),
        key,
        dict(_parameter(text) for text in parameters),
    )
    with kafka(settings) as (log, topics), closing(LedgerRuns(log, topics, steady_clock)) as ledger:
        runs, total = ledger.newest(wanted, limit)
        for run in runs:
            record = run.plain(ledger.definitions.known.get(run.definition_hash), settings.argo_url)
            key_text = f"   key {record['key']}" if record["key"] else ""
            text = f"{time_text(run.since)}  {run.phase:<10} {run.trigger:<28} {run.workflow}{key_text}"
            output.result(text, record)
    if not runs:
        output.remark("there are no such runs")
    elif total > len(runs):
        output.remark(f"these are the newest {len(runs)} of {total} runs: --limit shows more")
    return ExitCode.OK


def execute_show(*, run: str, settings: Settings, output: Output) -> int:
    """Show one run, back to its events and forward to its Workflow."""
    with kafka(settings) as (log, topics), closing(LedgerRuns(log, topics, steady_clock)) as ledger:
        found, repeats = existing(ledger, run)
        record = found.plain(ledger.definitions.known.get(found.definition_hash), settings.argo_url)
    record["cluster"] = _on_cluster(found, settings)
    record["runs_in_its_place"] = [
        {"run_key": again.run_key, "workflow": again.workflow, "phase": again.phase} for again in repeats
    ]
    output.result(list(_lines(record)), record)
    return ExitCode.OK


def existing(ledger: LedgerRuns, name: str) -> tuple[LedgerRun, list[LedgerRun]]:
    """Return the run of that name, and the runs in its place.

    Raises:
        UsageError: The ledger has no such run.

    """
    found, repeats = ledger.find(name)
    if found is None:
        remedy = "flowbridge runs list shows what the ledger has; it forgets runs after the setting ledger_horizon"
        raise UsageError(f"the ledger has no run with the key, or the Workflow, {name!r}", remedy)
    return found, repeats


def _lines(record: dict[str, Any]) -> Iterator[str]:
    yield f"run {record['run_key']}"
    yield f"  phase        {record['phase']}"
    yield f"  trigger      {record['trigger']}   definition {record['definition'][:12] or 'not known'}"
    if record["key"]:
        yield f"  key          {record['key']}"
    for event in record["events"]:
        yield f"  event        {event['name']} {event['id']} of {event['source']}   slot {event['slot']}"
    if record["events"]:
        yield f"               flowbridge explain --trigger {record['trigger']} --run {record['run_key']} tells more"
    yield f"  taken up     {record['since']}"
    if record["decided"]:
        yield f"  decided      {record['decided']}   {record['reason']}   creates sent: {record['attempts']}"
    elif record["reason"]:
        yield f"  so far       {record['reason']}"
    if record["ended"]:
        yield f"  ended        {record['ended']}"
    if record["parameters"] is None:
        yield "  parameters   not kept"
    for name, value in (record["parameters"] or {}).items():
        yield f"  parameter    {name}={value}"
    yield f"  Workflow     {record['workflow']}   {record['cluster']['text']}"
    if record["url"]:
        yield f"               {record['url']}"
    if record["replay"]:
        yield f"  replay       {record['replay']}"
    if record["repeats"]:
        yield f"  in place of  {record['repeats']}"
    for again in record["runs_in_its_place"]:
        yield f"  made again   {again['workflow']}   {again['phase']}   run {again['run_key']}"


def _on_cluster(run: LedgerRun, settings: Settings) -> dict[str, Any]:
    """Return what the cluster says about the Workflow of a run now."""
    if run.phase in (WAITING, SKIPPED, DEAD):
        return {"phase": None, "message": None, "text": "none was created"}
    try:
        api = connect_cluster(settings)
    except KubernetesUnreachableError as error:
        return {"phase": None, "message": None, "text": f"not asked: {error.found}"}
    with closing(api):
        namespace, _, name = run.workflow.partition("/")
        found = api.find(namespace, name)
    if isinstance(found, Unavailable):
        return {"phase": None, "message": None, "text": f"cannot be read: {found.reason}"}
    if found is None or found.run_key != run.run_key:
        return {"phase": None, "message": None, "text": "is not on the cluster any more"}
    status = found.manifest.get("status") or {}
    phase, message = str(status.get("phase") or ""), str(status.get("message") or "")
    return {"phase": phase, "message": message, "text": ": ".join(filter(None, (phase or "not begun", message)))}


def _moment(option: str, text: str | None) -> Micros | None:
    if text is None:
        return None
    moment = bound(text, wall_clock()).time
    if moment is None:
        raise UsageError(f"{option} {text} names no time", "write 2026-01-31T12:00Z, or 2h for so long ago")
    return moment


def _parameter(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--param {text!r} has no name and value", "write --param NAME=VALUE")
    return name, value
