"""Reading events with schemas that may change: a fingerprint that is not known is looked for once more in the folder.

A publisher may be ahead of our schemas. So when a fingerprint is unknown, the schemas are read again (not more often
than every few seconds), and only if it is still unknown the event is a dead letter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from bridge.core.event import SECOND, Micros
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import SchemaError, UnknownFingerprintError
from flowbridge_sdk.headers import Headers

logger = logging.getLogger(__name__)

_PACE = 5 * SECOND


class EventDecoder:
    """Decodes payloads of events.

    Args:
        load: Reads all schemas, and makes a decoder of them.
        clock: A steady clock.

    """

    def __init__(self, load: Callable[[], Decoder], clock: Callable[[], Micros]) -> None:
        self._load = load
        self._clock = clock
        self._loaded = clock()
        self._decoder = load()

    def decode(self, topic: str, value: bytes | None, headers: Headers | None = None) -> Mapping[str, Any]:
        """Return the payload of a record.

        Raises:
            DecodeError: One of its kinds; ``permanent`` says whether another try can help.

        """
        try:
            return self._decoder.decode(topic, value, headers)
        except UnknownFingerprintError:
            if self._clock() - self._loaded < _PACE:
                raise
            self._reload()
            return self._decoder.decode(topic, value, headers)

    def _reload(self) -> None:
        self._loaded = self._clock()
        try:
            self._decoder = self._load()
        except SchemaError as error:
            logger.error("the schemas that are known stay: %s", error)  # noqa: TRY400  (a person's file, not a bug)
