"""The slots that read an event: by its topic, and in a shared topic also by its name.

In a topic of one name every event is for the slots of that name, and ``ce_type`` does not matter. In a shared topic
most events may be for no slot. One header tells this before anything of the event is decoded. Only a whole CloudEvent
in the value has to be decoded first: it says its name there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from bridge.core.definition import CompiledSlot, Definition
from bridge.core.slot_filters import SlotFilters
from bridge.kafka.log import Headers
from bridge.triggers.topic_mapping import slot_topic
from flowbridge_sdk.payloads.cloudevents import structured_type
from flowbridge_sdk.topics import CONTROL, name_of


class Reading(tuple[tuple[Definition, tuple[CompiledSlot, ...]], ...]):  # noqa: SLOT001 - it has an attribute
    """Definitions that read something, each with the slots that it may fill.

    Attributes:
        filters: Tells which of the slots an event passes.

    """

    filters: SlotFilters

    def __new__(cls, readers: Iterable[tuple[Definition, tuple[CompiledSlot, ...]]] = ()) -> Reading:  # noqa: PYI034 - no class is made of it
        """Index the slots of some definitions."""
        made = super().__new__(cls, readers)
        made.filters = SlotFilters([(definition, slot) for definition, slots in made for slot in slots])
        return made


_NOBODY = Reading()


class _Shared(NamedTuple):
    """The readers of a shared topic.

    Attributes:
        named: Readers by the event's name in UTF-8.
        others: Readers of events of all other names: triggers from before the topic was shared.
        everybody: All readers.

    """

    named: Mapping[bytes, Reading]
    others: Reading
    everybody: Reading


class SlotIndex:
    """The slots of definitions, by topic and name.

    Attributes:
        topics: The topics that are read.
        own: The readers of topics that are not shared, by topic. They read all events of it.

    """

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        by_topic: dict[str, list[tuple[Definition, CompiledSlot]]] = defaultdict(list)
        for definition in definitions:
            for slot in definition.slots:
                by_topic[slot_topic(slot.slot)].append((definition, slot))
        self.topics = frozenset(by_topic)
        self.own: dict[str, Reading] = {}
        self._shared: dict[str, _Shared] = {}
        for topic, slots in by_topic.items():
            if any(slot.slot.shared_topic for _, slot in slots):
                self._shared[topic] = _shared(slots)
            else:
                self.own[topic] = _grouped(slots)

    def named(self, topic: str, name: str, reading: Reading) -> Reading:
        """Return the readers of an event, now that its name is known, among those that its headers left.

        Args:
            topic: Its topic.
            name: Its name.
            reading: The readers that ``of_shared`` returned, or those of a topic that is not shared.

        """
        shared = self._shared.get(topic)
        return reading if shared is None else shared.named.get(name.encode(), shared.others)

    def of_shared(self, topic: str, headers: Headers) -> Reading:
        """Return the readers of an event with these headers in a shared topic; all readers if its name cannot be read.

        A topic that is not shared has no such readers. The name of a whole CloudEvent is not in its headers.
        """
        shared = self._shared.get(topic)
        if shared is None:
            return _NOBODY
        if structured_type(headers) is not None:
            return shared.everybody
        name = None
        for header, content in headers or ():
            if header == "ce_type":
                name = content
        if name is None:
            name = name_of(topic).encode()
        reading = shared.named.get(name)
        if reading is not None:
            return reading
        return shared.others if _is_name(name) else shared.everybody


def _shared(slots: Iterable[tuple[Definition, CompiledSlot]]) -> _Shared:
    everybody = list(slots)
    others = [reader for reader in everybody if not reader[1].slot.shared_topic]
    wanting: dict[str, list[tuple[Definition, CompiledSlot]]] = defaultdict(list)
    for definition, slot in everybody:
        if slot.slot.shared_topic:
            wanting[slot.slot.event].append((definition, slot))
    named = {name.encode(): _grouped([*others, *some]) for name, some in wanting.items()}
    return _Shared(named, _grouped(others), _grouped(everybody))


def _grouped(slots: Iterable[tuple[Definition, CompiledSlot]]) -> Reading:
    grouped: dict[Definition, list[CompiledSlot]] = defaultdict(list)
    for definition, slot in slots:
        grouped[definition].append(slot)
    return Reading([(definition, tuple(compiled)) for definition, compiled in grouped.items()])


@lru_cache(maxsize=512)  # asked for nearly every event without a reader
def _is_name(text: bytes) -> bool:
    try:
        name = text.decode()
        return bool(name) and not CONTROL.search(name)
    except UnicodeDecodeError:
        return False
