"""Which columns of a DataFrame make an event: its key, time, id, source and payload, checked before anything runs.

The checks read the DataFrame's schema as Spark writes it in JSON (``df.schema.jsonValue()``), so they need no Spark.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.errors import SettingsError
from flowbridge_sdk.schemas import EventSchema

SparkType: TypeAlias = str | Mapping[str, Any]
"""A type in the JSON of a schema: a name, or an object for struct, array, map and user-defined types."""

_KAFKA_PLACE = {"topic": "string", "partition": "integer", "offset": "long"}
"""The columns of Spark's Kafka source that say which record a row was."""

_INTEGERS = ("byte", "short", "integer", "long")
_TEXT = re.compile(r"string|string collate .*|char\(\d+\)|varchar\(\d+\)")
_DECIMAL = re.compile(r"decimal\(\d+,\d+\)")
_PLAIN = ("boolean", *_INTEGERS, "float", "double", "binary", "date", "timestamp", "void")
_SCOPES = ("global", "batch")
_ID_TYPES = "string, an integer, boolean, decimal, binary, date or timestamp"


@dataclass(frozen=True)
class EventColumns:
    """The columns of an event.

    Attributes:
        name: The event's name.
        payload: The columns of the payload.
        key: The column of the key; None for events without a key.
        time: The column that says when the event happened; None for the moment at which it is encoded.
        id: The columns that identify the event.
        id_is_text: Whether the only column of ``id`` is the id itself. Otherwise the id is a hash of the columns.
        id_scope: ``global`` if ``id`` identifies the event everywhere. ``batch`` if it does so within a batch of a
            streaming query: the query's id and the batch's number are then part of the hash.
        id_of_kafka: Whether ``id`` is the place of a record in Kafka, taken because no id was named.
        source: The column of the ``source`` attribute; None for the encoder's source.

    """

    name: str
    payload: tuple[str, ...]
    key: str | None
    time: str | None
    id: tuple[str, ...]
    id_is_text: bool
    id_scope: str
    id_of_kafka: bool
    source: str | None

    @classmethod
    def of(
        cls,
        schema: Mapping[str, Any],
        name: str,
        *,
        key: str | None = None,
        time: str | None = None,
        id: str | Sequence[str] | None = None,  # noqa: A002 - the attribute's name in CloudEvents
        id_scope: str = "global",
        source: str | None = None,
        exclude: Iterable[str] = (),
        encoder: EventEncoder,
        registry: bool = False,
    ) -> EventColumns:
        """Choose the columns, and check them.

        Args:
            schema: The DataFrame's schema, as in ``df.schema.jsonValue()``.
            name: The event's name.
            key: A column of type string, binary or an integer.
            time: A column of type timestamp.
            id: The column, or the columns, that identify the event. Without it the schema must have the columns
                ``topic``, ``partition`` and ``offset`` of Spark's Kafka source.
            id_scope: ``global``, or ``batch`` if the columns are unique only within a batch of a streaming query.
            source: A column of type string.
            exclude: Columns that are left out of the payload.
            encoder: The encoder of the event, for its typed schema.
            registry: Whether a schema registry may have a schema for the event.

        Raises:
            SettingsError: A column is missing or has a type that cannot be used, or there is no usable id.

        """
        types: dict[str, SparkType] = {field["name"]: field["type"] for field in schema["fields"]}
        repeated = [
            column for column, times in Counter(field["name"] for field in schema["fields"]).items() if times > 1
        ]
        if repeated:
            raise SettingsError(f"expected columns with different names, found {', '.join(repeated)} more than once")
        ids = (id,) if isinstance(id, str) else tuple(id or ())
        left_out = (exclude,) if isinstance(exclude, str) else tuple(exclude)
        named = {"key": key, "time": time, "source": source}
        for option, columns in (
            *((option, (column,)) for option, column in named.items()),
            ("id", ids),
            ("exclude", left_out),
        ):
            for column in columns:
                if column is not None and column not in types:
                    raise SettingsError(
                        f"{option}: expected a column, found {column!r}; the columns are {', '.join(types)}"
                    )
        if key is not None and not (_is_text(types[key]) or types[key] in ("binary", *_INTEGERS)):
            raise _wrong_type("key", key, "string, binary or an integer", types[key])
        if time is not None and types[time] != "timestamp":
            raise _wrong_type("time", time, "timestamp", types[time])
        if source is not None and not _is_text(types[source]):
            raise _wrong_type("source", source, "string", types[source])
        if id_scope not in _SCOPES:
            raise SettingsError(f"id_scope: expected global or batch, found {id_scope!r}")
        of_kafka = not ids and all(types.get(column) == kind for column, kind in _KAFKA_PLACE.items())
        if of_kafka:
            ids = tuple(_KAFKA_PLACE)
        if not ids:
            raise SettingsError(
                "id: expected a column that identifies each event, found none. A task that runs again would publish "
                "its events a second time. Name a column that is the same in each run (id), or one that is unique "
                "within a batch of a streaming query (id and id_scope=batch), or keep the columns topic, partition "
                "and offset of a Kafka source"
            )
        for column in ids:
            kind = types[column]
            if not isinstance(kind, str) or not (
                _is_text(kind)
                or _DECIMAL.fullmatch(kind)
                or kind in ("boolean", *_INTEGERS, "binary", "date", "timestamp")
            ):
                raise _wrong_type("id", column, _ID_TYPES, types[column])
        payload = tuple(column for column in types if column not in left_out)
        typed = encoder.schema_of(name)
        for column in payload:
            _check_payload(column, types[column], local_times=bool(typed) or registry)
        if typed:
            _check_fields(payload, typed)
        is_text = len(ids) == 1 and id_scope == "global" and (_is_text(types[ids[0]]) or types[ids[0]] in _INTEGERS)
        return cls(name, payload, key, time, ids, is_text, id_scope, of_kafka, source)


