"""An event as it came in over HTTP, checked and encoded: ready for its topic.

All payloads travel in the generic payload schema, so every router can read them. JSON knows more than a payload can
hold: an int beyond 64 bits becomes a Decimal, and half a character (a lone surrogate) becomes U+FFFD, as in Argo
Events. NaN and infinity are no JSON and refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bridge.gateway.answers import Answer, malformed
from flowbridge_sdk.attributes.checked import text_of
from flowbridge_sdk.codec import Encoder
from flowbridge_sdk.errors import BadAttributeError, BadPayloadError, RefusedError, TooLargeError
from flowbridge_sdk.headers import OwnHeaders, write_headers
from flowbridge_sdk.payloads.json_values import mended, refuse_constant

SOURCE = "flowbridge-gateway"
"""The source of events that have none. With one source for all, the same (name, id) twice is the same event."""

KEY_LIMIT = 1_024
"""Bytes of a key."""

_NAME_SHOWN = 60
_encoder = Encoder()  # without schemas: an event over HTTP has none
_ANY_NAME = "event"  # the encoder remembers names, and strangers must not make it remember


class Incoming(NamedTuple):
    """An event that was posted.

    Attributes:
        name: Its name.
        id: Its id.
        source: Its ``source`` attribute.
        time: When it happened, with a time zone.
        payload: Its fields.
        key: Its key, which decides the partition; None for none.
        extensions: More headers of its record.

    """

    name: str
    id: str
    source: str
    time: datetime
    payload: Mapping[str, Any]
    key: str | None = None
    extensions: tuple[tuple[str, bytes], ...] = ()


class Encoded(NamedTuple):
    """An event as its record carries it."""

    key: bytes | None
    value: bytes
    headers: OwnHeaders


def parse(body: bytes) -> Any:
    """Return a body of JSON as plain values, or the refusal."""
    try:
        return _json.decode(body.decode())
    except UnicodeDecodeError as error:
        return malformed(f"the body is no UTF-8 at byte {error.start}")
    except RecursionError:
        return malformed("the body is nested too deeply: expected at most 64 levels")
    except ValueError as error:  # JSONDecodeError, and an int of thousands of digits
        return malformed(f"the body is no JSON: {error}")


def encode(event: Incoming) -> Encoded | Answer:
    """Return the event as a record, or the refusal that names the field."""
    try:
        headers = write_headers(event.name, text_of("id", event.id), text_of("source", event.source), event.time)
        key = None if event.key is None else event.key.encode()
        try:
            value = _encoder.encode(_ANY_NAME, event.payload)
        except BadPayloadError:
            value = _encoder.encode(_ANY_NAME, mended(event.payload))  # seldom, so the cost is paid only here
    except (BadAttributeError, UnicodeEncodeError, OverflowError) as error:
        return malformed(str(error))
    except BadPayloadError as error:
        return malformed(f"field {error.path or '(payload)'}: found {error.found}; {error.right}")
    except TooLargeError as error:
        return malformed(f"the payload takes {error.size} bytes when encoded; {1 << 20} is the limit")
    except RefusedError as error:
        return malformed(str(error))
    if key is not None and len(key) > KEY_LIMIT:
        return malformed(f"the key has {len(key)} bytes; {KEY_LIMIT} is the limit")
    headers.extend(event.extensions)
    return Encoded(key, value, headers)


def quote_value(value: object) -> str:
    """Return a value as text that is short enough for an answer."""
    text = repr(value)
    return text if len(text) <= _NAME_SHOWN else text[:_NAME_SHOWN] + "…"


_json = json.JSONDecoder(parse_constant=refuse_constant)
