"""The servers of the bench and its folder, and how triggers come into force on them.

All groups of a run share the servers. Each group finds the topics of events empty, and those of others removed.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient
from kubernetes import client

from bench.clients.stages import dependencies
from bench.cores import SERVERS, pin
from bench.material import EVENT, NEVER, PARTITIONS, PARTNER, PAST, TEMPLATE, write_schemas, write_trigger
from bridge.console.health import Health
from bridge.core.definition import Definition
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Admin, LogError, Partition, TopicSpec
from bridge.stages.process import open_loop
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import Process, steady_clock
from servers.kafka import RUN_FAST, KafkaServer
from servers.kubernetes import KubernetesServer
from servers.process import wait_for

_SECONDS = 30.0
_IN_FORCE = 120.0  # seconds until ten thousand triggers are in force
_DOCUMENTS = 1_000  # triggers in a file
_PROPERTIES = {"log.segment.delete.delay.ms": "1000"}  # a minute by default, in which the next group is measured


_KEPT = "__"
"""What the names of Kafka's own topics begin with."""


class Bed:
    """Where the bench runs.

    Attributes:
        kafka: The broker; it keeps away from the clients' core.
        folder: For triggers and schemas.
        schemas: The folder of schemas.

    """

    def __init__(self, kafka: KafkaServer, folder: Path, servers: ExitStack) -> None:
        """Take over a broker that runs.

        Args:
            kafka: The broker.
            folder: An empty folder.
            servers: Stops the servers that are started later.

        """
        self.kafka = kafka
        self.folder = folder
        self.schemas = write_schemas(folder / "schemas")
        self._servers = servers
        self._numbers = itertools.count()
        self._kafka_admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})

    @cached_property
    def kubernetes(self) -> KubernetesServer:
        """The API server, which is started when the first group needs it; it keeps away from the clients' core."""
        server = self._servers.enter_context(KubernetesServer())
        for pid in server.pids:
            pin(pid, SERVERS)
        return server

    @property
    def bootstrap(self) -> str:
        """Where Kafka answers."""
        return self.kafka.bootstrap

    def empty(self) -> None:
        """Remove all topics, and create those of events."""
        self._remove(set())
        admin = ConfluentLog({"bootstrap.servers": self.bootstrap}).admin()
        names = (EVENT, PARTNER, PAST, NEVER)
        admin.create([TopicSpec(name, PARTITIONS) for name in names])
        _wait_for_leaders(admin, [Partition(name, number) for name in names for number in range(PARTITIONS)])
        admin.close()

    @contextmanager
    def round(self) -> Iterator[None]:
        """Remove the topics that a round has made, when it ends: the next one starts on the same broker."""
        before = self.topics()
        yield
        self._remove(before)

    def topics(self) -> set[str]:
        """Return the names of all topics."""
        return set(self._kafka_admin.list_topics(timeout=_SECONDS).topics)

    def _remove(self, kept: set[str]) -> None:
        names = [name for name in self.topics() - kept if not name.startswith(_KEPT)]
        if not names:
            return
        for removed in self._kafka_admin.delete_topics(names, operation_timeout=_SECONDS).values():
            removed.result(_SECONDS)
        # The broker applies a deletion later than it confirms it. What is sent to a new topic of the same name before
        # that goes to the old one, and is lost.
        partitions = [self.kafka.folder / "data" / f"{name}-0" for name in names]
        wait_for(lambda: not any(folder.exists() for folder in partitions), _SECONDS, "topics to be removed")

    def installation(self, trigger: str = "") -> tuple[InternalTopics, Definition | None]:
        """Make internal topics under a prefix of their own, with the text of triggers in force; return one of them."""
        topics = InternalTopics(f"bench-{next(self._numbers)}.", PARTITIONS)
        log = ConfluentLog({"bootstrap.servers": self.bootstrap})
        admin = log.admin()
        topics.ensure(admin)
        _wait_for_leaders(admin, [Partition(topics.triggers, 0)])
        admin.close()
        return topics, self._enforce(topics, log, trigger) if trigger else None

    def _enforce(self, topics: InternalTopics, log: ConfluentLog, trigger: str) -> Definition:
        folder = self.folder / topics.prefix.rstrip(".")
        folder.mkdir()
        documents = trigger.split("---\n")
        for first in range(0, len(documents), _DOCUMENTS):
            write_trigger(folder, f"from-{first}", "---\n".join(documents[first : first + _DOCUMENTS]))
        around = dependencies(self.bootstrap, topics, triggers=str(folder), schemas=str(self.schemas))
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
            wait_for(in_force, _IN_FORCE, "the triggers to come into force")
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


def _wait_for_leaders(admin: Admin, partitions: Sequence[Partition]) -> None:
    """Wait until partitions that were just created can be read and written."""

    def have_leaders() -> bool:
        try:
            return admin.end_offsets(partitions).keys() == set(partitions)
        except LogError:
            return False

    wait_for(have_leaders, _SECONDS, "topics to have leaders")


@contextmanager
def bed() -> Iterator[Bed]:
    """Start a broker, away from the clients' core, and stop all servers again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowbridge-bench-")))
        kafka = stack.enter_context(KafkaServer(properties=_PROPERTIES, java_options=RUN_FAST))
        pin(kafka.pid, SERVERS)
        yield Bed(kafka, folder, stack)
