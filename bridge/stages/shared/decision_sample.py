"""The bounded sample of decisions with their evidence, in the topic ``decisions``.

Every decision is counted. Of the decisions that are alike (one trigger, one reason), the first few in each minute are
also sent to the topic ``decisions``, in the transaction of the batch that made them. Where many slots have filtered an
event out, the sample has a part of their decisions, of other slots each time.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.decision import Decision, RunDecision
from bridge.core.event import MINUTE, Micros
from bridge.core.slot_filters import SlotFilters
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import DECISION

ALIKE = 10
"""Decisions of one trigger with one reason that a stage of a process sends along in a minute."""

AT_ONCE = 100
"""Slots that have filtered an event out, and whose decisions about it are sent along."""

_EVIDENCE_LIMIT = 1_000  # characters of one piece


class DecisionSample:
    """Picks decisions and sends them.

    Args:
        topics: The internal topics.
        clock: The process's clock.
        alike: How many of a kind a minute.

    """

    def __init__(self, topics: InternalTopics, clock: Callable[[], Micros], alike: int = ALIKE) -> None:
        self._topics = topics
        self._clock = clock
        self._alike = alike
        self._minute_ends: Micros = 0
        self._sent: dict[tuple[str, str], int] = {}
        self._events: dict[SlotFilters, int] = {}  # events that some slots have filtered out
        self._turn = 0

    def send(self, stage: str, out: Outbox) -> None:
        """Send a sample of an outbox's decisions."""
        now = self._clock()
        if now >= self._minute_ends:
            self._minute_ends = now + MINUTE
            self._sent.clear()
            self._events.clear()
        sent = self._sent
        if any(sent.get(kind, 0) < self._alike for kind in out.decisions.tally()):
            for decision in out.decisions.made:
                self._offer(stage, decision, now, out)
        for filters, rejections in out.decisions.rejections.items():
            events, count = self._events.get(filters, 0), len(filters.places)
            for rejection in rejections[: max(0, self._alike - events)]:
                events += 1
                numbers = [(self._turn + number) % count for number in range(min(AT_ONCE, count))]
                self._turn += AT_ONCE
                for decision in rejection.decisions(filters, numbers):
                    self._offer(stage, decision, now, out)
            self._events[filters] = events

    def _offer(self, stage: str, decision: Decision | RunDecision, now: Micros, out: Outbox) -> None:
        """Send a decision, unless enough of its kind were sent in this minute."""
        kind = (decision.trigger, decision.reason._value_)  # `value` is a call
        sent = self._sent.get(kind, 0)
        if sent < self._alike:
            self._sent[kind] = sent + 1
            place = decision.trigger.encode()
            value = decision_record(stage, decision, now)
            out.send(self._topics.decisions, partition_of(place, self._topics.partitions), place, value)


def decision_record(stage: str, decision: Decision | RunDecision, at: Micros) -> bytes:
    """Return the record of a decision that a stage made."""
    fields = {
        "stage": stage,
        "at": at,
        "reason": decision.reason.value,
        "trigger": decision.trigger,
        "evidence": {name: text[:_EVIDENCE_LIMIT] for name, text in decision.evidence.items()},
        "slot": "",
        "name": "",
        "source": "",
        "id": "",
        "key": "",
        "run_key": "",
        "workflow": "",
    }
    if isinstance(decision, RunDecision):
        fields |= {"run_key": decision.run_key, "workflow": decision.workflow}
    else:
        fields |= {"slot": decision.slot, "key": decision.key, **decision.event._asdict()}
    return DECISION.encode(fields)
