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
    """Return the event that a request carries, or the refusal that says why it is none."""
    header_texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    media = header_texts.get("content-type", "").partition(";")[0].strip().lower()
    if media == _STRUCTURED:
        attributes = parse(body)
        if isinstance(attributes, Answer):
            return attributes
        if not isinstance(attributes, dict):
            return malformed("the body is no JSON object")
        return _event(attributes, attributes.get("data"))
    if media.startswith("application/cloudevents"):
        return Answer(415, "malformed", f"expected {_STRUCTURED} or binary mode, found {quote_value(media)}")
    if "ce-specversion" not in header_texts:
        return malformed(f"no CloudEvent: expected content-type {_STRUCTURED}, or headers ce-specversion, ce-id …")
    if body and not _JSON.fullmatch(media):
        return Answer(415, "malformed", f"content-type: expected application/json, found {quote_value(media)}")
    data = parse(body) if body else None
    if isinstance(data, Answer):
        return data
    return _event({name[3:]: unquote(text) for name, text in header_texts.items() if name.startswith("ce-")}, data)


def _event(attributes: Mapping[str, Any], data: Any) -> Incoming | Answer:
    if attributes.get("specversion") != "1.0":
        return malformed(f"specversion: expected 1.0, found {quote_value(attributes.get('specversion'))}")
    for name in ("id", "source", "type"):
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            return malformed(f"{name}: expected a text that is not empty, found {quote_value(attributes.get(name))}")
    if not isinstance(attributes.get("partitionkey"), str | None):
        return malformed("partitionkey: expected a text")
    if "data_base64" in attributes or not isinstance(data, dict | None):
        return malformed("data: expected a JSON object; its fields are the payload's")
    time_text = attributes.get("time")
    try:
        time = datetime.now(UTC) if time_text is None else EPOCH + read_time(time_text)
    except (TypeError, ValueError):
        return malformed(f"time: expected RFC 3339, as in 2026-01-31T12:00:00Z, found {quote_value(time_text)}")
    further = {name: value for name, value in attributes.items() if name not in _KNOWN and value is not None}
    is_valid = all(_ATTRIBUTE.fullmatch(name) and isinstance(value, str | int) for name, value in further.items())
    extensions: list[tuple[str, bytes]] = []  # further attributes travel on as headers
    for name, value in further.items() if is_valid else ():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        extensions.append((f"ce_{name}", text.encode("utf-8", "replace")))
    if not is_valid or sum(len(name) + len(value) for name, value in extensions) > EXTENSIONS_LIMIT:
        return malformed(f"extensions: expected names of up to 20 of a-z and 0-9, {EXTENSIONS_LIMIT} bytes in all")
    return Incoming(
        attributes["type"],
        attributes["id"],
        attributes["source"],
        time,
        {} if data is None else data,
        attributes.get("partitionkey"),
        tuple(extensions),
    )
