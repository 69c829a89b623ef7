"""Bearer tokens: the events that each publisher may publish.

They stand in a file (a mounted Secret, say), YAML or JSON, which is read again when it changes:

    tokens:
      - name: team-a                  # for logs and metrics
        token: 4f9c0c…                # or sha256: its SHA-256 in hex
        events: [order.*, payment.done]    # `*` is any text

If the file cannot be read, or is wrong, the known tokens stay in force. Nothing of a token is ever logged.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from pathlib import Path

import yaml

from bridge.file_state import file_state
from bridge.gateway.answers import BAD_TOKEN, NO_TOKEN, Answer

LEAST_LENGTH = 16
"""Characters that a token has at least."""

_BEARER = b"bearer "
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_log = logging.getLogger(__name__)


class TokensError(Exception):
    """The file of tokens cannot be used; the text says where and why, and shows nothing of the file."""


@dataclass(frozen=True)
class Grant:
    """The permission that a token gives.

    Attributes:
        name: The holder's name.
        digest: The token's SHA-256.
        events: Patterns of the names that it may publish.

    """

    name: str
    digest: bytes
    events: tuple[str, ...]

    def may_publish(self, event: str) -> bool:
        """Return whether the token may publish events of this name."""
        return self._pattern.fullmatch(event) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(translate(pattern) for pattern in self.events))


ANYBODY = Grant("anybody", b"", ("*",))
"""The grant of every request if there are no tokens."""


class Tokens:
    """The grants of a file, as it is now."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            TokensError: It cannot be used.

        """
        self._path = path
        self._seen = file_state(self._path)
        self._grants = read_tokens(path)

    def grant(self, authorization: bytes | None) -> Grant | Answer:
        """Return what an ``Authorization`` header grants, or the refusal."""
        if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
            return NO_TOKEN
        digest = hashlib.sha256(authorization[len(_BEARER) :].strip()).digest()
        matching: Grant | None = None
        for grant in self._grants:  # all of them, so that the time says nothing
            if hmac.compare_digest(grant.digest, digest):
                matching = grant
        return matching or BAD_TOKEN

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        state = file_state(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            self._grants = read_tokens(self._path)
        except TokensError as error:
            _log.error("the tokens that are known stay: %s", error)
        else:
            _log.info("tokens read again: %s", ", ".join(grant.name for grant in self._grants))


class NoTokens(Tokens):
    """No tokens: each request may publish any event."""

    def __init__(self) -> None:
        self._grants = (ANYBODY,)

    def grant(self, authorization: bytes | None) -> Grant:
        """Return the grant of every request."""
        del authorization
        return ANYBODY

    def refresh(self) -> None:
        """Do nothing: there is no file."""


def read_tokens(path: Path) -> tuple[Grant, ...]:
    """Return the grants of a file.

    Raises:
        TokensError: It cannot be read, or its form is wrong.

    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TokensError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, yaml.YAMLError):  # their texts would show parts of the file
        raise TokensError(f"{path} is no YAML or JSON") from None
    entries = content.get("tokens") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise TokensError(f"{path}: expected a list `tokens` with at least one entry")
    grants: list[Grant] = []
    for index, entry in enumerate(entries):
        place = f"{path}: tokens[{index}]"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise TokensError(f"{place}: expected name, token (or sha256) and events")
        if unknown := set(map(str, entry)) - {"name", "token", "sha256", "events"}:
            raise TokensError(f"{place}: {len(unknown)} fields other than name, token, sha256 and events")
        events = entry.get("events")
        if not isinstance(events, list) or not events or not all(isinstance(event, str) and event for event in events):
            raise TokensError(f"{place}: expected a list of event names, such as events: [order.*]")
        token, sha256 = entry.get("token"), entry.get("sha256")
        if isinstance(sha256, str) and token is None and _SHA256.fullmatch(sha256):
            digest = bytes.fromhex(sha256)
        elif isinstance(token, str) and sha256 is None and len(token) >= LEAST_LENGTH and token.isascii():
            digest = hashlib.sha256(token.encode()).digest()
        else:
            expected = f"expected a token of at least {LEAST_LENGTH} ASCII characters, or its sha256 in hex"
            raise TokensError(f"{place}: {expected}")
        # only `*` is a wildcard: `[` and `?` may stand in names
        patterns = tuple(re.sub(r"[\[?]", lambda special: f"[{special[0]}]", event) for event in events)
        grants.append(Grant(entry["name"], digest, patterns))
    if len({grant.digest for grant in grants}) < len(grants):
        raise TokensError(f"{path}: two entries have the same token; expected one with the events of both")
    return tuple(grants)
