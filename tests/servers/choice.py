"""Which servers this run uses: containers where a Docker engine answers, else processes of this machine.

``FLOWBRIDGE_TEST_SERVERS`` decides otherwise: ``containers``, ``processes``, or ``off`` for none. What the servers
need (clients of Kafka, Kubernetes and Docker) is imported only when one is made: a quick run starts without.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from servers.process import ServerError

if TYPE_CHECKING:
    from servers.containers import KafkaContainerServer, KubernetesContainerServer
    from servers.kafka import KafkaServer
    from servers.kubernetes import KubernetesServer

    AnyKafka: TypeAlias = KafkaServer | KafkaContainerServer
    AnyKubernetes: TypeAlias = KubernetesServer | KubernetesContainerServer

SETTING = "FLOWBRIDGE_TEST_SERVERS"


class Choice(StrEnum):
    """Where the servers of a test run come from."""

    CONTAINERS = "containers"
    PROCESSES = "processes"
    OFF = "off"


def stated() -> Choice | None:
    """Return what the setting says; None when it is unset.

    Raises:
        ServerError: The setting has a value that is none of these.

    """
    value = os.environ.get(SETTING, "")
    try:
        return Choice(value) if value else None
    except ValueError:
        raise ServerError(f"{SETTING}={value}: unset, or one of {', '.join(Choice)} would be right") from None


def chosen() -> Choice:
    """Return what the setting says, or else what this machine offers."""
    return stated() or _offered()


def new_kafka(choice: Choice) -> AnyKafka:
    """Return a Kafka server that is not started yet."""
    if choice is Choice.CONTAINERS:
        from servers.containers import KafkaContainerServer  # noqa: PLC0415 - see the module's first paragraph

        return KafkaContainerServer()
    from servers.kafka import KafkaServer  # noqa: PLC0415 - the same

    return KafkaServer()


def new_kubernetes(choice: Choice) -> AnyKubernetes:
    """Return a Kubernetes API server that is not started yet."""
    if choice is Choice.CONTAINERS:
        from servers.containers import KubernetesContainerServer  # noqa: PLC0415 - see the module's first paragraph

        return KubernetesContainerServer()
    from servers.kubernetes import KubernetesServer  # noqa: PLC0415 - the same

    return KubernetesServer()


def _offered() -> Choice:
    from servers.containers import docker_answers  # noqa: PLC0415 - see the module's first paragraph

    return Choice.CONTAINERS if docker_answers() else Choice.PROCESSES
