"""A world with one trigger with a window, and a bridge in it that can be killed and started again at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from bridge.core.event import HOUR, MINUTE, SECOND
from bridge.core.trigger import RunPlan, Schedule, Slot, Trigger, WindowPlan
from bridge.kafka.log import Partition
from bridge.kafka.records import RecordError
from bridge.stages.matcher.window_restore import read_last_records
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.shared.definitions import Definitions
from unit.stages.world import Process, World, parameters_of

HOURLY = Schedule(every=HOUR)

ORDER = Slot("order.created", "order", key="payload.order")
PAYMENT = Slot("payment.done", "payment", key="payload.order")
NO_PAYMENT = Slot("payment.done", "payment", key="payload.order", absent=True)
SILENCE = Slot("order.created", "order", absent=True)

ALL_ORDERS = (("order", "string(size(order))"), ("amount", "string(order[size(order) - 1].payload.amount)"))
ONE_EACH = (("order", "order.payload.order"), ("amount", "order.payload.amount"))


def windowed(window: WindowPlan, *slots: Slot, run: tuple[tuple[str, str], ...] = (), **fields: Any) -> Trigger:
    """Return a trigger with a window; of one slot, ``order.created``, unless given. ``run``: its parameters."""
    slots = slots or (ORDER,)
    usual: dict[str, Any] = {
        "require": sum(not slot.absent for slot in slots),
        "grace": MINUTE,
        "dedupe": 2 * HOUR,
        "window": window,
    }
    return Trigger("default", "ship", slots, RunPlan("ship", "default", run), **{**usual, **fields})


class Bridge:
    """One process in a world, and a name for the next one."""

    def __init__(self, trigger: Trigger, partitions: int = 2) -> None:
        self.world = World(trigger, partitions=partitions)
        self.world.api.add_template("default", "other", defaults=("order", "amount"))
        for event in ("order.created", "payment.done"):
            if event not in self.world.broker.topics:
                self.world.topic(event)
        self.process: Process = self.world.start()
        self.world.run(3)

    def order(self, order: int = 7, *, ago: int = 0, amount: int = 1, id: str = "") -> None:  # noqa: A002 - an event's
        """Publish an order, and let it be decided; ``ago`` seconds before now it happened."""
        self.world.publish("order.created", {"order": order, "amount": amount}, ago=ago * SECOND, id=id)
        self.world.run(1)

    def pay(self, order: int = 7, *, ago: int = 0) -> None:
        """Publish a payment, and let it be decided."""
        self.world.publish("payment.done", {"order": order, "amount": 1}, ago=ago * SECOND)
        self.world.run(1)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(seconds - seconds % 5, step=5)

    def restart(self) -> None:
        """Kill the bridge, and start it again once its work has been taken from it."""
        self.process.crash()
        self.world.processes.remove(self.process)
        self.process = self.world.start(f"{self.process.name}'")
        self.world.run(12, step=0.5)

    def windows(self) -> dict[int, WindowStore]:
        """Return the windows that the matcher holds."""
        windows: dict[int, WindowStore] = self.process.stage("matcher").windows
        return windows

    def check_restoring(self) -> None:
        """Check that what the changelog says is what the matcher holds."""
        log = self.process.memory
        definitions = Definitions(log, self.world.topics.triggers, lambda: 0)
        definitions.refresh()
        reader, admin = log.reader(), log.admin()
        for number, held in self.windows().items():
            changelog = Partition(self.world.topics.windows, number)
            restored = WindowStore(changelog)
            records = read_last_records(reader, admin, changelog)
            restored.restore(records.batches(), definitions.conditions, _unreadable)
            assert restored.contents() == held.contents()
            assert restored.open_windows == held.open_windows == len(held.contents().open)
            oldest: dict[tuple[str, str], int] = {}
            for key, window in held.contents().open.items():
                if window.since is not None:
                    since = window.since - window.since % (10 * SECOND)
                    oldest[key[:2]] = min(since, oldest.get(key[:2], since))
            assert restored.oldest_windows() == held.oldest_windows() == oldest

    def runs(self) -> list[dict[str, str]]:
        """Return the parameters of every Workflow that was created, in order."""
        return [parameters_of(workflow) for workflow in self.world.created]

    def reasons(self) -> list[str]:
        """Return the reasons of all final decisions about events."""
        return [reason for reason in self.world.reasons() if reason not in {"waiting", "created"}]


Told = Callable[[Bridge], object]
"""Something that happens to a bridge."""


class Story(NamedTuple):
    """A story of a window.

    Attributes:
        trigger: The trigger.
        happenings: The things that happen, one after the other.
        runs: The parameters of each run that comes of them.
        reasons: The reasons of all final decisions about events, in any order.

    """

    trigger: Trigger
    happenings: list[Told]
    runs: list[dict[str, str]]
    reasons: list[str]


def order(amount: int = 1, number: int = 7, ago: int = 0) -> Told:
    """Return the publishing of an order."""
    return lambda bridge: bridge.order(number, amount=amount, ago=ago)


def pay(number: int = 7, ago: int = 0) -> Told:
    """Return the publishing of a payment."""
    return lambda bridge: bridge.pay(number, ago=ago)


def wait(seconds: int) -> Told:
    """Return a wait."""
    return lambda bridge: bridge.wait(seconds)


def _unreadable(key: bytes, error: RecordError) -> NoReturn:
    raise AssertionError(f"{key!r} cannot be read: {error}")
