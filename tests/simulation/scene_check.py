"""What only a scene can show: runs that start in time, bounds that hold, triggers that nobody retired or changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridge.core.event import SECOND, Micros
from bridge.kafka.records import IN_FORCE, LEDGER_ENTRY, kind_of
from bridge.stages.shared.run_records import decode_run

if TYPE_CHECKING:
    from simulation.world import World

PROMPT: Micros = 15 * SECOND
"""How long after it was asked for a run starts that has no limits, whatever its neighbours do."""


def wrong_in_scene(world: World) -> Iterator[str]:
    """Say what is wrong with what the script's scene is about."""
    if world.script.scene == "outage":
        yield from _not_made(world)
    if world.script.scene == "neighbours":
        yield from _late_starts(world)
    if world.script.parked < _MANY:
        yield from _too_many_waiting(world)
    if world.script.scene == "sources":
        yield from _retired(world)
    if world.script.scene == "two versions":
        yield from _changed(world)


_MANY = 1_000


def _late_starts(world: World) -> Iterator[str]:
    over_bound = {  # what came in one burst, after a start, beyond the trigger's own bound
        (record.key or b"").decode()
        for record in world.history.records(world.topics.ledger)
        if record.value is not None and "and no more may" in (LEDGER_ENTRY.decode(record.value)["reason"] or "")
    }
    for record in world.history.records(world.topics.runs):
        run = decode_run(record.value or b"")
        made = world.cluster.made_at.get(run.run_key)
        if (
            run.trigger == "default/plain"
            and run.run_key not in over_bound
            and (made is None or made > record.timestamp * 1_000 + PROMPT)
        ):
            waited = "for ever" if made is None else f"{made / SECOND - record.timestamp / 1_000:.1f} s"
            yield f"run {run.name} of {run.trigger} waited {waited}, and nothing but its neighbours was in trouble"


def _not_made(world: World) -> Iterator[str]:
    for record in world.history.records(world.topics.runs):
        run = decode_run(record.value or b"")
        if run.run_key not in world.cluster.made_at:
            yield f"run {run.name} of {run.trigger} was given up, and each look said that it had no Workflow"


def _too_many_waiting(world: World) -> Iterator[str]:
    """Hold what waits of each trigger, and was never tried, against the bound; some are put back at a stop."""
    parked: defaultdict[str, set[bytes]] = defaultdict(set)
    for record in world.history.records(world.topics.ledger):
        entry = None if record.value is None else LEDGER_ENTRY.decode(record.value)
        if entry is not None and entry["state"] == "parked" and not entry["attempts"]:
            parked[entry["trigger"]].add(record.key or b"")
            if len(parked[entry["trigger"]]) > world.script.parked + 4 * world.script.concurrency:
                found = len(parked[entry["trigger"]])
                yield f"{found} runs of {entry['trigger']} wait at {record.offset} of the ledger"
                return
        elif entry is not None:
            parked[entry["trigger"]].discard(record.key or b"")


def _retired(world: World) -> Iterator[str]:
    """Say which triggers were retired though nobody deleted their files."""
    deleted = {act.detail[0] for act in world.script.acts if act.kind == "edit" and act.detail[1] == "delete"}
    kept = {trigger.identity for number, trigger in enumerate(world.script.triggers) if number not in deleted}
    for record in world.history.records(world.topics.triggers):
        if record.value is not None and kind_of(record.value) == "in_force":
            fields = IN_FORCE.decode(record.value)
            if fields["definition"] is None and fields["trigger"] in kept:
                yield f"{fields['trigger']} was retired at {record.offset} of triggers, and its file was never deleted"


def _changed(world: World) -> Iterator[str]:
    """Say which triggers have more than one definition though nobody edited them."""
    edited = {act.detail[0] for act in world.script.acts if act.kind == "edit"}
    definitions = world.triggers.whole().definitions.values()
    for number, trigger in enumerate(world.script.triggers):
        hashes = sorted(definition.hash for definition in definitions if definition.identity == trigger.identity)
        if number not in edited and len(hashes) > 1:
            yield f"{trigger.identity} was never edited, and has the definitions {hashes}"
