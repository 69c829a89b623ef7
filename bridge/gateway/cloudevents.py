"""CloudEvents over HTTP, version 1.0: structured JSON, and binary with a JSON body.

``type`` is the event's name, ``data`` its payload (a JSON object), ``partitionkey`` its key. ``source`` is kept: in
CloudEvents an id is unique only together with it. Other attributes and extensions travel on as headers ``ce_…``. The
SDK's reader, which also reads records of Kafka, reads the event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from bridge.gateway.answers import Answer, malformed
from bridge.gateway.incoming import Incoming, parse
from flowbridge_sdk.avro.logical import EPOCH
from flowbridge_sdk.errors import BadCloudEventError, UnreadContentTypeError
from flowbridge_sdk.payloads.cloudevents import (
    STRUCTURED,
    STRUCTURED_JSON,
    CloudEvent,
    cloud_event,
    media_type,
    read_structured,
    shown,
)
from flowbridge_sdk.payloads.json_values import is_json_type

EXTENSIONS_LIMIT = 4_096
"""Bytes of all extensions together."""

CONTENT_TYPES = (
    f"{STRUCTURED_JSON}, or in binary mode (headers ce-…) application/json and others that end in /json or +json"
)
"""The content types that are taken, for refusals."""

_KNOWN = frozenset(("specversion", "id", "source", "type", "time", "datacontenttype", "partitionkey"))
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def read_cloudevent(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Incoming | Answer:
    """Return the event that a request carries, or the refusal that says why it is none."""
    header_texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    content_type = header_texts.get("content-type", "")
    media = media_type(content_type)
    try:
        if media == STRUCTURED_JSON:
            return _incoming(read_structured(media, body))
        if media.startswith(STRUCTURED):
            return _unread(f"content-type {shown(content_type)}")
        if "ce-specversion" not in header_texts:
            return malformed(
                f"no CloudEvent: expected content-type {STRUCTURED_JSON}, or headers ce-specversion, ce-id …"
            )
        if body and not is_json_type(media):
            return _unread(f"content-type {shown(content_type)}")
        data = parse(body) if body else None
        if isinstance(data, Answer):
            return data
        attributes: dict[str, str | None] = {}
        for name, text in header_texts.items():
            if name.startswith("ce-"):
                quoted = _QUOTED.fullmatch(text)  # as older versions wrote it
                bare = _ESCAPED.sub(r"\1", quoted[1]) if quoted else text
                attributes[name[3:]] = unquote(bare, errors="strict")
        return _incoming(cloud_event(attributes | {"datacontenttype": content_type or None}, data))
    except UnicodeDecodeError as error:
        return malformed(f"a header ce-…: expected UTF-8 behind percent signs, found {error.object[:40]!r}")
    except UnreadContentTypeError as error:
        return _unread(error.found)
    except BadCloudEventError as error:
        return malformed(str(error))


def _incoming(event: CloudEvent) -> Incoming | Answer:
    if event.payload is None:
        return _unread("datacontenttype application/avro")
    key = event.attributes.get("partitionkey")
    if not isinstance(key, str | None):
        return malformed("partitionkey: expected a text")
    further = {name: value for name, value in event.attributes.items() if name not in _KNOWN and value is not None}
    is_valid = all(_ATTRIBUTE.fullmatch(name) and isinstance(value, str | int) for name, value in further.items())
    extensions: list[tuple[str, bytes]] = []  # further attributes travel on as headers
    for name, value in further.items() if is_valid else ():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        extensions.append((f"ce_{name}", text.encode("utf-8", "replace")))
    if not is_valid or sum(len(name) + len(value) for name, value in extensions) > EXTENSIONS_LIMIT:
        return malformed(f"extensions: expected names of up to 20 of a-z and 0-9, {EXTENSIONS_LIMIT} bytes in all")
    time = datetime.now(UTC) if event.time_us is None else EPOCH + timedelta(microseconds=event.time_us)
    return Incoming(event.name, event.id, event.source, time, event.payload, key, tuple(extensions))


def _unread(found: str) -> Answer:
    return Answer(415, "malformed", f"{found} is not taken; these content types are: {CONTENT_TYPES}")
