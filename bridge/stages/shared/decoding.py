"""Decode events. For an unknown fingerprint, read the schema folder once more.

A publisher may be ahead of our schemas. So when a fingerprint is unknown, the schemas are read again, at most once in a
few seconds. An event whose fingerprint is still unknown is a dead letter. A schema of a registry is requested in the
background (:mod:`bridge.stages.shared.schema_lookups`), and its partition is held until the schema is there.
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
            self._loaded = self._clock()
            try:
                self._decoder = self._load()
            except SchemaError as error:
                logger.error("the schema folder cannot be read, and the known schemas stay in use: %s", error)  # noqa: TRY400  (a person's file, not a bug)
            return self._decoder.decode(topic, value, headers)

    def ask_ahead(self, topic: str, value: bytes | None, headers: Headers | None = None) -> None:
        """Ask for the schema of a record that is decoded later."""
        with suppress(DecodeError):
            self.decode(topic, value, headers)

    def is_awaiting(self) -> bool:
        """Return True if a record waits for a schema that may come at any moment."""
        return self._awaited is not None and self._clock() - self._awaited < _PACE


def hold_for_schema(record: Record, error: DecodeError, out: Outbox) -> bool:
    """Hold the partition of a record whose schema is not available now; return False if another try cannot help."""
    if error.permanent:
        return False
    logger.debug("%s/%d waits: %s", record.topic, record.partition, error)
    pause = error.pause if isinstance(error, SchemaAwaitedError) else LONG_PAUSE
    out.hold(Partition(record.topic, record.partition), record.offset, pause)
    return True
