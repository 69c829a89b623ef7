"""An installation whose topics are copied while it works goes on elsewhere: nothing is lost, and nothing runs twice.

The order is that of docs/examples/backup/copy_topics.py. The old bridge works on between the copies, and ends then.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bridge.core.runs.holds import ALL
from bridge.core.trigger import RunPlan
from unit.stages.submitter.test_holds import say
from unit.stages.world import World, one_slot, parameters_of, two_slots

PROGRAM = Path(__file__).parents[3] / "docs" / "examples" / "backup" / "copy_topics.py"
EVENTS = ("order.created", "payment.done")
PAIR = two_slots()
EACH = replace(one_slot(), name="each", run=RunPlan("each", "default", (("order", "order_created.payload.order"),)))


def order_of_topics() -> tuple[str, ...]:
    """Return the internal topics in the order in which the program copies them."""
    spec = importlib.util.spec_from_file_location("copy_topics", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    states: tuple[str, ...] = module.STATE
    return states


def copy_topic(old: World, new: World, topic: str) -> None:
    """Copy the committed records of a topic as they are now."""
    for number, log in enumerate(old.broker.topics[topic].logs):
        for record in log.fetch(log.start, 1_000_000)[0]:
            new.broker.append(topic, number, record.key, record.value, record.headers, record.timestamp)


def work(world: World, random: Random, numbers: list[int]) -> None:
    """Publish a few orders and payments, in any order of the two, and let the bridge work for a moment."""
    for _ in range(random.randrange(4)):
        event = random.choice(EVENTS)
        number = random.choice(numbers)
        world.publish(event, {"order": number, "amount": 5}, id=f"{event}-{number}", partition=number % 2)
    world.run(random.choice((0.25, 0.5, 2.0, 65.0)))  # after a minute what was processed is purged


@pytest.mark.parametrize("seed", range(10))
def test_a_copy_that_is_made_while_the_bridge_works_loses_no_match_and_makes_none_twice(seed: int) -> None:
    random = Random(seed)
    old, new = World(PAIR, EACH), World(PAIR, EACH)
    new.api = old.api  # the cluster is the same, and so is its list of Workflows
    process = old.start()
    old.run(3)
    numbers = list(range(8))
    for _ in range(4):
        work(old, random, numbers)
    if seed % 2:
        old.api.cut()  # the runs of matches that are made meanwhile have no Workflows when the old bridge ends
    for state in order_of_topics():
        work(old, random, numbers)
        copy_topic(old, new, f"fb.{state}")
    process.crash() if random.random() < 0.5 else process.stop()
    old.api.mend()
    for topic in EVENTS:
        copy_topic(old, new, topic)
    new.now = old.now
    new.start("restored")
    new.run(30)
    for number in numbers:  # what waited, or was never published, completes there
        for event in EVENTS:
            new.publish(event, {"order": number, "amount": 5}, id=f"{event}-{number}", partition=number % 2)
        new.run(1)
    new.run(150 if seed % 2 else 30, step=1)  # a run in doubt is looked for until 90 s have passed
    made = Counter((workflow.name.partition("-")[0], parameters_of(workflow)["order"]) for workflow in old.created)
    assert made == {(trigger, str(number)): 1 for trigger in ("ship", "each") for number in numbers}
    assert [letter["reason"] for letter in new.letters()] == []


def test_what_a_person_holds_is_held_on_the_copy() -> None:
    old, new = World(EACH), World(EACH)
    new.api = old.api
    process = old.start()
    old.run(3)
    say(old, ALL, 0)
    old.run(2)
    old.publish("order.created", {"order": 1}, id="o-1")
    old.run(2)
    process.stop()
    for state in order_of_topics():
        copy_topic(old, new, f"fb.{state}")
    new.now = old.now
    new.start("restored")
    new.run(10)
    assert old.created == []
    say(new, ALL, None)
    new.run(3)
    assert len(old.created) == 1
