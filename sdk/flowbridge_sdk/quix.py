"""Publish from Quix Streams: a stream's values become events that the application's own producer writes.

With ``processing_guarantee="exactly-once"`` the events are part of the transaction that commits the offsets.
"""

from __future__ import annotations

import time as clock
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flowbridge_sdk.attributes.places import PlaceIds
from flowbridge_sdk.encoder import EncodedEvent, EventEncoder
from flowbridge_sdk.errors import BadAttributeError, BadPayloadError, SettingsError

try:
    from quixstreams import message_context
    from quixstreams.models import Serializer
except ImportError as missing:
    raise SettingsError(
        f"Quix Streams needs more packages ({missing.name} is missing): pip install 'flowbridge-sdk[quix]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from quixstreams import Application
    from quixstreams.dataframe import StreamingDataFrame

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _ValueOfEvent(Serializer):  # type: ignore[misc] # where the SDK is checked, Quix Streams is missing
    def __call__(self, event: EncodedEvent, **_: object) -> bytes:
        return event.value


def publish(
    app: Application,
    stream: StreamingDataFrame,
    name: str,
    *,
    key: Callable[[Any], str | bytes | None] | None = None,
    id: Callable[[Any], str] | None = None,  # noqa: A002 - the attribute's name in CloudEvents
    time: Callable[[Any], datetime] | None = None,
    encoder: EventEncoder | None = None,
) -> None:
    """Publish each value of a stream as an event, whose payload it is. The stream itself stays as it is.

    The record's timestamp is the time at which the application publishes it.

    Args:
        app: The application, whose producer writes.
        stream: A stream of mappings.
        name: The events' name.
        key: Returns an event's key from its value; the message's own key unless given.
        id: Returns its id, the same whenever the value is processed; unless given, the place of the source message.
        time: Returns when it happened, with a time zone; the message's timestamp unless given.
        encoder: Encodes the events; one of the environment's settings unless given.

    Raises:
        SettingsError: A setting of the environment is wrong.
        BadNameError: The name cannot be a topic's.

    A value that cannot be published raises a ``RefusedError`` when it is processed, which ends the application unless
    its ``on_processing_error`` decides otherwise. So does a second event of one message, as ``apply(expand=True)``
    makes it, if there is no ``id``.

    """
    encoder = encoder or EventEncoder()
    topic = app.topic(encoder.topic_for(name), key_serializer="bytes", value_serializer=_ValueOfEvent())
    places = PlaceIds(name)

    def encode(value: Any, message_key: Any, timestamp_ms: int, _headers: object) -> EncodedEvent:
        if value is None:
            raise BadPayloadError(name, "", "a message without a value (a tombstone)", "a mapping")
        if id is None:
            message = message_context()
            event_id = places.take(message.topic, message.partition, message.offset, message)
        else:
            event_id = id(value)
            if event_id is None:
                raise BadAttributeError(f"event {name!r}: expected a text from `id`, found None")
        moment = None
        if time is not None:
            moment = time(value)
        elif timestamp_ms > 0:  # 0 and -1 stand for none
            moment = _EPOCH + timedelta(milliseconds=timestamp_ms)
        return encoder.encode(name, value, key=message_key if key is None else key(value), id=event_id, time=moment)

    events = stream.apply(encode, metadata=True)
    events = events.set_headers(lambda event, *_: event.headers)
    events = events.set_timestamp(lambda *_: clock.time_ns() // 1_000_000)
    events.to_topic(topic, key=lambda event: event.key)
