"""The same servers in containers, by testcontainers, for machines where a Docker engine answers.

They keep their ports through ``restart``, ``kill`` and ``start``: published ports are chosen here, because Docker
chooses new ones whenever a container starts. ``pause`` stops every process of a container.
"""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Self

import docker  # type: ignore[import-untyped]  # ships no types
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from docker.errors import DockerException  # type: ignore[import-untyped]  # the same
from kubernetes import client, config
from testcontainers.community.k3s import K3SContainer
from testcontainers.community.kafka import KafkaContainer
from urllib3.exceptions import HTTPError

from servers.cluster import Cluster
from servers.loopback import free_port
from servers.process import wait_for

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

_KAFKA_IMAGE = "confluentinc/cp-kafka:7.9.2"
_K3S_IMAGE = "rancher/k3s:v1.33.4-k3s1"
_START_SECONDS = 120.0
_STOP_SECONDS = 15
_KAFKA_ENVIRONMENT = {
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "8",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "8",
    "KAFKA_HEAP_OPTS": "-Xmx512m",
}


def docker_answers() -> bool:
    """Return whether a Docker engine answers where this machine's settings say that one is."""
    try:
        engine = docker.from_env(timeout=5)
    except DockerException:
        return False
    engine.close()
    return True


class _ServerContainer(ABC):
    """A container that outlives its process: later starts start the same one, with its data, again."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container
        self._created = False

    @property
    def pid(self) -> int:
        """The pid of the container's first process on the engine's machine; 0 when it does not run."""
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return int(wrapped.attrs["State"]["Pid"])

    def start(self) -> None:
        """Create or start the container, and wait until the server answers."""
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._created = True
            self._container.start()
        wait_for(self._ready, _START_SECONDS, f"{type(self).__name__} to answer")

    def stop(self) -> None:
        """Shut the server down; with SIGKILL if that takes more than 15 s."""
        self._container.get_wrapped_container().stop(timeout=_STOP_SECONDS)

    def kill(self) -> None:
        """End it with SIGKILL. ``start`` brings it back with what it had written."""
        self._container.get_wrapped_container().kill()

    def restart(self) -> None:
        """Stop and start it; port and data stay."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop it in its tracks: connections stay open, and nothing answers."""
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        self._container.get_wrapped_container().unpause()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._created:
            self._container.stop()  # removes it, with its volumes

    @abstractmethod
    def _ready(self) -> bool: ...


class KafkaContainerServer(_ServerContainer):
    """What ``KafkaServer`` is, in a container."""

    def __init__(self) -> None:
        self._port = free_port()
        kafka = KafkaContainer(_KAFKA_IMAGE).with_kraft()
        kafka.with_envs(**_KAFKA_ENVIRONMENT)
        kafka.with_bind_ports(kafka.port, self._port)
        super().__init__(kafka)

    @property
    def bootstrap(self) -> str:
        """What clients are given as ``bootstrap.servers``."""
        return f"{self._container.get_container_host_ip()}:{self._port}"

    def _ready(self) -> bool:
        try:
            return bool(AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=2).brokers)
        except KafkaException:
            return False


class KubernetesContainerServer(_ServerContainer, Cluster):
    """What ``KubernetesServer`` is, as k3s in a container: with a kubelet and Kubernetes' own controllers besides."""

    def __init__(self) -> None:
        self._k3s = K3SContainer(_K3S_IMAGE)
        self._k3s.with_bind_ports(K3SContainer.KUBE_SECURE_PORT, free_port())
        _ServerContainer.__init__(self, self._k3s)
        Cluster.__init__(self, Path(tempfile.mkdtemp(prefix="flowbridge-k3s-")))

    def start(self) -> None:
        """Create or start the container, and wait until Argo's kinds are served."""
        super().start()
        self.install_kinds()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> bool:
        try:
            document = yaml.safe_load(self._k3s.config_yaml())
            self.kubeconfig.touch(mode=0o600)
            self.kubeconfig.write_text(yaml.safe_dump(document))
            with self.api() as api:
                api.call_api("/readyz", "GET", auth_settings=["BearerToken"], _request_timeout=5)
        except (DockerException, HTTPError, OSError, client.ApiException, config.ConfigException):
            return False
        return True
