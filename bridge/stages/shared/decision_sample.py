"""The bounded sample of decisions with their evidence, in the topic ``decisions``.

Every decision is counted; of those alike (one trigger, one reason) so many a minute are also sent to the topic
``decisions``, in the transaction of the batch that made them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bridge.core.decision import Decision, RunDecision
from bridge.core.event import MINUTE, Micros
from bridge.kafka.internal_topics import InternalTopics, partition_of
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import DECISION

ALIKE = 10
"""Decisions of one trigger with one reason that a stage of a process sends along in a minute."""

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

    def send(self, stage: str, out: Outbox) -> None:
        """Send a sample of an outbox's decisions."""
        now = self._clock()
        if now >= self._minute_ends:
            self._minute_ends = now + MINUTE
            self._sent.clear()
        for decision in self._picked(out.decisions):
            place = decision.trigger.encode()
            value = decision_record(stage, decision, now)
            out.send(self._topics.decisions, partition_of(place, self._topics.partitions), place, value)

    def _picked(self, decisions: Iterable[Decision | RunDecision]) -> Iterator[Decision | RunDecision]:
        for decision in decisions:
            kind = (decision.trigger, decision.reason._value_)  # `value` is a call
            sent = self._sent.get(kind, 0)
            if sent < self._alike:
                self._sent[kind] = sent + 1
                yield decision


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
