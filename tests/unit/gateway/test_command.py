"""The promises of ``flowbridge gateway``: what is wrong with its settings is said before anything runs."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli.commands import gateway
from bridge.errors import ListenError, SettingsError

AWAY = ["--bootstrap-servers", "127.0.0.1:1", "--listen", ""]


def failure(*options: str) -> BaseException:
    result = CliRunner().invoke(gateway, [*AWAY, "--gateway-listen", "127.0.0.1:0", *options])
    assert result.exception is not None
    return result.exception


@pytest.mark.parametrize(
    ("option", "content", "text"),
    [
        ("--gateway-tokens", "tokens: []", "expected a list `tokens` with at least one entry"),
        ("--gateway-tokens", None, "cannot be read"),
        (
            "--gateway-certificate",
            "no certificate",
            "a certificate with its key, in PEM and without a passphrase, is right",
        ),
        ("--gateway-certificate", None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, option: str, content: str | None, text: str) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    found = failure(option, str(path))
    assert isinstance(found, SettingsError)
    assert str(path) in str(found)
    assert text in str(found)


@pytest.mark.parametrize("path", ["metaflow-event", "/readyz", "/a b", ""])
def test_a_path_that_can_be_none_is_refused(path: str) -> None:
    found = failure("--gateway-path", path or " ")
    assert isinstance(found, SettingsError)
    assert "a path such as /metaflow-event is right" in str(found)


def test_a_port_that_is_taken_is_said_with_the_option_that_names_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = failure("--gateway-listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert isinstance(found, ListenError)
    assert "--gateway-listen" in found.remedy


def test_a_property_that_kafkas_client_does_not_know_is_said() -> None:
    found = failure("--kafka-property", "no.such.property=1")
    assert isinstance(found, SettingsError)
    assert "no.such.property" in str(found)
