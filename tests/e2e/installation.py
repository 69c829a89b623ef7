"""One installation of the bridge on the shared servers: its prefix, its namespace, its folders, and what came of it.

Everything is looked at from outside, as its users see it: Workflows through the API server, dead letters through
Kafka, decisions through ``/metrics``, the rest through ``flowbridge status``.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml
from click.testing import CliRunner
from confluent_kafka import Consumer, TopicPartition
from kubernetes import client
from prometheus_client.parser import text_string_to_metric_families

from bridge.cli.commands import status
from bridge.errors import FlowbridgeError
from bridge.kafka.records import DEAD_LETTER
from bridge.triggers.sources.folder import TriggerFolder
from e2e.bridge_process import BridgeProcess, flowbridge
from flowbridge_sdk import Publisher
from servers.process import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from servers.choice import AnyKafka, AnyKubernetes

DEADLINE = 120.0
"""Seconds for what takes one or two on an idle machine."""

PARTITIONS = 4

_REQUEST_SECONDS = 10
_ARGO = ("argoproj.io", "v1alpha1")
_TRIGGER = "flowbridge.dev/trigger"
_OPEN = ("parked", "under way")

Manifest = dict[str, Any]


class Installation:
    """What several processes of one installation share.

    Attributes:
        bootstrap: Kafka.
        prefix: Of its internal topics and groups.
        namespace: Of its triggers and Workflows.
        folder: Of its logs.
        triggers: The folder of its trigger files.
        schemas: The folder of its event schemas.
        environment: The settings of its processes.

    """

    def __init__(self, kafka: AnyKafka, kubernetes: AnyKubernetes, folder: Path) -> None:
        """Choose a prefix and a namespace of its own; nothing runs yet."""
        name = uuid.uuid4().hex[:10]
        self.bootstrap = kafka.bootstrap
        self.prefix = f"e2e-{name}."
        self.namespace = kubernetes.create_namespace(f"e2e-{name}")
        self.folder = folder
        self.triggers = folder / "triggers"
        self.schemas = folder / "schemas"
        self.triggers.mkdir()
        self.schemas.mkdir()
        self._kubernetes = kubernetes
        self.environment = {
            "KUBECONFIG": str(kubernetes.kubeconfig),
            "FLOWBRIDGE_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "FLOWBRIDGE_INTERNAL_PREFIX": self.prefix,
            "FLOWBRIDGE_NAMESPACE": self.namespace,
            "FLOWBRIDGE_PARTITIONS": str(PARTITIONS),
            "FLOWBRIDGE_TRIGGERS": str(self.triggers),
            "FLOWBRIDGE_SCHEMAS": str(self.schemas),
        }

    def process(self, name: str = "bridge", **settings: str) -> BridgeProcess:
        """Return a bridge that is not started yet. ``settings`` replace those of the installation."""
        return BridgeProcess({**self.environment, **settings}, self.folder / f"{name}.log", name)

    def publisher(self, **arguments: Any) -> Publisher:
        """Return a publisher whose source is ``shop``."""
        return Publisher(self.bootstrap, source="shop", **arguments)

    def command(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``flowbridge`` to its end, with the installation's settings."""
        return flowbridge({**self.environment, **settings}, *arguments, seconds=2 * DEADLINE)

    # -- what is put in ------------------------------------------------------------------------------------------------

    def write_triggers(self, text: str, file: str = "triggers.yaml") -> None:
        """Write a trigger file, whole at once, as an editor or a ConfigMap does."""
        new = self.folder / f".{file}"
        new.write_text(text)
        new.replace(self.triggers / file)

    def create_template(self, name: str, **parameters: str | None) -> None:
        """Create a WorkflowTemplate; its parameters have these values as defaults, or none."""
        listed = [
            {"name": parameter, **({} if value is None else {"value": value})}
            for parameter, value in parameters.items()
        ]
        self.create_template_of(name, {"arguments": {"parameters": listed}})

    def create_template_of(self, name: str, spec: Manifest) -> None:
        """Create a WorkflowTemplate with this ``spec``."""
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTemplate",
            "metadata": {"name": name},
            "spec": spec,
        }
        with self._kubernetes.api() as api:
            custom = client.CustomObjectsApi(api)
            custom.create_namespaced_custom_object(
                *_ARGO, self.namespace, "workflowtemplates", body, _request_timeout=_REQUEST_SECONDS
            )

    # -- what came of it -----------------------------------------------------------------------------------------------

    def workflows(self, trigger: str = "") -> list[Manifest]:
        """Return the Workflows of a trigger (all without one), in the order in which they were created."""
        selector = f"{_TRIGGER}={self.namespace}.{trigger}" if trigger else ""
        with self._kubernetes.api() as api:
            custom = client.CustomObjectsApi(api)
            found: Any = custom.list_namespaced_custom_object(
                *_ARGO, self.namespace, "workflows", label_selector=selector, _request_timeout=_REQUEST_SECONDS
            )
        return sorted(found["items"], key=lambda item: int(item["metadata"]["resourceVersion"]))

    def wait_workflows(self, trigger: str, number: int, seconds: float = DEADLINE) -> list[Manifest]:
        """Return the Workflows of a trigger once there are that many."""
        what = f"{number} Workflows of {trigger}"
        wait_for(lambda: len(self.workflows(trigger)) >= number, seconds, what)
        return self.workflows(trigger)

    def dead_letters(self, topic: str) -> list[Manifest]:
        """Return the dead letters of an event topic."""
        letters = [DEAD_LETTER.decode(value) for value in self.records("dead-letters")]
        return [letter for letter in letters if letter["topic"] == topic]

    def wait_dead_letters(self, topic: str, number: int) -> list[Manifest]:
        """Return the dead letters of an event topic once there are that many."""
        wait_for(lambda: len(self.dead_letters(topic)) >= number, DEADLINE, f"{number} dead letters of {topic}")
        return self.dead_letters(topic)

    def records(self, topic: str) -> list[bytes]:
        """Return the values of one of the installation's own topics, as far as they are committed."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{self.prefix}reads-{topic}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        try:
            consumer.assign([TopicPartition(f"{self.prefix}{topic}", number, 0) for number in range(PARTITIONS)])
            return _read_to_ends(consumer, PARTITIONS)
        finally:
            consumer.close()

    def decisions(self, bridge: BridgeProcess, trigger: str) -> Counter[str]:
        """Return how often a process decided what about the events and runs of a trigger."""
        counts: Counter[str] = Counter()
        for family in text_string_to_metric_families(bridge.get("/metrics")):
            for sample in family.samples:
                is_ours = sample.labels.get("trigger") == f"{self.namespace}/{trigger}"
                if sample.name == "flowbridge_decisions_total" and is_ours:
                    counts[sample.labels["reason"]] += int(sample.value)
        return counts

    def samples(self, bridge: BridgeProcess, name: str) -> dict[tuple[str, ...], float]:
        """Return the samples of a metric of a process, by the values of their labels in the order of their names."""
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(bridge.get("/metrics"))
            for sample in family.samples
            if sample.name == name
        }

    def wait_decisions(self, bridge: BridgeProcess, trigger: str, **wanted: int) -> Counter[str]:
        """Return the decisions about a trigger once there are so many of each reason (``from_the_future=1``)."""
        at_least = {reason.replace("_", "-"): number for reason, number in wanted.items()}
        counts: Counter[str] = Counter()

        def are_made() -> bool:
            nonlocal counts
            counts = self.decisions(bridge, trigger)
            return all(counts[reason] >= number for reason, number in at_least.items())

        try:
            wait_for(are_made, DEADLINE, "the decisions")
        except TimeoutError:
            raise TimeoutError(f"waited in vain for {at_least} on {trigger}; there are {dict(counts)}") from None
        return counts

    def triggers_in_force(self) -> dict[str, bool]:
        """Return what ``flowbridge status`` says: the triggers in force, and whether every router has applied them."""
        return {line["trigger"]: line["ready"] for line in self._status() if line["kind"] == "trigger"}

    def wait_processed(self) -> None:
        """Wait until no stage has left anything of what was published; runs may be open."""
        wait_for(lambda: _is_processed(self._status()), DEADLINE, "all to be processed")

    def wait_idle(self) -> None:
        """Wait until all that was published is processed, and all runs have ended."""

        def is_idle() -> bool:
            lines = self._status()
            return _is_processed(lines) and not any(line.get("outcome") in _OPEN for line in lines)

        wait_for(is_idle, DEADLINE, "all to be processed")

    def wait_triggers_as_written(self) -> None:
        """Wait until the triggers in force are those of the files as they are now, and every router has applied them.

        The names alone do not tell this of a trigger that was edited.
        """
        reading = TriggerFolder([self.triggers], self.namespace).read()
        assert not reading.errors
        wanted = {trigger.identity: (trigger.definition_hash, True) for trigger in reading.triggers}

        def are_ready() -> bool:
            lines = [line for line in self._status() if line["kind"] == "trigger"]
            return {line["trigger"]: (line["definition"], line["ready"]) for line in lines} == wanted

        wait_for(are_ready, DEADLINE, "the triggers as they are written")

    def wait_triggers(self, *names: str, seconds: float = DEADLINE) -> None:
        """Wait until exactly these triggers are in force, in any definition, and every router has applied them."""
        wanted = {f"{self.namespace}/{name}": True for name in names}
        seen: Mapping[str, bool] = {}

        def are_ready() -> bool:
            nonlocal seen
            seen = self.triggers_in_force()
            return seen == wanted

        try:
            wait_for(are_ready, seconds, "the triggers")
        except TimeoutError:
            raise TimeoutError(f"waited {seconds} s in vain for the triggers {wanted}; there are {seen}") from None

    def applied(self) -> int:
        """Return up to which offset of ``triggers`` every router has applied definitions, and retirements."""
        return next((line["applied"] for line in self._status() if line.get("stage") == "router"), 0)

    def _status(self) -> list[Manifest]:
        """Return what ``flowbridge status`` says; nothing before there is an installation.

        The command runs inside of this process, since it is asked often.
        """
        words = ["--bootstrap-servers", self.bootstrap, "--internal-prefix", self.prefix, "-o", "json"]
        done = CliRunner().invoke(status, words)
        if done.exception is not None and not isinstance(done.exception, FlowbridgeError):
            raise done.exception
        return [json.loads(line) for line in done.stdout.splitlines()] if done.exception is None else []


def parameters(workflow: Manifest) -> dict[str, str]:
    """Return the parameters of a Workflow by name."""
    return {
        parameter["name"]: parameter["value"]
        for parameter in workflow["spec"].get("arguments", {}).get("parameters", [])
    }


def names_in(text: str) -> list[str]:
    """Return the names of the triggers in a trigger file."""
    return [document["metadata"]["name"] for document in yaml.safe_load_all(text) if document]


def _is_processed(status: list[Manifest]) -> bool:
    lags = [line["lag"] for line in status if line["kind"] == "stage"]  # in the order of an event's way
    return bool(lags) and not any(lags)


def _read_to_ends(consumer: Consumer, partitions: int) -> list[bytes]:
    values: list[bytes] = []
    ended: set[int | None] = set()
    give_up = time.monotonic() + DEADLINE
    while len(ended) < partitions:
        assert time.monotonic() < give_up, "the records could not be read"
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error() is not None:
            ended.add(message.partition())
        elif message.value() is not None:
            values.append(message.value() or b"")
    return values
