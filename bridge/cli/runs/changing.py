"""``flowbridge runs rerun | terminate``: make a run again, and stop one."""

from __future__ import annotations

import time
from contextlib import closing
from http import HTTPStatus

from bridge.argo.api import Unavailable
from bridge.cli.output import Output
from bridge.cli.runs.ledger_runs import DEAD, SKIPPED, STARTING, WAITING, LedgerRun, LedgerRuns, run_of_record
from bridge.cli.runs.looking import existing
from bridge.cli.wiring.cluster import connect_cluster
from bridge.cli.wiring.installation import kafka
from bridge.cluster.responses import Answer
from bridge.core.definition import Definition
from bridge.core.event import Micros
from bridge.core.runs.identity import run_key_of, workflow_name
from bridge.core.runs.run import Run, RunPhase
from bridge.errors import ExitCode, KubernetesRefusedError, KubernetesUnreachableError, UsageError
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Log, Partition, transact
from bridge.kafka.records import headers_of
from bridge.settings.settings import Settings
from bridge.stages.shared.run_records import run_record
from bridge.stages.stage_thread import steady_clock, wall_clock

_POLL = 0.2  # seconds that a look at the ledger waits
_ID_LIMIT = 200  # characters


def execute_rerun(*, run: str, rerun_id: str, wait: float, settings: Settings, output: Output) -> int:
    """Make a new run with the parameters of another one."""
    if not 0 < len(rerun_id) <= _ID_LIMIT:
        raise UsageError(f"--id has {len(rerun_id)} characters", f"give it 1 to {_ID_LIMIT}")
    with kafka(settings) as (log, topics), closing(LedgerRuns(log, topics, steady_clock)) as ledger:
        parent, _ = existing(ledger, run)
        if parent.phase in (WAITING, STARTING, RunPhase.RUNNING.value):
            remedy = "wait for its end, or flowbridge runs terminate it first"
            raise UsageError(f"run {parent.run_key} is {parent.phase}, so it cannot be made again", remedy)
        definition = ledger.definitions.known.get(parent.definition_hash)
        if definition is None:
            raise UsageError(
                f"the definition that made run {parent.run_key} is not known", "flowbridge replay makes it again"
            )
        parameters = parent.parameters if parent.parameters is not None else _parameters_of_workflow(parent, settings)
        made = rerun_of(parent, definition, parameters, rerun_id, topics.prefix, wall_clock())
        before, _ = ledger.find(made.run_key)
        if before is not None:
            _tell(before, rerun_id, output, is_new=False)
            return ExitCode.OK
        outcome = _sent(log, topics, made, wait)
    if outcome is None:
        text = f"run {made.run_key} was sent, and no submitter has taken it up within {wait:g} s. It waits in Kafka"
        fields = {"run_key": made.run_key, "workflow": f"{made.namespace}/{made.name}", "phase": None}
        output.result(text, {"kind": "rerun", **fields, "of": parent.run_key, "id": rerun_id, "is_new": True})
        return ExitCode.NOT_SO
    _tell(outcome, rerun_id, output, is_new=True)
    return ExitCode.NOT_SO if outcome.phase in (DEAD, SKIPPED) else ExitCode.OK


def execute_terminate(*, run: str, settings: Settings, output: Output) -> int:
    """Stop the Workflow of a run at once."""
    with kafka(settings) as (log, topics), closing(LedgerRuns(log, topics, steady_clock)) as ledger:
        found, _ = existing(ledger, run)
    record = {"kind": "terminated", "run_key": found.run_key, "workflow": found.workflow}
    if found.phase not in (RunPhase.RUNNING.value, RunPhase.UNKNOWN.value):
        text = f"run {found.run_key} is {found.phase}: no Workflow of it runs"
        output.result(text, {**record, "is_terminated": False, "phase": found.phase})
        return ExitCode.NOT_SO
    namespace, _, name = found.workflow.partition("/")
    with closing(connect_cluster(settings)) as api:
        stands = api.find(namespace, name)
        if isinstance(stands, Unavailable):
            raise KubernetesRefusedError(f"Workflow {found.workflow} cannot be read: {stands.reason}")
        if stands is None or stands.run_key != found.run_key:
            output.result(
                f"Workflow {found.workflow} is not on the cluster any more", {**record, "is_terminated": False}
            )
            return ExitCode.NOT_SO
        response = api.terminate(namespace, name)
    if not isinstance(response, Answer):
        raise KubernetesUnreachableError(f"it is not known whether {found.workflow} was terminated: {response.reason}")
    if response.status != HTTPStatus.OK:
        remedy = "check the account: deploy/base/replayrole.yaml has the right to patch Workflows"
        raise KubernetesRefusedError(f"Workflow {found.workflow} was not terminated: {response.text()}", remedy)
    output.result(f"Workflow {found.workflow} is being terminated", {**record, "is_terminated": True})
    return ExitCode.OK


