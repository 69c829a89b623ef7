"""Make the sources of triggers that the settings name."""

from __future__ import annotations

from datetime import timedelta

from bridge.cli.wiring.schemas import event_schemas
from bridge.errors import KubernetesUnreachableError
from bridge.settings.settings import Settings
from bridge.triggers.sensors.compile import SensorRules
from bridge.triggers.sensors.source import SensorSource
from bridge.triggers.sources.folder import FileSource
from bridge.triggers.sources.source import AllSources, TriggerSource


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
