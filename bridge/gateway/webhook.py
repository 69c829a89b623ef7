"""Metaflow's ``ArgoEvent.publish`` as an event: ``{"name": …, "payload": {"name", "id", "timestamp", …}}``.

What Metaflow's Sensors filter by is the name inside the payload, so that one counts, and the outer one where it is
missing. Id and time are the payload's too: Metaflow writes them into each, and a user's field of that name takes
their place there. The payload is kept whole: ``current.trigger`` is made of it in the pods.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.gateway.answers import Answer, malformed
from bridge.gateway.incoming import SOURCE, Incoming, parse, quote_value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799  # the last second of the year 9999; milliseconds since 1970 are beyond it
_RIGHT = 'right is {"name": "order.created", "payload": {…}}'


def read_webhook(body: bytes) -> Incoming | Answer:
    """Return the event that a body posts, or why it is none."""
    posted = parse(body)
    if isinstance(posted, Answer):
        return posted
    if not isinstance(posted, dict):
        return malformed(f"the body is no JSON object; {_RIGHT}")
    payload = posted.get("payload")
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        return malformed(f"payload: found {quote_value(payload)}; {_RIGHT}")
    name = payload.get("name")
    if not isinstance(name, str) or not name:
        name = posted.get("name")
    if not isinstance(name, str) or not name:
        return malformed(f"name: found {quote_value(name)}; {_RIGHT}")
    return Incoming(name, _id(payload), SOURCE, _time(payload), payload)


def _id(payload: Mapping[str, Any]) -> str:
    """Return the event's id; a random one where the payload has none that could be one."""
    found = payload.get("id")
    if isinstance(found, str) and found:
        return found
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return str(uuid.uuid4())


def _time(payload: Mapping[str, Any]) -> datetime:
    """Return when it happened: the payload's timestamp in seconds since 1970, or now where it is none."""
    found = payload.get("timestamp")
    if isinstance(found, str) and found.isascii() and found.isdigit():  # add_to_payload makes texts of all values
        found = int(found) if len(found) <= len(str(_LATEST)) else None
    if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= _LATEST:
        return _EPOCH + timedelta(seconds=found)
    return datetime.now(UTC)
