"""Publishes events to Flowbridge: Avro on Kafka with CloudEvents headers.

``Publisher`` for jobs that publish many events, ``Event`` for those that publish one now and then. The bridge imports
its reading side from ``flowbridge_sdk.codec`` and ``flowbridge_sdk.headers``.
"""

from importlib.metadata import version as _version

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
)
from flowbridge_sdk.event import Event
from flowbridge_sdk.ids import event_id
from flowbridge_sdk.publisher import Publisher
from flowbridge_sdk.schemas import EventSchemas
from flowbridge_sdk.shared_topics import SharedTopics
from flowbridge_sdk.topics import name_of, topic_of

__all__ = [
    "BadAttributeError",
    "BadNameError",
    "BadPayloadError",
    "BufferFullError",
    "ClosedError",
    "DecodeError",
    "Event",
    "EventSchemas",
    "Failure",
    "FlowbridgeError",
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
    "event_id",
    "name_of",
    "topic_of",
]


def __getattr__(name: str) -> str:
    if name == "__version__":  # looked up when asked for: reading the metadata takes longer than most imports
        return _version("flowbridge-sdk")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
