"""Make the parts of a process from its settings. They meet nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bridge.argo.api import WorkflowApi
from bridge.errors import (
    KafkaRefusedError,
    KafkaUnreachableError,
    KubernetesUnreachableError,
    SchemasError,
    SettingProblem,
    SettingsError,
)
from bridge.file_state import file_state
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics, TopicMismatchError
from bridge.kafka.log import Log, LogError, TopicSpec
from bridge.kafka.loop import Sink
from bridge.kafka.observer import Observer, Unobserved
from bridge.replay.planner import ReplayDependencies
from bridge.settings.settings import Settings
from bridge.stages.process import ProcessDependencies
from bridge.stages.shared.schema_lookups import SchemaLookups
from bridge.stages.stage_thread import steady_clock, wall_clock
from bridge.stages.submitter.bulkheads import workers_for
from bridge.triggers.sensors.compile import SensorRules
from bridge.triggers.sensors.source import SensorSource
from bridge.triggers.sources.folder import FileSource
from bridge.triggers.sources.source import AllSources, TriggerSource
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.avro.checks import parse
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.schemas import EventSchemas

logger = logging.getLogger(__name__)

EMBEDDED_PARTITIONS = 4
"""Partitions of every topic on the embedded broker."""

_LEDGER_MARGIN = timedelta(days=1)  # the ledger is kept on disk that much longer than run keys are remembered


def connect(settings: Settings, *, embedded: bool = False) -> Log:
    """Return the connection to Kafka that the settings name.

    Raises:
        SettingsError: Kafka's client refuses its properties.

    """
    log = ConfluentLog(settings.client_properties(), embedded=embedded)
    with accepted_by_client():
        log.admin().close()
    return log


@contextmanager
def accepted_by_client() -> Iterator[None]:
    """Make clients of Kafka: a property that they refuse, as a broken certificate or key, is an error of the settings.

    Raises:
        SettingsError: A client refuses its properties.

    """
    try:
        yield
    except KafkaException as error:
        found = f"Kafka's client refuses it: {error.args[0].str()}"
        raise SettingsError(
            [SettingProblem("kafka", found, "librdkafka's properties and their values are right")]
        ) from error


def require_kafka(settings: Settings, seconds: float) -> None:
    """Wait until a broker answers.

    Raises:
        KafkaUnreachableError: No broker answered within ``seconds``.
        SettingsError: Kafka's client refuses its properties.

    """
    quiet = {"log_level": "0"}  # librdkafka would repeat on stderr, many times, what the error says once
    with accepted_by_client():
        client = AdminClient({**settings.client_properties(), **quiet})
    try:
        client.list_topics(timeout=seconds)
    except KafkaException as error:
        found = f"no broker answers at {settings.bootstrap_servers} within {seconds:g} s: {error.args[0].str()}"
        raise KafkaUnreachableError(found) from error


def internal_topics(settings: Settings, *, embedded: bool = False) -> InternalTopics:
    """Return the internal topics that the settings name."""
    partitions = EMBEDDED_PARTITIONS if embedded else settings.partitions
    retention = (settings.ledger_horizon + _LEDGER_MARGIN) // timedelta(milliseconds=1)
    return InternalTopics(settings.internal_prefix, partitions, settings.replication, retention)


def prepare_topics(log: Log, topics: InternalTopics, settings: Settings) -> None:
    """Create the internal topics that are missing, and check all.

    Raises:
        KafkaUnreachableError: No broker answers.
        KafkaRefusedError: The topics do not fit the settings, or cannot be created.

    """
    admin = log.admin()
    try:
        admin.topics()
    except LogError as error:
        raise KafkaUnreachableError(f"no broker answers at {settings.bootstrap_servers}: {error}") from error
    try:
        topics.ensure(admin)
    except TopicMismatchError as error:
        raise KafkaRefusedError(str(error), "put right what is listed; nothing was changed") from error
    except LogError as error:
        raise KafkaRefusedError(f"the internal topics cannot be created: {error}") from error
    finally:
        admin.close()


def connect_cluster(settings: Settings, kubeconfig: str | None = None) -> WorkflowApi:
    """Return the connection to Kubernetes: KUBECONFIG, or the account of the pod.

    Raises:
        KubernetesUnreachableError: There is no usable configuration.

    """
    from bridge.argo.kubernetes import KubernetesWorkflowApi  # noqa: PLC0415
    from bridge.cluster.config import ClusterConfigError  # noqa: PLC0415  (0.4 s that others need not wait)

    try:
        return KubernetesWorkflowApi(kubeconfig, concurrency=workers_for(settings.concurrency))
    except ClusterConfigError as error:
        raise KubernetesUnreachableError(str(error)) from error


def trigger_source(settings: Settings, kubeconfig: str | None = None) -> TriggerSource:
    """Return the sources of triggers that the settings name: files and folders, and Sensors on the cluster.

    Raises:
        KubernetesUnreachableError: Sensors are named, and there is no usable configuration.

    """
    schemas = event_schemas(settings, on_broken=lambda _: None)  # the decoder's loader logs broken ones
    files = FileSource(settings.triggers, settings.namespace, schemas, settings.allowed_namespaces)
    if not settings.sensors:
        return AllSources([files])
    from bridge.cluster.config import ClusterConfigError, cluster_client  # noqa: PLC0415  (0.4 s, as above)
    from bridge.triggers.sensors.kubernetes import KubernetesSensorApi  # noqa: PLC0415  (the same)

    rules = sensor_rules(settings)
    try:
        client = cluster_client(kubeconfig, context=None, connections=len(rules.run_namespaces) + 1)
    except ClusterConfigError as error:
        raise KubernetesUnreachableError(str(error)) from error
    return AllSources([files, SensorSource(KubernetesSensorApi(client), rules.run_namespaces, rules)])


def sensor_rules(settings: Settings) -> SensorRules:
    """Return the rules for Sensors that the settings give."""
    run_namespaces: dict[str, frozenset[str]] = {}
    for sensor in settings.sensors:
        allowed = run_namespaces.setdefault(sensor.namespace, frozenset())
        run_namespaces[sensor.namespace] = allowed | ({sensor.run_namespace} if sensor.run_namespace else frozenset())
    return SensorRules(settings.sensor_window // timedelta(microseconds=1), run_namespaces)


def dependencies(
    settings: Settings,
    log: Log,
    api: WorkflowApi,
    topics: InternalTopics,
    source: TriggerSource,
    sink: Sink,
    observer: Observer | None = None,
) -> ProcessDependencies:
    """Return the surroundings of the stages of a process."""
    lookups = None
    if settings.schema_registry_url is not None:
        from flowbridge_sdk.registry import Registry  # noqa: PLC0415  (an optional part of the SDK)

        lookups = SchemaLookups(Registry(settings.schema_registry_url))
    registry: Any = lookups  # it answers as a Registry does, but at once

    def decoder() -> Decoder:
        with schema_errors():
            schemas = EventSchemas.load(*settings.schemas, on_broken=log_broken)
            return Decoder(schemas, registry, settings.json_topics)

    return ProcessDependencies(
        log=log,
        api=api,
        topics=topics,
        decoder=decoder,
        lookups=lookups,
        schema_state=lambda: _files_state(settings.schemas),
        source=source,
        sink=sink,
        shared_topics=SharedTopics(settings.shared_topics),
        member=settings.member,
        instance=settings.instance,
        observer=observer or Unobserved(),
        new_topic=new_topic(settings) if settings.create_topics else None,
        controller=settings.controller,
        router=settings.router,
        windows=settings.windows,
        submitter=settings.submitter,
    )


def _files_state(paths: Sequence[Path]) -> object:
    """Return the state of the files of schemas at some paths, which are files and folders."""
    files = [file for path in paths for file in (sorted(path.glob("*.avsc")) if path.is_dir() else [path])]
    return files, file_state(*files)


def replay_dependencies(settings: Settings) -> ReplayDependencies:
    """Return what a replay works with; the schema registry is waited for, since no other work stands behind it."""
    registry: Any = None
    if settings.schema_registry_url is not None:
        from flowbridge_sdk.registry import Registry  # noqa: PLC0415  (an optional part of the SDK)

        registry = Registry(settings.schema_registry_url)

    def decoder() -> Decoder:
        with schema_errors():
            return Decoder(EventSchemas.load(*settings.schemas, on_broken=log_broken), registry, settings.json_topics)

    return ReplayDependencies(
        log=connect(settings),
        topics=internal_topics(settings),
        decoder=decoder,
        windows=settings.windows,
        horizon=settings.submitter.ledger_horizon,
        clock=wall_clock,
        pace=steady_clock,
    )


def log_broken(error: SchemaError) -> None:
    """Log a schema that cannot be read. Its own events become dead letters, and all others are read."""
    logger.error("events of this schema cannot be read: %s", error)


@contextmanager
def schema_errors() -> Iterator[None]:
    """Raise our error where the SDK raises its error of a bad schema."""
    try:
        yield
    except SchemaError as error:
        raise SchemasError(str(error)) from error


def event_schemas(settings: Settings, on_broken: Callable[[SchemaError], None] | None = None) -> dict[str, Any]:
    """Return the Avro schemas of events by name, as the SDK reads with them, so far as a folder holds them.

    Args:
        settings: The settings.
        on_broken: Called for each file that holds no usable schema; without it, such a file is an error.

    Raises:
        SchemasError: A path is missing, or a file holds no usable schema.

    """
    with schema_errors():
        current = EventSchemas.load(*settings.schemas, on_broken=on_broken).current
    return {name: parse(schema.text, {}) for name, schema in current.items()}


def new_topic(settings: Settings) -> Callable[[str], TopicSpec]:
    """Return a function that makes the spec of an event topic to create, whose timestamps the broker sets."""
    config = {"message.timestamp.type": "LogAppendTime"}
    return lambda name: TopicSpec(name, settings.event_topic_partitions, settings.replication, config)