def _is_text(kind: SparkType) -> bool:
    return isinstance(kind, str) and bool(_TEXT.fullmatch(kind))


def _wrong_type(option: str, column: str, expected: str, found: SparkType) -> SettingsError:
    return SettingsError(
        f"{option}: expected a column of type {expected}, found {column} of type {_text(found)}; cast it"
    )


def _check_payload(path: str, kind: SparkType, *, local_times: bool) -> None:
    """Raise SettingsError if a payload cannot hold a column, or a part of it."""
    if isinstance(kind, str):
        if _is_text(kind) or _DECIMAL.fullmatch(kind) or kind in _PLAIN or (kind == "timestamp_ntz" and local_times):
            return
        if kind == "timestamp_ntz":
            remedy = (
                "a timestamp without a time zone needs a typed schema with a local-timestamp; or cast it to timestamp"
            )
        else:
            remedy = "a payload cannot hold it; cast it to string, or leave it out (exclude)"
        raise SettingsError(f"column {path}: found type {kind}; {remedy}")
    match kind["type"]:
        case "struct":
            for field in kind["fields"]:
                _check_payload(f"{path}.{field['name']}", field["type"], local_times=local_times)
        case "array":
            _check_payload(f"{path}[]", kind["elementType"], local_times=local_times)
        case "map":
            if not _is_text(kind["keyType"]):
                raise SettingsError(
                    f"column {path}: expected a map with keys of type string, found {_text(kind)}; cast the keys"
                )
            _check_payload(f"{path}[]", kind["valueType"], local_times=local_times)
        case _:
            raise SettingsError(
                f"column {path}: found a user-defined type, which a payload cannot hold; leave it out (exclude)"
            )


def _check_fields(payload: Sequence[str], typed: EventSchema) -> None:
    """Raise SettingsError if columns and fields do not have the same names."""
    schema = json.loads(typed.text)
    if not isinstance(schema, dict) or schema.get("type") not in ("record", "error"):
        return
    fields = {field["name"]: field for field in schema["fields"]}
    surplus = [column for column in payload if column not in fields]
    if surplus:
        raise SettingsError(
            f"{typed.where}: the schema has no field for the columns {', '.join(surplus)}; leave them out (exclude). "
            f"Its fields are {', '.join(fields)}"
        )
    missing = [name for name, field in fields.items() if name not in payload and "default" not in field]
    if missing:
        raise SettingsError(f"{typed.where}: the schema's fields {', '.join(missing)} have no column and no default")


def _text(kind: SparkType) -> str:
    """Return a type as Spark shows it: ``array<struct<a:bigint>>``, with the names of the JSON."""
    if isinstance(kind, str):
        return kind
    match kind["type"]:
        case "struct":
            return f"struct<{','.join(field['name'] + ':' + _text(field['type']) for field in kind['fields'])}>"
        case "array":
            return f"array<{_text(kind['elementType'])}>"
        case "map":
            return f"map<{_text(kind['keyType'])},{_text(kind['valueType'])}>"
        case other:
            return str(other)
