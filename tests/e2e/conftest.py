"""An installation for each module, so that its tests share processes; and the figures that tests measure.

What tests measure is printed at the end, whatever is captured: ``record_property("figures", "…")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.installation import Installation

if TYPE_CHECKING:
    from servers.choice import AnyKafka, AnyKubernetes


@pytest.fixture(scope="module")
def installation(kafka: AnyKafka, kubernetes: AnyKubernetes, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation that the tests of a module share; nothing of it runs yet."""
    return Installation(kafka, kubernetes, tmp_path_factory.mktemp("installation"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of all tests."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                if name == "figures" and report.when == "call":
                    terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {value}")
