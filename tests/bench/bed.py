"""The servers of the bench and its folder, and how triggers come into force on them."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kubernetes import client

from bench.clients.stages import dependencies
from bench.cores import SERVERS, pin
from bench.material import EVENT, NEVER, PARTITIONS, PARTNER, PAST, TEMPLATE, write_schemas, write_trigger
from bridge.console.health import Health
from bridge.core.definition import Definition
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import LogError, TopicSpec
from bridge.stages.process import open_loop
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import Process, steady_clock
from servers.kafka import RUN_FAST, KafkaServer
from servers.kubernetes import KubernetesServer
from servers.process import wait_for

_SECONDS = 30.0


@dataclass
class Bed:
    """Where the bench runs.

    Attributes:
        kafka: The broker; it keeps away from the clients' core.
        kubernetes: The API server; the same.
        folder: For triggers and schemas.
        schemas: The folder of schemas.

    """

    kafka: KafkaServer
    kubernetes: KubernetesServer
    folder: Path
    schemas: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def bootstrap(self) -> str:
        """Where Kafka answers."""
        return self.kafka.bootstrap

    def installation(self, trigger: str = "") -> tuple[InternalTopics, Definition | None]:
        """Make internal topics under a prefix of their own, with the text of triggers in force; return one of them."""
        topics = InternalTopics(f"bench-{next(self._numbers)}.", PARTITIONS)
        log = ConfluentLog({"bootstrap.servers": self.bootstrap})
        admin = log.admin()
        topics.ensure(admin)
        admin.close()
        return topics, self._enforce(topics, log, trigger) if trigger else None

    def _enforce(self, topics: InternalTopics, log: ConfluentLog, trigger: str) -> Definition:
        file = write_trigger(self.folder, topics.prefix.rstrip("."), trigger)
        around = dependencies(self.bootstrap, topics, triggers=str(file), schemas=str(self.schemas))
        definitions = Definitions(log, topics.triggers, steady_clock)
        number = trigger.count("kind: Trigger")

        def in_force() -> bool:
            try:
                definitions.refresh()
            except LogError:  # topics that were created a moment ago may have no leader yet
                return False
            return len(definitions.in_force) == number and definitions.topics() <= definitions.starts.keys()

        controller = Process({"controller": partial(open_loop, "controller", around)}, Health(["controller"]).stage)
        controller.start()
        try:
            wait_for(in_force, _SECONDS, "the triggers to come into force")
        finally:
            controller.stop.set()
            controller.wait()
        definitions.close()
        return next(iter(definitions.in_force.values()))

    def namespace(self) -> str:
        """Return a new namespace with the bench's WorkflowTemplate."""
        name = self.kubernetes.create_namespace(f"bench-{next(self._numbers)}")
        with self.kubernetes.api() as api:
            body: Any = TEMPLATE
            client.CustomObjectsApi(api).create_namespaced_custom_object(
                "argoproj.io", "v1alpha1", name, "workflowtemplates", body
            )
        return name


@contextmanager
def bed() -> Iterator[Bed]:
    """Start the servers, away from the clients' core, and stop them again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowbridge-bench-")))
        kafka = stack.enter_context(KafkaServer(java_options=RUN_FAST))
        kubernetes = stack.enter_context(KubernetesServer())
        for pid in (kafka.pid, *kubernetes.pids):
            pin(pid, SERVERS)
        made = Bed(kafka, kubernetes, folder, write_schemas(folder / "schemas"))
        admin = ConfluentLog({"bootstrap.servers": made.bootstrap}).admin()
        admin.create([TopicSpec(name, PARTITIONS) for name in (EVENT, PARTNER, PAST, NEVER)])
        admin.close()
        yield made
