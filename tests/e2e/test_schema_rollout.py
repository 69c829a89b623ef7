"""A changed schema is rolled out without a registry, publisher first or bridge first, and no event is lost or repeated.

The publisher has the schema in a folder of its own. The bridge's folder gets it later, while the bridge runs or before
it starts again. Processes are killed while they send back.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from bridge.kafka.internal_topics import partition_of
from bridge.kafka.records import SENT_BACK
from e2e.installation import DEADLINE, PARTITIONS, parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.installation import Installation

pytestmark = pytest.mark.timeout(300)

MANY = 1_600  # more than a batch sends back, so that the kill leaves some for the next process
NAMES = ("killed", "restarted", "level")


def _schema(name: str) -> str:
    """Return a schema with a fingerprint of its own, so that each test rolls out another one."""
    fields = [{"name": "order", "type": "string"}, {"name": f"new_in_{name}", "type": "int"}]
    return json.dumps({"type": "record", "name": "Order", "fields": fields})


@pytest.fixture(scope="module", autouse=True)
def _triggers(installation: Installation) -> None:
    installation.create_template("take", order=None)
    triggers = [
        f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: rollout.{name}, as: order}}]
  run: {{workflowTemplate: take, parameters: {{order: order.payload.order}}}}
"""
        for name in NAMES
    ]
    installation.write_triggers("\n---\n".join(triggers))


@pytest.fixture
def ahead(tmp_path: Path) -> Path:
    """The folder of a publisher that is ahead of the bridge."""
    folder = tmp_path / "ahead"
    folder.mkdir()
    for name in NAMES:
        (folder / f"rollout.{name}.avsc").write_text(_schema(name))
    return folder


def _publish(installation: Installation, ahead: Path, name: str, number: int) -> None:
    with installation.publisher(schemas=ahead) as publisher:
        for index in range(number):
            payload = {"order": str(index), f"new_in_{name}": index}
            publisher.publish(f"rollout.{name}", payload, id=f"o-{index}", key=str(index % 7))


def _give_schema(installation: Installation, name: str) -> None:
    """Write the schema into the bridge's folder, whole at once, as a mounted ConfigMap changes."""
    new = installation.folder / f"rollout.{name}.avsc"
    new.write_text(_schema(name))
    new.replace(installation.schemas / new.name)


def _orders(installation: Installation, name: str) -> Counter[str]:
    return Counter(parameters(workflow)["order"] for workflow in installation.workflows(name))


def _marks(installation: Installation) -> Counter[tuple[int, int]]:
    """Return how often each dead letter was sent back."""
    marks: list[Any] = [SENT_BACK.decode(value) for value in installation.records("retries")]
    return Counter((mark["partition"], mark["offset"]) for mark in marks)


@contextmanager
def _watching(installation: Installation, topic: str) -> Iterator[Callable[[], None]]:
    """Return what waits until marks are written, committed or not: a process is in the middle of sending back.

    The connection is made before, since all of it takes a second.
    """
    watcher = Consumer({"bootstrap.servers": installation.bootstrap, "group.id": f"{installation.prefix}watch"})
    place = TopicPartition(f"{installation.prefix}retries", partition_of(topic, PARTITIONS))
    assert watcher.get_watermark_offsets(place, timeout=10)[1] == 0

    def wait() -> None:
        give_up = time.monotonic() + DEADLINE
        while not watcher.get_watermark_offsets(place, timeout=10)[1]:
            assert time.monotonic() < give_up, "nothing was sent back"

    try:
        yield wait
    finally:
        watcher.close()


def test_events_of_a_publisher_that_is_ahead_wait_and_run_once_though_the_bridge_is_killed_while_it_sends_them_back(
    installation: Installation, ahead: Path, record_property: Callable[[str, object], None]
) -> None:
    with installation.process("killed") as bridge:
        installation.wait_triggers(*NAMES)
        _publish(installation, ahead, "killed", MANY)
        installation.wait_dead_letters("rollout.killed", MANY)
        assert {letter["reason"] for letter in installation.dead_letters("rollout.killed")} == {"unknown-schema"}
        assert not _orders(installation, "killed")
        told = installation.command("explain", "--trigger", "killed", "--event", "o-7", "--from", "1h")
        assert "waits for its schema" in " ".join(told.stdout.split()), told.stdout + told.stderr
        with _watching(installation, "rollout.killed") as wait_until_it_sends:
            _give_schema(installation, "killed")
            wait_until_it_sends()
            bridge.kill()
    with installation.process("killed-again") as bridge:
        installation.wait_workflows("killed", MANY, 2 * DEADLINE)
        installation.wait_idle()
        assert _orders(installation, "killed") == {str(index): 1 for index in range(MANY)}
        assert _marks(installation).total() == MANY
        assert set(_marks(installation).values()) == {1}
        left = re.search(r"(\d+) events that waited for the schema .* were sent back", bridge.text())
        assert left is not None, bridge.text()[-2000:]
        record_property("figures", f"{left[1]} of {MANY} events were left for the process after the kill")
    told = installation.command("explain", "--trigger", "killed", "--event", "o-7", "--from", "1h")
    assert "was sent back at" in " ".join(told.stdout.split()), told.stdout + told.stderr


def test_a_schema_that_comes_while_no_bridge_runs_is_found_at_the_restart(
    installation: Installation, ahead: Path
) -> None:
    before = _marks(installation).total()
    with installation.process("before"):
        installation.wait_triggers(*NAMES)
        _publish(installation, ahead, "restarted", 20)
        installation.wait_dead_letters("rollout.restarted", 20)
    _give_schema(installation, "restarted")
    with installation.process("after"):
        installation.wait_workflows("restarted", 20)
        installation.wait_idle()
    with installation.process("once-more"):
        installation.wait_triggers(*NAMES)
        installation.wait_idle()
        assert _orders(installation, "restarted") == {str(index): 1 for index in range(20)}
        assert _marks(installation).total() == before + 20


def test_nothing_waits_where_the_bridge_is_level_with_its_publisher(installation: Installation, ahead: Path) -> None:
    _give_schema(installation, "level")
    with installation.process("level") as bridge:
        installation.wait_triggers(*NAMES)
        _publish(installation, ahead, "level", 20)
        installation.wait_workflows("level", 20)
        installation.wait_decisions(bridge, "level", matched=20)
        assert installation.dead_letters("rollout.level") == []
        assert _orders(installation, "level") == {str(index): 1 for index in range(20)}
