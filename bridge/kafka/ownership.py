"""The owner of a partition, stored as metadata of each committed offset.

A stage's process writes with one transactional id. The note at an offset names the id that last owned the partition,
until this owner releases it in good order. So a new owner knows which id to fence. After that, an open transaction of
the former owner has been committed or aborted, and the committed offset is the true one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from bridge.kafka.log import Admin, Committed, Partition


@dataclass(frozen=True, slots=True)
class Member:
    """The names under which a stage of a process takes part in its group.

    Attributes:
        group: The stage's consumer group.
        transactional_id: Unique for the process and the stage.
        instance: Static member name; None for a dynamic member.

    """

    group: str
    transactional_id: str
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """The text that is committed with an offset.

    Attributes:
        owner: Transactional id of the partition's owner; empty once the partition is released.
        triggers: Offset of ``triggers`` up to which the owner had applied the definitions.
        topic_id: Kafka's id of the partition's topic; empty where the broker tells none.
        alone: 1 if the record at the offset is processed alone, since a former owner ended without releasing it; 2 if
            its owner then ended that way, too (:mod:`bridge.kafka.suspects`). It is written as that number of spaces
            after the JSON, which 0.1.0 ignores.
        is_tried: A former owner may have acted outside of Kafka on the first record from the offset on: its last batch
            was not committed, or it ended without releasing the partition. It is written as a tab after the JSON,
            which 0.1.0 ignores, too.

    """

    owner: str = ""
    triggers: int = 0
    topic_id: str = ""
    alone: int = 0
    is_tried: bool = False

    def text(self) -> str:
        """Return the note as it is committed."""
        text = json.dumps([self.owner, self.triggers, self.topic_id], separators=(",", ":"))
        return text + " " * self.alone + "\t" * self.is_tried


def read_note(committed: Committed | None) -> Note:
    """Return the note at an offset; an empty note if there is none, or a text of another program."""
    return Note() if committed is None or not committed.metadata else _parsed(committed.metadata)


@lru_cache(maxsize=4096)  # the loop looks at the notes of its partitions all the time
def _parsed(text: str) -> Note:
    try:
        owner, triggers, topic_id = json.loads(text)
        marks = text[len(text.rstrip(" \t")) :]
        return Note(str(owner), int(triggers), str(topic_id), marks.count(" "), "\t" in marks)
    except (ValueError, TypeError):
        return Note()


def disown(committed: Committed, *, is_tried: bool = False) -> Committed:
    """Return the same offset without an owner; the rest of the note still belongs to it.

    Args:
        committed: The offset, with its owner's note.
        is_tried: This owner, too, may have acted on the first record from there on.

    """
    note = read_note(committed)
    return Committed(committed.offset, replace(note, owner="", alone=0, is_tried=note.is_tried or is_tried).text())


def take_over(
    admin: Admin, group: str, partitions: Iterable[Partition], transactional_id: str
) -> Mapping[Partition, Committed]:
    """Fence the former owners of partitions, and return the offsets that are committed after that.

    Partitions without a committed offset are left out.

    Raises:
        LogError: Kafka did not answer; nothing is lost by trying again.

    """
    wanted = tuple(partitions)
    fenced = {"", transactional_id}
    while True:
        # Answers at once even while a former owner's transaction is open, with the offset (and owner) before it.
        owners = {read_note(note).owner for note in admin.committed(group, wanted, stable=False).values()} - fenced
        for owner in sorted(owners):
            admin.fence(owner)
        fenced |= owners
        committed = admin.committed(group, wanted, stable=True)
        if {read_note(note).owner for note in committed.values()} <= fenced:
            return committed
