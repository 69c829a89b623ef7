"""What an Avro schema must keep to before the SDK reads or writes with it.

The readers and writers lean on this: no schema nests deeper than a payload may, items of an array take a byte at
least (else a few bytes could declare a billion of them), and decimals have a bounded number of digits.
"""

from __future__ import annotations

from typing import Any

from flowbridge_sdk.avro_logical import DIGITS_LIMIT
from flowbridge_sdk.avro_reading import DEPTH_LIMIT, Schema


class UnusableSchemaError(ValueError):
    """An Avro schema that is valid and yet cannot be used; the text says why."""


def check_schema(schema: Schema, named: dict[str, Any]) -> None:
    """Pass an event's parsed schema, or say what is wrong with it.

    Args:
        schema: As returned by fastavro's ``parse_schema``.
        named: The named types that this call filled.

    Raises:
        UnusableSchemaError: Its fields have no names, it nests too deep, an array's items take no bytes, or a decimal
            is too long.

    """
    if not isinstance(schema, dict) or schema["type"] not in ("record", "map"):
        raise UnusableSchemaError("an event's schema is a record or a map, so that its fields have names")
    _check(schema, named, 0)


def _check(schema: Schema, named: dict[str, Any], depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise UnusableSchemaError(f"it nests deeper than {DEPTH_LIMIT} levels")
    if isinstance(schema, list):
        for branch in schema:
            _check(branch, named, depth)
    if not isinstance(schema, dict):
        return
    if schema.get("logicalType") == "decimal" and schema.get("precision", 0) > DIGITS_LIMIT:
        raise UnusableSchemaError(f"a decimal has precision {schema['precision']}; {DIGITS_LIMIT} is the limit")
    if schema["type"] == "array" and _is_empty(schema["items"], named, frozenset()):
        raise UnusableSchemaError("an array's items take no bytes, so a message could declare any number of them")
    for part in _parts(schema):
        _check(part, named, depth + 1)


def _parts(schema: dict[str, Any]) -> list[Schema]:
    match schema["type"]:
        case "array":
            return [schema["items"]]
        case "map":
            return [schema["values"]]
        case "record" | "error":
            return [field["type"] for field in schema["fields"]]
        case _:
            return []


def _is_empty(schema: Schema, named: dict[str, Any], inside: frozenset[str]) -> bool:
    """Whether values of this schema take no bytes. A record inside itself takes some, or it would never end."""
    if isinstance(schema, str):
        if schema in inside or schema not in named:
            return schema == "null"
        return _is_empty(named[schema], named, inside)
    if isinstance(schema, list):
        return False
    match schema["type"]:
        case "fixed":
            return bool(schema["size"] == 0)
        case "record" | "error":
            inner = inside | {schema["name"]}
            return all(_is_empty(field["type"], named, inner) for field in schema["fields"])
        case other:
            return bool(other == "null")
