"""The results of a request to a Kubernetes API server, as values.

They keep apart the three cases that decide whether a request can be repeated safely: the API *answered*
(:class:`Answer`), the request was *surely not sent* (:class:`Unreachable`), or it was sent and the result is not known
(:class:`Unknown`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MESSAGE_LIMIT = 2_000
"""Characters of a text of the cluster that are kept. A webhook may answer megabytes, and each text goes into the
ledger, into decisions, dead letters and logs."""

Plain = Mapping[str, Any]
"""A JSON object, as Kubernetes answers it."""


def bounded(text: str) -> str:
    """Return a text of the cluster with at most :data:`MESSAGE_LIMIT` characters, all valid Unicode.

    A longer text ends with a note of its whole length. Half a surrogate pair, which JSON may hold and UTF-8 may not,
    becomes a question mark.
    """
    shown = text[:MESSAGE_LIMIT].encode(errors="replace").decode()
    return shown if len(text) <= MESSAGE_LIMIT else f"{shown}… (the first {MESSAGE_LIMIT} of {len(text)} characters)"


@dataclass(frozen=True, slots=True)
class Answer:
    """The API's answer.

    Attributes:
        status: HTTP status.
        reason: The API's own word for a failure (``AlreadyExists``, ``Forbidden``); empty when there is none.
        message: The API's whole text for people; the beginning of a body that is no JSON.
        retry_after: Seconds that the answer asks to wait before the next try.
        object: The body, if it is a JSON object: the requested or created object, or a ``Status``.

    """

    status: int
    reason: str = ""
    message: str = ""
    retry_after: float | None = None
    object: Plain | None = None

    @property
    def is_genuine(self) -> bool:
        """Return True if a Kubernetes API gave this failure, and not a proxy or another server in its place."""
        return self.object is not None and self.object.get("kind") == "Status"

    def text(self) -> str:
        """Return the answer for people, :func:`bounded`: ``403 Forbidden: exceeded quota …``."""
        return bounded(f"{self.status} {self.reason}".rstrip() + (f": {self.message}" if self.message else ""))


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The request was surely not sent: no name, no connection, no TLS, no token."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request was sent, at least in part, without an answer. It may have been applied, or may still be applied."""

    reason: str


Response = Answer | Unreachable | Unknown
