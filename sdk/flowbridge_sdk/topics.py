"""Event names as topic names, and back.

Nearly every event name is a topic name already and is not changed. Characters that Kafka refuses are escaped: each byte
of their UTF-8 as ``_x`` and two lower-case hex digits, and an underscore that would read as such an escape likewise.
So two names never share a topic, and ``name_of(topic_of(name)) == name``. A name with a control character is refused,
since no trigger can name it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from flowbridge_sdk.errors import BadNameError

TOPIC_LIMIT = 249
"""Characters in a Kafka topic's name, and so in an event's, counted after escaping."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""A character that no event's name has: no trigger can write it, and it would garble a terminal."""

_TO_ESCAPE = re.compile(r"[^a-zA-Z0-9._-]|_(?=x[0-9a-f]{2})")
_ESCAPED = re.compile(r"(?:_x[0-9a-f]{2})+")
_DOTS = {".": "_x2e", "..": "_x2e_x2e"}  # legal characters, but no topic may be called so


@lru_cache(maxsize=4096)
def topic_of(name: str) -> str:
    """Return the topic that carries the events called ``name``.

    Raises:
        BadNameError: The name is empty, too long, or no text, or has a control character.

    """
    if not isinstance(name, str) or not name:
        raise BadNameError(f"an event's name is a text of 1 to {TOPIC_LIMIT} characters, found {name!r}")
    if CONTROL.search(name):
        raise BadNameError(f"an event's name has no control characters, found {name[:40]!r}; no trigger could name it")
    try:
        topic = _DOTS.get(name) or _TO_ESCAPE.sub(
            lambda match: "".join(f"_x{byte:02x}" for byte in match[0].encode()), name
        )
    except UnicodeEncodeError:
        raise BadNameError(f"the event name {name!r} holds half a character (a lone surrogate)") from None
    if len(topic) > TOPIC_LIMIT:
        escaped = f" ({len(topic)} once escaped for Kafka)" if topic != name else ""
        raise BadNameError(
            f"the event name {name[:40]!r}… has {len(name)} characters{escaped}; {TOPIC_LIMIT} is the limit",
        )
    return topic


@lru_cache(maxsize=4096)
def name_of(topic: str) -> str:
    """Return the event name of ``topic``: the topic itself, unless ``topic_of`` escaped something."""
    if "_x" not in topic:
        return topic
    try:
        name = _ESCAPED.sub(lambda match: bytes.fromhex(match[0].replace("_x", "")).decode(), topic)
        return name if topic_of(name) == topic else topic
    except (UnicodeDecodeError, BadNameError):
        return topic  # a foreign topic that happens to look escaped