def rerun_of(
    parent: LedgerRun,
    definition: Definition,
    parameters: tuple[tuple[str, str], ...],
    rerun_id: str,
    installation: str,
    now: Micros,
) -> Run:
    """Return the run that makes another one again: its key follows from the key of that one and from the id alone.

    As the runs of ``replay retry-failed``, it stands in place of the run that was made first, however often that was
    made again.

    Args:
        parent: The run that is made again.
        definition: The definition that made it.
        parameters: Its parameters.
        rerun_id: Names the rerun.
        installation: The bridge's internal prefix.
        now: The time, from which the rerun is late or not.

    """
    plan = definition.trigger.run
    match = ("run.rerun", parent.run_key, rerun_id)
    run_key = run_key_of(installation, parent.trigger, parent.key, match, parent.replay_id)
    return Run(
        run_key,
        parent.trigger,
        parent.definition_hash,
        parent.key,
        plan.namespace,
        workflow_name(plan.template, run_key),
        plan.template,
        parameters,
        None,
        plan.labels,
        plan.annotations,
        parent.events,
        parent.event_time or now,
        now,
        plan.allow_template_tags,
        None,
        plan.synchronization,
        "",
        parent.replay_id,
        parent.repeats or parent.run_key,
    )


def _parameters_of_workflow(run: LedgerRun, settings: Settings) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a run from its Workflow, where the ledger does not keep them.

    Raises:
        UsageError: The Workflow is not on the cluster any more.

    """
    namespace, _, name = run.workflow.partition("/")
    with closing(connect_cluster(settings)) as api:
        workflow = api.find(namespace, name)
    if isinstance(workflow, Unavailable):
        raise KubernetesRefusedError(f"Workflow {run.workflow} cannot be read: {workflow.reason}")
    if workflow is None or workflow.run_key != run.run_key:
        found = f"the parameters of run {run.run_key} are not in the ledger, and its Workflow is not on the cluster"
        raise UsageError(found, f"flowbridge replay --trigger {run.trigger} --mode missing+failed makes it again")
    listed = ((workflow.manifest.get("spec") or {}).get("arguments") or {}).get("parameters") or []
    return tuple((str(each["name"]), str(each["value"])) for each in listed)


def _sent(log: Log, topics: InternalTopics, run: Run, wait: float) -> LedgerRun | None:
    """Send a run to the submitter; return how it stands once it has an outcome, None if it has none in time."""
    number = partition_of(run.trigger, topics.partitions)
    ledger = Partition(topics.ledger, number)
    with closing(log.admin()) as admin:
        end = admin.all_ends([ledger])[ledger]
    with closing(log.producer(f"{topics.prefix}rerun-{run.run_key}")) as producer:
        producer.init()
        value = run_record(run)
        transact(producer, [(topics.runs, number, run.run_key.encode(), value, headers_of(value))])
    stands: LedgerRun | None = None
    until = time.monotonic() + wait
    with closing(log.ranges({ledger: end})) as entries:
        while time.monotonic() < until and (stands is None or stands.phase in (WAITING, STARTING)):
            for record in entries.poll(_POLL):
                if record.key == run.run_key.encode():
                    stands = run_of_record(record)
    return stands


def _tell(run: LedgerRun, rerun_id: str, output: Output, *, is_new: bool) -> None:
    text = f"run {run.run_key}, Workflow {run.workflow}: {run.phase}"
    if not is_new:
        text += f". It was made before under the id {rerun_id}: give another --id to make one more"
    fields = {"run_key": run.run_key, "workflow": run.workflow, "phase": run.phase, "of": run.repeats}
    output.result(text, {"kind": "rerun", **fields, "id": rerun_id, "is_new": is_new})
