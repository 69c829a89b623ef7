"""Encode events as Kafka records, without Kafka: for jobs whose framework has a Kafka sink of its own.

Such a sink has its framework's guarantees of delivery. The encoder gives it the records, and every integration uses
it. So all of them write the same bytes for the same event.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from flowbridge_sdk.attributes.checked import key_of, moment_of, text_of
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.attributes.trace import TRACEPARENT, begin_span, checked_traceparent, context_of
from flowbridge_sdk.codec import Encoder
from flowbridge_sdk.delivery.settings import DEFAULT_SOURCE
from flowbridge_sdk.headers import OwnHeader, OwnHeaders, joined_headers, source_header, type_header
from flowbridge_sdk.ids import random_id
from flowbridge_sdk.schemas import EventSchema, EventSchemas

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from flowbridge_sdk.models.typed import EventType
    from flowbridge_sdk.registry import Registry

T = TypeVar("T")


_NAMES_KEPT = 4096  # a publisher that makes names up forgets none of ours
_new_tuple = tuple.__new__


class EncodedEvent(NamedTuple):
    """The Kafka record of an event.

    It has no timestamp: a sink gives each record the time at which it sends it. Flowbridge takes that for the time at
    which the event reached Kafka. When the event happened stands in the header ``ce_time``.

    Attributes:
        topic: The topic.
        key: The key; None for none.
        value: The payload in its framing.
        headers: The event's attributes.
        id: The event's id.

    """

    topic: str
    key: bytes | None
    value: bytes
    headers: OwnHeaders
    id: str


class EventEncoder:
    """Encodes events. It does no I/O unless it has a registry, and can be pickled without one.

    Args:
        source: The source of events that name none; else FLOWBRIDGE_SOURCE.
        schemas: Typed schemas, or the folder that holds them; else FLOWBRIDGE_SCHEMAS.
        registry: A schema registry. The environment's counts for a publisher alone.
        shared_topics: Topics that names share, ``{"metaflow.*": "metaflow-events"}``; else FLOWBRIDGE_SHARED_TOPICS.

    Attributes:
        source: The source of events that name none.

    Raises:
        SettingsError: A setting is wrong.
        SchemaError: A typed schema cannot be used.

    """

    def __init__(
        self,
        source: str | None = None,
        *,
        schemas: EventSchemas | str | os.PathLike[str] | None = None,
        registry: Registry | None = None,
        shared_topics: SharedTopics | Mapping[str, str] | None = None,
    ) -> None:
        self._of_names: dict[str, tuple[str, OwnHeader]] = {}
        self.source = text_of("source", source or os.environ.get("FLOWBRIDGE_SOURCE") or DEFAULT_SOURCE)
        self._own_source = source_header(self.source)
        if schemas is None:
            schemas = EventSchemas.from_setting(os.environ.get("FLOWBRIDGE_SCHEMAS", ""))
        elif not isinstance(schemas, EventSchemas):
            schemas = EventSchemas.load(schemas)
        if shared_topics is None:
            shared_topics = SharedTopics.from_text(os.environ.get("FLOWBRIDGE_SHARED_TOPICS", ""))
        elif not isinstance(shared_topics, SharedTopics):
            shared_topics = SharedTopics(shared_topics)
        self._schemas = schemas
        self._shared_topics = shared_topics
        self._registry = registry
        self._payloads = Encoder(schemas, registry)

    @overload
    def encode(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> EncodedEvent: ...

    @overload
    def encode(
        self,
        name: EventType[T],
        payload: T,
        *,
        key: str | bytes | None = None,
        id: str | None = None,
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> EncodedEvent: ...

    def encode(
        self,
        name: str | EventType[Any],
        payload: Any = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,  # noqa: A002 - the attribute's name in CloudEvents
        time: datetime | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> EncodedEvent:
        """Return the record of an event.

        Args:
            name: The event's name, or its type.
            payload: Its payload, for a type an object of its model; none is an empty one.
            key: Its key, which decides its partition. Events of one key stay in order.
            id: Its id; a random one unless given. ``event_id`` derives ids that repeat with a job's retry.
            time: When it happened, with a time zone; now unless given.
            source: Its ``source`` attribute; the encoder's own unless given.
            traceparent: Its trace context (W3C Trace Context); that of a span of its own unless given, where a span of
                OpenTelemetry is active, and else none.

        Raises:
            RefusedError: The event cannot be sent; the error names the field.
            SchemaError: The schema of the type is not the one that the folder of schemas has for its name.
            NotRegisteredError: The registry does not hold the event's schema.
            RegistryUnavailableError: It does not answer.

        """
        plain: Any = name
        if not isinstance(name, str):
            plain = getattr(name, "name", name)
        elif payload is None:
            payload = {}
        of_name = self._of_names.get(plain) if isinstance(plain, str) else None
        if of_name is None:
            of_name = self.topic_for(plain), type_header(plain)
            if len(self._of_names) < _NAMES_KEPT:
                self._of_names[plain] = of_name
        topic, kind = of_name
        event_id = random_id() if id is None else text_of("id", id)
        origin = self._own_source if source is None else source_header(text_of("source", source))
        headers = joined_headers(event_id, origin, kind, None if time is None else moment_of(time))
        span = begin_span(plain) if traceparent is None else None
        try:
            if span is not None or traceparent is not None:
                context = checked_traceparent(traceparent) if span is None else context_of(span)
                headers.append((TRACEPARENT, context.encode()))
            value = self._payloads.encode(name, payload)
        finally:
            if span is not None:
                span.end()
        record = topic, None if key is None else key_of(key), value, headers, event_id
        return _new_tuple(EncodedEvent, record)  # a third of what calling EncodedEvent costs

    def topic_for(self, name: str) -> str:
        """Return the topic of the events called ``name``.

        Raises:
            BadNameError: The name is empty, too long, or no text.

        """
        return self._shared_topics.topic_for(name)

    def schema_of(self, name: str) -> EventSchema | None:
        """Return the typed schema that the folder has for the events called ``name``."""
        return self._schemas.current.get(name)

    @property
    def has_registry(self) -> bool:
        """Whether it has a schema registry, and so cannot be pickled."""
        return self._registry is not None

    def with_registry(self, registry: Registry) -> EventEncoder:
        """Return an encoder that has a schema registry, and else the same settings."""
        return EventEncoder(self.source, schemas=self._schemas, registry=registry, shared_topics=self._shared_topics)

    def encode_payload(self, name: str, payload: Mapping[str, Any]) -> bytes:
        """Return the value of an event's record; it raises as :meth:`encode`."""
        return self._payloads.encode(name, payload)

    def asks_registry(self, event: str | EventType[Any]) -> bool:
        """Return whether the next event of this name or type asks the schema registry, which is I/O."""
        return self._registry is not None and not self._payloads.knows(event)

    def __reduce__(self) -> tuple[Callable[..., EventEncoder], tuple[object, ...]]:
        """Return what makes the encoder again in another process: the texts of its schemas, and not their code."""
        if self._registry is not None:
            raise TypeError("an encoder with a schema registry cannot be pickled; make one in each process")
        texts = [(schema.name, schema.text, schema.where) for schema in self._schemas.current.values()]
        return _made_again, (type(self), self.source, texts, self._shared_topics.patterns)


def _made_again(
    kind: type[EventEncoder], source: str, texts: list[tuple[str, str, str]], patterns: Mapping[str, str]
) -> EventEncoder:
    schemas = EventSchemas.of([EventSchema.parse(*text) for text in texts])
    return kind(source, schemas=schemas, shared_topics=patterns)
