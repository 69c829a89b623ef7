"""Events in ArgoEvent's manners, for jobs that publish one now and then.

``Event("order.created").add_to_payload("order_id", "o-1").publish()`` goes through one publisher of the whole
process, made from the FLOWBRIDGE_* environment at its first use, and returns when Kafka has acknowledged it.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

from flowbridge_sdk.delivery.settings import is_local
from flowbridge_sdk.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

_log = logging.getLogger(__name__)


class Event:
    """An event to be published.

    Args:
        name: Its name.
        payload: The first fields of its payload.

    """

    def __init__(self, name: str, payload: Mapping[str, Any] | None = None) -> None:
        self._name = name
        self._payload: dict[str, Any] = dict(payload or {})

    def add_to_payload(self, field: str, value: object) -> Self:
        """Set a field of the payload; returns the event, for the next call."""
        self._payload[field] = value
        return self

    def publish(
        self,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,  # noqa: A002 - as Publisher.publish
        time: datetime | None = None,
        source: str | None = None,
        publisher: Publisher | None = None,
    ) -> str:
        """Publish the event and wait until Kafka has acknowledged it.

        Args:
            payload: More fields; they win over those added before.
            key: As in ``Publisher.publish``.
            id: As in ``Publisher.publish``.
            time: As in ``Publisher.publish``.
            source: As in ``Publisher.publish``.
            publisher: The publisher to use instead of the process's own.

        Returns:
            The event's id.

        Raises:
            FlowbridgeError: The event was refused or not delivered, or a setting is wrong.

        """
        fields = {**self._payload, **(payload or {})}
        with nullcontext(publisher) if publisher else process_publisher.taken() as through:
            event_id = through.publish(self._name, fields, key=key, id=id, time=time, source=source)
            through.flush()
        return event_id

    def safe_publish(
        self,
        payload: Mapping[str, Any] | None = None,
        *,
        key: str | bytes | None = None,
        id: str | None = None,  # noqa: A002 - as Publisher.publish
        time: datetime | None = None,
        source: str | None = None,
        publisher: Publisher | None = None,
    ) -> str | None:
        """Publish as ``publish`` does, but nothing in a local run, and never raise.

        A run is local when FLOWBRIDGE_LOCAL is 1 or true, or when the environment names no Kafka
        (FLOWBRIDGE_BOOTSTRAP_SERVERS). A failure is logged as a warning.

        Returns:
            The event's id; None in a local run or after a failure.

        """
        if is_local():
            _log.info("local run: event %s is not published", self._name)
            return None
        try:
            return self.publish(payload, key=key, id=id, time=time, source=source, publisher=publisher)
        except Exception:  # noqa: BLE001 - the caller's choice: an event must never fail their job
            _log.warning("event %s was not published", self._name, exc_info=True)
            return None


class _ProcessPublisher:
    """The one publisher of this process, made at its first use; the end of the process closes it."""

    def __init__(self) -> None:
        self._publisher: Publisher | None = None
        self.renew_lock()

    def renew_lock(self) -> None:
        """Forget the holder of the lock: after a fork, no thread of this process holds it."""
        self._lock = threading.Lock()

    @contextmanager
    def taken(self) -> Iterator[Publisher]:
        """Hold the publisher alone, so that a failure that its flush reports belongs to the event just published."""
        with self._lock:
            if self._publisher is None:
                self._publisher = Publisher()
            yield self._publisher


process_publisher = _ProcessPublisher()
"""The publisher of events that name none."""

os.register_at_fork(after_in_child=process_publisher.renew_lock)
