"""The values of a trigger's fields: durations, moments, names, mappings of parameters.

Each function takes the plain value of the file and returns the field's value, or raises :class:`MisfitError`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

from bridge.core.duration import DurationError, parse_duration
from bridge.core.event import DAY, SECOND, Micros
from bridge.core.expressions.expression import RESERVED_WORDS, TYPE_NAMES
from bridge.triggers.errors import quote_value
from flowbridge_sdk.avro.misfit import MisfitError

DURATION_LIMIT: Micros = 366 * DAY
EVENT_NAME_LIMIT = 249
"""Characters in an event's name, the same limit as that of a topic's name."""

COUNT_LIMIT = 1_000
"""Largest count of one slot."""

BATCH_LIMIT = 10_000
"""Arrivals in a batch."""

Pairs = tuple[tuple[str, str], ...]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PARAMETER = re.compile(r"[A-Za-z0-9_.-]+")
_FIELD_PATH = re.compile(r"[^.\x00-\x1f\x7f]+(\.[^.\x00-\x1f\x7f]+)*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OWN_PREFIX = "flowbridge.dev/"
_ANNOTATIONS_LIMIT = 65_536  # bytes; of the 256 KiB that Kubernetes allows for an object, others need a part
_SUBDOMAIN_LIMIT = 253
_LABEL_LIMIT = 63
_NAME_LIMIT = 128
_PATH_LIMIT = 512


def text(value: Any) -> str:
    """Return a text, which must not be empty."""
    if not isinstance(value, str):
        raise MisfitError(f"found {quote_value(value)}", "write a text; put quotes around it")
    if not value.strip():
        raise MisfitError("found an empty text", "write a text")
    return value


def duration(value: Any) -> Micros:
    """Return ``1h30m``, ``500ms`` or ``2d`` in microseconds."""
    try:
        micros = parse_duration(value) if isinstance(value, str) else -1
    except DurationError:
        micros = -1
    if micros < 0:
        raise MisfitError(f"found {quote_value(value)}", "write a duration as 500ms, 90s, 1h30m or 2d")
    if micros > DURATION_LIMIT:
        raise MisfitError(f"found {quote_value(value)}", "write at most 366d")
    return micros


def positive_duration(value: Any) -> Micros:
    """Return a duration above 0."""
    micros = duration(value)
    if not micros:
        raise MisfitError(f"found {quote_value(value)}", "write a duration above 0")
    return micros


def start_from(value: Any) -> Literal["now", "earliest"] | Micros:
    """Return ``now``, ``earliest``, or a moment with its zone in microseconds since the epoch."""
    if value in ("now", "earliest"):
        return "now" if value == "now" else "earliest"
    expected = "write now, earliest, or a time with its zone as 2026-05-01T00:00:00Z"
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise MisfitError(f"found {quote_value(value)}, a time without its zone", expected)
        moment = moment.astimezone(UTC)  # this refuses a time outside the years 1 to 9999 in UTC
        seconds = moment.replace(microsecond=0).timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, MisfitError):
            raise
        raise MisfitError(f"found {quote_value(value)}", expected) from error
    return int(seconds) * SECOND + moment.microsecond


def require(value: Any) -> Literal["all", "any"] | int:
    """Return how many slots a match fills: ``all``, ``any``, or a number."""
    if value in ("all", "any"):
        return "all" if value == "all" else "any"
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise MisfitError(f"found {quote_value(value)}", "write all, any, or how many slots a match fills")


def count(value: Any) -> int:
    """Return how many events fill a slot."""
    return whole(value, 1, COUNT_LIMIT, "how many events fill the slot")


def batch_size(value: Any) -> int:
    """Return how many arrivals a batch has. A batch of one would never wait."""
    return whole(value, 2, BATCH_LIMIT, "how many events make the batch full")


def whole(value: Any, least: int, most: int, meaning: str) -> int:
    """Return a whole number between two bounds, both included."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise MisfitError(f"found {quote_value(value)}", f"write {meaning}, a number from {least} to {most}")


def event_name(value: Any) -> str:
    """Return an event's name: 1 to 249 characters, without control characters."""
    name = text(value)
    if len(name) > EVENT_NAME_LIMIT:
        raise MisfitError(f"found a name of {len(name)} characters", f"an event's name has at most {EVENT_NAME_LIMIT}")
    if _CONTROL.search(name):
        raise MisfitError(f"found {quote_value(name)}", "an event's name has no control characters")
    return name


def variable(value: Any) -> str:
    """Return a name that is a variable in CEL."""
    name = text(value)
    if len(name) > _NAME_LIMIT or not _IDENTIFIER.fullmatch(name):
        raise MisfitError(f"found {quote_value(name)}", "write letters, digits and _, with no digit first")
    if name in RESERVED_WORDS or name in TYPE_NAMES:
        raise MisfitError(f"found {quote_value(name)}, a word of CEL", "write another name")
    return name


