"""Read the past of a trigger without windows in several processes, each of which reads some of its partitions.

Matches of one event need no order, so nothing has to be merged. Each process reads the recorded runs from one file, and
writes its matches to a file of its own, which the plan takes over.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.core.expressions.expression import recorded as recorded_expression
from bridge.core.trigger import Trigger
from bridge.kafka.log import Partition
from bridge.replay.frozen import Frozen, ReadRange
from bridge.replay.history import History
from bridge.replay.past import Past
from bridge.replay.plan import Plan, Selection
from bridge.replay.planner import Planner, ReplayDependencies
from bridge.replay.recorded import Recorded
from bridge.replay.request import Request
from bridge.stages.shared.definitions import Definitions
from bridge.stages.shared.garbage import BatchGarbageCollector

MakeDependencies = Callable[[], ReplayDependencies]
"""Makes what a process works with. It is pickled, so it is a function of a module, or a partial of one."""


class SentDefinition(NamedTuple):
    """A definition on its way to another process: its trigger as JSON, and its hash."""

    trigger: str
    hash: str

    @classmethod
    def of(cls, definition: Definition) -> SentDefinition:
        """Return a definition so that it can be pickled."""
        return cls(json.dumps(definition.trigger.to_json()), definition.hash)

    def received(self) -> Definition:
        """Return the definition. Its hash is the one that people know, also where it was changed for a replay."""
        definition = Definition(Trigger.from_json(json.loads(self.trigger)))
        definition.hash = self.hash
        return definition


@dataclass(frozen=True)
class _Part:
    """The work of one process."""

    name: str
    request: Request
    definition: SentDefinition
    frozen: Frozen
    reads: Mapping[Partition, ReadRange]
    recorded: Path
    matches: Path


@dataclass(frozen=True)
class _Result:
    read: int
    decisions: Counter[str]
    held: int
    unrunnable: list[str]


class Workers:
    """Reads with several processes.

    Args:
        make: Makes what each process works with.
        count: How many processes.
        name: Name of the replay.
        request: What was asked for.
        definition: The definition that decides.

    """

    def __init__(self, make: MakeDependencies, count: int, name: str, request: Request, definition: Definition) -> None:
        self._make = make
        self._count = count
        self._name = name
        self._request = request
        self._definition = definition

    def read(self, frozen: Frozen, past: Past, plan: Plan, recorded: Recorded) -> int:
        """Read the past into a plan; return how many records were read.

        Args:
            frozen: The ranges.
            past: Takes the counts of decisions.
            plan: Takes the matches.
            recorded: What is recorded.

        """
        by_size = sorted(frozen.reads.items(), key=lambda item: item[1].end - item[1].first, reverse=True)
        shares: list[dict[Partition, ReadRange]] = [{} for _ in range(self._count)]
        loads = [0] * self._count
        for place, reads in by_size:  # the largest first, each to the process that has least to read
            lightest = loads.index(min(loads))
            shares[lightest][place] = reads
            loads[lightest] += reads.end - reads.first
        with TemporaryDirectory(prefix="flowbridge-replay-") as folder:
            recorded.save(Path(folder) / "recorded")
            parts = [
                _Part(
                    self._name,
                    self._request,
                    SentDefinition.of(self._definition),
                    frozen,
                    share,
                    Path(folder) / "recorded",
                    Path(folder) / f"matches-{number}",
                )
                for number, share in enumerate(shares)
                if share
            ]
            with ProcessPoolExecutor(len(parts), mp_context=get_context("spawn")) as pool:
                results = [pool.submit(_read, self._make, part) for part in parts]
                read = 0
                for part, future in zip(parts, results, strict=True):
                    result = future.result()
                    read += result.read
                    past.decisions.update(result.decisions)
                    past.held += result.held
                    plan.take(part.matches, result.unrunnable)
        return read


def _read(make: MakeDependencies, part: _Part) -> _Result:
    """Do the work of one process."""
    around = make()
    definitions = Definitions(around.log, around.topics.triggers, around.pace)
    with closing(definitions):
        definitions.refresh()
        definition, request = part.definition.received(), part.request
        history = None
        if request.only:
            history = History.read(around.log, around.topics.triggers, request.trigger)
        where = None if request.where is None else recorded_expression(request.where)
        selection = Selection(definition, where, request.only, history)
        plan = Plan(part.name, around.topics.prefix, request.mode, request.replay_id, selection)
        planner = Planner(around, definitions)
        known = Recorded(request.trigger, part.recorded)
        past = planner.past(definition, known, request, needs_payload=selection.needs_payload)
        collector = BatchGarbageCollector()
        collector.take_over()
        read = planner.read(part.frozen, past, plan, lambda _: collector.between_batches(), part.reads)
        known.close()
        plan.save(part.matches)
        plan.close()
    return _Result(read, past.decisions, past.held, plan.unrunnable)
