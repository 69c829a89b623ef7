"""Decode events. For an unknown fingerprint, read the schema folder once more.

A publisher may be ahead of our schemas. So when a fingerprint is unknown, the schemas are read again: at once if their
files have changed, else at most once in a few seconds. An event whose fingerprint is still unknown is a dead letter,
which waits. Routers look every few seconds whether files have changed (:mod:`bridge.stages.router.waiting_letters`).

A schema of a registry is requested in the background (:mod:`bridge.stages.shared.schema_lookups`), and its partition is
held until the schema is there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

from bridge.core.event import SECOND, Micros
from bridge.errors import SchemasError
from bridge.kafka.log import Partition, Record
from bridge.kafka.outbox import Outbox
from bridge.stages.shared.schema_lookups import LONG_PAUSE, SchemaAwaitedError, SchemaLookups
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import DecodeError, SchemaError, UnknownFingerprintError
from flowbridge_sdk.headers import Headers

logger = logging.getLogger(__name__)

_PACE = 5 * SECOND
_LOOK_PACE = SECOND // 5  # between looks at the files, of which each may examine a thousand


class EventDecoder:
    """Decodes payloads of events.

    Args:
        load: Reads all schemas, and makes a decoder of them.
        clock: A steady clock.
        lookups: Asks for schemas of the registry that the decoders look in, where there is one.
        state: Returns the state of the files of schemas, which differs once one of them has changed.

    Attributes:
        digest: Names the set of schemas that are known without a registry.

    """

    def __init__(
        self,
        load: Callable[[], Decoder],
        clock: Callable[[], Micros],
        lookups: SchemaLookups | None = None,
        state: Callable[[], object] = lambda: None,
    ) -> None:
        self._load = load
        self._clock = clock
        self._lookups = lookups
        self._awaited: Micros | None = None
        self._file_state = state
        self._loaded = self._looked = clock()
        self._state = state()
        self._use(load())

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
            if not self._changed(_LOOK_PACE) and self._clock() - self._loaded < _PACE:
                raise
            self._load_again()
            return self._decoder.decode(topic, value, headers)

    def knows(self, fingerprint: bytes) -> bool:
        """Return whether a schema with this fingerprint is known."""
        return fingerprint in self._fingerprints

    def look_for_schemas(self) -> None:
        """Read the schemas again if their files have changed; look at most once in a few seconds."""
        if self._changed(_PACE):
            self._load_again()

    def _changed(self, pace: Micros) -> bool:
        """Return whether the files have changed since they were read; False without a look before the pace is over."""
        if self._clock() - self._looked < pace:
            return False
        self._looked = self._clock()
        return self._file_state() != self._state

    def _load_again(self) -> None:
        self._loaded = self._clock()
        self._state = self._file_state()  # before they are read: a change meanwhile is noticed at the next look
        try:
            self._use(self._load())
        except (SchemaError, SchemasError) as error:
            logger.error("the schema folder cannot be read, and the known schemas stay in use: %s", error)  # noqa: TRY400  (a person's file, not a bug)

    def _use(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._fingerprints = decoder.fingerprints
        self.digest = sha256(b"".join(sorted(self._fingerprints))).hexdigest()[:16]

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
