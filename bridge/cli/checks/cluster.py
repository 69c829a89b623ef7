"""Check triggers against the cluster and Kafka that the settings name: their WorkflowTemplates, and their topics."""

from __future__ import annotations

from contextlib import closing

import click

from bridge.cli.checks.templates import Finding, template_findings
from bridge.cli.checks.timestamps import timestamp_findings
from bridge.cli.wiring.cluster import connect_cluster
from bridge.cli.wiring.kafka import connect, require_kafka
from bridge.errors import KafkaUnreachableError
from bridge.kafka.log import LogError
from bridge.settings.settings import Settings
from bridge.triggers.sources.folder import Reading
from flowbridge_sdk.attributes.shared_topics import SharedTopics

_PATIENCE = 3.0  # seconds that Kafka has for a first answer


def cluster_findings(reading: Reading, settings: Settings) -> list[Finding]:
    """Return what is wrong with the WorkflowTemplates that triggers name, and with the topics of their events."""
    with closing(connect_cluster(settings)) as api:
        findings = list(template_findings(reading.loaded, api))
    return [*findings, *_topic_findings(reading, settings)]


def _topic_findings(reading: Reading, settings: Settings) -> list[Finding]:
    """Return the warnings about topics. There are none if no Kafka is set, or if it does not answer."""
    if "bootstrap_servers" not in settings.model_fields_set:
        return []
    shared, servers = SharedTopics(settings.shared_topics), settings.bootstrap_servers
    try:
        require_kafka(settings, _PATIENCE)
        admin = connect(settings).admin()
        try:
            return list(timestamp_findings(reading.loaded, shared, admin, servers))
        finally:
            admin.close()
    except (LogError, KafkaUnreachableError) as error:
        click.echo(f"warning: the topics of {servers} are not looked at: {error}", err=True)
        return []
