"""What the submitter writes of a run: entries of the ledger, dead letters, and the decisions that go with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from bridge.core.decision import RunDecision, RunReason
from bridge.core.event import Micros, time_text
from bridge.core.run import Run
from bridge.kafka.log import Record
from bridge.kafka.outbox import Outbox
from bridge.kafka.topics import InternalTopics, partition_of
from bridge.stages.ledger import LedgerPartition, State, encode_entry
from bridge.stages.open_run import OpenRun
from bridge.stages.run_records import dead_letter, encode_run

logger = logging.getLogger(__name__)

_EVENTS_SHOWN = 5


class LedgerWriter:
    """Writes within the transaction of a batch.

    Args:
        topics: The internal topics.
        ledger: The partitions of the ledger that are owned, by number.
        shown_key: Returns the correlation key of a run as it may be shown.

    """

    def __init__(
        self, topics: InternalTopics, ledger: Mapping[int, LedgerPartition], shown_key: Callable[[Run], str]
    ) -> None:
        self._topics = topics
        self._ledger = ledger
        self._shown_key = shown_key

    def write(self, state: State, one: OpenRun, now: Micros, out: Outbox) -> None:
        """Write where a run stands."""
        out.send(self._topics.ledger, one.partition, one.run.run_key.encode(), encode_entry(state, one, now))
        one.written = now

    def park(self, one: OpenRun, reason: str, now: Micros, out: Outbox) -> None:
        """Keep a run that does not start yet, unless the ledger has it already."""
        if one.written is None:
            one.reason = reason
            self.write("parked", one, now, out)
            one.reason = ""

    def done(self, one: OpenRun, reason: RunReason, now: Micros, out: Outbox) -> None:
        """End a run whose Workflow is there."""
        self._end("done", one, reason, _about(one.run, self._shown_key(one.run)), now, out)

    def skip(self, one: OpenRun, evidence: Mapping[str, str], now: Micros, out: Outbox) -> None:
        """End a run of which nothing was made, and nothing will be."""
        one.reason = ", ".join(f"{name} {text}" for name, text in evidence.items())
        self._end("done", one, RunReason.SKIPPED, evidence, now, out)

    def bury(
        self, one: OpenRun, reason: RunReason, text: str, now: Micros, out: Outbox, *, is_said: bool = False
    ) -> None:
        """End a run as a dead letter; ``is_said``: the log has it already."""
        run = one.run
        letter = dead_letter(
            None,
            stage="submitter",
            reason=reason,
            text=text,
            at=now,
            trigger=run.trigger,
            run_key=run.run_key,
            value=one.body or encode_run(run),
        )
        place = run.trigger.encode()
        out.send(self._topics.dead_letters, partition_of(place, self._topics.partitions), place, letter)
        one.reason = text
        self._end("dead", one, reason, {"because": f"{reason}: {text}"}, now, out)
        if not is_said:
            logger.error("run %s/%s is a dead letter (%s): %s", run.namespace, run.name, reason, text)

    def keep(self, record: Record, reason: str, text: str, now: Micros, out: Outbox) -> None:
        """Keep a record that cannot be taken for a run as a dead letter; the caller logs it."""
        letter = dead_letter(record, stage="submitter", reason=reason, text=text, at=now)
        place = record.topic.encode()
        out.send(self._topics.dead_letters, partition_of(place, self._topics.partitions), place, letter)

    def _end(
        self, state: State, one: OpenRun, reason: RunReason, evidence: Mapping[str, str], now: Micros, out: Outbox
    ) -> None:
        one.reason = f"{reason}: {one.reason}" if one.reason else reason
        self._ledger[one.partition].end(one, now)
        self.write(state, one, now, out)
        out.decisions.append(decide(reason, one, {"attempts": str(one.attempts), **evidence}))


def decide(reason: RunReason, one: OpenRun, evidence: Mapping[str, str]) -> RunDecision:
    """Return a decision about a run."""
    run = one.run
    return RunDecision(reason, run.trigger, run.run_key, f"{run.namespace}/{run.name}", evidence)


def _about(run: Run, key: str) -> dict[str, str]:
    """Return the evidence of what a Workflow is for."""
    shown = [f"{event.name} {event.id}" for _, event in run.events[:_EVENTS_SHOWN]]
    if len(run.events) > _EVENTS_SHOWN:
        shown.append(f"and {len(run.events) - _EVENTS_SHOWN} more")
    return {**({"key": key} if key else {}), "events": ", ".join(shown)}


def lateness(one: OpenRun) -> dict[str, str]:
    """Return the evidence that it is too late to start a run."""
    return {"deadline": time_text(one.run.start_by or 0), "reached": time_text(one.run.reached)}
