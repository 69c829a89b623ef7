"""Two bridge processes, a load that flows through them, and the verdict on what came of it."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from click.testing import CliRunner

from bridge.cli.main import cli
from e2e.bridge_process import BridgeProcess
from e2e.fault_load import triggers
from e2e.fault_watch import WorkflowWatch
from e2e.installation import names_in
from flowbridge_sdk import Publisher
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from e2e.fault_load import Load, Published
    from servers.choice import AnyKubernetes

_READY_SECONDS = 120.0
_SETTLE_SECONDS = 240.0  # ten on an idle machine; a run may have to wait for its next try
_SHOWN = 5


class Verdict(NamedTuple):
    """What came of a load.

    Attributes:
        expected: Workflows that had to be there.
        found: Workflows that are there.
        missing: Expected ones that are not.
        besides: What is there twice, or was never asked for.
        repeated: Names that were created more than once, or deleted.
        codes: Exit codes of the processes that were asked to end.

    """

    expected: int
    found: int
    missing: list[Any]
    besides: list[Any]
    repeated: list[str]
    codes: list[int]

    def check(self) -> None:
        """Fail unless everything is there, once, and nothing besides."""
        assert not self.missing, f"{len(self.missing)} lost, among them {self.missing[:_SHOWN]}"
        assert not self.besides, f"{len(self.besides)} too many, among them {self.besides[:_SHOWN]}"
        assert not self.repeated, f"made again: {self.repeated[:_SHOWN]}"
        assert set(self.codes) == {0}, f"exit codes {self.codes}"


class Trial:
    """An installation of its own under trial. A context manager: on entering two processes start and get ready.

    Attributes:
        bridges: The processes.
        seconds: How long it has been going on, without the start.

    """

    def __init__(
        self,
        bootstrap: str,
        kubernetes: AnyKubernetes,
        namespace: str,
        folder: Path,
        kubeconfig: Path | None = None,
        *,
        text: str | None = None,
        version: Mapping[str, str] | None = None,
    ) -> None:
        """Write the triggers; nothing runs yet.

        Args:
            bootstrap: Kafka.
            kubernetes: The cluster.
            namespace: Of the Workflows; its name begins those of all topics as well.
            folder: For triggers and logs.
            kubeconfig: The bridges' way to the cluster; the administrator's own unless given.
            text: The triggers; those of :func:`~e2e.fault_load.triggers` unless given.
            version: What the environment of both processes has beside the settings; it says what code they run.

        """
        text = text or triggers(namespace)
        self._triggers = len(names_in(text))
        self._folder = folder
        file = folder / "triggers.yaml"
        file.write_text(text)
        self._settings = {
            "KUBECONFIG": str(kubeconfig or kubernetes.kubeconfig),
            "FLOWBRIDGE_BOOTSTRAP_SERVERS": bootstrap,
            "FLOWBRIDGE_TRIGGERS": str(file),
            "FLOWBRIDGE_NAMESPACE": namespace,
            "FLOWBRIDGE_INTERNAL_PREFIX": f"{namespace}.fb.",
            "FLOWBRIDGE_PARTITIONS": "8",
        }
        names = ("first", "second")
        self.bridges = [self._bridge(name, version or {}) for name in names]
        self._watch = WorkflowWatch(kubernetes, namespace)
        self._publisher = Publisher(bootstrap, source="faults")
        self._stack = ExitStack()
        self._began = 0.0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._watch)
            stack.callback(self._publisher.close, 10)
            for bridge in self.bridges:
                stack.enter_context(bridge)
            for bridge in self.bridges:
                bridge.wait_ready()
            wait_for(self._is_ready, _READY_SECONDS, "all triggers to be applied by every router")
            self._stack = stack.pop_all()
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def publish(self, events: Sequence[Published], seconds: float) -> None:
        """Publish events, spread evenly over so many seconds."""
        began = time.monotonic()
        for number, event in enumerate(events, 1):
            self._publisher.publish(event.name, event.payload, id=event.id)
            time.sleep(max(0.0, began + seconds * number / len(events) - time.monotonic()))

    def replace(self, number: int, name: str, version: Mapping[str, str]) -> BridgeProcess:
        """Start a process of another version in the place of one that has ended."""
        assert not self.bridges[number].running
        self.bridges[number] = self._stack.enter_context(self._bridge(name, version))
        return self.bridges[number]

    def created(self) -> int:
        """Return how many Workflows have been created so far."""
        return self._watch.created.total()

    def settle(self, load: Load) -> Verdict:
        """Wait until all is acknowledged and processed, end the processes as an operator would, and see what is there.

        What is lost shows as a lag of 0 without its Workflow; so a loss is told as one and not as a deadline.
        """
        self._publisher.flush()
        wait_for(self._is_idle, _SETTLE_SECONDS, f"all to be processed; now {self._status()}")
        for bridge in self.bridges:  # one that was just started does not hear SIGTERM yet
            bridge.wait_ready()
        codes = [bridge.terminate().code for bridge in self.bridges]
        found = self._watch.found()
        self.seconds = time.monotonic() - self._began
        again = [name for name, count in self._watch.created.items() if count > 1]
        missing, besides = load.expected - found, found - load.expected
        return Verdict(
            load.expected.total(),
            found.total(),
            list(missing.elements()),
            list(besides.elements()),
            [*again, *self._watch.deleted],
            codes,
        )

    def _bridge(self, name: str, version: Mapping[str, str]) -> BridgeProcess:
        return BridgeProcess({**self._settings, **version}, self._folder / f"{name}.log", name)

    def _is_ready(self) -> bool:
        ready = [row["ready"] for row in self._status() if row["kind"] == "trigger"]
        return ready == [True] * self._triggers

    def _is_idle(self) -> bool:
        status = self._status()
        lags = [row["lag"] for row in status if row["kind"] == "stage"]
        waiting = [row for row in status if row["kind"] == "runs" and row["outcome"] in ("parked", "under way")]
        return bool(lags) and not any(lags) and not waiting

    def _status(self) -> list[dict[str, Any]]:
        """Return what ``flowbridge status`` says; nothing while it cannot."""
        result = CliRunner(env=self._settings).invoke(cli, ["status", "-o", "json"])
        return [json.loads(line) for line in result.stdout.splitlines()] if result.exit_code == 0 else []
