"""Run the doctor's checks, and show what they find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import click

from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.cli.checks.templates import template_findings
from bridge.cli.doctor.brokers import (
    broker_findings,
    clock_findings,
    internal_findings,
    right_findings,
    source_findings,
)
from bridge.cli.doctor.finding import Finding
from bridge.cli.doctor.machine import free_disk, memory_limit, room_findings, schema_findings
from bridge.cli.doctor.rights import access_findings, needed_rights
from bridge.cli.output import Output
from bridge.cli.wiring.kafka import connect, internal_topics, require_kafka
from bridge.cli.wiring.schemas import event_schemas, log_broken
from bridge.cli.wiring.triggers import sensor_rules
from bridge.cluster.api_server import ApiServer
from bridge.cluster.config import ClusterConfigError, cluster_client
from bridge.errors import ExitCode, KafkaUnreachableError, KubernetesUnreachableError, NewerRecordsError
from bridge.kafka.confluent.examination import Examination
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log, LogError
from bridge.kafka.records import RecordError
from bridge.plain_text import visible
from bridge.settings.settings import Settings
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock
from bridge.triggers.errors import Origin
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.folder import TriggerFolder
from bridge.triggers.topic_mapping import placed, topics_of
from flowbridge_sdk.attributes.shared_topics import SharedTopics

_PATIENCE = 5.0  # seconds that Kafka has for a first answer
_COLORS = {"error": "red", "warning": "yellow"}


def execute(*, cluster: bool, fix: bool, settings: Settings, output: Output) -> int:
    """Look for what will go wrong."""
    require_kafka(settings, _PATIENCE)
    log, topics = connect(settings), internal_topics(settings)
    examination = Examination(settings.client_properties())
    try:
        triggers = _triggers(log, topics, settings)
        findings = list(_kafka_findings(log, topics, examination, triggers, settings))
        for each in [finding.fix for finding in findings if finding.fix is not None] if fix else ():
            examination.set_topic(each.topic, each.setting, each.value)
            text = f"fixed: topic {each.topic} has {each.setting}={each.value} now"
            output.result(text, {"kind": "fixed", "topic": each.topic, "setting": each.setting, "value": each.value})
        findings = [finding for finding in findings if finding.fix is None or not fix]
    except RecordError as error:
        raise NewerRecordsError(str(error)) from error
    except LogError as error:
        raise KafkaUnreachableError(f"no answer from {settings.bootstrap_servers}: {error}") from error
    findings += room_findings(settings, memory_limit(), free_disk())
    findings += schema_findings(settings)
    if cluster:
        findings += _cluster_findings(triggers, settings)
    for finding in findings:
        head = click.style(f"{finding.severity}: ", fg=_COLORS[finding.severity])
        text = head + visible(f"{finding.check}: {finding.subject}: {finding.found}; {finding.remedy}")
        record = {
            "kind": "finding",
            "check": finding.check,
            "severity": finding.severity,
            "subject": finding.subject,
            "found": finding.found,
            "remedy": finding.remedy,
            "can_be_fixed": finding.fix is not None,
        }
        output.result(text, record, styled=True)
    tally = Counter(finding.severity for finding in findings)
    numbers = {"triggers": len(triggers), "errors": tally["error"], "warnings": tally["warning"]}
    counts = [f"{number} {noun.removesuffix('s') if number == 1 else noun}" for noun, number in numbers.items()]
    output.result(", ".join(counts), {"kind": "summary", **numbers, "cluster": cluster})
    return ExitCode.NOT_SO if tally["error"] else ExitCode.OK


def _triggers(log: Log, topics: InternalTopics, settings: Settings) -> list[LoadedTrigger]:
    """Return the triggers in force; those of the configured files if there is no installation yet."""
    with closing(log.admin()) as admin:
        is_there = topics.triggers in admin.topics()
    if is_there:
        with closing(Definitions(log, topics.triggers, steady_clock)) as definitions:
            definitions.refresh()
            in_force = [definition.trigger for definition in definitions.in_force.values()]
        return [LoadedTrigger(trigger, Origin(f"trigger {trigger.identity}")) for trigger in in_force]
    if not settings.triggers:
        return []
    rules, schemas = sensor_rules(settings), event_schemas(settings, log_broken)
    reading = TriggerFolder(
        settings.triggers, settings.namespace, rules, None, schemas, settings.allowed_namespaces
    ).read()
    shared = SharedTopics(settings.shared_topics)
    return [LoadedTrigger(placed(each.trigger, shared), each.origin, lines=each.lines) for each in reading.loaded]


def _kafka_findings(
    log: Log, topics: InternalTopics, examination: Examination, triggers: list[LoadedTrigger], settings: Settings
) -> Iterator[Finding]:
    """Yield what is wrong with Kafka.

    Raises:
        LogError: Kafka did not answer.

    """
    sources = sorted({topic for loaded in triggers for topic in topics_of(loaded.trigger)})
    internal = [spec.name for spec in topics.specs()]
    try:
        brokers = examination.broker_settings()
    except LogError as error:
        brokers = {}
        remedy = "grant DESCRIBE_CONFIGS on the cluster, or look at the brokers' settings yourself"
        yield Finding("brokers", "warning", "brokers", f"their settings cannot be read: {error}", remedy)
    yield from broker_findings(brokers, settings.ledger_horizon)
    with closing(log.admin()) as admin:
        existing = admin.topics()
        infos = admin.describe([name for name in (*internal, *sources) if name in existing])
    inner = {name: info for name, info in infos.items() if name in set(internal)}
    yield from internal_findings(topics, inner, len(brokers) or 1)
    yield from source_findings(sources, infos, len(brokers) or 1, creates=settings.create_topics)
    yield from right_findings(topics, sources, examination.operations(infos))
    if topics.decisions not in inner:
        return
    transactional_id = f"{topics.prefix}doctor"
    try:
        time = examination.append_time(topics.decisions, transactional_id)
    except LogError as error:
        found = f"no transaction can be begun with the transactional id {transactional_id}: {error}"
        remedy = f"grant WRITE on the transactional ids that begin with {topics.prefix}"
        yield Finding("transactions", "error", topics.decisions, found, remedy)
        return
    yield from clock_findings(time, settings.clock_skew)


def _cluster_findings(triggers: list[LoadedTrigger], settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with rights and WorkflowTemplates.

    Raises:
        KubernetesUnreachableError: There is no configuration, or the API server gave no usable answer.
        KubernetesRefusedError: It does not let this account ask.

    """
    try:
        client = cluster_client(None, context=None, connections=1)
        api = KubernetesWorkflowApi()
    except ClusterConfigError as error:
        raise KubernetesUnreachableError(str(error)) from error
    with closing(ApiServer(client)) as server:
        namespaces = {loaded.trigger.run.namespace for loaded in triggers} or {settings.namespace}
        rights = needed_rights(
            namespaces, [each.namespace for each in settings.sensors], follows=settings.followed_runs > 0
        )
        lacking = list(access_findings(server, rights))
    yield from lacking
    with closing(api):
        if any("workflowtemplates" in finding.found for finding in lacking):
            return  # they cannot be looked at
        for each in template_findings(triggers, api):
            wrong = each.error
            subject = f"{wrong.origin} {wrong.field}".strip()
            if each.severity != "note":
                yield Finding("templates", each.severity, subject, wrong.found, wrong.expected)
