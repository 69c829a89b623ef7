"""Which topics a trigger reads: those of its events' names, as the setting ``shared_topics`` has it.

The controller writes a shared topic into the slot, as a part of the condition. So all stages read from ``triggers``
what stands where, whatever they were set to themselves; and a setting that changes is an edit of the triggers that it
concerns, with a start for the topic that they go to and an end of the windows that they leave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial

from bridge.core.trigger import Slot, Trigger
from bridge.triggers.sources import Sourced, Sources
from flowbridge_sdk.shared_topics import SharedTopics
from flowbridge_sdk.topics import topic_of

ReadSources = Callable[[Mapping[str, Sourced]], Sources]
"""Reads all sources, given the triggers in force; see :mod:`bridge.triggers.sources`."""


def slot_topic(slot: Slot) -> str:
    """Return the topic that carries the events of a slot."""
    return slot.shared_topic or topic_of(slot.event)


def topics_of(trigger: Trigger) -> tuple[str, ...]:
    """Return the topics that a trigger reads, each once, in slot order."""
    return tuple(dict.fromkeys(map(slot_topic, trigger.slots)))


def with_shared_topics(read: ReadSources, shared: SharedTopics) -> ReadSources:
    """Return a reading of sources whose triggers know which of their topics are shared; the sources need not."""
    return partial(_read, read, shared)


def _read(read: ReadSources, shared: SharedTopics, in_force: Mapping[str, Sourced]) -> Sources:
    plain = {name: one._replace(trigger=_placed(one.trigger, _NONE)) for name, one in in_force.items()}
    found = read(plain)
    return Sources([one._replace(trigger=_placed(one.trigger, shared)) for one in found.triggers], found.errors)


def _placed(trigger: Trigger, shared: SharedTopics) -> Trigger:
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
