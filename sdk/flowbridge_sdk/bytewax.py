"""Publish from Bytewax: items become messages of Bytewax's own Kafka sink, which delivers at least once.

After a crash the sink writes events again that it wrote since the last snapshot. They have the ids of the first time,
so Flowbridge applies each once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flowbridge_sdk.attributes.places import PlaceIds
from flowbridge_sdk.delivery.settings import DEFAULTS
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.errors import BadAttributeError, BadPayloadError, PublishError, SettingsError

try:
    from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
except ImportError as missing:
    raise SettingsError(
        f"Bytewax needs more packages ({missing.name} is missing): pip install 'flowbridge-sdk[bytewax]'"
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import KafkaError, Message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _raise_failure(error: KafkaError | None, record: Message) -> None:
    """Fail the dataflow; Bytewax's sink looks at no delivery report itself."""
    if error is not None:
        raise PublishError(f"topic {record.topic()}: an event was not delivered: {error.str()}")


SINK_CONFIG: Mapping[str, Any] = {**DEFAULTS, "on_delivery": _raise_failure}
"""What ``KafkaSink(add_config=…)`` needs, or events are lost silently: the sink ignores failures to deliver. With this
an event that Kafka does not take within two minutes fails the dataflow, and the next run resumes before it. Add
librdkafka's properties, such as those of SASL, to a copy."""


class SinkMessages:
    """Turns items into messages for ``KafkaSink(brokers, topic=None, add_config=SINK_CONFIG)``; a step of ``op.map``.

    Args:
        name: The events' name.
        payload: Returns an item's payload. Unless given, the payload is the item, or its value if it is a
            ``KafkaSourceMessage``.
        key: Returns an event's key; unless given, a ``KafkaSourceMessage``'s own, and none for other items.
        id: Returns its id, the same whenever the item is processed; unless given, the place of a
            ``KafkaSourceMessage``.
        time: Returns when it happened, with a time zone; unless given, a ``KafkaSourceMessage``'s timestamp, and now
            for other items.
        encoder: Encodes the events; one of the environment's settings unless given.

    Raises:
        SettingsError: A setting of the environment is wrong.

    """

    def __init__(
        self,
        name: str,
        *,
        payload: Callable[[Any], Mapping[str, Any]] | None = None,
        key: Callable[[Any], str | bytes | None] | None = None,
        id: Callable[[Any], str] | None = None,  # noqa: A002 - the attribute's name in CloudEvents
        time: Callable[[Any], datetime] | None = None,
        encoder: EventEncoder | None = None,
    ) -> None:
        self._name = name
        self._payload = payload
        self._key = key
        self._id = id
        self._time = time
        self._encoder = encoder or EventEncoder()
        self._places = PlaceIds(name)

    def __call__(self, item: Any) -> KafkaSinkMessage[bytes | None, bytes]:
        """Return the message of an item's event.

        Raises:
            RefusedError: The event cannot be sent, or it needs an ``id``. Bytewax ends the dataflow.

        """
        source = item if isinstance(item, KafkaSourceMessage) else None
        if self._id is not None:
            event_id = self._id(item)
        elif source is None or source.topic is None or source.partition is None or source.offset is None:
            raise BadAttributeError(
                f"event {self._name!r}: expected a KafkaSourceMessage, whose place is its id, found "
                f"{type(item).__name__}. Give SinkMessages an `id`: a function that returns the same text whenever "
                "the item is processed"
            )
        else:
            event_id = self._places.take(source.topic, source.partition, source.offset)
        if event_id is None:
            raise BadAttributeError(f"event {self._name!r}: expected a text from `id`, found None")
        payload = self._payload(item) if self._payload else item if source is None else source.value
        if payload is None:
            raise BadPayloadError(self._name, "", "a message without a value (a tombstone)", "a mapping")
        moment = None
        if self._time is not None:
            moment = self._time(item)
        elif source is not None and source.timestamp is not None and source.timestamp[1] > 0:
            moment = _EPOCH + timedelta(milliseconds=source.timestamp[1])
        key = self._key(item) if self._key else None if source is None else source.key
        event = self._encoder.encode(self._name, payload, key=key, id=event_id, time=moment)
        return KafkaSinkMessage(event.key, event.value, topic=event.topic, headers=event.headers)
