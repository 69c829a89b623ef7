"""The topic ``triggers`` as read so far: the triggers that a stage knows, and where their topics begin.

Each stage reads the topic by itself, between its batches. So a definition is applied at a batch boundary, and a stage
knows all of ``triggers`` up to the offset that it commits with its own offsets, and nothing behind it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import bridge
from bridge.core.definition import Definition
from bridge.core.event import Micros
from bridge.core.trigger import Trigger
from bridge.kafka.follower import FollowedEnds, Follower
from bridge.kafka.log import Log, Record
from bridge.kafka.records import DEFINITION, IN_FORCE, SOURCE_ERRORS, START, RecordError, kind_of
from bridge.stages.shared.garbage import leave_alone
from bridge.stages.shared.slot_index import Reading, SlotIndex
from bridge.stages.shared.source_errors import decode_errors
from bridge.triggers.errors import TriggerError

logger = logging.getLogger(__name__)

_KINDS = {kind.name: kind for kind in (DEFINITION, IN_FORCE, START, SOURCE_ERRORS)}  # of records of ``triggers``
_KEPT = 4_096  # definitions that are kept as compiled though no stage knows them
_SIZE = 10  # of a definition, in records of restored state
_MADE_AGAIN = -2  # behind the offsets of a start; to 0.1.0, and to librdkafka, "the beginning" of a partition to come


class UnreadableDefinitionError(RecordError):
    """A record of ``triggers`` that this version cannot read: the process stops before it commits what needs it."""

    def __init__(self, kind: str, name: str, offset: int, error: Exception) -> None:
        super().__init__(
            f"the {kind} of {name} (offset {offset} of triggers) cannot be read by version {bridge.__version__}: "
            f"{error}. A newer version wrote it: upgrade this process. It has committed nothing that depends on it"
        )


class Start(NamedTuple):
    """Where the bridge begins to read a new topic.

    Attributes:
        topic_id: Kafka's id of the topic.
        offsets: First offset by partition; those found later begin at 0.
        written: Offset in ``triggers`` behind this record.
        recreated: Whether the topic was deleted and created again while it was read. Its partitions count from 0
            again, so the id that an event without one is given has the topic's id in it.

    """

    topic_id: str
    offsets: tuple[int, ...]
    written: int
    recreated: bool = False


class Definitions:
    """All definitions, and which are in force.

    Args:
        log: The Kafka cluster.
        topic: The topic ``triggers``.
        clock: A steady clock.
        ends: Asks for the end of the topic, together with those of others; None to ask for this one alone.

    Attributes:
        known: Every definition, by its hash.
        conditions: A definition of every condition, by its hash: all of one condition match alike. It is the one that
            is in force, where one is.
        in_force: The definition in force, by trigger.
        changed: By trigger, the offset behind the record that put its definition in force, or ended it.
        starts: Where reading begins, by topic.
        recreated: Kafka's id of each topic that was made again, by name; nearly always empty.
        origins: Where each definition was last read from, by hash, as text.
        errors: What is wrong with the sources of triggers, by place.

    """

    def __init__(self, log: Log, topic: str, clock: Callable[[], Micros], ends: FollowedEnds | None = None) -> None:
        self._follower = Follower(log, topic, clock, self._apply, ends)
        self.known: dict[str, Definition] = {}
        self.conditions: dict[str, Definition] = {}
        self.in_force: dict[str, Definition] = {}
        self.changed: dict[str, int] = {}
        self.starts: dict[str, Start] = {}
        self.recreated: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        self.errors: dict[str, tuple[TriggerError, ...]] = {}
        self._early: dict[str, tuple[str, int]] = {}  # put in force before their definition was read; hash and offset
        self._readers = SlotIndex()
        self._unfrozen = 0  # definitions that collections of garbage visit

    @property
    def offset(self) -> int:
        """Offset in ``triggers`` up to which all is applied."""
        return self._follower.offset

    def refresh_when_due(self) -> bool:
        """Read on, if the last time is long enough ago; return whether new records were read.

        Raises:
            LogError: Kafka did not answer.
            UnreadableDefinitionError: A newer version has written something that this one cannot read.

        """
        return self._index(is_new=self._follower.read_when_due())

    def refresh(self, *, to_true_end: bool = False) -> bool:
        """Read ``triggers`` on; return whether new records were read.

        Args:
            to_true_end: Read to the high watermark, and wait for a transaction that is still open there. The process
                that writes ``triggers`` needs it: the marker of its own last commit may be late, and what it does not
                see it would write again, such as the start of a topic. Otherwise reading ends at the last stable
                offset: what a transaction holds open is no definition yet, and nothing in the log was made by it.

        Raises:
            LogError: Kafka did not answer, or a transaction stayed open for longer than the reader waits.
            UnreadableDefinitionError: A newer version has written something that this one cannot read.

        """
        return self._index(is_new=self._follower.read_on(to_true_end=to_true_end))

    def _index(self, *, is_new: bool) -> bool:
        """Index the definitions in force by the topics that they read, if records were read; return ``is_new``."""
        for name, (definition, offset) in self._early.items():
            raise UnreadableDefinitionError("trigger", name, offset, KeyError(definition))
        if is_new:
            self._readers = SlotIndex(self.in_force.values())
            if leave_alone(self._unfrozen * _SIZE):
                self._unfrozen = 0
        return is_new

    def reading(self, record: Record) -> Reading:
        """Return the definitions in force that read a record, each with the slots that its event may fill.

        In a topic that several names share, the name in its header decides.
        """
        return self._readers.own.get(record.topic) or self._readers.of_shared(record.topic, record.headers)

    def reading_named(self, topic: str, name: str, reading: Reading) -> Reading:
        """Return those of the definitions that read a record which its event may fill, now that its name is known."""
        return self._readers.named(topic, name, reading)

    def id_of(self, record: Record, read: str) -> str:
        """Return the id of a record's event, given the one that is ``read`` from its headers.

        Only an event without an id of its own, in a topic that was made again, has another one: the topic's id stands
        behind its place. An event of the old topic in the same place is then another event.
        """
        topic_id = self.recreated.get(record.topic)
        if topic_id is None or any(name == "ce_id" for name, _ in record.headers or ()):
            return read
        return f"{read}/{topic_id}"

    def topics(self) -> frozenset[str]:
        """Return the topics that definitions in force read."""
        return self._readers.topics

    def is_in_force(self, trigger: str, condition: str) -> bool:
        """Return True if the definition of a trigger that is in force has this condition."""
        definition = self.in_force.get(trigger)
        return definition is not None and definition.condition_hash == condition

    def close(self) -> None:
        """Close the clients."""
        self._follower.close()

    def _apply(self, record: Record) -> None:
        if record.key is None:
            return
        kind, _, name = record.key.decode().partition(":")
        name = sys.intern(name)  # each stage of the process keeps it
        if record.value is None:
            if kind == "definition":
                self.known.pop(name, None)
            elif kind == "start":
                self.starts.pop(name, None)
                self.recreated.pop(name, None)
            elif kind == "errors":
                self.errors.pop(name, None)
            return
        try:
            written = kind_of(record.value)
            fields = _KINDS[written].decode(record.value)
            if written == "definition":
                self._define(name, fields)
            elif written == "in_force":
                self._enforce(name, fields["definition"], record.offset)
            elif written == "start":
                offsets = tuple(fields["offsets"])
                recreated = offsets[-1:] == (_MADE_AGAIN,)
                first = offsets[:-1] if recreated else offsets
                self.starts[name] = Start(fields["topic_id"], first, record.offset + 1, recreated)
                self.recreated.pop(name, None)
                if recreated:
                    self.recreated[name] = fields["topic_id"]
            else:
                self.errors[name] = decode_errors(fields)
        except (RecordError, KeyError, TypeError, ValueError) as error:
            if kind == "errors":  # no decision depends on it
                logger.warning("offset %d of triggers (errors of %s) cannot be read: %s", record.offset, name, error)
                return
            # Without this record the stage would not process the events that belong to it.
            raise UnreadableDefinitionError(kind, name, record.offset, error) from error

    def _define(self, name: str, fields: Mapping[str, Any]) -> None:
        definition = _compiled(fields["spec"])
        self._unfrozen += 1
        self.known[name] = definition
        self.conditions[definition.condition_hash] = definition
        self.origins[name] = sys.intern(fields["origin"])
        for trigger in [trigger for trigger, (awaited, _) in self._early.items() if awaited == name]:
            del self._early[trigger]
            self.in_force[trigger] = definition

    def _enforce(self, name: str, definition: str | None, offset: int) -> None:
        self.changed[name] = offset + 1
        self._early.pop(name, None)
        if definition is None:
            self.in_force.pop(name, None)
        elif definition in self.known:
            known = self.known[definition]
            self.in_force[name] = self.conditions[known.condition_hash] = known
        else:  # its definition was written again since, and compaction kept the newer record alone
            self._early[name] = (definition, offset)


_definitions: WeakValueDictionary[bytes, Definition] = WeakValueDictionary()  # by the hash of their texts
_newest: deque[Definition] = deque(maxlen=_KEPT)  # a stage that starts over finds these compiled


def _compiled(spec: str) -> Definition:
    """Return a definition, compiled once for all stages of the process, however many there are."""
    name = hashlib.sha256(spec.encode()).digest()
    definition = _definitions.get(name)
    if definition is None:
        definition = _definitions[name] = Definition(Trigger.from_json(json.loads(spec)).shared())
        _newest.append(definition)
    return definition


def encode_start(topic: str, start: Start, at: Micros) -> bytes:
    """Return the record of a start; 0.1.0 reads it as well, and sees the same offsets in it."""
    offsets = [*start.offsets, _MADE_AGAIN] if start.recreated else list(start.offsets)
    return START.encode({"topic": topic, "topic_id": start.topic_id, "offsets": offsets, "at": at})


def definition_key(definition: str) -> bytes:
    """Return the record key of a definition, by its hash."""
    return f"definition:{definition}".encode()


def in_force_key(trigger: str) -> bytes:
    """Return the record key of what is in force of a trigger."""
    return f"trigger:{trigger}".encode()


def start_key(topic: str) -> bytes:
    """Return the record key of a topic's start."""
    return f"start:{topic}".encode()


def errors_key(place: str) -> bytes:
    """Return the record key of what is wrong with a place that triggers come from."""
    return f"errors:{place}".encode()
