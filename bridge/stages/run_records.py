"""Runs and dead letters as records, and where they go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from bridge.core.event import EventIdentity, Micros
from bridge.core.matched import UnrunnableError
from bridge.core.run import Run
from bridge.kafka.log import Headers, Record
from bridge.kafka.outbox import RECORD_LIMIT
from bridge.kafka.records import DEAD_LETTER, RUN, RUN_PLAN

KEPT_LIMIT = 1_500_000
"""Bytes of a key or value that a dead letter keeps; of a larger one it says where it stands in its topic."""

HEADERS_LIMIT = 512 * 1024
"""The same for its headers together, and for its key."""

SENT_LIMIT = RECORD_LIMIT // 2
"""Bytes of a run or an arrival when it is sent, so that later stages can keep it whole, with its identity as a key."""

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
    """Return the record of a run."""
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
    return RUN.encode(
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
    fields = RUN.decode(value)
    parameters = fields["parameters"]
    return Run(
        **_read_plan(fields["plan"]),
        run_key=fields["run_key"],
        key=fields["key"],
        name=fields["name"],
        parameters=None if parameters is None else tuple(parameters.items()),
        payload=fields["payload"],
        events=tuple([(one["slot"], EventIdentity(one["name"], one["source"], one["id"])) for one in fields["events"]]),
        event_time=fields["event_time"],
        reached=fields["reached"],
        start_by=fields["start_by"],
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


def dead_letter(
    record: Record | None,
    *,
    stage: str,
    reason: str,
    text: str,
    at: Micros,
    trigger: str = "",
    triggers: Sequence[str] = (),
    run_key: str = "",
    value: bytes | None = None,
) -> bytes:
    """Return the record of a dead letter.

    Args:
        record: What could not be used, as it was read; None for a run that is in the ledger only.
        stage: The stage that gives it up.
        reason: The decision.
        text: What was found, and what would be right.
        at: Now.
        trigger: The trigger that it concerns; empty for several, or for all.
        triggers: The triggers that it concerns, where they are known; empty stands for ``trigger`` alone.
        run_key: The run that it concerns.
        value: What to keep instead of the record's value; a whole run where there is no record.

    """
    return DEAD_LETTER.encode(
        {
            "stage": stage,
            "reason": reason,
            "text": text,
            "trigger": trigger,
            "triggers": list(triggers) or ([trigger] if trigger else []),
            "run_key": run_key,
            "topic": record.topic if record else "",
            "partition": record.partition if record else -1,
            "offset": record.offset if record else -1,
            "timestamp": record.timestamp if record else -1,
            "key": _kept(record.key, HEADERS_LIMIT) if record else None,
            "value": _kept(value, SENT_LIMIT) if record is None else _kept(record.value if value is None else value),
            "headers": _kept_headers(record.headers or ()) if record else [],
            "at": at,
        }
    )


def _kept(value: bytes | None, limit: int = KEPT_LIMIT) -> bytes | None:
    return value if value is None or len(value) <= limit else None


def _kept_headers(headers: Headers) -> list[dict[str, str | bytes]]:
    kept: list[dict[str, str | bytes]] = [{"name": name, "value": content or b""} for name, content in headers]
    return kept if sum(len(one["name"]) + len(one["value"]) for one in kept) <= HEADERS_LIMIT else []
