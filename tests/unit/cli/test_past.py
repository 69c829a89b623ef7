"""Triggers of a file, as commands about the past read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.cli.naming import identity_of
from bridge.cli.past import definitions_in
from bridge.errors import UsageError
from bridge.settings.settings import Settings

TWO = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: ship, namespace: jobs}
spec:
  sensitive: [card]
  events: [{name: paid}]
  run: {workflowTemplate: ship}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: bill, namespace: jobs}
spec:
  events: [{name: paid}]
  run: {workflowTemplate: bill}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(TWO, encoding="utf-8")
    return path


def test_a_trigger_is_named_with_or_without_its_namespace() -> None:
    settings = Settings(namespace="jobs")
    assert [identity_of(name, settings) for name in ("ship", "other/ship")] == ["jobs/ship", "other/ship"]


def test_a_file_is_read_as_the_controller_deploys_it(file: Path) -> None:
    settings = Settings(namespace="jobs", sensitive=("iban",))
    (ship,) = definitions_in(file, "ship", settings)
    assert ship.identity == "jobs/ship"
    assert set(ship.trigger.sensitive) == {"card", "iban"}
    assert [definition.identity for definition in definitions_in(file, None, settings)] == ["jobs/ship", "jobs/bill"]


def test_a_trigger_that_the_file_has_not_is_an_error_that_names_those_that_it_has(file: Path) -> None:
    with pytest.raises(UsageError, match="has no trigger jobs/none") as raised:
        definitions_in(file, "none", Settings(namespace="jobs"))
    assert "jobs/ship, jobs/bill" in str(raised.value.remedy)
