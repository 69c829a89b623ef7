"""Metaflow's ``ArgoEvent.publish`` as an event: ``{"name": …, "payload": {"name", "id", "timestamp", …}}``.

Metaflow's Sensors filter by the name inside the payload, so that name counts; the outer name counts where it is
missing. Id and time are the payload's too: Metaflow writes them into each one, and a user's field of that name takes
their place there. The payload is kept whole: ``current.trigger`` is made of it in the pods.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from bridge.gateway.answers import Answer, malformed
from bridge.gateway.incoming import SOURCE, Incoming, parse, quote_value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799  # the last second of the year 9999; milliseconds since 1970 are beyond it
_EXPECTED = 'expected {"name": "order.created", "payload": {…}}'


def read_webhook(body: bytes) -> Incoming | Answer:
    """Return the event in a body, or the refusal that says why it is none."""
    posted = parse(body)
    if isinstance(posted, Answer):
        return posted
    if not isinstance(posted, dict):
        return malformed(f"the body is no JSON object; {_EXPECTED}")
    payload = posted.get("payload")
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        return malformed(f"payload: found {quote_value(payload)}; {_EXPECTED}")
    name = payload.get("name")
    if not isinstance(name, str) or not name:
        name = posted.get("name")
    if not isinstance(name, str) or not name:
        return malformed(f"name: found {quote_value(name)}; {_EXPECTED}")
    event_id = payload.get("id")
    if isinstance(event_id, int) and not isinstance(event_id, bool):
        event_id = str(event_id)
    if not isinstance(event_id, str) or not event_id:
        event_id = str(uuid.uuid4())
    # the time is the payload's timestamp in seconds since 1970, or now
    time, seconds = datetime.now(UTC), payload.get("timestamp")
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():  # add_to_payload makes texts of all values
        seconds = int(seconds) if len(seconds) <= len(str(_LATEST)) else None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= _LATEST:
        time = _EPOCH + timedelta(seconds=seconds)
    return Incoming(name, event_id, SOURCE, time, payload)
