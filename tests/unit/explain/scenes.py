"""One scene for each reason: what happens in it, the question that somebody asks, and the answer that is printed.

The answers stand in ``stories/``. A person has read each of them. ``python -m unit.explain.scenes`` writes them again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.argo.memory import LOST_ANSWER, answered
from bridge.cli.explain.telling import story_lines
from bridge.core.event import HOUR, MINUTE, Micros, moment
from bridge.core.trigger import RunLimits, RunPlan, Schedule, Slot, Trigger, WindowPlan
from bridge.explain.question_reader import Question
from bridge.explain.story import Story
from bridge.kafka.log import Record
from bridge.kafka.records import LEDGER_ENTRY
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.headers import write_headers
from unit.explain.asking import explainer
from unit.replay.replaying import suspend
from unit.stages.world import World, one_slot, two_slots

STORIES = Path(__file__).parent / "stories"
WIDTH = "100"

Scene = Callable[[], tuple[World, dict[str, Any]]]
SCENES: dict[str, Scene] = {}


def scene(make: Scene) -> Scene:
    """Add a scene, by the name of its function."""
    SCENES[make.__name__.replace("_", "-")] = make
    return make


def story_of(name: str) -> Story:
    """Play a scene; return the answer."""
    world, question = SCENES[name]()
    world.decoder = Decoder
    return explainer(world).explain(Question("default/ship", **question))


def told(name: str) -> str:
    """Play a scene; return what is printed."""
    story = story_of(name)
    before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), WIDTH
    try:
        lines = list(story_lines(story))
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return re.sub(r"scenes\.py:\d+", "scenes.py:LINE", text)


def begun(trigger: Trigger, **fields: Any) -> World:
    world = World(trigger, partitions=1)
    for name, value in fields.items():
        setattr(world, name, value)
    world.start()
    world.run(3)
    return world


def order(world: World, number: int = 1, id_: str = "order-1", ago: Micros = 0, **fields: Any) -> None:
    world.publish("order.created", {"order": str(number), "amount": "12", **fields}, id=id_, ago=ago)
    world.run(2)


def pay(world: World, number: int = 1, id_: str = "payment-1", ago: Micros = 0, **fields: Any) -> None:
    world.publish("payment.done", {"order": str(number), "amount": "12", **fields}, id=id_, ago=ago)
    world.run(2)


def filtering(where: str) -> Trigger:
    trigger = one_slot(parameters=(("order", "order_created.payload.order"),))
    return replace(trigger, slots=(replace(trigger.slots[0], where=where),))


# -- events ------------------------------------------------------------------------------------------------------------


@scene
def filtered() -> tuple[World, dict[str, Any]]:
    world = begun(filtering("payload.paid == true && payload.rows > 3"))
    order(world, paid="True", rows=5)
    return world, {"event": "order-1"}


@scene
def undecodable() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())
    _append(world, b"no event at all")
    return world, {"event": "order-1"}


@scene
def oversize() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())
    _append(world, b"\xc3\x01" + b"x" * 1_100_000)
    return world, {"event": "order-1"}


@scene
def from_the_future() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())
    order(world, ago=-2 * HOUR)
    return world, {"event": "order-1"}


@scene
def duplicate() -> tuple[World, dict[str, Any]]:
    world = begun(two_slots())
    order(world)
    order(world)
    return world, {"event": "order-1"}


@scene
def late() -> tuple[World, dict[str, Any]]:
    window = WindowPlan("every", schedule=Schedule(every=HOUR))
    world = begun(two_slots(window=window, dedupe=HOUR, collect="all"))
    order(world, ago=70 * MINUTE)
    return world, {"event": "order-1"}


@scene
def suspended() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())
    suspend(world, is_suspended=True)
    order(world)
    suspend(world, is_suspended=False)
    return world, {"event": "order-1"}


@scene
def waiting() -> tuple[World, dict[str, Any]]:
    world = begun(two_slots())
    order(world)
    return world, {"event": "order-1"}


@scene
def superseded() -> tuple[World, dict[str, Any]]:
    world = begun(two_slots())
    order(world)
    order(world, id_="order-2")
    pay(world)
    return world, {"event": "order-1"}


@scene
def expired() -> tuple[World, dict[str, Any]]:
    world = begun(two_slots())
    order(world)
    world.now += 12 * MINUTE
    world.run(5)
    return world, {"event": "order-1"}


@scene
def cancelled() -> tuple[World, dict[str, Any]]:
    slots = (
        Slot("order.created", "order", key="payload.order"),
        Slot("payment.done", "payment", key="payload.order", absent=True),
    )
    run = RunPlan("ship", "default", (("order", "order.payload.order"),))
    world = begun(two_slots(slots=slots, require=1, run=run))
    order(world)
    pay(world)
    return world, {"event": "order-1"}


@scene
def reset() -> tuple[World, dict[str, Any]]:
    window = WindowPlan("within", HOUR, reset=Schedule(cron="*/15 * * * *"))
    world = begun(two_slots(window=window, dedupe=2 * HOUR))
    order(world)
    world.now += 20 * MINUTE
    world.run(5)
    return world, {"event": "order-1"}


@scene
def over_bound() -> tuple[World, dict[str, Any]]:
    world = begun(two_slots(), window_bytes=300_000)
    for number in range(12):
        world.publish("order.created", {"order": str(number), "note": "x" * 20_000}, id=f"order-{number}")
    world.run(3)
    return world, {"event": "order-11"}


@scene
def unkeyed() -> tuple[World, dict[str, Any]]:
    world = begun(two_slots())
    world.publish("order.created", {"orders": "1"}, id="order-1")
    world.run(3)
    return world, {"event": "order-1"}


@scene
def failed() -> tuple[World, dict[str, Any]]:
    class BrokenDecoder(Decoder):
        def decode(self, *_: Any, **__: Any) -> dict[str, Any]:
            raise ZeroDivisionError("division by zero")

    world = begun(one_slot(), decoder=BrokenDecoder)
    order(world)
    world.run(5)
    return world, {"event": "order-1"}


@scene
def poison() -> tuple[World, dict[str, Any]]:
    world = World(one_slot(), partitions=1)

    class DeadlyDecoder(Decoder):
        def decode(self, *_: Any, **__: Any) -> dict[str, Any]:
            next(process for process in world.processes if process.is_busy and not process.is_dead).kill_here()

    world.start("rest", ("controller", "submitter"))
    world.decoder = DeadlyDecoder
    world.run(3)
    world.publish("order.created", {"order": "1"}, id="order-1")
    for number in range(4):
        if not world.start(f"router-{number}", ("router",)).is_dead:
            world.run(8)
    return world, {"event": "order-1"}


@scene
def matched() -> tuple[World, dict[str, Any]]:
    world = begun(two_slots())
    order(world)
    pay(world)
    return world, {"event": "payment-1"}


@scene
def unrunnable() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot(parameters=(("order", "order_created.payload.nothing"),)))
    order(world)
    return world, {"event": "order-1"}


@scene
def not_in_force() -> tuple[World, dict[str, Any]]:
    world = begun(replace(one_slot(), name="other"))
    order(world)
    world.triggers.append(one_slot())
    world.run(5)
    return world, {"event": "order-1"}


@scene
def not_begun() -> tuple[World, dict[str, Any]]:
    world = World(one_slot(), partitions=1)
    world.publish("order.created", {"order": "1"}, id="order-1")
    world.start()
    world.run(5)
    return world, {"event": "order-1"}


@scene
def not_read() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())
    order(world, id_="order-0")
    world.processes[0].stop()
    order(world)
    order(world, id_="order-2")
    return world, {"event": "order-1"}


@scene
def not_applied() -> tuple[World, dict[str, Any]]:
    world = World(two_slots(), partitions=1)
    world.start("rest", ("controller", "router", "submitter"))
    world.run(3)
    order(world)
    return world, {"event": "order-1"}


# -- runs --------------------------------------------------------------------------------------------------------------


def _run(world: World) -> dict[str, Any]:
    """Return the question about the only run."""
    for value in world.records(world.topics.ledger):
        if value.key is not None:
            return {"run": value.key.decode()}
    raise AssertionError("there is no run")


@scene
def created() -> tuple[World, dict[str, Any]]:
    world = begun(two_slots())
    order(world)
    pay(world)
    return world, _run(world)


@scene
def already_ran() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot(parameters=(("order", "order_created.payload.order"),)))
    order(world)
    manifest = json.loads(json.dumps(world.api.workflows()[0].manifest))
    again = World(world.triggers[0], partitions=1)
    again.api.create({**manifest, "status": {}}, timeout=1)
    again.start()
    again.run(3)
    order(again)
    return again, _run(again)


@scene
def run_waiting() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot(limits=RunLimits(rate=1, per=HOUR)))
    order(world)
    order(world, 2, "order-2")
    states = {record.key: _state(record) for record in world.records(world.topics.ledger) if record.key is not None}
    return world, {"run": next(key.decode() for key, state in states.items() if state == "parked")}


@scene
def retrying() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())
    world.api.fail_next(*[answered(503, "ServiceUnavailable", "etcd has no leader")] * 20)
    order(world)
    return world, _run(world)


@scene
def skipped() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot(start_deadline=MINUTE))
    world.processes[0].stop()
    order(world)
    world.now += 2 * HOUR
    world.start("p2")
    world.run(5)
    return world, _run(world)


@scene
def outcome_unknown() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())
    process = world.processes[0]
    world.api.fail_next(LOST_ANSWER)
    world.publish("order.created", {"order": "1"}, id="order-1")
    process.step("router")
    for _ in range(2):
        process.step("submitter")
    process.crash()
    world.api.delete("default", world.api.workflows()[0].name)
    world.now += 2 * HOUR
    world.start("p2")
    world.run(10)
    return world, _run(world)


@scene
def run_failed() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    world.processes[0].stage("submitter")._templates.resolve_now = broken
    order(world)
    world.processes[0].stage("submitter")._templates.resolve_now = broken
    world.run(10)
    return world, _run(world)


@scene
def refused() -> tuple[World, dict[str, Any]]:
    world = begun(one_slot())
    world.api.fail_next(answered(422, "Invalid", "spec.x: bad"))
    order(world)
    return world, _run(world)


def _state(record: Record) -> str:
    return str(LEDGER_ENTRY.decode(record.value)["state"]) if record.value else ""


def _append(world: World, value: bytes) -> None:
    written = write_headers("order.created", "order-1", "tests", moment(world.now))
    headers = [(name, text.encode() if isinstance(text, str) else text or b"") for name, text in written]
    world.broker.append("order.created", 0, None, value, headers, None)
    world.run(3)


if __name__ == "__main__":
    STORIES.mkdir(exist_ok=True)
    for each in SCENES:
        (STORIES / f"{each}.txt").write_text(told(each), encoding="utf-8")
