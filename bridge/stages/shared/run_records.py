"""Runs as records."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from bridge.core.event import EventIdentity, Micros
from bridge.core.runs.run import Run, RunFacts
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.kafka.records import REPLAYED_RUN, RUN, RUN_FACTS, RUN_PLAN, SENT_LIMIT

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
    know.
    """
    plan = _plan(
        run.trigger,
        run.definition_hash,
        run.namespace,
        run.template,
        run.labels,
        run.annotations,
        run.allow_template_tags,
        run.synchronization,
    )
    value = RUN.encode(
        {
            "plan": plan,
            "run_key": run.run_key,
            "key": run.key,
            "name": run.name,
            "parameters": None if run.parameters is None else dict(run.parameters),
            "payload": run.payload,
            "events": [
                {"slot": slot, "name": event[0], "source": event[1], "id": event[2]} for slot, event in run.events
            ],
            "event_time": run.event_time,
            "reached": run.reached,
            "start_by": run.start_by,
        }
    )
    if not (run.replay or run.repeats):
        return value
    return REPLAYED_RUN.encode({"run": value, "replay": run.replay, "replay_id": run.replay_id, "repeats": run.repeats})


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
    )


def encode_facts(run: Run, frame: tuple[Micros, Micros] | None) -> bytes:
    """Return the record of the facts that the ledger keeps about a run that has ended.

    Args:
        run: The run.
        frame: The calendar window of its match; None for other windows.

    """
    start, end = frame or (None, None)
    return RUN_FACTS.encode(
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


def decode_facts(value: bytes | None) -> RunFacts | None:
    """Return the facts about a run that has ended; None where its entry has none, as those of 0.1.0.

    Raises:
        RecordError: They are in a form that this version cannot read.

    """
    if value is None:
        return None
    fields = RUN_FACTS.decode(value)
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
