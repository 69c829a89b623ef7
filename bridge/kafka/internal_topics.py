"""The internal topics of an installation: their names, their settings, and the checks at every start.

All names share a prefix, which is the installation's identity. The rule that gives a key its partition never changes:
windows, ledger and their inputs meet in partitions of the same number, and this rule placed all records in the log.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.core.runs.announcement import announced_names
from bridge.kafka.log import LARGEST_RECORD, TopicSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.kafka.log import Admin, TopicInfo

PREFIX = "flowbridge."
PARTITIONS = 24

_DAY = 86_400_000
_BATCH_OVERHEAD = 1_024  # bytes of a batch around its only record
_EVERYWHERE = {
    "message.timestamp.type": "LogAppendTime",  # when an arrival was appended is the upper bound of when it reached us
    "max.message.bytes": str(LARGEST_RECORD + _BATCH_OVERHEAD),
}
_STATE = {"cleanup.policy": "compact"}
_MEMORY = {"cleanup.policy": "compact,delete"}  # the ledger forgets by age what no record has touched
_PURGED = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}  # by offset, never by time
_BOUNDED = {"cleanup.policy": "delete"}

# Good values for a new topic that an operator may change; they are not checked.
_QUICK_COMPACTION = {"min.cleanable.dirty.ratio": "0.2", "segment.bytes": str(64 * 1024 * 1024)}
_A_DAY = {"retention.ms": str(_DAY), "retention.bytes": str(128 * 1024 * 1024)}
_A_WEEK = {"retention.ms": str(7 * _DAY), "retention.bytes": "-1"}
_A_MONTH = {"retention.ms": str(30 * _DAY), "retention.bytes": str(256 * 1024 * 1024)}

_AT_LEAST = frozenset({"max.message.bytes", "min.insync.replicas"})
_DURABLE_REPLICAS = 2


def partition_of(key: bytes | str, count: int) -> int:
    """Return the partition, of ``count``, that a key belongs to: the CRC-32 of its bytes (text in UTF-8), modulo.

    It is librdkafka's ``consistent`` partitioner, and never changes for an installation.
    """
    return zlib.crc32(key.encode() if isinstance(key, str) else key) % count


@dataclass(frozen=True)
class Mismatch:
    """A setting of an internal topic that is not as the stages need it."""

    topic: str
    setting: str
    found: str
    expected: str
    fix: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, needed is {self.expected}. {self.fix}"


class TopicMismatchError(Exception):
    """Internal topics exist with settings that the stages cannot use. ``mismatches`` has one entry for each setting."""

    def __init__(self, mismatches: tuple[Mismatch, ...]) -> None:
        lines = "\n".join(f"  {mismatch}" for mismatch in mismatches)
        super().__init__(f"internal topics are not as Flowbridge needs them:\n{lines}")
        self.mismatches = mismatches


@dataclass(frozen=True)
class InternalTopics:
    """The internal topics.

    Attributes:
        prefix: The beginning of all their names.
        partitions: Partition count of every topic but ``triggers``, ``replays`` and ``holds``, which have one.
        replication: Replicas of each partition; -1 leaves it, and min.insync.replicas, to the brokers.
        ledger_retention: Milliseconds that the ledger keeps the outcome of a run; longer than the ledger's horizon.
        announces_runs: Runs are announced, so there are topics for that.

    """

    prefix: str = PREFIX
    partitions: int = PARTITIONS
    replication: int = -1
    ledger_retention: int = 8 * _DAY
    announces_runs: bool = False

    @property
    def arrivals(self) -> str:
        """Events that passed a slot's filter, and ticks; by (trigger, correlation key)."""
        return self.prefix + "arrivals"

    @property
    def windows(self) -> str:
        """The matcher's changelog, with the same partitions as ``arrivals``."""
        return self.prefix + "windows"

    @property
    def runs(self) -> str:
        """Runs to be submitted; by trigger."""
        return self.prefix + "runs"

    @property
    def ledger(self) -> str:
        """The outcome of each run key, with the same partitions as ``runs``."""
        return self.prefix + "ledger"

    @property
    def triggers(self) -> str:
        """Definitions, retirements and start offsets."""
        return self.prefix + "triggers"

    @property
    def dead_letters(self) -> str:
        """Records that a stage gave up, and why."""
        return self.prefix + "dead-letters"

    @property
    def decisions(self) -> str:
        """The bounded sample of decisions."""
        return self.prefix + "decisions"

    @property
    def retries(self) -> str:
        """Marks of the dead letters that were sent back, with the same partitions as ``dead-letters``."""
        return self.prefix + "retries"

    @property
    def replays(self) -> str:
        """The replays, each with its state and its progress."""
        return self.prefix + "replays"

    @property
    def holds(self) -> str:
        """What people hold and release; by scope."""
        return self.prefix + "holds"

    @property
    def replay_plans(self) -> str:
        """The runs that replays are to start; by replay."""
        return self.prefix + "replay-plans"

    @property
    def announcements(self) -> tuple[str, ...]:
        """The events about runs, with the same partitions as ``runs``; none unless runs are announced.

        They alone of the internal topics are for triggers to read.
        """
        return announced_names(self.prefix) if self.announces_runs else ()

    def specs(self) -> tuple[TopicSpec, ...]:
        """Return the topics with their settings at creation."""
        needed = self._needed()
        chosen = {
            self.arrivals: {},
            self.windows: _QUICK_COMPACTION,
            self.runs: {},
            self.ledger: {**_QUICK_COMPACTION, "retention.ms": str(self.ledger_retention)},
            # What was in force when is known for as long as the ledger knows what ran.
            self.triggers: {**_QUICK_COMPACTION, "min.compaction.lag.ms": str(self.ledger_retention)},
            self.dead_letters: _A_MONTH,
            self.decisions: _A_DAY,
            self.retries: _A_MONTH,
            self.replays: _QUICK_COMPACTION,
            self.holds: _QUICK_COMPACTION,
            self.replay_plans: _A_WEEK,
            **dict.fromkeys(self.announcements, _A_WEEK),
        }
        return tuple(
            TopicSpec(name, self._count(name), self.replication, {**more, **needed[name]})
            for name, more in chosen.items()
        )

    def ensure(self, admin: Admin) -> None:
        """Create the missing topics, then check all of them.

        The embedded broker tells neither ids nor settings, so its topics are not checked.

        Raises:
            TopicMismatchError: Some topics have other settings. The error lists every setting and its fix.
            LogError: Kafka did not answer, or refused to create them.

        """
        specs = self.specs()
        names = [spec.name for spec in specs]
        infos = admin.describe(names)
        missing = [spec for spec in specs if spec.name not in infos]
        if missing:
            admin.create(missing)
            infos = admin.describe(names)
        mismatches = self.mismatches(infos)
        if mismatches:
            raise TopicMismatchError(tuple(mismatches))

    def mismatches(self, infos: Mapping[str, TopicInfo]) -> list[Mismatch]:
        """Return each setting of existing internal topics that the stages cannot use.

        Args:
            infos: The topics as they are, by name.

        """
        mismatches: list[Mismatch] = []
        for name, info in infos.items():
            if not info.id:
                continue  # the embedded broker
            count = self._count(name)
            if info.partitions != count:
                fix = "Delete the topic: it is written again from the triggers' sources."
                if name == self.replays:
                    fix = "Delete the topic while no replay runs. The earlier replays are forgotten then."
                if name == self.holds:
                    fix = "Delete the topic. All that is held starts then, unless it is held again."
                if name in self.announcements:
                    fix = "Delete the topic: it is made again at the next start. The events in it are gone then."
                elif count > 1:
                    fix = (
                        f"Set FLOWBRIDGE_PARTITIONS={info.partitions} if the installation was begun with that; the "
                        "count of an installation cannot be changed, so another one needs another "
                        "FLOWBRIDGE_INTERNAL_PREFIX."
                    )
                mismatches.append(Mismatch(name, "partition count", str(info.partitions), str(count), fix))
            if info.replication < self.replication:
                fix = "Move it to more brokers with kafka-reassign-partitions, or set the replication that it has."
                least = f"at least {self.replication}"
                mismatches.append(Mismatch(name, "replication", str(info.replication), least, fix))
            for setting, needed in self._needed()[name].items():
                value, is_least = info.config.get(setting, "unknown"), setting in _AT_LEAST
                if value == needed or (is_least and value.isdecimal() and int(value) >= int(needed)):
                    continue
                command = f"kafka-configs --alter --entity-type topics --entity-name {name}"
                fix = f"Run {command} --add-config {setting}={needed}"
                mismatches.append(Mismatch(name, setting, value, f"at least {needed}" if is_least else needed, fix))
        return mismatches

    def _count(self, name: str) -> int:
        return 1 if name in (self.triggers, self.replays, self.holds) else self.partitions

    def _needed(self) -> dict[str, dict[str, str]]:
        kinds = {
            self.arrivals: _PURGED,
            self.windows: _STATE,
            self.runs: _PURGED,
            self.ledger: _MEMORY,
            self.triggers: _STATE,
            self.dead_letters: _BOUNDED,
            self.decisions: _BOUNDED,
            self.retries: _BOUNDED,
            self.replays: _STATE,
            self.holds: _STATE,
            self.replay_plans: _BOUNDED,
            **dict.fromkeys(self.announcements, _BOUNDED),
        }
        durable = {"min.insync.replicas": str(min(_DURABLE_REPLICAS, self.replication - 1))}
        everywhere = _EVERYWHERE | durable if self.replication > 1 else _EVERYWHERE
        return {name: everywhere | kind for name, kind in kinds.items()}
