"""Triggers and processes come and go while events flow: what is in force changes, and nothing that waits is lost."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from e2e.installation import Installation, parameters
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.choice import AnyKafka, AnyKubernetes

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
SOON = 20.0
"""Seconds in which an edit takes effect; one or two on an idle machine."""
HOLD_OFF = 2.0
SESSION = 6.0
"""Seconds after which Kafka takes the partitions of a member away that has not said that it leaves."""


@pytest.fixture
def installation(kafka: AnyKafka, kubernetes: AnyKubernetes, tmp_path: Path) -> Installation:
    """An installation of the test's own."""
    new = Installation(kafka, kubernetes, tmp_path)
    new.create_template("job", id=None, text=None)
    return new


def _single(name: str, text: str = "as it was") -> str:
    return f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: life.{name}, as: one}}]
  run: {{workflowTemplate: job, parameters: {{id: one.id, text: '"{text}"'}}}}
"""


def _pair(name: str) -> str:
    return f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: life.{name}.a, as: a}}, {{name: life.{name}.b, as: b}}]
  key: payload.key
  window: {{within: 1h}}
  run: {{workflowTemplate: job, parameters: {{id: a.id, text: b.id}}}}
"""


def _publish(installation: Installation, name: str, event_id: str) -> None:
    with installation.publisher() as publisher:
        publisher.publish(f"life.{name}", {"key": "k"}, key="k", id=event_id, time=NOON)


def _ran(installation: Installation, name: str, event_id: str, seconds: float = SOON) -> dict[str, str]:
    """Publish an event and return the parameters of its Workflow, once that is there."""
    _publish(installation, name, event_id)
    found: dict[str, dict[str, str]] = {}

    def is_there() -> bool:
        found.update({parameters(workflow)["id"]: parameters(workflow) for workflow in installation.workflows(name)})
        return event_id in found

    wait_for(is_there, seconds, f"the Workflow of {event_id}")
    return found[event_id]


def _until(seconds: float, attempt: Callable[[int], bool], what: str) -> None:
    """Attempt something with a new number each time, until it is so."""
    deadline = time.monotonic() + seconds
    number = 0
    while not attempt(number):
        number += 1
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"


def test_trigger_files_are_added_edited_and_removed_while_the_bridge_runs(installation: Installation) -> None:
    installation.write_triggers(_single("steady"), "steady.yaml")
    with installation.process(FLOWBRIDGE_HOLD_OFF=f"{HOLD_OFF}s"):
        installation.wait_triggers("steady")
        installation.write_triggers(_single("guest"), "guest.yaml")
        installation.wait_triggers("guest", "steady", seconds=SOON)
        assert _ran(installation, "guest", "added") == {"id": "added", "text": "as it was"}

        installation.write_triggers(_single("guest", "edited"), "guest.yaml")
        _until(SOON, lambda n: _ran(installation, "guest", f"edit-{n}")["text"] == "edited", "the edit to take effect")

        applied = installation.applied()
        (installation.triggers / "guest.yaml").unlink()
        installation.wait_triggers("steady", seconds=SOON)
        wait_for(lambda: installation.applied() > applied, SOON, "every router to apply the retirement")
        before = len(installation.workflows("guest"))
        _publish(installation, "guest", "removed")
        _ran(installation, "steady", "others go on")
        assert len(installation.workflows("guest")) == before


def test_a_broken_file_or_an_emptied_folder_stops_nothing(installation: Installation) -> None:
    installation.write_triggers(_single("mended"), "mended.yaml")
    with installation.process(FLOWBRIDGE_HOLD_OFF=f"{HOLD_OFF}s") as bridge:
        installation.wait_triggers("mended")
        installation.write_triggers("kind: [Trigger", "mended.yaml")
        installation.write_triggers(_single("another"), "another.yaml")
        installation.wait_triggers("another", "mended", seconds=SOON)
        wait_for(lambda: "mended.yaml:1" in bridge.text(), SOON, "the error to be logged")
        _goes_on(installation, "mended", "broken")

        for file in installation.triggers.iterdir():
            file.unlink()
        wait_for(lambda: f"{installation.triggers}:1" in bridge.text(), SOON, "the empty folder to be logged")
        _goes_on(installation, "mended", "empty")
        installation.wait_triggers("another", "mended", seconds=SOON)


def _goes_on(installation: Installation, name: str, what: str) -> None:
    """Assert that a trigger works for longer than the hold-off after which it could be retired."""
    end = time.monotonic() + 2 * HOLD_OFF
    _until(60, lambda n: bool(_ran(installation, name, f"{what}-{n}")) and time.monotonic() > end, "the hold-off")


def test_sigterm_drains_and_hands_over_at_once(
    installation: Installation, record_property: Callable[[str, object], None]
) -> None:
    installation.write_triggers(f"{_single('handed')}---{_pair('kept')}")
    with installation.process("first") as first, installation.process("second") as second:
        installation.wait_triggers("handed", "kept")
        second.wait_ready()
        first.wait_ready()
        _publish(installation, "kept.a", "a-1")
        waits = lambda: sum(installation.decisions(process, "kept")["waiting"] for process in (first, second)) == 1  # noqa: E731
        wait_for(waits, SOON, "the first of the pair to wait")

        ending = first.terminate()
        assert ending.code == 0, first.text()
        began = time.monotonic()
        _ran(installation, "handed", "next")
        next_run = time.monotonic() - began
        _publish(installation, "kept.b", "b-1")
        (pair,) = installation.wait_workflows("kept", 1)
    figures = f"SIGTERM to exit {ending.seconds:.2f} s, then publish to Workflow {next_run:.2f} s"
    record_property("figures", figures)
    assert parameters(pair) == {"id": "a-1", "text": "b-1"}
    assert next_run < SESSION, figures


def test_a_pair_completes_whose_bridge_was_killed_in_between(installation: Installation) -> None:
    installation.write_triggers(_pair("torn"))
    with installation.process() as bridge:
        installation.wait_triggers("torn")
        _publish(installation, "torn.a", "a-1")
        installation.wait_decisions(bridge, "torn", waiting=1)
        bridge.kill()
        _publish(installation, "torn.b", "b-1")
        assert installation.workflows("torn") == []
        bridge.start()
        bridge.wait_ready()
        installation.wait_decisions(bridge, "torn", created=1)
        (pair,) = installation.workflows("torn")
        assert parameters(pair) == {"id": "a-1", "text": "b-1"}


def test_who_leads_decides_what_is_in_force(installation: Installation, tmp_path: Path) -> None:
    """A second process with other files changes nothing until it leads, and then does."""
    others = tmp_path / "others"
    others.mkdir()
    (others / "triggers.yaml").write_text(f"{_single('ours', 'as others wrote it')}---{_single('theirs')}")
    installation.write_triggers(_single("ours"))
    with installation.process("first") as first:
        installation.wait_triggers("ours")
        with installation.process("second", FLOWBRIDGE_TRIGGERS=str(others)) as second:
            second.wait_ready()
            first.wait_ready()
            assert _ran(installation, "ours", "e-1")["text"] == "as it was"
            installation.wait_triggers("ours")
            assert first.terminate().code == 0
            installation.wait_triggers("ours", "theirs")
            _until(SOON, lambda n: _ran(installation, "ours", f"then-{n}")["text"] != "as it was", "their edit")
            assert _ran(installation, "theirs", "e-2")["text"] == "as it was"
