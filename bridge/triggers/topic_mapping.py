"""Which topics a trigger reads: those of its events' names, as the setting ``shared_topics`` has it.

The controller writes a shared topic into the slot, as a part of the condition. So all stages read from ``triggers``
what stands where, whatever they were set to themselves; and a setting that changes is an edit of the triggers that it
concerns, with a start for the topic that they go to and an end of the windows that they leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from bridge.core.trigger import Slot, Trigger
from bridge.triggers.errors import Origin, TriggerError
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from flowbridge_sdk.shared_topics import SharedTopics
from flowbridge_sdk.topics import topic_of


def slot_topic(slot: Slot) -> str:
    """Return the topic that carries the events of a slot."""
    return slot.shared_topic or topic_of(slot.event)


def topics_of(trigger: Trigger) -> tuple[str, ...]:
    """Return the topics that a trigger reads, each once, in slot order."""
    return tuple(dict.fromkeys(map(slot_topic, trigger.slots)))


def is_internal(topic: str, internal_prefix: str) -> bool:
    """Return whether a topic is the bridge's own, or Kafka's."""
    return topic.startswith((internal_prefix, "__"))


def internal_topic_error(trigger: Trigger, internal_prefix: str, origin: Origin) -> TriggerError | None:
    """Return what is wrong with a trigger that reads a topic of the bridge or of Kafka; None for others.

    A trigger on dead letters, say, would feed itself: each letter that it cannot read becomes another one.
    """
    for number, slot in enumerate(trigger.slots):
        if is_internal(slot_topic(slot), internal_prefix):
            found = f"{slot.event!r} is not for triggers: {slot_topic(slot)} is a topic of the bridge or of Kafka"
            right = f"name an event that begins neither with {internal_prefix!r} nor with '__'"
            return TriggerError(origin, f"spec.events[{number}].name", found, right, trigger.identity)
    return None


def with_shared_topics(source: TriggerSource, shared: SharedTopics) -> TriggerSource:
    """Return a source whose triggers know which of their topics are shared; ``source`` need not."""
    return _Placing(source, shared)


class _Placing(TriggerSource):
    """A source behind which the shared topics are written into the slots."""

    def __init__(self, source: TriggerSource, shared: SharedTopics) -> None:
        self._source = source
        self._shared = shared

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        plain = {name: replace(sourced, trigger=placed(sourced.trigger, _NONE)) for name, sourced in in_force.items()}
        found = self._source.read(plain)
        triggers = [replace(trigger, trigger=placed(trigger.trigger, self._shared)) for trigger in found.triggers]
        return found._replace(triggers=triggers)

    def tell(self, errors: Sequence[TriggerError]) -> None:
        self._source.tell(errors)

    def rest(self) -> None:
        self._source.rest()


def placed(trigger: Trigger, shared: SharedTopics) -> Trigger:
    """Return the trigger with its shared topics; the same object where nothing changes, and each time again."""
    topics = [shared.shared_topic_for(slot.event) for slot in trigger.slots]
    if topics == [slot.shared_topic for slot in trigger.slots]:
        return trigger
    return _with_topics(trigger, tuple(topics))


@lru_cache(maxsize=10_000)
def _with_topics(trigger: Trigger, topics: tuple[str | None, ...]) -> Trigger:
    slots = [replace(slot, shared_topic=topic) for slot, topic in zip(trigger.slots, topics, strict=True)]
    return replace(trigger, slots=tuple(slots))


_NONE = SharedTopics()
