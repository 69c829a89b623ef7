"""Payloads that travel as JSON: CloudEvents' binary mode with JSON data, and bare JSON of topics in a setting.

They are read strictly: UTF-8, one object, no NaN, no Infinity, no number that a double cannot hold, at most 64 levels
and 1 MiB (as Avro, too). Some values of JSON have no equal in a payload and are read as another value:

======================================  =====================================
in the text                             in the payload
======================================  =====================================
a number without fraction and exponent  an int; beyond 64 bits an exact Decimal
any other number                        a float
half a character (a lone surrogate)     U+FFFD
a key that comes twice                  its last value
======================================  =====================================

Kafka Connect's JsonConverter writes a value inside of ``{"schema": …, "payload": …}`` unless its ``schemas.enable`` is
off. Such a value is read as what is inside.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from flowbridge_sdk.avro.encoding import LONG_MAX, LONG_MIN
from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.errors import SettingsError, UndecodableError
from flowbridge_sdk.schemas import GENERIC
from flowbridge_sdk.topics import TOPIC_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flowbridge_sdk.headers import Headers

JSON_LIMIT = 1 << 20
"""Bytes of a payload, as JSON and as Avro."""

_DEPTH = 64  # the codec refuses deeper values
_SURROGATES = re.compile("[\ud800-\udfff]")
_TOPIC = re.compile(rf"[a-zA-Z0-9._-]{{0,{TOPIC_LIMIT}}}\*?")
_HEADERS = ("content-type", "ce_datacontenttype")
_STRUCTURED = "application/cloudevents"
_CONNECT = {"schema", "payload"}


class JsonTopics:
    """The topics whose values are bare JSON.

    Attributes:
        patterns: Names of topics; one that ends in ``*`` is a beginning of names.

    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Take patterns.

        Raises:
            SettingsError: One is no topic's name or beginning.

        """
        self.patterns = tuple(patterns)
        for pattern in self.patterns:
            if not pattern or not _TOPIC.fullmatch(pattern):
                raise SettingsError(
                    f"JSON topics: found {pattern!r}; expected TOPIC or BEGINNING*, several separated by commas"
                )
        self._names = frozenset(self.patterns)
        self._beginnings = tuple(pattern[:-1] for pattern in self.patterns if pattern.endswith("*"))

    def __contains__(self, topic: str) -> bool:
        return topic in self._names or topic.startswith(self._beginnings)


def is_json_type(media: str) -> bool:
    """Return whether a media type, in lower case and without parameters, is one of JSON."""
    return media.endswith(("/json", "+json"))


def is_json(headers: Headers | None, *, otherwise: bool = False) -> bool:
    """Return whether a record's headers say that its value is JSON (``application/json`` or ``…+json``).

    A whole CloudEvent in the value (structured mode) does not count as JSON.

    Args:
        headers: The record's headers.
        otherwise: The answer if the headers do not say.

    """
    for name, content in headers or ():
        if content and name.lower() in _HEADERS:
            media_type = content.split(b";")[0].strip().lower().decode("latin-1")
            if media_type.startswith(_STRUCTURED):
                return False
            if is_json_type(media_type):
                return True
    return otherwise


def json_payload(topic: str, value: bytes) -> dict[str, Any]:
    """Return the payload that a value of JSON carries.

    Raises:
        UndecodableError: It is no JSON, no object, or more than a payload holds.

    """
    try:
        payload = parse_json(value)
        if not isinstance(payload, dict):
            problem = f"found {KINDS.get(type(payload), 'a value')}, and a payload is an object"
        else:
            return checked_payload(topic, unwrapped(payload))
    except ValueError as error:
        problem = str(error)
    raise UndecodableError(f"a record of {topic} is JSON that cannot be read: {problem}")


def parse_json(text: bytes) -> Any:
    """Return the values in a text of JSON. They may hold what a payload does not (``checked_payload``).

    Raises:
        ValueError: It is no JSON, or more than 1 MiB of it.

    """
    if len(text) > JSON_LIMIT:
        raise ValueError(f"it has {len(text)} bytes; at most {JSON_LIMIT} are read")
    try:
        return _json.decode(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ValueError(f"nested too deeply; expected at most {_DEPTH} levels") from None


def unwrapped(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload inside of the schema and payload that Kafka Connect's JsonConverter writes."""
    if payload.keys() == _CONNECT:
        schema, inner = payload["schema"], payload["payload"]
        if isinstance(schema, dict) and schema.get("type") == "struct" and isinstance(inner, dict):
            return inner
    return payload


def checked_payload(topic: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload of JSON's values as every event can hold it.

    Raises:
        UndecodableError: It holds what no event can, or too much.

    """
    try:
        written = bytearray()
        try:
            GENERIC.write(written, payload, 0)
        except MisfitError:
            payload = mended(payload)  # seldom, so the cost is paid only here
            GENERIC.write(written := bytearray(), payload, 0)
    except MisfitError as error:
        problem = f"field {error.where() or '(payload)'}: found {error.found}; {error.expected}"
    except RecursionError:
        problem = f"nested too deeply; expected at most {_DEPTH} levels"
    else:
        if len(written) <= JSON_LIMIT:
            return dict(payload)
        problem = f"its payload takes {len(written)} bytes as Avro; at most {JSON_LIMIT} are read"
    raise UndecodableError(f"a record of {topic} is JSON that cannot be read: {problem}")


def mended(value: Any, depth: int = 0) -> Any:
    """Return a value without the parts that only JSON can hold (see the table above), down to the codec's depth."""
    match value:
        case str():
            return _SURROGATES.sub("\ufffd", value)
        case bool():
            return value
        case int() if not LONG_MIN <= value <= LONG_MAX:
            return Decimal(value)
        case dict() if depth <= _DEPTH:
            return {mended(key): mended(item, depth + 1) for key, item in value.items()}
        case list() if depth <= _DEPTH:
            return [mended(item, depth + 1) for item in value]
        case _:
            return value


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's JSON reader takes; its ``parse_constant``."""
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is beyond what a double holds")
    return number


KINDS = {list: "an array", str: "a text", int: "a number", float: "a number", bool: "a truth value"}
"""What JSON calls the kinds of values, for errors."""

_json = json.JSONDecoder(parse_constant=refuse_constant, parse_float=_finite)
