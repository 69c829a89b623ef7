"""Make and send the runs of matches: the router's matches of one event, and the matcher's.

Several runs are made together, each step for all of them. This is a quarter faster than one run after the other, since
the processor then finds the data of a step in its caches.
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
from bridge.log_fields import about
from bridge.stages.shared.run_records import run_record

logger = logging.getLogger(__name__)

AHEAD = "flowbridge-ahead"
"""Header of a run that the submitter of the router's or matcher's process may send ahead: with the submitter's mark."""

MARKED = 8
"""A run has such a mark if a batch has sent fewer records before it. Where there are more, nobody waits for one run."""

TOGETHER = 64
"""Events that are sent together: enough for the caches to pay off, few enough to fit into them."""


class RunnableMatch(NamedTuple):
    """A match that asks for a run.

    Attributes:
        definition: The definition that makes its run.
        key: The correlation key.
        events: Its events by slot.
        record: The record that completed it: an event, an arrival or a tick.
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
        made: list[Run | UnrunnableError] = []
        for match in matches:
            definition, key, events, record, frame, ended_early, _ = match
            out.at = record
            try:
                new = make_run(definition, self._topics.prefix, key, events, frame, ended_early=ended_early)
                if new.traces:
                    about = {"trigger": new.trigger, "run_key": new.run_key}
                    new = new._replace(traces=out.trace(f"match {new.trigger}", new.traces, new.reached, **about))
                made.append(new)
            except UnrunnableError as error:
                made.append(error)
            except Exception as error:  # noqa: BLE001  (of a match that a tick completed; others are raised again)
                made.append(_failed(match, error))
        written: list[tuple[Run, bytes] | UnrunnableError] = []
        for match, run in zip(matches, made, strict=True):
            if isinstance(run, UnrunnableError):
                written.append(run)
                continue
            out.at = match.record
            try:
                written.append((run, run_record(run)))
            except UnrunnableError as error:
                written.append(error)
            except Exception as error:  # noqa: BLE001  (as above)
                written.append(_failed(match, error))
        results: list[Run | UnrunnableError] = []
        for match, result in zip(matches, written, strict=True):
            if isinstance(result, UnrunnableError):
                results.append(result)
                continue
            run, value = result
            out.at = match.record
            partition = self._partitions.get(run.trigger)
            if partition is None:
                partition = partition_of(run.trigger.encode(), self._topics.partitions)
                self._partitions[run.trigger] = partition
            mark = out.ahead.get(partition) if out.sent < MARKED and may_go_ahead(run, match.definition) else None
            headers = None if mark is None else ((AHEAD, mark),)
            out.send(self._topics.runs, partition, run.run_key.encode(), value, headers)
            results.append(run)
        return results


def may_go_ahead(run: Run, definition: Definition) -> bool:
    """Return whether a run may be sent ahead of the commit of its intent.

    Not so if it gets its parameters from its WorkflowTemplate, since a new owner could not resolve them alike. Nor if
    its trigger has limits or a deadline: they count what the ledger knows.
    """
    limits = definition.trigger.run.limits
    return run.parameters is not None and run.start_by is None and limits.rate is None and limits.storm is None


def _failed(match: RunnableMatch, error: Exception) -> UnrunnableError:
    """Return an exception as the fault of a match that a tick completed: the tick ends other windows, too.

    The exception of any other match is laid to its record: the partners of an arrival go on waiting.
    """
    if isinstance(error, NOT_OF_A_RECORD) or not match.by_tick:
        raise error
    trigger = match.definition.identity
    logger.error("no run of trigger %s can be made", trigger, exc_info=error, extra=about(trigger=trigger))
    return UnrunnableError(failure_text(error))
