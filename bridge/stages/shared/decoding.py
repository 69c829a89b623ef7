"""Decode events. For an unknown fingerprint, read the schema folder once more.

A publisher may be ahead of our schemas. So when a fingerprint is unknown, the schemas are read again (not more often
than every few seconds), and only if it is still unknown the event is a dead letter. A schema of a registry is asked for
aside (:mod:`bridge.stages.shared.schema_lookups`): until it is there its partition is held.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import Partition, Record
from bridge.kafka.outbox import Outbox
from bridge.stages.shared.schema_lookups import LONG_PAUSE, SchemaAwaitedError, SchemaLookups
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import DecodeError, SchemaError, UnknownFingerprintError
from flowbridge_sdk.headers import Headers

logger = logging.getLogger(__name__)

_PACE = 5 * SECOND


class EventDecoder:
    """Decodes payloads of events.

    Args:
        load: Reads all schemas, and makes a decoder of them.
        clock: A steady clock.
        lookups: Asks for schemas of the registry that the decoders look in, where there is one.

    """

    def __init__(
        self, load: Callable[[], Decoder], clock: Callable[[], Micros], lookups: SchemaLookups | None = None
    ) -> None:
        self._load = load
        self._clock = clock
        self._lookups = lookups
        self._awaited: Micros | None = None
        self._loaded = clock()
        self._decoder = load()

    def decode(self, topic: str, value: bytes | None, headers: Headers | None = None) -> Mapping[str, Any]:
        """Return the payload of a record.

        Raises:
            DecodeError: One of its kinds; ``permanent`` says whether another try can help.

        """
        try:
            return self._decoder.decode(topic, value, headers)
        except SchemaAwaitedError as awaited:
            self._awaited = self._clock()
            if self._lookups is not None:
                self._lookups.ask(topic, awaited.schema_id)
            raise
        except UnknownFingerprintError:
            if self._clock() - self._loaded < _PACE:
                raise
            self._reload()
            return self._decoder.decode(topic, value, headers)

    def ask_ahead(self, topic: str, value: bytes | None, headers: Headers | None = None) -> None:
        """Have the schema asked for that a record will need which is not decoded yet."""
        with suppress(DecodeError):
            self.decode(topic, value, headers)

    def is_awaiting(self) -> bool:
        """Tell whether a schema may come at any moment that a record waits for."""
        return self._awaited is not None and self._clock() - self._awaited < _PACE

    def _reload(self) -> None:
        self._loaded = self._clock()
        try:
            self._decoder = self._load()
        except SchemaError as error:
            logger.error("the schema folder cannot be read, and the known schemas stay in use: %s", error)  # noqa: TRY400  (a person's file, not a bug)


def hold_for_schema(record: Record, error: DecodeError, out: Outbox) -> bool:
    """Hold the partition of a record whose schema cannot be had now; return False if another try is no use."""
    if error.permanent:
        return False
    logger.debug("%s/%d waits: %s", record.topic, record.partition, error)
    pause = error.pause if isinstance(error, SchemaAwaitedError) else LONG_PAUSE
    out.hold(Partition(record.topic, record.partition), record.offset, pause)
    return True
