"""Recovery: from a SIGKILL inside an open transaction until the first new run with the killed process's state.

Two ``flowbridge run`` share many open windows. A burst of events keeps both busy; one is killed in the middle, and it
counts only if it left a transaction open (the stable end of a topic then lies before its true end). From the moment of
the kill events come that complete windows which were the killed matcher's; the clock stops when a watch on the cluster
sees the Workflow of the first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it offers these without exporting them
    AdminClient,
    OffsetSpec,
)

from bench.bed import Bed
from bench.cores import CLIENT, pin
from bench.figures import Figure, at_most
from bench.groups.latency import environment
from bench.groups.sightings import Sightings
from bench.material import EVENT, PARTNER, TWO_SLOTS, order, write_trigger
from bench.scale import Scale
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import PARTITIONS, InternalTopics, partition_of
from bridge.kafka.log import Partition
from bridge.kafka.ownership import read_note
from e2e.bridge_process import BridgeProcess
from flowbridge_sdk import Publisher
from flowbridge_sdk.schemas import EventSchemas
from servers.process import wait_for

_LATEST: Any = OffsetSpec.latest  # its constructors are untyped
_SECONDS = 120.0
_BURST = 4_000
_LATEST_KILL = 0.4  # seconds into a burst
_PERIOD = 0.05
_MEDIAN_BOUND, _WORST_BOUND = 12.0, 15.0


class _Windows:
    """The windows that wait for their second event, by the matcher's partition."""

    def __init__(self, bed: Bed, publisher: Publisher, trigger: str) -> None:
        self._publisher = publisher
        self._trigger = trigger
        self._next = 0
        self._open: dict[int, list[str]] = {number: [] for number in range(PARTITIONS)}
        self._kafka = AdminClient({"bootstrap.servers": bed.bootstrap})

    def open(self, count: int) -> None:
        """Publish the first events of more windows."""
        for number in range(self._next, self._next + count):
            name = f"pair-{number}"
            self._publisher.publish(EVENT, {**order(number), "order_id": name})
            self._open[partition_of(f"{self._trigger}\0{name}", PARTITIONS)].append(name)
        self._next += count

    def complete_one(self, partitions: frozenset[int]) -> str:
        """Publish the second event of the oldest window in one of these partitions."""
        number = random.choice([partition for partition in partitions if self._open[partition]])
        name = self._open[number].pop(0)
        self._publisher.publish(PARTNER, {**order(0), "order_id": name})
        return name


class _Pair:
    """Two bridge processes of one installation."""

    def __init__(self, bed: Bed, environment: dict[str, str], topics: InternalTopics) -> None:
        self._bed = bed
        self._environment = environment
        self._topics = topics
        self._admin = ConfluentLog({"bootstrap.servers": bed.bootstrap}).admin()
        self._kafka = AdminClient({"bootstrap.servers": bed.bootstrap})
        self.processes: list[BridgeProcess] = []
        self._started = 0

    def complete(self, stack: ExitStack) -> None:
        """Start what is missing, and wait until both match and all that came is matched."""
        self.processes = [process for process in self.processes if process.running]
        while len(self.processes) < 2:
            self._started += 1
            log = self._bed.folder / f"recovery-{self._started}.log"
            process = stack.enter_context(BridgeProcess(self._environment, log, f"bridge {self._started}"))
            pin(process.pid, CLIENT)
            self.processes.append(process)
        for process in self.processes:
            process.wait_ready()
        wait_for(lambda: all(map(self.matched_by, self.processes)), _SECONDS, "both processes to match")
        wait_for(self._is_idle, _SECONDS, "all arrivals to be matched")

    def matched_by(self, process: BridgeProcess) -> frozenset[int]:
        """Return the partitions of arrivals that a process owns."""
        places = [Partition(self._topics.arrivals, number) for number in range(PARTITIONS)]
        notes = self._admin.committed(self._topics.prefix + "matcher", places, stable=False)
        mark = f"-{process.pid}-"
        return frozenset(place.number for place, note in notes.items() if mark in read_note(note).owner)

    def has_open_transaction(self) -> bool:
        """Tell whether a stable end of arrivals, windows or runs lies before the true one."""
        return self._ends(IsolationLevel.READ_COMMITTED) != self._ends(IsolationLevel.READ_UNCOMMITTED)

    def _ends(self, isolation: IsolationLevel) -> dict[tuple[str, int], int]:
        topics = (self._topics.arrivals, self._topics.windows, self._topics.runs)
        asked = {TopicPartition(topic, number): _LATEST() for topic in topics for number in range(PARTITIONS)}
        answers = self._kafka.list_offsets(asked, isolation_level=isolation, request_timeout=10)
        return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}

    def _is_idle(self) -> bool:
        places = [Partition(self._topics.arrivals, number) for number in range(PARTITIONS)]
        events = [Partition(topic, number) for topic in (EVENT, PARTNER) for number in range(4)]
        return self._has_passed("matcher", places) and self._has_passed("router", events)

    def _has_passed(self, stage: str, places: list[Partition]) -> bool:
        committed = self._admin.committed(self._topics.prefix + stage, places, stable=False)
        ends = self._admin.end_offsets(places)
        return all(place in committed and committed[place].offset >= end for place, end in ends.items())


def recoveries(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure kills until enough of them fell into an open transaction."""
    with ExitStack() as stack:
        namespace = bed.namespace()
        triggers = bed.folder / "recovery"
        triggers.mkdir()
        write_trigger(triggers, "pairs", TWO_SLOTS)
        settings = environment(bed, triggers, namespace)
        pair = _Pair(bed, settings, InternalTopics(settings["FLOWBRIDGE_INTERNAL_PREFIX"]))
        sightings = stack.enter_context(Sightings(bed.kubernetes, namespace))
        publisher = stack.enter_context(Publisher(bed.bootstrap, schemas=EventSchemas.load(bed.schemas)))
        windows = _Windows(bed, publisher, f"{namespace}/two-slots")
        pair.complete(stack)
        windows.open(scale.kill_windows)
        publisher.flush()
        times: list[float] = []
        for _ in range(5 * scale.kills):
            pair.complete(stack)
            times += _kill(pair, windows, publisher, sightings)
            if len(times) == scale.kills:
                break
    state = f"{scale.kill_windows:,} windows"
    return [
        Figure(
            f"SIGKILL in a transaction to the first new run, {state}: median",
            "s",
            times,
            at_most(_MEDIAN_BOUND, "12 s"),
        ),
        Figure(
            f"SIGKILL in a transaction to the first new run, {state}: worst",
            "s",
            times,
            at_most(_WORST_BOUND, "15 s"),
            max,
        ),
    ]


def _kill(pair: _Pair, windows: _Windows, publisher: Publisher, sightings: Sightings) -> Iterator[float]:
    """Kill one process under load; yield the seconds until its windows give runs again, if it counts."""
    victim = random.choice(pair.processes)
    theirs = pair.matched_by(victim)
    windows.open(_BURST)
    publisher.flush()
    time.sleep(random.uniform(0, _LATEST_KILL))  # the very point: any moment of its work
    began = time.monotonic()
    victim.kill()
    counts = pair.has_open_transaction()
    asked: list[str] = []
    while not any(name in sightings.seen for name in asked):
        if time.monotonic() - began > _SECONDS:
            raise TimeoutError("no run came after a kill")
        asked.append(windows.complete_one(theirs))
        publisher.flush()
        time.sleep(_PERIOD)
    if counts:
        yield min(sightings.seen[name] for name in asked if name in sightings.seen) - began
