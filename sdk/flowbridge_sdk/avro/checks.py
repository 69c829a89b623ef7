"""An Avro schema as the SDK reads and writes with it: parsed, tidied and checked whole, before any event meets it.

A schema may come from a registry that anyone can write to, so nothing in it is trusted:

- A logical type that is invalid (a ``decimal`` without a precision) is ignored, as the Avro specification says.
- Defaults are not looked at. Reading needs none, and a writer looks at those that it needs.
- Schemas by which a few bytes would cost much are refused: deep nesting, array items that take no bytes, a record whose
  fields are always more than ``PARTS_LIMIT`` values, decimals of more than ``DIGITS_LIMIT`` digits.

Each named type is measured once, however often the schema refers to it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from flowbridge_sdk.avro.logical import CONVERSIONS, DIGITS_LIMIT
from flowbridge_sdk.avro.reading import DEPTH_LIMIT, Schema

PARTS_LIMIT = 16_384
"""Values that one value of a schema always has, records inside it counted and lists, mappings and unions not."""

FIXED_LIMIT = 1 << 30
"""Bytes of a fixed type. No event is as large."""

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_RECORDS = ("record", "error")
_COMPLEX = frozenset({"array", "map", "enum", "fixed", *_RECORDS})


class UnusableSchemaError(ValueError):
    """An Avro schema that is invalid, or valid and yet of no use here; the text says why."""


def parse(text: str, types: dict[str, Any]) -> Schema:
    """Return a schema as fastavro parses it: full names, each type spelled out once, no invalid logical types.

    Args:
        text: The schema as JSON.
        types: Named types that it may refer to. Those that it defines are added.

    Raises:
        UnusableSchemaError: It is no JSON, no Avro schema, or refused here.

    """
    from fastavro.schema import parse_schema  # noqa: PLC0415 - it is most of an import that only typed events need

    try:
        tidy = _tidy(json.loads(text), 0)
        schema = parse_schema(tidy, named_schemas=types, _write_hint=False, _force=True, _ignore_default_error=True)
        Measures(types).visit(schema)
    except UnusableSchemaError:
        raise
    except json.JSONDecodeError as error:
        raise UnusableSchemaError(f"no JSON: {error}") from None
    except RecursionError:
        raise UnusableSchemaError(f"no Avro schema: it nests deeper than {DEPTH_LIMIT} levels") from None
    except Exception as error:
        # any error that the parser raises is the fault of this schema alone
        raise UnusableSchemaError(f"no Avro schema: {type(error).__name__}: {error}") from error
    return schema


def check_event(schema: Schema, types: Mapping[str, Any]) -> None:
    """Pass the schema of an event.

    Raises:
        UnusableSchemaError: Its values have no fields with names.

    """
    kinds = []
    for branch in schema if isinstance(schema, list) else [schema]:
        definition = types.get(branch, branch) if isinstance(branch, str) else branch
        kinds.append(definition["type"] if isinstance(definition, Mapping) else definition)
    if not any(kind in (*_RECORDS, "map") for kind in kinds):
        raise UnusableSchemaError(
            f"an event's schema is a record or a map, or a union with one, so that its fields have names; "
            f"expected that, found {' or '.join(map(str, kinds)) or 'an empty union'}"
        )


def _tidy(schema: Any, depth: int) -> Any:
    """Return a schema without wrappers (``{"type": {"type": …}}``) and without invalid logical types."""
    if depth > DEPTH_LIMIT:
        raise UnusableSchemaError(f"it nests deeper than {DEPTH_LIMIT} levels")
    if isinstance(schema, list):
        return [_tidy(branch, depth + 1) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if kind is None:
        raise UnusableSchemaError(f"no Avro schema: expected a 'type', found only {', '.join(map(str, schema))}")
    if not isinstance(kind, str):
        return _tidy(kind, depth + 1)
    if kind not in _PRIMITIVES and kind not in _COMPLEX:
        return kind
    tidy = {key: part for key, part in schema.items() if not key.startswith("__")}  # fastavro's own marks
    match kind:
        case "array":
            tidy["items"] = _tidy(schema["items"], depth + 1)
        case "map":
            tidy["values"] = _tidy(schema["values"], depth + 1)
        case "record" | "error":
            tidy["fields"] = []
            for field in schema["fields"]:
                if not isinstance(field, dict) or "type" not in field or not isinstance(field.get("name"), str):
                    raise UnusableSchemaError(
                        f"no Avro schema: expected a field with 'name' and 'type', found {field!r:.80}"
                    )
                tidy["fields"].append({**field, "type": _tidy(field["type"], depth + 1)})
        case "fixed" if not _is_whole(schema.get("size"), 0, FIXED_LIMIT):
            raise UnusableSchemaError(
                f"fixed {schema.get('name')}: expected a size in bytes, found {schema.get('size')!r}"
            )
    if "logicalType" in tidy and not _is_valid_logical(tidy):
        del tidy["logicalType"]
    return tidy


def _is_whole(number: object, least: int, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


def _is_valid_logical(schema: Mapping[str, Any]) -> bool:
    kind, logical = schema["type"], schema["logicalType"]
    if not isinstance(logical, str):
        return False
    if (kind, logical) == ("fixed", "uuid"):
        return bool(schema["size"] == 16)  # noqa: PLR2004 - the bytes of a UUID
    if logical != "decimal":
        return (kind, logical) in CONVERSIONS
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if kind not in ("bytes", "fixed"):
        return False
    if not isinstance(precision, int) or isinstance(precision, bool) or precision < 1:
        return False
    if not _is_whole(scale, 0, precision):
        return False
    if kind == "fixed" and precision > math.floor(math.log10(2) * (8 * schema["size"] - 1)):
        return False
    if precision > DIGITS_LIMIT:
        raise UnusableSchemaError(f"a decimal has precision {precision}; {DIGITS_LIMIT} is the limit")
    return True


class Measures:
    """How large the values of schemas are at least; each named type is measured once.

    Args:
        types: The named types.

    """

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._types = types
        self._parts: dict[str, int] = {}
        self._empty: dict[str, bool] = {}

    def visit(self, schema: Schema) -> None:
        """Check every type that a parsed schema spells out.

        Raises:
            UnusableSchemaError: A record always holds itself or too much, or an array's items take no bytes.

        """
        if isinstance(schema, list):
            for branch in schema:
                self.visit(branch)
        if not isinstance(schema, dict):
            return
        match schema["type"]:
            case "array":
                if self.is_empty(schema["items"]):
                    raise UnusableSchemaError(
                        "an array's items take no bytes, so a message could declare any number of them"
                    )
                self.visit(schema["items"])
            case "map":
                self.visit(schema["values"])
            case "record" | "error":
                self.parts(schema)
                for field in schema["fields"]:
                    self.visit(field["type"])

    def parts(self, schema: Schema) -> int:
        """Return how many values a value always has: itself, and for a record the values of its fields.

        Lists, mappings and unions count as one: the values in them are counted where they are read.
        """
        if isinstance(schema, str) and schema not in _PRIMITIVES:
            return self._parts_of(schema)
        if isinstance(schema, dict) and schema["type"] in _RECORDS:
            return self._parts_of(schema["name"])
        return 1

    def _parts_of(self, name: str) -> int:
        if name not in self._parts:
            self._parts[name] = 0  # being measured
            schema = self._types[name]
            fields = schema["fields"] if schema["type"] in _RECORDS else ()
            self._parts[name] = 1 + sum(self.parts(field["type"]) for field in fields)
        parts = self._parts[name]
        if parts == 0:
            raise UnusableSchemaError(f"record {name} always holds itself, so no value of it ever ends")
        if parts > PARTS_LIMIT:
            raise UnusableSchemaError(f"a value of {name} always holds {parts} values; {PARTS_LIMIT} is the limit")
        return parts

    def is_empty(self, schema: Schema) -> bool:
        """Return whether values take no bytes."""
        if isinstance(schema, list):
            return False
        if isinstance(schema, str) and schema in _PRIMITIVES:
            return schema == "null"
        name = schema if isinstance(schema, str) else schema.get("name")
        if name is None:
            return bool(schema["type"] == "null")
        if name not in self._empty:
            self.parts(name)  # refuses a record that always holds itself, on which this would never end
            definition = self._types[name]
            if definition["type"] in _RECORDS:
                empty = all(self.is_empty(field["type"]) for field in definition["fields"])
            else:
                empty = bool(definition["type"] == "fixed" and definition["size"] == 0)
            self._empty[name] = empty
        return self._empty[name]
