"""Runs as records."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from bridge.core.event import EventIdentity, Micros
from bridge.core.runs.run import Run, RunFacts, RunPhase
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.kafka.records import CREATED_RUN, REPLAYED_RUN, RUN, RUN_FACTS, RUN_PLAN, SENT_LIMIT, TRACED_RUN

KEPT_PARAMETERS = 16 * 1024
"""Bytes of a run's parameters that the ledger keeps after its Workflow was created, at most."""

RUNNING_MARK = CREATED_RUN.prefix + bytes([0])
"""Bytes in the ledger's entry of a run whose Workflow has not ended, and in no other. No text has them: C3 01 is no
UTF-8."""

_encode = RUN.value_encoder("plan", "events.slot", "events.name", moments=("event_time", "reached"))
_PLANS = 4_096  # definitions whose share of a run is kept as written and as read


def run_record(run: Run) -> bytes:
    """Return the record of a run that a match asks for.

    Raises:
        UnrunnableError: It is too large to be sent.

    """
    value = encode_run(run)
    if len(value) > SENT_LIMIT:
        raise UnrunnableError(f"its run has {len(value)} bytes with its payload as JSON; at most {SENT_LIMIT} are sent")
    return value


def encode_run(run: Run) -> bytes:
    """Return the record of a run.

    One that a replay asks for, or that is made in place of another one, has a record around it, which 0.1.0 does not
    know, and so has one whose events belong to traces.
    """
    (  # each field of a named tuple by its name would take as long as all of them so
        run_key,
        trigger,
        definition,
        key,
        namespace,
        name,
        template,
        parameters,
        payload,
        labels,
        annotations,
        used,
        event_time,
        reached,
        allow_template_tags,
        start_by,
        synchronization,
        replay,
        replay_id,
        repeats,
        traces,
    ) = run
    plan = _plan(trigger, definition, namespace, template, labels, annotations, allow_template_tags, synchronization)
    events = [(slot, *event) for slot, event in used]
    value = _encode(plan, run_key, key, name, parameters, payload, events, event_time, reached, start_by)
    if replay or repeats:
        value = REPLAYED_RUN.encode({"run": value, "replay": replay, "replay_id": replay_id, "repeats": repeats})
    return TRACED_RUN.encode({"traces": list(traces), "run": value}) if traces else value


@lru_cache(maxsize=_PLANS)
def _plan(
    trigger: str,
    definition: str,
    namespace: str,
    template: str,
    labels: tuple[tuple[str, str], ...],
    annotations: tuple[tuple[str, str], ...],
    allow_template_tags: bool,  # noqa: FBT001 - the cache takes no names
    synchronization: str | None,
) -> bytes:
    return RUN_PLAN.encode(
        {
            "trigger": trigger,
            "definition": definition,
            "namespace": namespace,
            "template": template,
            "labels": dict(labels),
            "annotations": dict(annotations),
            "allow_template_tags": allow_template_tags,
            "synchronization": synchronization,
        }
    )


def decode_run(value: bytes) -> Run:
    """Return the run of a record.

    Raises:
        RecordError: It is none that this version can read.

    """
    replayed: dict[str, Any] = {}
    traces: tuple[str, ...] = ()
    if value.startswith(TRACED_RUN.prefix):
        traced = TRACED_RUN.decode(value)
        traces, value = tuple(traced["traces"]), traced["run"]
    if value.startswith(REPLAYED_RUN.prefix):
        replayed = REPLAYED_RUN.decode(value)
        value = replayed.pop("run")
    fields = RUN.decode(value)
    parameters = fields["parameters"]
    return Run(
        **_read_plan(fields["plan"]),
        run_key=fields["run_key"],
        key=fields["key"],
        name=fields["name"],
        parameters=None if parameters is None else tuple(parameters.items()),
        payload=fields["payload"],
        events=tuple(
            [(event["slot"], EventIdentity(event["name"], event["source"], event["id"])) for event in fields["events"]]
        ),
        event_time=fields["event_time"],
        reached=fields["reached"],
        start_by=fields["start_by"],
        **replayed,
        traces=traces,
    )


def encode_facts(run: Run, frame: tuple[Micros, Micros] | None, phase: RunPhase | None = None) -> bytes:
    """Return the record of the facts that the ledger keeps about a run that has ended.

    Args:
        run: The run.
        frame: The calendar window of its match; None for other windows.
        phase: How far its Workflow has come; None if it has none.

    """
    start, end = frame or (None, None)
    facts = RUN_FACTS.encode(
        {
            "definition": run.definition_hash,
            "key": run.key,
            "events": [
                {"slot": slot, "name": event[0], "source": event[1], "id": event[2]} for slot, event in run.events
            ],
            "event_time": run.event_time,
            "reached": run.reached,
            "frame_start": start,
            "frame_end": end,
            "replay": run.replay,
            "replay_id": run.replay_id,
            "repeats": run.repeats,
        }
    )
    if phase is None:
        return facts
    parameters = dict(run.parameters or ())
    size = sum(len(name) + len(text.encode()) for name, text in parameters.items())
    kept = parameters if size <= KEPT_PARAMETERS else None
    return CREATED_RUN.encode({"phase": phase.value, "ended": None, "parameters": kept, "facts": facts})


def ended_facts(value: bytes, phase: RunPhase, ended: Micros) -> bytes:
    """Return the facts about a run whose Workflow has ended now.

    Args:
        value: The facts that were kept when it was created.
        phase: Its last phase.
        ended: When its end was seen.

    Raises:
        RecordError: The facts cannot be read.

    """
    return CREATED_RUN.encode(CREATED_RUN.decode(value) | {"phase": phase.value, "ended": ended})


def replay_of_facts(value: bytes) -> str:
    """Return the name of the replay that asked for a run, from the facts about it; empty for the live bridge.

    Raises:
        RecordError: They are in a form that this version cannot read.

    """
    if value.startswith(CREATED_RUN.prefix):
        value = CREATED_RUN.decode(value)["facts"]
    replay: str = _replay(value)[0]
    return replay


_replay = RUN_FACTS.only("replay")


def decode_facts(value: bytes | None) -> RunFacts | None:
    """Return the facts about a run that has ended; None where its entry has none, as those of 0.1.0.

    Raises:
        RecordError: They are in a form that this version cannot read.

    """
    if value is None:
        return None
    created: dict[str, Any] = {}
    if value.startswith(CREATED_RUN.prefix):
        created = CREATED_RUN.decode(value)
        value = created["facts"]
    fields = RUN_FACTS.decode(value)
    parameters = created.get("parameters")
    start, end = fields["frame_start"], fields["frame_end"]
    return RunFacts(
        fields["definition"],
        fields["key"],
        tuple(
            [(event["slot"], EventIdentity(event["name"], event["source"], event["id"])) for event in fields["events"]]
        ),
        fields["event_time"],
        fields["reached"],
        None if start is None or end is None else (start, end),
        fields["replay"],
        fields["replay_id"],
        fields["repeats"],
        RunPhase(created["phase"]) if created else None,
        created.get("ended"),
        None if parameters is None else tuple(parameters.items()),
    )


@lru_cache(maxsize=_PLANS)
def _read_plan(value: bytes) -> dict[str, Any]:
    fields = RUN_PLAN.decode(value)
    return {
        "trigger": fields["trigger"],
        "definition_hash": fields["definition"],
        "namespace": fields["namespace"],
        "template": fields["template"],
        "labels": tuple(fields["labels"].items()),
        "annotations": tuple(fields["annotations"].items()),
        "allow_template_tags": fields["allow_template_tags"],
        "synchronization": fields["synchronization"],
    }
