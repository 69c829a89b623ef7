"""Making the runs of matches and sending them, for the router's matches of one event and for the matcher's.

Several are made together, step by step, each step for all of them: a quarter faster than one after the other, since the
processor then finds in its caches what a step needs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.core.event import Event, Micros
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError, make_run
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.log import Record
from bridge.kafka.outbox import Outbox
from bridge.kafka.suspects import NOT_OF_A_RECORD, failure_text
from bridge.stages.shared.run_records import run_record

logger = logging.getLogger(__name__)

TOGETHER = 64
"""Events that are sent together: enough for the caches to pay off, few enough to fit into them."""


class RunnableMatch(NamedTuple):
    """A match that asks for a run.

    Attributes:
        definition: What its run is made by.
        key: The correlation key.
        events: Its events by slot.
        record: What completed it: an event, an arrival or a tick.
        frame: Begin and end of its calendar window.
        ended_early: Its window was cut at a bound.
        by_tick: A tick completed it.

    """

    definition: Definition
    key: str
    events: Sequence[Sequence[Event]]
    record: Record
    frame: tuple[Micros, Micros] | None = None
    ended_early: bool = False
    by_tick: bool = False


class RunSender:
    """Makes runs and sends them.

    Args:
        topics: The internal topics.

    """

    def __init__(self, topics: InternalTopics) -> None:
        self._topics = topics
        self._partitions: dict[str, int] = {}

    def send(self, matches: Sequence[RunnableMatch], out: Outbox) -> list[Run | UnrunnableError]:
        """Send the runs of matches; return for each its run, or why it cannot be made."""
        made = [self._made(match, out) for match in matches]
        written = [self._written(match, run, out) for match, run in zip(matches, made, strict=True)]
        results: list[Run | UnrunnableError] = []
        for match, found in zip(matches, written, strict=True):
            if isinstance(found, UnrunnableError):
                results.append(found)
                continue
            run, value = found
            out.at = match.record
            out.send(self._topics.runs, self._partition(run.trigger), run.run_key.encode(), value)
            results.append(run)
        return results

    def _made(self, match: RunnableMatch, out: Outbox) -> Run | UnrunnableError:
        definition, key, events, record, frame, ended_early, _ = match
        out.at = record
        try:
            return make_run(definition, self._topics.prefix, key, events, frame, ended_early=ended_early)
        except UnrunnableError as error:
            return error
        except Exception as error:  # noqa: BLE001  (what a tick has completed; others are raised again)
            return _failed(match, error)

    def _written(
        self, match: RunnableMatch, run: Run | UnrunnableError, out: Outbox
    ) -> tuple[Run, bytes] | UnrunnableError:
        if isinstance(run, UnrunnableError):
            return run
        out.at = match.record
        try:
            return run, run_record(run)
        except UnrunnableError as error:
            return error
        except Exception as error:  # noqa: BLE001  (what a tick has completed; others are raised again)
            return _failed(match, error)

    def _partition(self, trigger: str) -> int:
        partition = self._partitions.get(trigger)
        if partition is None:
            partition = self._partitions[trigger] = partition_of(trigger.encode(), self._topics.partitions)
        return partition


def _failed(match: RunnableMatch, error: Exception) -> UnrunnableError:
    """Return an exception as the fault of a match that a tick completed: the tick ends other windows, too.

    The exception of any other match is laid to its record: the partners of an arrival go on waiting.
    """
    if isinstance(error, NOT_OF_A_RECORD) or not match.by_tick:
        raise error
    logger.error("no run of trigger %s can be made", match.definition.identity, exc_info=error)
    return UnrunnableError(failure_text(error))