def resource_name(value: Any) -> str:
    """Return a DNS-1123 subdomain, which Kubernetes requires for most names."""
    name = text(value)
    if len(name) > _SUBDOMAIN_LIMIT or not _SUBDOMAIN.fullmatch(name):
        raise MisfitError(
            f"found {quote_value(name)}",
            "write lower-case letters, digits, '-' and '.', with a letter or digit at both ends",
        )
    return name


def namespace_name(value: Any) -> str:
    """Return a DNS-1123 label, which Kubernetes requires for a namespace."""
    name = text(value)
    if len(name) > _LABEL_LIMIT or not _DNS_LABEL.fullmatch(name):
        raise MisfitError(
            f"found {quote_value(name)}",
            "write at most 63 lower-case letters, digits and '-', with a letter or digit at both ends",
        )
    return name


def slot_parameters(value: Any) -> Pairs:
    """Return (parameter, field path) pairs from a mapping, or from a list of names or pairs, as in Metaflow."""
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(item, item) if isinstance(item, str) else item for item in value]
    else:
        raise MisfitError(f"found {quote_value(value)}", "write a mapping {parameter: field}, or a list of fields")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or [type(part) for part in pair] != [str, str]:
            raise MisfitError(f"found {quote_value(pair)}", "write {parameter: field}, both as texts")
        parameter_name(pair[0])
        field_path(pair[1])
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise MisfitError(f"found the parameter {quote_value(name)} twice", "fill it once")
    return tuple((name, path) for name, path in pairs)


def field_path(value: Any) -> str:
    """Return the path of a payload field: names with dots between them."""
    if not isinstance(value, str) or len(value) > _PATH_LIMIT or not _FIELD_PATH.fullmatch(value):
        raise MisfitError(f"found {quote_value(value)}", "write the path of a payload field, as customer.id")
    return value


def parameter_name(name: str) -> str:
    """Return the name of a Workflow parameter."""
    if len(name) > _NAME_LIMIT or not _PARAMETER.fullmatch(name):
        raise MisfitError(f"found the parameter {quote_value(name)}", "write letters, digits, '_', '.' and '-'")
    return name


def expressions(value: Any) -> Pairs:
    """Return (parameter, CEL) pairs from a mapping."""
    for name, source in _mapping(value).items():
        parameter_name(name)
        if not isinstance(source, str) or not source.strip():
            expected = f"write CEL as a text, as {name}: order.payload.id"
            if isinstance(source, bool | int | float):
                expected = f'write CEL as a text, as {name}: "{quote_value(source)}" for this value'
            raise MisfitError(f"found {quote_value(source)} for {name}", expected)
    return tuple(value.items())


def label_pairs(value: Any) -> Pairs:
    """Return pairs that Kubernetes takes as labels."""
    for name, content in _marks(value):
        if len(content) > _LABEL_LIMIT or (content and not _QUALIFIED.fullmatch(content)):
            raise MisfitError(
                f"found {quote_value(content)} for {name}",
                "a label is at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends",
            )
    return tuple(value.items())


def annotation_pairs(value: Any) -> Pairs:
    """Return pairs that Kubernetes takes as annotations."""
    pairs = _marks(value)
    size = sum(len(name.encode()) + len(content.encode()) for name, content in pairs)
    if size > _ANNOTATIONS_LIMIT:
        raise MisfitError(f"found {size} bytes", f"write at most {_ANNOTATIONS_LIMIT}")
    return pairs


def _marks(value: Any) -> Pairs:
    """Return pairs of texts with names for labels and annotations that Kubernetes takes and the bridge does not use."""
    for name, content in _mapping(value).items():
        prefix, slash, rest = name.rpartition("/")
        is_prefix_right = not slash or (len(prefix) <= _SUBDOMAIN_LIMIT and _SUBDOMAIN.fullmatch(prefix))
        if not is_prefix_right or len(rest) > _LABEL_LIMIT or not _QUALIFIED.fullmatch(rest):
            raise MisfitError(f"found the name {quote_value(name)}", "write a name as team or example.com/team")
        if name.startswith(_OWN_PREFIX):
            raise MisfitError(
                f"found the name {quote_value(name)}", f"names under {_OWN_PREFIX} are written by the bridge"
            )
        if not isinstance(content, str):
            raise MisfitError(f"found {quote_value(content)} for {name}", "put quotes around it")
    return tuple(value.items())


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MisfitError(f"found {quote_value(value)}", "write a mapping {name: value}")
    return value
