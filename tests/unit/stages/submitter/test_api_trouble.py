"""An API server that is away is one warning, however many runs wait for it."""

from __future__ import annotations

import logging

import pytest

from bridge.core.event import MINUTE, SECOND
from bridge.stages.submitter.results import ApiOutage


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "bridge.stages.submitter.results")
    return caplog


def test_an_outage_is_one_warning_and_a_line_when_every_namespace_is_served_again(
    lines: pytest.LogCaptureFixture,
) -> None:
    now = 0
    trouble = ApiOutage(lambda: now)
    for namespace in ("a", "b") * 100:
        trouble.failed(namespace, "connection refused")
    now = 31 * SECOND
    trouble.answered("a")
    assert len(lines.messages) == 1
    trouble.answered("b")
    assert [record.levelname for record in lines.records] == ["WARNING", "INFO"]
    assert "connection refused" in lines.messages[0]
    assert "after 31 s" in lines.messages[1]


def test_trouble_that_comes_and_goes_is_told_once_a_minute(lines: pytest.LogCaptureFixture) -> None:
    now = 0
    trouble = ApiOutage(lambda: now)
    for _ in range(59):
        trouble.failed("a", "timed out")
        trouble.answered("a")
        now += SECOND
    assert [record.levelname for record in lines.records] == ["WARNING", "INFO"]
    now += MINUTE
    trouble.failed("a", "timed out")
    assert len(lines.messages) == 3


def test_trouble_of_runs_that_are_gone_does_not_hide_the_next_outage(lines: pytest.LogCaptureFixture) -> None:
    now = 0
    trouble = ApiOutage(lambda: now)
    trouble.failed("gone", "timed out")
    now = 60 * MINUTE
    trouble.failed("a", "connection refused")
    assert [record.levelname for record in lines.records] == ["WARNING", "WARNING"]
