"""The doctor's rules: each fault alone is found, with what to do about it, and a healthy set-up has no finding."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest

from bridge.cli.doctor.brokers import (
    broker_findings,
    clock_findings,
    internal_findings,
    right_findings,
    source_findings,
)
from bridge.cli.doctor.finding import TopicFix
from bridge.cli.doctor.machine import memory_limit, room_findings, schema_findings
from bridge.cli.doctor.rights import Right, access_findings, needed_rights
from bridge.cluster.responses import Answer, Unknown
from bridge.errors import KubernetesRefusedError, KubernetesUnreachableError
from bridge.kafka.confluent.examination import AppendTime
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import TopicInfo
from bridge.settings.settings import load_settings

WEEK = timedelta(days=7)
TOPICS = InternalTopics("fb.", 4)
GIB = 1024**3
BROKER = {
    "transaction.max.timeout.ms": "900000",
    "group.min.session.timeout.ms": "6000",
    "offsets.retention.minutes": "10080",
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}


def infos(replication: int = 2) -> dict[str, TopicInfo]:
    """Return the internal topics as the bridge creates them."""
    return {spec.name: TopicInfo(spec.name, "id", spec.partitions, replication, spec.config) for spec in TOPICS.specs()}


def source(**changes: Any) -> dict[str, TopicInfo]:
    config = {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2",
    }
    config |= {name.replace("_", "."): value for name, value in changes.items() if name != "replication"}
    return {"orders": TopicInfo("orders", "id", 4, changes.get("replication", 3), config)}


def test_brokers_that_are_set_well_have_no_finding() -> None:
    assert list(broker_findings({1: BROKER, 2: BROKER, 3: BROKER}, WEEK)) == []
    assert list(broker_findings({1: {}}, WEEK)) == []  # a broker that tells nothing is not accused


@pytest.mark.parametrize(
    ("setting", "value", "severity", "effect"),
    [
        ("transaction.max.timeout.ms", "5000", "error", "cannot begin a transaction"),
        ("group.min.session.timeout.ms", "10000", "error", "cannot join its groups"),
        ("offsets.retention.minutes", "1440", "error", "forgets how far it has read"),
        ("auto.create.topics.enable", "true", "warning", "mistyped"),
        ("unclean.leader.election.enable", "true", "warning", "are lost"),
        ("offsets.topic.replication.factor", "1", "warning", "while one broker is away"),
        ("transaction.state.log.min.isr", "1", "warning", "while one broker is away"),
    ],
)
def test_a_setting_of_one_broker_that_will_do_harm_is_found(
    setting: str, value: str, severity: str, effect: str
) -> None:
    (found,) = broker_findings({1: BROKER, 2: BROKER | {setting: value}, 3: BROKER}, WEEK)
    assert (found.check, found.severity, found.subject) == ("brokers", severity, "broker 2")
    assert found.found.startswith(f"{setting} is {value}: ")
    assert effect in found.found


def test_a_single_broker_is_not_asked_for_three_replicas() -> None:
    assert list(broker_findings({1: BROKER | {"offsets.topic.replication.factor": "1"}}, WEEK)) == []


def test_internal_topics_as_the_bridge_creates_them_have_no_finding() -> None:
    assert list(internal_findings(TOPICS, infos(), 3)) == []
    assert list(internal_findings(TOPICS, {}, 3)) == []  # before the first start
    assert list(internal_findings(TOPICS, infos(replication=1), 1)) == []


def test_internal_topics_that_are_missing_or_set_otherwise_are_found_with_the_fix() -> None:
    there = infos()
    del there["fb.retries"]
    for name, setting, value in (("windows", "cleanup.policy", "delete"), ("ledger", "retention.ms", "1000")):
        info = there[f"fb.{name}"]
        there[info.name] = replace(info, config={**info.config, setting: value})
    there["fb.runs"] = replace(there["fb.runs"], partitions=9)
    there["fb.decisions"] = replace(there["fb.decisions"], replication=1)
    found = {(each.subject, each.severity, each.fix) for each in internal_findings(TOPICS, there, 3)}
    assert found == {
        ("fb.retries", "error", None),
        ("fb.windows", "error", TopicFix("fb.windows", "cleanup.policy", "compact")),
        ("fb.ledger", "error", TopicFix("fb.ledger", "retention.ms", str(TOPICS.ledger_retention))),
        ("fb.runs", "error", None),  # the partition count of an installation cannot be changed
        ("fb.decisions", "warning", None),
    }


@pytest.mark.parametrize(("replication", "is_fixed"), [(1, False), (2, False), (3, True)])
def test_replicas_in_sync_are_not_set_where_a_topic_would_take_no_record_then(
    *, replication: int, is_fixed: bool
) -> None:
    topics = replace(TOPICS, replication=3)
    there = {spec.name: TopicInfo(spec.name, "id", spec.partitions, 3, spec.config) for spec in topics.specs()}
    runs = there["fb.runs"]
    there["fb.runs"] = replace(runs, replication=replication, config={**runs.config, "min.insync.replicas": "1"})
    fixes = {each.fix for each in internal_findings(topics, there, 3) if each.found.startswith("min.insync.replicas")}
    assert fixes == {TopicFix("fb.runs", "min.insync.replicas", "2") if is_fixed else None}


def test_topics_of_events_that_are_set_well_have_no_finding() -> None:
    assert list(source_findings(["orders"], source(), 3, creates=True)) == []
    assert list(source_findings(["absent"], {}, 3, creates=True)) == []  # the bridge creates it
    unknown = {"orders": TopicInfo("orders", "", 4, 1, {})}
    assert list(source_findings(["orders"], unknown, 3, creates=True)) == []  # the embedded broker


@pytest.mark.parametrize(
    ("changes", "severity", "text"),
    [
        ({"cleanup_policy": "compact,delete"}, "error", "cleanup.policy is compact"),
        ({"retention_ms": "60000"}, "warning", "retention.ms is 60000"),
        ({"message_timestamp_type": "CreateTime"}, "warning", "message.timestamp.type is CreateTime"),
        ({"min_insync_replicas": "1"}, "warning", "min.insync.replicas is 1"),
        ({"replication": 1}, "warning", "it has one replica"),
    ],
)
def test_a_topic_of_events_that_will_lose_some_is_found(changes: dict[str, Any], severity: str, text: str) -> None:
    (found,) = source_findings(["orders"], source(**changes), 3, creates=True)
    assert (found.subject, found.severity) == ("orders", severity)
    assert text in found.found


def test_a_missing_topic_is_an_error_where_the_bridge_creates_none() -> None:
    (found,) = source_findings(["absent"], {}, 3, creates=False)
    assert (found.subject, found.severity) == ("absent", "error")


def test_rights_on_topics_that_the_account_lacks_are_found() -> None:
    every = frozenset({"READ", "WRITE", "DESCRIBE"})
    allowed: dict[str, frozenset[str] | None] = {spec.name: every for spec in TOPICS.specs()}
    assert list(right_findings(TOPICS, ["orders"], {**allowed, "orders": frozenset({"READ"})})) == []
    assert list(right_findings(TOPICS, ["orders"], dict.fromkeys(allowed))) == []  # brokers that do not tell
    lacking = {**allowed, "fb.runs": frozenset({"READ", "DESCRIBE"}), "orders": frozenset({"DESCRIBE"})}
    found = [(each.subject, each.found, each.remedy) for each in right_findings(TOPICS, ["orders"], lacking)]
    assert found == [
        ("fb.runs", "the account may not write", "grant WRITE on the topic"),
        ("orders", "the account may not read", "grant READ on the topic"),
    ]


@pytest.mark.parametrize(
    ("time", "severity", "text"),
    [
        (AppendTime(10_000, 10_005, 10_010), None, ""),
        (AppendTime(10_000, 13_000, 15_000), None, ""),  # a slow broker is no clock that is wrong
        (AppendTime(10_000, 7_000, 10_010), "warning", "3.0 s ahead of"),
        (AppendTime(10_000, 20_010, 10_010), "warning", "10.0 s behind"),
        (AppendTime(1_000_000, 100_000, 1_000_010), "error", "900.0 s ahead of"),
    ],
)
def test_clocks_that_are_too_far_apart_are_found(time: AppendTime, severity: str | None, text: str) -> None:
    found = list(clock_findings(time, timedelta(minutes=5)))
    assert [each.severity for each in found] == ([] if severity is None else [severity])
    assert all(text in each.found for each in found)


def test_bounds_beyond_the_memory_and_the_disk_are_found() -> None:
    settings = load_settings({}, {})
    disk = settings.window_disk_bytes + settings.waiting_bytes
    assert list(room_findings(settings, 2 * settings.window_bytes, disk)) == []
    assert list(room_findings(settings, None, disk)) == []
    found = room_findings(settings, 2 * settings.window_bytes - 1, disk - 1)
    assert [each.check for each in found] == ["memory", "disk"]


def test_this_machine_has_some_memory() -> None:
    limit = memory_limit()
    assert limit is None or limit > 2**26


def test_each_file_of_schemas_that_cannot_be_used_is_found(tmp_path: Any) -> None:
    (tmp_path / "good.avsc").write_text('{"type": "record", "name": "good", "fields": []}')
    settings = load_settings({}, {"FLOWBRIDGE_SCHEMAS": str(tmp_path)})
    assert list(schema_findings(settings)) == []
    (tmp_path / "bad.avsc").write_text("{")
    (found,) = schema_findings(settings)
    assert (found.check, found.severity) == ("schemas", "error")
    assert found.subject.endswith("bad.avsc")


class Server:
    """An API server that allows some rights."""

    def __init__(self, *allowed: tuple[str, str], answer: Answer | Unknown | None = None) -> None:
        self._allowed = allowed
        self._answer = answer

    def post(self, path: str, body: Any) -> Any:
        assert path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        asked = body["spec"]["resourceAttributes"]
        is_allowed = (asked["resource"], asked["verb"]) in self._allowed
        return self._answer or Answer(HTTPStatus.CREATED, object={**body, "status": {"allowed": is_allowed}})


def test_the_rights_that_the_account_lacks_in_a_cluster_are_found() -> None:
    rights = needed_rights(["jobs", "jobs"], ["flows"], follows=True)
    assert len(rights) == 9
    assert len(needed_rights(["jobs"], [], follows=False)) == 3
    every = [(right.resource, right.verb) for right in rights]
    server: Any = Server(*every)
    assert list(access_findings(server, rights)) == []
    server = Server(*(right for right in every if right not in {("workflows", "watch"), ("sensors", "list")}))
    assert [each.found for each in access_findings(server, rights)] == [
        "the account may not watch workflows.argoproj.io in the namespace jobs",
        "the account may not list sensors.argoproj.io in the namespace flows",
    ]


def test_an_api_server_that_does_not_tell_is_an_error_of_its_own() -> None:
    rights = [Right("jobs", "argoproj.io", "workflows", "get")]
    refuses: Any = Server(answer=Answer(HTTPStatus.FORBIDDEN, object={"message": "no"}))
    with pytest.raises(KubernetesRefusedError):
        list(access_findings(refuses, rights))
    away: Any = Server(answer=Unknown("a broken connection"))
    with pytest.raises(KubernetesUnreachableError):
        list(access_findings(away, rights))
