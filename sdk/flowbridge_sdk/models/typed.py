"""Event types: the name of events, and the type of their payloads, which a type checker sees at ``publish``.

``event_type("order.created", Order)`` makes one Avro schema of a dataclass or a pydantic model (``models/compiler.py``
says which). It also takes the schema of a file or of a registry's subject.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from flowbridge_sdk.avro.encoding import Write
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.models.compiler import ModelCompiler, title_of
from flowbridge_sdk.schemas import EventSchema
from flowbridge_sdk.topics import topic_of

if TYPE_CHECKING:
    from flowbridge_sdk.registry import Registry

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class EventType(Generic[T]):
    """Events of one name, whose payloads are of one Python type. Made by ``event_type``.

    Attributes:
        name: The name of the events.
        model: The type of their payloads; None for mappings, of which only the Avro schema is known.
        schema: Their Avro schema.
        write: The writer of their payloads.

    """

    name: str
    model: type[T] | None
    schema: EventSchema
    write: Write = field(repr=False)

    def __reduce__(self) -> tuple[Callable[..., EventType[Any]], tuple[object, ...]]:
        """Return what makes the type again in another process, once for all copies that arrive there."""
        if self.model is not None:
            space = self.schema.parsed["name"].rpartition(".")[0]
            return _of_model, (self.name, self.model, space)
        if self.schema.references:
            raise TypeError("an event type whose schema refers to others of a registry cannot be pickled")
        return _of_text, (self.name, self.schema.text, self.schema.where)


@overload
def event_type(name: str, source: type[T], *, namespace: str = "") -> EventType[T]: ...


@overload
def event_type(
    name: str, source: str | os.PathLike[str] | EventSchema | Registry, *, namespace: str = ""
) -> EventType[Mapping[str, Any]]: ...


def event_type(name: str, source: Any, *, namespace: str = "") -> EventType[Any]:
    """Return the type of the events called ``name``.

    Args:
        name: The name of the events.
        source: A dataclass or a pydantic model, the path of an ``.avsc`` file, a schema, or a registry that has the
            subject ``TOPIC-value``.
        namespace: The namespace of a model's records in Avro.

    Raises:
        BadNameError: The name cannot be a topic's.
        SchemaError: No Avro schema can be made of it; the error names the field and what is accepted.
        RegistryUnavailableError: The registry does not answer.

    """
    topic = topic_of(name)
    if isinstance(source, type):
        return _of_model(name, source, namespace)
    if namespace:
        raise SchemaError(name, "a namespace is for a model; this schema has its own")
    if isinstance(source, EventSchema):
        schema = source
    elif isinstance(source, str | os.PathLike):
        try:
            text = Path(source).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SchemaError(str(source), f"cannot be read: {error}") from error
        return _of_text(name, text, str(source))
    elif callable(writing := getattr(source, "writing", None)):
        registered = writing(f"{topic}-value", name, None)
        if registered is None:
            raise SchemaError(f"subject {topic}-value", "the registry has no such subject; register a schema there")
        schema = registered[1]
    else:
        raise SchemaError(
            name,
            "expected a dataclass, a pydantic model, the path of an .avsc file, an EventSchema or a Registry; "
            f"found {type(source).__name__} {source!r:.60}",
        )
    return EventType(name, None, schema, schema.write)


def schema_of(model: type, namespace: str = "") -> dict[str, Any]:
    """Return the Avro schema of a dataclass or a pydantic model, as plain values of JSON.

    Raises:
        SchemaError: It has none; the error names the field and what is accepted.

    """
    return ModelCompiler(model, namespace).root()[0]


@lru_cache(maxsize=1024)  # so that the copies which a worker unpickles are one type
def _of_model(name: str, model: type[Any], namespace: str) -> EventType[Any]:
    plain, write = ModelCompiler(model, namespace).root()
    return EventType(name, model, EventSchema.parse(name, json.dumps(plain), title_of(model)), write)


@lru_cache(maxsize=1024)  # the same
def _of_text(name: str, text: str, where: str) -> EventType[Any]:
    schema = EventSchema.parse(name, text, where)
    return EventType(name, None, schema, schema.write)
