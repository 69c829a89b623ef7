"""What may be wrong with a Kafka cluster: settings of its brokers and topics, rights, and its clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from bridge.cli.doctor.finding import Finding, Severity, TopicFix
from bridge.core.event import SECOND
from bridge.kafka.confluent.examination import AppendTime
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import TopicInfo
from bridge.stages.process import SESSION
from bridge.stages.router.reached_time import is_append_time

TRANSACTION_MS = 10_000
"""Milliseconds that a transaction of the bridge may last."""

_SEVERAL = 3  # brokers from which on one of them may fail
_SHORT_RETENTION_MS = 86_400_000
_CLOCKS_DIFFER_MS = 2_000
_WRITTEN = frozenset({"READ", "WRITE"})


def broker_findings(settings: Mapping[int, Mapping[str, str]], ledger_horizon: timedelta) -> Iterator[Finding]:
    """Yield what is wrong with the settings of brokers.

    Args:
        settings: The settings of each broker, by its number.
        ledger_horizon: How long run keys are remembered.

    """
    for broker, has in settings.items():

        def wrong(
            severity: Severity, setting: str, effect: str, remedy: str, *, of: int = broker, at: Mapping[str, str] = has
        ) -> Finding:
            found = f"{setting} is {at[setting]}: {effect}"
            return Finding("brokers", severity, f"broker {of}", found, remedy)

        if _number(has, "transaction.max.timeout.ms", TRANSACTION_MS) < TRANSACTION_MS:
            effect = "the bridge cannot begin a transaction"
            yield wrong("error", "transaction.max.timeout.ms", effect, f"set it to {TRANSACTION_MS} or more")
        session = SESSION // 1000
        if _number(has, "group.min.session.timeout.ms", 0) > session:
            effect = "the bridge cannot join its groups"
            yield wrong("error", "group.min.session.timeout.ms", effect, f"set it to {session} or less")
        horizon = round(ledger_horizon.total_seconds() / 60)
        if _number(has, "offsets.retention.minutes", horizon) < horizon:
            effect = "a bridge that is away for longer forgets how far it has read"
            yield wrong("error", "offsets.retention.minutes", effect, f"set it to the ledger's horizon, {horizon}")
        if has.get("auto.create.topics.enable") == "true":
            effect = "a name that is mistyped in a program becomes a topic"
            yield wrong("warning", "auto.create.topics.enable", effect, "set it to false")
        if has.get("unclean.leader.election.enable") == "true":
            effect = "records that were acknowledged are lost when a broker fails"
            yield wrong("warning", "unclean.leader.election.enable", effect, "set it to false")
        if len(settings) >= _SEVERAL:
            for setting, least in _REPLICAS.items():
                if _number(has, setting, least) < least:
                    effect = "while one broker is away, the bridge stands still or may lose what it has committed"
                    yield wrong("warning", setting, effect, f"set it to {least}, and reassign the topic")


_REPLICAS = {
    "offsets.topic.replication.factor": 3,
    "transaction.state.log.replication.factor": 3,
    "transaction.state.log.min.isr": 2,
}


def internal_findings(topics: InternalTopics, infos: Mapping[str, TopicInfo], brokers: int) -> Iterator[Finding]:
    """Yield what is wrong with the internal topics; nothing if there are none yet, since the bridge creates them.

    Args:
        topics: The internal topics as the settings want them.
        infos: Those that exist, by name.
        brokers: How many brokers there are.

    """
    if not infos:
        return
    for spec in topics.specs():
        info = infos.get(spec.name)
        if info is None:
            remedy = "start a process of this version with flowbridge run: it creates the topic"
            yield Finding("internal topics", "error", spec.name, "the topic does not exist", remedy)
        elif info.id and info.replication < min(2, brokers):
            found, remedy = "it has one replica", "move it to more brokers with kafka-reassign-partitions"
            yield Finding("internal topics", "warning", spec.name, found, remedy)
    for mismatch in topics.mismatches(infos):
        value = mismatch.expected.split()[-1]
        # With as few replicas as have to be in sync, or fewer, the topic would take no record while one is away.
        is_safe = mismatch.setting != "min.insync.replicas" or infos[mismatch.topic].replication > int(value)
        fix = TopicFix(mismatch.topic, mismatch.setting, value) if "." in mismatch.setting and is_safe else None
        found = f"{mismatch.setting} is {mismatch.found}, needed is {mismatch.expected}"
        yield Finding("internal topics", "error", mismatch.topic, found, mismatch.fix, fix)
    ledger = infos.get(topics.ledger)
    kept = _number(ledger.config, "retention.ms", -1) if ledger is not None else -1
    if 0 <= kept < topics.ledger_retention:
        found = f"retention.ms is {kept}: outcomes of runs go before the ledger's horizon, and a repeat would run again"
        fix = TopicFix(topics.ledger, "retention.ms", str(topics.ledger_retention))
        yield Finding("internal topics", "error", topics.ledger, found, f"set it to {topics.ledger_retention}", fix)


def source_findings(
    names: Sequence[str], infos: Mapping[str, TopicInfo], brokers: int, *, creates: bool
) -> Iterator[Finding]:
    """Yield what is wrong with the topics of events.

    Args:
        names: The topics that triggers read.
        infos: Those that exist, by name.
        brokers: How many brokers there are.
        creates: Whether the bridge creates missing topics.

    """

    def of(topic: str, severity: Severity, found: str, remedy: str) -> Finding:
        return Finding("event topics", severity, topic, found, remedy)

    for name in names:
        info = infos.get(name)
        if info is None:
            if not creates:
                yield of(name, "error", "it does not exist, or may not be described", "create it, or grant DESCRIBE")
            continue
        if not info.id:
            continue  # the embedded broker has no settings to tell
        if "compact" in info.config.get("cleanup.policy", ""):
            found = "cleanup.policy is compact: of two events with one key the older one goes, read or not"
            yield of(name, "error", found, "set cleanup.policy=delete")
        kept = _number(info.config, "retention.ms", -1)
        if 0 <= kept < _SHORT_RETENTION_MS:
            found = f"retention.ms is {kept}: a bridge that is away for longer loses events"
            yield of(name, "warning", found, "set it to the longest time that the bridge may be away, and be replayed")
        if not is_append_time(info):
            setting = info.config.get("message.timestamp.type", "CreateTime")
            found = f"message.timestamp.type is {setting}: when a late event reached the bridge is known to 10 s only"
            yield of(name, "warning", found, "set message.timestamp.type=LogAppendTime")
        if info.replication < min(2, brokers):
            yield of(name, "warning", "it has one replica", "move it to more brokers with kafka-reassign-partitions")
        elif info.replication > 1 and _number(info.config, "min.insync.replicas", 2) < 2:  # noqa: PLR2004 - two copies
            found = "min.insync.replicas is 1: an event that was acknowledged can be lost with one broker"
            yield of(name, "warning", found, "set it to 2")


def right_findings(
    topics: InternalTopics, names: Sequence[str], allowed: Mapping[str, frozenset[str] | None]
) -> Iterator[Finding]:
    """Yield the rights on topics that the account lacks.

    Args:
        topics: The internal topics.
        names: The topics that triggers read.
        allowed: What the account may do with each existing topic; None where the brokers do not tell.

    """
    needed = {spec.name: _WRITTEN for spec in topics.specs()} | {name: frozenset({"READ"}) for name in names}
    for name, operations in needed.items():
        has = allowed.get(name)
        lacking = operations - has if has is not None else frozenset()
        if lacking:
            verbs = " and ".join(sorted(lacking))
            found, remedy = f"the account may not {verbs.lower()}", f"grant {verbs} on the topic"
            yield Finding("rights on topics", "error", name, found, remedy)


def clock_findings(time: AppendTime, clock_skew: timedelta) -> Iterator[Finding]:
    """Yield how far the clock of this machine and that of a broker are apart, if that is too far.

    Args:
        time: A record's times.
        clock_skew: How far clocks may be apart by the settings.

    """
    ahead = time.sent - time.appended  # the broker appended it after it was sent, and before it was acknowledged
    behind = time.appended - time.acknowledged
    apart = max(ahead, behind)
    if apart > _CLOCKS_DIFFER_MS:
        direction = "ahead of" if ahead > behind else "behind"
        found = f"the clock of this machine is {apart / 1000:.1f} s {direction} that of Kafka"
        is_much = apart * 1000 > clock_skew.total_seconds() * SECOND
        yield Finding("clock", "error" if is_much else "warning", "this machine", found, "correct the clocks (NTP)")


def _number(settings: Mapping[str, str], name: str, otherwise: int) -> int:
    """Return a setting as a number; another one if it is not told."""
    text = settings.get(name, "")
    return int(text) if text.removeprefix("-").isdecimal() else otherwise
