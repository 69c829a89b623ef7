"""Created runs whose Workflows have not ended. Each is followed until the ledger has its end.

Each process follows the runs of its own partitions. It never asks for a Workflow by its name. It watches the metadata
of the bridge's Workflows, in each namespace that one of its runs went to (:mod:`bridge.cluster.watch`). A new owner of
a partition has all Workflows of those namespaces listed once more, so that no end is missed.

A Workflow may end before its creation is committed. Ends of runs that are not followed yet are therefore remembered for
a while. Those of other processes' runs are among them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection
from sys import intern
from typing import NamedTuple

from bridge.argo.api import PhaseWatch, WorkflowApi
from bridge.argo.workflow import SeenWorkflow
from bridge.cluster.watch import Away, Listing
from bridge.core.event import MINUTE, Micros
from bridge.core.runs.run import PHASE_OF_ARGO, RunPhase
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.submitter.ledger.spill_map import Spool

logger = logging.getLogger(__name__)

EARLY_ENDS = 10_000
"""Ends that are remembered of runs that are not followed."""

_WARNED_EVERY: Micros = MINUTE
_names = LEDGER_ENTRY.only("trigger", "workflow")


class FollowedRun(NamedTuple):
    """A created run whose Workflow has not ended.

    Attributes:
        run_key: Its key.
        partition: Its partition of the ledger.
        namespace: Where its Workflow is.
        name: Name of its Workflow.
        trigger: ``namespace/name`` of its trigger.
        listed_from: Number of the first list of the namespace in which its Workflow stands, unless it was deleted.

    """

    run_key: str
    partition: int
    namespace: str
    name: str
    trigger: str
    listed_from: int


class EndedRun(NamedTuple):
    """A followed run whose Workflow has ended.

    Attributes:
        run_key: Its key.
        partition: Its partition of the ledger.
        trigger: ``namespace/name`` of its trigger.
        entry: Its entry in the ledger.
        phase: The last phase of its Workflow.

    """

    run_key: str
    partition: int
    trigger: str
    entry: bytes
    phase: RunPhase


class FollowedRuns:
    """The followed runs of a process.

    Args:
        api: Watches Workflows.
        bound: How many runs are followed at most; 0 follows none.
        pace: A steady clock.

    """

    def __init__(self, api: WorkflowApi, bound: int, pace: Callable[[], Micros]) -> None:
        self._api = api
        self._bound = bound
        self._pace = pace
        self._runs: dict[str, FollowedRun] = {}
        self._entries = Spool()
        self._watches: dict[str, PhaseWatch] = {}
        self._ended: deque[tuple[str, RunPhase]] = deque()
        self._ended_since: Micros = 0
        self._early: dict[tuple[str, str], tuple[str, RunPhase]] = {}  # by namespace and name of the Workflow
        self._warned: dict[str, Micros] = {}

    def __len__(self) -> int:
        """Return how many runs are followed."""
        return len(self._runs)

    def has_room(self) -> bool:
        """Return whether another run can be followed."""
        return len(self._runs) < self._bound

    def follow(self, run_key: str, partition: int, entry: bytes) -> None:
        """Follow a run.

        Args:
            run_key: Its key.
            partition: Its partition of the ledger.
            entry: Its entry in the ledger, by which its Workflow is created.

        """
        trigger, workflow = _names(entry)
        namespace, _, name = workflow.partition("/")
        watch = self._watches.get(namespace)
        if watch is None:
            watch = self._watches[namespace] = self._api.watch_phases(namespace)
        self._runs[run_key] = FollowedRun(run_key, partition, namespace, name, intern(trigger), watch.lists_begun + 1)
        self._entries.put(run_key, entry)
        early = self._early.pop((namespace, name), None)
        if early is not None and early[0] == run_key:
            self._end(run_key, early[1])

    def restore(self, partition: int, running: dict[str, bytes]) -> None:
        """Follow the runs of a partition that another process has followed so far, and empty ``running``."""
        namespaces = set()
        for run_key, entry in running.items():
            if self.has_room():
                self.follow(run_key, partition, entry)
                namespaces.add(self._runs[run_key].namespace)
        left = len(running) - sum(run.partition == partition for run in self._runs.values())
        if left > 0 and self._bound:
            logger.warning(
                "%d runs of partition %d are not followed, since %d are: how their Workflows end is not recorded. "
                "Raise the setting followed_runs, or start more processes",
                left,
                partition,
                len(self._runs),
            )
        running.clear()
        for namespace in namespaces:
            self._watches[namespace].list_again()

    def drop(self, partitions: Collection[int]) -> None:
        """Follow the runs of partitions no longer."""
        for run in [run for run in self._runs.values() if run.partition in partitions]:
            del self._runs[run.run_key]
            self._entries.discard(run.run_key)
        self._ended = deque((run_key, phase) for run_key, phase in self._ended if run_key in self._runs)
        if not self._runs:
            self.stop()

    def look(self) -> None:
        """Take in what the watches have seen since the last look."""
        for namespace, watch in self._watches.items():
            news = watch.take()
            if isinstance(news, Away):
                now = self._pace()
                is_told = now - self._warned.get(namespace, -_WARNED_EVERY) < _WARNED_EVERY
                if news.is_lasting and not is_told:  # an outage has a line already, with the first run that it stops
                    self._warned[namespace] = now
                    text = "the Workflows of namespace %s cannot be watched: %s. The ends of runs are recorded later"
                    logger.warning(text, namespace, news.reason)
                continue
            for new in news:
                if not isinstance(new, Listing):
                    self._saw(namespace, new.object, is_gone=new.kind == "deleted")
                    continue
                names = {workflow.name for workflow in new.objects}
                for run in list(self._runs.values()):
                    if run.namespace == namespace and run.name not in names and new.number >= run.listed_from:
                        self._end(run.run_key, RunPhase.GONE)
                for workflow in new.objects:
                    self._saw(namespace, workflow, is_gone=False)

    def is_due(self, pace: Micros) -> bool:
        """Return whether ends wait to be recorded, the first of them for so long."""
        return bool(self._ended) and self._pace() - self._ended_since >= pace

    def take_ended(self, limit: int) -> list[EndedRun]:
        """Take runs whose Workflows have ended. They are followed no longer."""
        taken: list[EndedRun] = []
        while self._ended and len(taken) < limit:
            run_key, phase = self._ended.popleft()
            run = self._runs.pop(run_key, None)
            if run is not None:
                taken.append(EndedRun(run_key, run.partition, run.trigger, self._entries.take(run_key), phase))
        return taken

    def stop(self) -> None:
        """End all watches."""
        for watch in self._watches.values():
            watch.stop()
        self._watches.clear()
        self._early.clear()

    def _saw(self, namespace: str, workflow: SeenWorkflow, *, is_gone: bool) -> None:
        phase = PHASE_OF_ARGO.get(workflow.phase) or (RunPhase.GONE if is_gone else None)
        if phase is None:
            return
        run = self._runs.get(workflow.run_key)
        if run is None:
            self._early[namespace, workflow.name] = (workflow.run_key, phase)
            if len(self._early) > EARLY_ENDS:
                del self._early[next(iter(self._early))]
        elif (run.namespace, run.name) == (namespace, workflow.name):
            self._end(run.run_key, phase)

    def _end(self, run_key: str, phase: RunPhase) -> None:
        """Note the end of a run. The first one counts: Argo's controller may delete a Workflow after its end."""
        if not self._ended:
            self._ended_since = self._pace()
        self._ended.append((run_key, phase))
