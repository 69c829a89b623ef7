"""The topics of a trigger: those of its events' names, as the setting ``shared_topics`` maps them.

The controller writes a shared topic into the slot, as a part of the condition. So all stages take the mapping from
``triggers``, and not from their own settings. A change of the setting is therefore an edit of its triggers. It starts
the new topic and ends the windows on the old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from bridge.core.expressions.expression import recorded
from bridge.core.runs.announcement import announced_names
from bridge.core.trigger import Slot, Trigger
from bridge.triggers.errors import Origin, TriggerError
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.topics import topic_of


def slot_topic(slot: Slot) -> str:
    """Return the topic that carries the events of a slot."""
    return slot.shared_topic or topic_of(slot.event)


def topics_of(trigger: Trigger) -> tuple[str, ...]:
    """Return the topics that a trigger reads, each once, in slot order."""
    return tuple(dict.fromkeys(map(slot_topic, trigger.slots)))


def is_internal(topic: str, internal_prefix: str) -> bool:
    """Return True for a topic of the bridge or of Kafka."""
    return topic.startswith((internal_prefix, "__"))


def internal_topic_error(
    trigger: Trigger, internal_prefix: str, origin: Origin, *, announces_runs: bool
) -> TriggerError | None:
    """Return the error of a trigger that reads a topic of the bridge or of Kafka; None for other triggers.

    A trigger on dead letters, for example, would feed itself: each letter that it cannot read becomes another letter.
    Announcements of runs are for triggers, unless each run of the trigger would start the next one.

    Args:
        trigger: The trigger.
        internal_prefix: The beginning of the names of internal topics.
        origin: Where the trigger was read.
        announces_runs: Runs are announced (the setting ``announce_runs``).

    """
    if not any(is_internal(topic, internal_prefix) for topic in topics_of(trigger)):
        return None
    names = announced_names(internal_prefix)
    for number, slot in enumerate(trigger.slots):
        found = f"{slot.event!r} is not for triggers: {slot_topic(slot)} is a topic of the bridge or of Kafka"
        expected = f"name an event that begins neither with {internal_prefix!r} nor with '__'"
        if slot_topic(slot) in names:
            if announces_runs:
                continue
            found = f"{slot.event!r} is published by no bridge, since the setting announce_runs is off"
            expected = "set FLOWBRIDGE_ANNOUNCE_RUNS=true for all bridges and for this command, or name another event"
        elif not is_internal(slot_topic(slot), internal_prefix):
            continue
        return TriggerError(origin, f"spec.events[{number}].name", found, expected, trigger.identity)
    takes_own = [
        number
        for number, slot in enumerate(trigger.slots)
        if slot_topic(slot) in names and slot.count == 1 and not slot.absent and _takes_runs_of(trigger, slot)
    ]
    if takes_own and len(takes_own) >= trigger.require:
        found = f"{trigger.identity} starts itself without end: each of its runs makes the event of its next run"
        expected = f"leave its own runs out: where: payload.trigger != {trigger.identity!r}"
        return TriggerError(origin, f"spec.events[{takes_own[0]}].where", found, expected, trigger.identity)
    return None


def _takes_runs_of(trigger: Trigger, slot: Slot) -> bool:
    """Return whether a slot surely takes announcements of the trigger's own runs.

    That is known of a slot without a filter, and of one that names the trigger.
    """
    if slot.where is None:
        return True
    asked = recorded(slot.where).equality
    return asked is not None and asked.field == ("payload", ("trigger",)) and trigger.identity in asked.values


def with_shared_topics(source: TriggerSource, shared: SharedTopics) -> TriggerSource:
    """Return a source with the triggers of ``source``, and with the shared topics in their slots."""
    return _Placing(source, shared)


class _Placing(TriggerSource):
    """A source that writes the shared topics into the slots of another source's triggers."""

    def __init__(self, source: TriggerSource, shared: SharedTopics) -> None:
        self._source = source
        self._shared = shared
        self._in_force: Mapping[str, LoadedTrigger] = {}
        self._plain: Mapping[str, LoadedTrigger] = {}
        self._last: tuple[Sources, Sources] | None = None

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        if in_force is not self._in_force:
            self._in_force = in_force
            self._plain = {
                name: replace(loaded, trigger=placed(loaded.trigger, _NONE)) for name, loaded in in_force.items()
            }
        reading = self._source.read(self._plain)
        if self._last is not None and self._last[0] is reading:
            return self._last[1]
        triggers = [replace(loaded, trigger=placed(loaded.trigger, self._shared)) for loaded in reading.triggers]
        self._last = reading, reading._replace(triggers=triggers)
        return self._last[1]

    def tell(self, errors: Sequence[TriggerError]) -> None:
        self._source.tell(errors)

    def rest(self) -> None:
        self._source.rest()


def placed(trigger: Trigger, shared: SharedTopics) -> Trigger:
    """Return the trigger with its shared topics: itself if nothing changes, and else the same object in each call."""
    topics = [shared.shared_topic_for(slot.event) for slot in trigger.slots]
    if topics == [slot.shared_topic for slot in trigger.slots]:
        return trigger
    return _with_topics(trigger, tuple(topics))


@lru_cache(maxsize=10_000)
def _with_topics(trigger: Trigger, topics: tuple[str | None, ...]) -> Trigger:
    slots = [replace(slot, shared_topic=topic) for slot, topic in zip(trigger.slots, topics, strict=True)]
    return replace(trigger, slots=tuple(slots))


_NONE = SharedTopics()
