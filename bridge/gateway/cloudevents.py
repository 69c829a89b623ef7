"""CloudEvents over HTTP, version 1.0: structured JSON, and binary with a JSON body.

``type`` is the event's name, ``data`` its payload (a JSON object), ``partitionkey`` its key. ``source`` is kept: in
CloudEvents an id is unique only together with it. Other attributes and extensions travel on as headers ``ce_…``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from bridge.gateway.answers import Answer, malformed
from bridge.gateway.incoming import Incoming, parse, quote_value
from flowbridge_sdk.avro.logical import EPOCH
from flowbridge_sdk.payloads.times import read_time

EXTENSIONS_LIMIT = 4_096
"""Bytes of all extensions together."""

_STRUCTURED = "application/cloudevents+json"
_KNOWN = frozenset(
    ("specversion", "id", "source", "type", "time", "data", "data_base64", "datacontenttype", "partitionkey")
)
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json|text/json")


def read_cloudevent(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Incoming | Answer:
    """Return the event that a request carries, or why it is none."""
    given = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    media = given.get("content-type", "").partition(";")[0].strip().lower()
    if media == _STRUCTURED:
        return _structured(body)
    if media.startswith("application/cloudevents"):
        return Answer(415, "malformed", f"found {quote_value(media)}; {_STRUCTURED} or binary mode is right")
    if "ce-specversion" not in given:
        return malformed(f"no CloudEvent: content-type {_STRUCTURED}, or headers ce-specversion, ce-id … are right")
    if body and not _JSON.fullmatch(media):
        return Answer(415, "malformed", f"content-type: found {quote_value(media)}; application/json is right")
    return _binary({name[3:]: unquote(text) for name, text in given.items() if name.startswith("ce-")}, body)


def _structured(body: bytes) -> Incoming | Answer:
    attributes = parse(body)
    if isinstance(attributes, Answer):
        return attributes
    if not isinstance(attributes, dict):
        return malformed("the body is no JSON object")
    return _event(attributes, attributes.get("data"))


def _binary(attributes: Mapping[str, str], body: bytes) -> Incoming | Answer:
    data = parse(body) if body else None
    return data if isinstance(data, Answer) else _event(attributes, data)


def _event(attributes: Mapping[str, Any], data: Any) -> Incoming | Answer:
    problem = _problem(attributes, data)
    if problem:
        return malformed(problem)
    time, extensions = _time(attributes.get("time")), _extensions(attributes)
    if time is None:
        return malformed(
            f"time: found {quote_value(attributes['time'])}; RFC 3339 is right, as in 2026-01-31T12:00:00Z"
        )
    if extensions is None:
        return malformed(f"extensions: names of up to 20 of a-z and 0-9, {EXTENSIONS_LIMIT} bytes in all are right")
    key = attributes.get("partitionkey")
    return Incoming(
        attributes["type"], attributes["id"], attributes["source"], time, {} if data is None else data, key, extensions
    )


def _problem(attributes: Mapping[str, Any], data: Any) -> str | None:
    if attributes.get("specversion") != "1.0":
        return f"specversion: found {quote_value(attributes.get('specversion'))}; 1.0 is right"
    for name in ("id", "source", "type"):
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            return f"{name}: found {quote_value(attributes.get(name))}; a text that is not empty is right"
    if not isinstance(attributes.get("partitionkey"), str | None):
        return "partitionkey: a text is right"
    if "data_base64" in attributes or not isinstance(data, dict | None):
        return "data: a JSON object is right: its fields are the payload's"
    return None


def _time(found: Any) -> datetime | None:
    if found is None:
        return datetime.now(UTC)
    try:
        return EPOCH + read_time(found)
    except (TypeError, ValueError):
        return None


def _extensions(attributes: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...] | None:
    """Return what else is said of the event, as headers; None if that is more than an event may have."""
    found: list[tuple[str, bytes]] = []
    for name, value in attributes.items():
        if name in _KNOWN or value is None:
            continue
        if not _ATTRIBUTE.fullmatch(name) or not isinstance(value, str | int):
            return None
        text = str(value).lower() if isinstance(value, bool) else str(value)
        found.append((f"ce_{name}", text.encode("utf-8", "replace")))
    size = sum(len(name) + len(value) for name, value in found)
    return tuple(found) if size <= EXTENSIONS_LIMIT else None
