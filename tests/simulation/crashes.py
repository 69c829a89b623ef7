"""Two processes in a bad world: killed, stopped, cut short before or after any effect, by a seed.

What has to come of it is computed here without the rules: every order is a run of the one-slot trigger, every order
with its payment a run of the two-slot trigger, whatever is published twice, late or out of order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import NamedTuple

from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, REFUSED_CONNECTION, answered
from bridge.core.event import SECOND
from bridge.core.trigger import RunPlan
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.assembly import group_of
from bridge.stages.submitter import Limits
from unit.stages.effects import EFFECTS
from unit.stages.world import Process, World, one_slot, parameters_of, two_slots

ORDERS = 6
_DRAIN_ROUNDS = 250
_FAULTS = (
    LOST_ANSWER,
    LOST_REQUEST,
    REFUSED_CONNECTION,
    answered(429, "TooManyRequests", "slow down", retry_after=2),
    answered(500, "InternalError", "etcd is away"),
    answered(403, "Forbidden", "exceeded quota: q"),
)


class Published(NamedTuple):
    """An event to be published."""

    name: str
    id: str
    order: str


class Crashes:
    """One run of the simulation.

    Args:
        seed: Everything follows from it.

    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.sweeps = seed % 2 == 0
        single = replace(one_slot(), start_from="earliest")
        parameters = (("order", "order.payload.order"), ("paid", "payment.payload.paid"))
        pair = replace(two_slots(run=RunPlan("pair", "default", parameters)), name="pair", start_from="earliest")
        self.world = World(single, pair, partitions=2)
        self.world.limits = Limits(concurrency=self.random.choice((1, 8)), outcome_pace=0)
        self.started = 0
        self.orders = [f"o{number}" for number in range(ORDERS)]
        self.paid = [order for order in self.orders if self.random.random() < 0.8]
        self.pending = list(self._events())

    def _events(self) -> Iterator[Published]:
        events = [Published("order.created", f"c-{order}", order) for order in self.orders]
        events += [Published("payment.done", f"d-{order}", order) for order in self.paid]
        events += [event for event in events if self.random.random() < 0.3]
        self.random.shuffle(events)
        yield from events

    def expected(self) -> Counter[tuple[str, ...]]:
        """Return each run that has to be: its template and parameters."""
        singles = [("ship", f"order={order}") for order in self.orders]
        pairs = [("pair", f"order={order}", f"paid=yes-{order}") for order in self.paid]
        return Counter[tuple[str, ...]]([*singles, *pairs])

    def created(self) -> Counter[tuple[str, ...]]:
        """Return each Workflow that was created, as often as it was."""
        return Counter(
            (
                workflow.manifest["spec"]["workflowTemplateRef"]["name"],
                *(f"{name}={value}" for name, value in sorted(parameters_of(workflow).items())),
            )
            for workflow in self.world.created
        )

    # -- the bad world -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Publish everything while things break, then heal and wait until nothing is left to do."""
        while self.pending:
            self._live()
            self._act()
        self._heal()

    def _live(self) -> None:
        world = self.world
        world.processes = [process for process in world.processes if not process.is_dead]
        while len(world.processes) < 2:  # two processes
            self._start()
        for _ in range(self.random.randint(1, 6)):
            process = self.random.choice(world.processes)
            process.step(self.random.choice(list(process.loops)))
        world.now += self.random.choice((0, SECOND // 10, SECOND, 3 * SECOND))

    def _start(self) -> None:
        self.started += 1
        self.world.start(f"p{self.started}")

    def _act(self) -> None:
        chance = self.random.random()
        process = self.random.choice(self.world.processes)
        if chance < 0.5:  # half of all that happens are events
            self._publish()
        elif chance < 0.8:
            self._lay_trap(process)
        elif chance < 0.9:
            self.world.api.fail_next(self.random.choice(_FAULTS))
        elif chance < 0.95:
            process.stop()
        else:
            self._sweep()

    def _publish(self) -> None:
        event = self.pending.pop()
        payload = (
            {"order": event.order}
            if event.name == "order.created"
            else {
                "order": event.order,
                "paid": f"yes-{event.order}",
            }
        )
        ago = self.random.randrange(60) * SECOND
        self.world.publish(event.name, payload, id=event.id, ago=ago, partition=self.random.randrange(2))

    def _lay_trap(self, process: Process) -> None:
        """Let something befall a process at one of its next effects."""
        effect, countdown = self.random.choice(EFFECTS), self.random.randint(1, 6)
        seconds = self.random.choice((0, 0, 1, 7, 12))  # killed, or stopped for less or more than its session
        company = seconds == 1 and self.random.random() < 0.7  # mostly, somebody joins meanwhile
        if seconds and self.sweeps and effect == "before create":
            return  # behind the last check of its age a create cannot be called back (see `_sweep`)

        def spring(reached: str) -> None:
            nonlocal countdown
            countdown -= reached == effect
            if countdown > 0 or reached != effect:
                return
            process.hook = lambda _: None
            if not seconds:
                process.kill_here()
            if company:
                self._start()
            process.stand_still(seconds, 0.5)

        process.hook = spring

    def _sweep(self) -> None:
        """Delete the Workflows of all runs that have ended, so that one created again would be seen."""
        if not self.sweeps:
            return
        done = {workflow for state, workflow in self._ledger().values() if state == "done"}
        for workflow in self.world.api.workflows():
            if f"{workflow.namespace}/{workflow.name}" in done:
                self.world.api.delete(workflow.namespace, workflow.name)

    def _ledger(self) -> dict[bytes, tuple[str, str]]:
        """Return by run key what the ledger says: state and Workflow."""
        entries = {}
        for record in self.world.records(self.world.topics.ledger):
            entry = LEDGER_ENTRY.decode(record.value or b"")
            entries[record.key or b""] = (entry["state"], entry["workflow"])
        return entries

    # -- afterwards ----------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        world = self.world
        for process in world.processes:
            process.hook = lambda _: None
        self._live()
        for _ in range(_DRAIN_ROUNDS):
            self._sweep()
            world.round()
            world.now += SECOND
            if self.is_idle():
                return
        raise AssertionError(f"work is left over: {self.lag()}; {[one.troubles[-3:] for one in world.processes]}")

    def lag(self) -> dict[str, int]:
        """Return how far each group is behind, by topic."""
        world, found = self.world, {}
        read = {
            "router": ("order.created", "payment.done"),
            "matcher": (world.topics.arrivals,),
            "submitter": (world.topics.runs,),
        }
        for stage, topics in read.items():
            committed = world.broker.group(group_of(world.topics, stage)).committed
            for topic in topics:
                for log in world.broker.topics[topic].logs:
                    one = committed.get(log.partition)
                    found[f"{topic}/{log.partition.number}"] = log.end - (one.offset if one else 0)
        return found

    def is_idle(self) -> bool:
        """Tell whether everything is committed, and every run has ended."""
        if any(self.lag().values()):
            return False
        return all(state in ("done", "dead") for state, _ in self._ledger().values())
