"""The types of the fields of events, known before any event arrives.

Six fields are always known. The fields of the payload come from its schema. Types are those of CEL, as its checker
spells them. A number has the type of the schema, and a field that may be null is wrapped. A type that Avro cannot tell
(a union of several types, a decimal) is ``dyn``, which is any type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schemas = Mapping[str, Any]
"""Avro schemas by the name of the event, as plain values of JSON."""

_DEPTH = 8  # records inside each other that are looked into; deeper ones hold anything
_PLAIN = {
    "boolean": "bool",
    "bytes": "bytes",
    "double": "double",
    "enum": "string",
    "fixed": "bytes",
    "float": "double",
    "int": "int",
    "long": "int",
    "string": "string",
}
_LOGICAL = {
    "date": "string",
    "decimal": "dyn",
    "duration": "dyn",
    "local-timestamp-micros": "timestamp",
    "local-timestamp-millis": "timestamp",
    "local-timestamp-nanos": "dyn",
    "time-micros": "string",
    "time-millis": "string",
    "timestamp-micros": "timestamp",
    "timestamp-millis": "timestamp",
    "timestamp-nanos": "dyn",
    "uuid": "string",
}
_WRAPPED = {"bool": "Bool", "bytes": "Bytes", "double": "Double", "int": "Int64", "string": "String"}


@dataclass(frozen=True)
class FieldType:
    """The type of a field.

    Attributes:
        type: Its type; ``dyn`` if it is not known.
        fields: The fields below it, by name; None if it may have any.

    """

    type: str = "dyn"
    fields: Mapping[str, FieldType] | None = field(default=None)


ANYTHING = FieldType()
"""The type of a field of which nothing is known."""

_TEXT = FieldType("string")
_ATTRIBUTES = {"name": _TEXT, "id": _TEXT, "source": _TEXT, "time": FieldType("timestamp"), "key": ANYTHING}
EVENT = FieldType("dyn", _ATTRIBUTES)
"""The type of ``event`` in expressions over one event."""


def slot_type(payload: FieldType) -> FieldType:
    """Return the type of a slot's variable in expressions over a match."""
    return FieldType("dyn", {**_ATTRIBUTES, "traceparent": _TEXT, "payload": payload})


def payload_type(schema: Any) -> FieldType:
    """Return the type of a payload with this Avro schema; :data:`ANYTHING` for None."""
    return ANYTHING if schema is None else _field(schema, {}, 0)


def _field(schema: Any, named: dict[str, Any], depth: int) -> FieldType:
    if isinstance(schema, list):
        others = [branch for branch in schema if branch != "null"]
        if len(others) != 1:
            return ANYTHING
        only = _field(others[0], named, depth)
        if len(others) == len(schema) or only.fields is not None:
            return only
        return FieldType(f"google.protobuf.{_WRAPPED[only.type]}Value") if only.type in _WRAPPED else ANYTHING
    if isinstance(schema, str):
        if schema in _PLAIN:
            return FieldType(_PLAIN[schema])
        return _field(named[schema], named, depth + 1) if schema in named and depth < _DEPTH else ANYTHING
    if not isinstance(schema, Mapping):
        return ANYTHING
    kind = schema.get("type")
    if "name" in schema:
        space = schema.get("namespace", "")
        named.setdefault(schema["name"], schema)
        named.setdefault(f"{space}.{schema['name']}", schema)
    if kind in {"record", "error"}:
        members = schema.get("fields")
        if depth >= _DEPTH or not isinstance(members, list):
            return ANYTHING
        return FieldType("dyn", {member["name"]: _field(member.get("type"), named, depth + 1) for member in members})
    if kind == "array":
        return FieldType(f"list({_member(schema.get('items'), named, depth)})")
    if kind == "map":
        return FieldType(f"map(string, {_member(schema.get('values'), named, depth)})")
    logical = _LOGICAL.get(str(schema.get("logicalType")))
    if logical is not None:
        return FieldType(logical)
    return FieldType(_PLAIN[kind]) if kind in _PLAIN else _field(kind, named, depth + 1)


def _member(schema: Any, named: dict[str, Any], depth: int) -> str:
    return "dyn" if depth >= _DEPTH else _field(schema, named, depth + 1).type
