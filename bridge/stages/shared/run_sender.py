"""Make and send the runs of matches: the router's matches of one event, and the matcher's.

Several runs are made together, each step for all of them. This is a quarter faster than one run after the other, since
the processor then finds the data of a step in its caches, and run keys are written many at once. Where a step fails for
a match, each match is done again by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.core.event import Event, Micros
from bridge.core.runs.identity import run_keys
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError, identify, run_under
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
        spans = len(out.spans)
        try:
            results = self._made(matches, out)
        except Exception:  # noqa: BLE001  (of one of them, and raised again for that)
            del out.spans[spans:]
            results = [self._made_alone(match, out) for match in matches]
        sent: list[Run | UnrunnableError] = []
        for match, result in zip(matches, results, strict=True):
            if isinstance(result, UnrunnableError):
                sent.append(result)
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
            sent.append(run)
        return sent

    def _made(self, matches: Sequence[RunnableMatch], out: Outbox) -> list[tuple[Run, bytes] | UnrunnableError]:
        """Return for each match its run with its record, or why it cannot be made."""
        prefix = self._topics.prefix
        digests: list[bytes | UnrunnableError] = []
        for definition, key, events, _, frame, ended_early, _ in matches:
            try:
                digests.append(identify(definition, prefix, key, events, frame, ended_early=ended_early))
            except UnrunnableError as error:
                digests.append(error)
        keys = iter(run_keys([digest for digest in digests if not isinstance(digest, UnrunnableError)]))
        made: list[tuple[Run, bytes] | UnrunnableError] = []
        for (definition, key, events, _, frame, _, _), digest in zip(matches, digests, strict=True):
            if isinstance(digest, UnrunnableError):
                made.append(digest)
                continue
            try:
                run = run_under(next(keys), definition, key, events, frame)
                if run.traces:
                    run = _traced(run, out)
                made.append((run, run_record(run)))
            except UnrunnableError as error:
                made.append(error)
        return made

    def _made_alone(self, match: RunnableMatch, out: Outbox) -> tuple[Run, bytes] | UnrunnableError:
        """Return the run of a match and its record, or why there is none; an exception is laid to its record."""
        out.at = match.record
        try:
            return self._made([match], out)[0]
        except Exception as error:  # noqa: BLE001  (of a match that a tick completed; others are raised again)
            return _failed(match, error)


def _traced(run: Run, out: Outbox) -> Run:
    """Return a run that continues the span in which its match was made."""
    about = {"trigger": run.trigger, "run_key": run.run_key}
    return run._replace(traces=out.trace(f"match {run.trigger}", run.traces, run.reached, **about))


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
