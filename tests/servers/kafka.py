"""A real Apache Kafka broker (KRaft, one node) on loopback, made for tests that stop, kill and pause it.

It keeps its port and its data through ``restart`` and through ``kill`` and ``start``. Replication is 1 and internal
topics have 8 partitions, which makes it ready in about three seconds; transactions, groups and compaction are those
of a real cluster.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from servers.builds import broker_jars
from servers.loopback import HOST, answers, free_port
from servers.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_QUICKLY = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Java options for tests: ready in half the time, on half the CPU."""

RUN_FAST = ("-XX:+UseSerialGC",)
"""Java options for the bench: all that the just-in-time compiler can do, on the one core that is the servers'."""

_START_SECONDS = 90.0  # three on an idle machine
_STOP_SECONDS = 15.0
_FORMAT_SECONDS = 60.0
_CLUSTER_ID = "Zmxvd2JyaWRnZS10ZXN0cw"  # 16 bytes in base64, as Kafka wants it: "flowbridge-tests"
_LOGGING = Path(__file__).with_name("broker") / "log4j2.properties"
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "broker.session.timeout.ms": "4000",  # after a SIGKILL the new broker waits until this has run out for the old
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}


class KafkaServer:
    """One broker. A context manager: started on entering, stopped and its folder removed on leaving.

    Attributes:
        bootstrap: ``127.0.0.1:port``, plaintext; the same for the server's whole life.
        folder: Its properties, data and log.

    """

    def __init__(
        self,
        folder: Path | None = None,
        properties: Mapping[str, str] | None = None,
        *,
        java_options: Sequence[str] = START_QUICKLY,
        tethered: bool = True,
        beside: KafkaServer | None = None,
    ) -> None:
        """Choose ports and a folder; nothing runs yet.

        Args:
            folder: Where everything of it is kept; a temporary one, removed on leaving, if not given.
            properties: More of the broker's properties; they win over those of this module.
            java_options: How its Java machine runs, besides its 512 MB of heap.
            tethered: Whether it dies with this process, however that one ends.
            beside: The cluster's first broker, which is its controller too; this one is then broker 2 of that cluster.

        """
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="flowbridge-kafka-"))
        self._port = free_port()
        self._beside = beside
        self._controller: str = beside._controller if beside else f"{HOST}:{free_port()}"
        self._properties = dict(properties or {})
        self._java_options = list(java_options)
        self._tethered = tethered
        self._broker: ServerProcess | None = None

    @property
    def bootstrap(self) -> str:
        """What clients are given as ``bootstrap.servers``."""
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """The broker's pid."""
        return self._program().pid

    @property
    def running(self) -> bool:
        """Whether the broker was started and has not ended."""
        return self._broker is not None and self._broker.running

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            ServerError: It cannot be built, or was not ready within 90 s.

        """
        broker = self._program()
        broker.start()
        broker.wait_until(self._ready, _START_SECONDS)

    def stop(self) -> None:
        """Shut it down as an operator would; with SIGKILL if that takes more than 15 s."""
        if self._broker is not None:
            self._broker.stop(_STOP_SECONDS)

    def kill(self) -> None:
        """End it with SIGKILL. ``start`` brings it back with what it had written."""
        self._program().kill()

    def restart(self) -> None:
        """Stop and start it; port and data stay."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open, and nothing answers."""
        self._program().pause()

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        self._program().resume()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _program(self) -> ServerProcess:
        if self._broker is None:
            self._format_storage()
            command = self._java("kafka.Kafka", str(self._properties_file()))
            self._broker = ServerProcess("Kafka", command, self.folder / "broker.log", tethered=self._tethered)
        return self._broker

    def _format_storage(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {**_PROPERTIES, **self._addresses(), **self._properties}
        self._properties_file().write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        arguments = ["format", "--cluster-id", _CLUSTER_ID, "--config", str(self._properties_file())]
        log = self.folder / "format.log"
        tool = ServerProcess("kafka-storage", self._java("kafka.tools.StorageTool", *arguments), log)
        tool.run(_FORMAT_SECONDS)

    def _addresses(self) -> dict[str, str]:
        alone = {"listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{self._controller}"}
        second = {"listeners": f"PLAINTEXT://{self.bootstrap}", "process.roles": "broker", "node.id": "2"}
        return {
            **(second if self._beside else alone),
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@{self._controller}",
            "log.dirs": str(self.folder / "data"),
        }

    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    def _java(self, main: str, *arguments: str) -> list[str]:
        options = [
            *self._java_options,
            "-Xmx512m",
            f"-Dlog4j2.configurationFile={_LOGGING}",
            "-Djava.awt.headless=true",
        ]
        return ["java", *options, "-cp", f"{broker_jars()}/*", main, *arguments]

    def _ready(self) -> bool:
        if not answers(self._port):  # asked first: a client that finds nobody there would write that to stderr
            return False
        try:
            return bool(AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=2).brokers)
        except KafkaException:
            return False
