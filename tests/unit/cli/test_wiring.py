"""What the parts of a process are made of."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.wiring.kafka import internal_topics
from bridge.cli.wiring.process import dependencies
from bridge.settings.settings import Settings
from flowbridge_sdk.codec import Encoder
from flowbridge_sdk.errors import UnknownFingerprintError


def test_a_file_that_is_no_schema_costs_its_own_events_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bad.avsc").write_text("{")
    settings = Settings(schemas=(tmp_path,))
    unused: Any = None
    around = dependencies(settings, unused, unused, internal_topics(settings), unused, unused)
    with caplog.at_level(logging.ERROR):
        decoder = around.decoder()
    assert "bad.avsc: no JSON" in caplog.text
    assert decoder.decode("good", Encoder().encode("good", {"a": 1})) == {"a": 1}
    with pytest.raises(UnknownFingerprintError, match=r"cannot be used: .*bad\.avsc: no JSON"):
        decoder.decode("bad", b"\xc3\x018 bytes.\x00")
