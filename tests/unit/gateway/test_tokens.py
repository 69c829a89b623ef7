"""The promises of tokens: read again when they change, never shown, and a broken file changes nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bridge.gateway.tokens import Grant, Tokens, TokensError, read_tokens

ONE = "tokens: [{name: a, token: aaaaaaaaaaaaaaaa, events: ['*']}]"
OTHER = "tokens: [{name: b, token: bbbbbbbbbbbbbbbb, events: ['*']}]"


def holder(tokens: Tokens, token: str) -> str | None:
    found = tokens.grant(f"Bearer {token}".encode())
    return found.name if isinstance(found, Grant) else None


def replace(path: Path, text: str) -> None:
    """As a mounted Secret changes: another file takes the name."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def test_a_changed_file_takes_effect_and_the_old_token_ends(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(ONE)
    tokens = Tokens(path)
    assert (holder(tokens, "a" * 16), holder(tokens, "b" * 16)) == ("a", None)
    replace(path, OTHER)
    tokens.refresh()
    assert (holder(tokens, "a" * 16), holder(tokens, "b" * 16)) == (None, "b")


@pytest.mark.parametrize("text", ["", "tokens: []", "{", ONE.replace("a" * 16, "secretsecret-")])
def test_a_file_that_is_broken_changes_nothing_and_shows_nothing(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(ONE)
    tokens = Tokens(path)
    replace(path, text)
    tokens.refresh()
    assert holder(tokens, "a" * 16) == "a"
    assert "the tokens that are known stay" in caplog.text
    assert "secretsecret" not in caplog.text


def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(ONE)
    tokens = Tokens(path)
    path.unlink()
    tokens.refresh()
    assert holder(tokens, "a" * 16) == "a"


def test_a_hash_may_stand_for_the_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    digest = hashlib.sha256(b"correct horse battery").hexdigest()
    path.write_text(json.dumps({"tokens": [{"name": "a", "sha256": digest, "events": ["x"]}]}))
    assert holder(Tokens(path), "correct horse battery") == "a"
    assert holder(Tokens(path), digest) is None


@pytest.mark.parametrize(
    ("pattern", "name", "may"),
    [
        ("order.*", "order.created", True),
        ("order.*", "order", False),
        ("order.*", "reorder.created", False),
        ("*", "anything\nat all", True),
        ("a[b]", "a[b]", True),
        ("a[b]", "ab", False),
        ("a?", "ab", False),
        ("Order", "order", False),
    ],
)
def test_only_the_star_means_anything_in_a_pattern(tmp_path: Path, pattern: str, name: str, *, may: bool) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(f"tokens: [{{name: a, token: aaaaaaaaaaaaaaaa, events: ['{pattern}']}}]")
    assert read_tokens(path)[0].may_publish(name) is may


@pytest.mark.parametrize(
    "entry",
    [
        "{token: aaaaaaaaaaaaaaaa, events: [x]}",
        "{name: a, token: short, events: [x]}",
        "{name: a, token: aaaaaaaaaaaaaaaa}",
        "{name: a, token: aaaaaaaaaaaaaaaa, events: []}",
        "{name: a, token: aaaaaaaaaaaaaaaa, events: x}",
        "{name: a, token: aaaaaaaaaaaaaaaa, event: [x], events: [x]}",
        "{name: a, sha256: abc, events: [x]}",
        "{name: a, events: [x]}",
        "just a text",
    ],
)
def test_a_wrong_entry_is_named_by_its_place(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(f"tokens: [{entry}]")
    with pytest.raises(TokensError, match=r"tokens\[0\]: ") as found:
        read_tokens(path)
    assert "aaaa" not in str(found.value)
