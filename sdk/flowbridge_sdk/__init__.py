"""Publishes events to Flowbridge: Avro on Kafka with CloudEvents headers.

``Publisher`` for jobs that publish many events, ``AsyncPublisher`` for those on asyncio, ``Event`` for those that
publish one now and then, ``JobEvent`` and ``@publishes`` for jobs whose end is an event. ``EventEncoder`` makes the
records for a Kafka sink that a framework has of its own. The bridge imports its reading side from
``flowbridge_sdk.codec`` and ``flowbridge_sdk.headers``.

Each name is imported when it is asked for. So an encoder needs no Kafka client.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from flowbridge_sdk.attributes.shared_topics import SharedTopics
    from flowbridge_sdk.encoder import EncodedEvent, EventEncoder
    from flowbridge_sdk.errors import (
        BadAttributeError,
        BadNameError,
        BadPayloadError,
        BufferFullError,
        ClosedError,
        DecodeError,
        Failure,
        FlowbridgeError,
        NotConnectedError,
        NotDeliveredError,
        NotRegisteredError,
        PublishError,
        RefusedError,
        RegistryUnavailableError,
        SchemaError,
        SettingsError,
        TooLargeError,
        UnknownRunError,
    )
    from flowbridge_sdk.event import Event
    from flowbridge_sdk.ids import event_id
    from flowbridge_sdk.jobs import JobEvent, publishes
    from flowbridge_sdk.models.compiler import Avro, Digits
    from flowbridge_sdk.models.typed import EventType, event_type, schema_of
    from flowbridge_sdk.publisher import AsyncPublisher, Publisher
    from flowbridge_sdk.schemas import EventSchemas
    from flowbridge_sdk.topics import name_of, topic_of

__all__ = [
    "AsyncPublisher",
    "Avro",
    "BadAttributeError",
    "BadNameError",
    "BadPayloadError",
    "BufferFullError",
    "ClosedError",
    "DecodeError",
    "Digits",
    "EncodedEvent",
    "Event",
    "EventEncoder",
    "EventSchemas",
    "EventType",
    "Failure",
    "FlowbridgeError",
    "JobEvent",
    "NotConnectedError",
    "NotDeliveredError",
    "NotRegisteredError",
    "PublishError",
    "Publisher",
    "RefusedError",
    "RegistryUnavailableError",
    "SchemaError",
    "SettingsError",
    "SharedTopics",
    "TooLargeError",
    "UnknownRunError",
    "event_id",
    "event_type",
    "name_of",
    "publishes",
    "schema_of",
    "topic_of",
]

_HOMES = {
    "AsyncPublisher": "publisher",
    "Avro": "models.compiler",
    "Digits": "models.compiler",
    "EncodedEvent": "encoder",
    "Event": "event",
    "EventEncoder": "encoder",
    "EventSchemas": "schemas",
    "EventType": "models.typed",
    "JobEvent": "jobs",
    "Publisher": "publisher",
    "SharedTopics": "attributes.shared_topics",
    "event_id": "ids",
    "event_type": "models.typed",
    "name_of": "topics",
    "publishes": "jobs",
    "schema_of": "models.typed",
    "topic_of": "topics",
}
"""The modules of the names that are no errors."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - it takes longer than most imports

        return version("flowbridge-sdk")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(_import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
