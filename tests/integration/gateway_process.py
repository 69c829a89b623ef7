"""``flowbridge gateway`` as a process of its own, and what of it the integration tests ask."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from e2e.bridge_process import FLOWBRIDGE, in_environment
from servers.loopback import HOST, free_port
from servers.process import ServerProcess

_READY_SECONDS = 60.0
_END_SECONDS = 70.0
_READ_SECONDS = 30.0


class GatewayProcess(ServerProcess):
    """One gateway. A context manager: ready on entering, ended as an operator would on leaving.

    Attributes:
        port: Where it takes events.
        console: Where it answers of health and metrics.

    """

    def __init__(self, bootstrap: str, log: Path, settings: Mapping[str, str] | None = None) -> None:
        self.port, self.console = free_port(), free_port()
        environment = {
            "FLOWBRIDGE_BOOTSTRAP_SERVERS": bootstrap,
            "FLOWBRIDGE_GATEWAY_LISTEN": f"{HOST}:{self.port}",
            "FLOWBRIDGE_LISTEN": f"{HOST}:{self.console}",
            **(settings or {}),
        }
        super().__init__("gateway", [*in_environment(environment), str(FLOWBRIDGE), "gateway"], log)

    def url(self, path: str = "/metaflow-event") -> str:
        """Return an address of it."""
        return f"http://{HOST}:{self.port}{path}"

    def status(self, path: str, *, console: bool = False) -> int:
        """Return the status that a page of it answers; 0 for no answer."""
        port = self.console if console else self.port
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metric(self, sample: str) -> float:
        """Return a sample of its metrics, labels as in the text; 0.0 where there is none."""
        with urllib.request.urlopen(f"http://{HOST}:{self.console}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), 0.0)

    def resident_bytes(self) -> int:
        """Return how much memory it has resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def text(self) -> str:
        """Return all that it has logged."""
        return self.log.read_text(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        self.wait_until(lambda: self.status("/readyz", console=True) == 200, _READY_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(_END_SECONDS)


def topics_of(bootstrap: str) -> set[str]:
    """Return the names of all topics in a cluster."""
    return set(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=20).topics)


def records_of(bootstrap: str, topic: str) -> list[Message]:
    """Return all records of a topic, from its beginning to its present end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reads-all",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found: list[Message] = []
        ended: set[int | None] = set()
        deadline = time.monotonic() + _READ_SECONDS
        while len(ended) < len(partitions) and time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        assert len(ended) == len(partitions), f"{topic} could not be read to its end"
        return found
    finally:
        consumer.close()
