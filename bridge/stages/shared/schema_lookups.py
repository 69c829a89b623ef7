"""Schemas of a registry, requested in the background: a partition may wait for a schema, a stage never does.

A stage that reads an id for the first time gets the error that its schema is awaited, and holds the partition.
Meanwhile worker threads ask the registry:

- **by turns**: each topic has a short queue of its own, so a topic full of unknown ids delays no other topic;
- **within a budget**: at most 100 ids a second in a process;
- **once**: a schema is kept until the process ends. The answer that an id is unknown, or is no schema of events, is
  kept for half a minute (a *negative cache*);
- **behind a circuit breaker**: after three failures in a row the registry is asked for one id at a time, after a second
  at first and every 30 s later, until it answers. An id that fails alone is tried again with a growing backoff.

All stages of a process share one instance.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from flowbridge_sdk.errors import RegistryUnavailableError, SchemaError, UnknownSchemaIdError
from flowbridge_sdk.schemas import EventSchema

logger = logging.getLogger(__name__)

SchemaId = int | str
"""A number, or a GUID as text."""

UNKNOWN_LASTS = 30.0
"""Seconds for which the answer that a schema does not exist is kept."""

QUEUE_LIMIT = 64
"""Ids that a topic may wait for at once; further ids wait until there is room."""

LONG_PAUSE = 2.0
"""Seconds for which a partition is held while the registry cannot be reached."""

_WORKERS = 2
_PACE = 0.01  # seconds between two questions
_UNKNOWN_LIMIT = 10_000  # unknown ids that are remembered: a bound for hostile records
_OPENS_AT = 3  # failures in a row
_SLOWEST = 30.0  # seconds between two tries
_FORGOTTEN = 60.0  # seconds after which no partition asks again for an id that it still needs
_PAUSE = 0.1  # seconds for which a partition is held at first


class SchemaAwaitedError(RegistryUnavailableError):
    """A schema is requested, and is not there yet.

    Attributes:
        schema_id: Its id.
        pause: Seconds until it may be there.

    """

    def __init__(self, schema_id: SchemaId, why: str, pause: float) -> None:
        super().__init__(f"schema id {schema_id} is awaited{why}")
        self.schema_id = schema_id
        self.pause = pause


class SchemaSource(Protocol):
    """The registry that is asked: :class:`flowbridge_sdk.registry.Registry`."""

    def schema(self, schema_id: SchemaId) -> EventSchema:
        """Return a schema, or raise as the registry does."""


class _Wanted:
    """An id that partitions wait for."""

    __slots__ = ("due", "failures", "last", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.last = now
        self.failures = 0
        self.due = now


class SchemaLookups:
    """Asks a registry in the background. Safe for several threads.

    Args:
        registry: The registry.
        clock: A steady clock, in seconds.

    """

    def __init__(self, registry: SchemaSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._changed = threading.Condition()
        self._known: dict[SchemaId, EventSchema] = {}
        self._refused: OrderedDict[SchemaId, tuple[float, Exception]] = OrderedDict()
        self._wanted: dict[SchemaId, _Wanted] = {}
        self._queues: OrderedDict[str, deque[SchemaId]] = OrderedDict()
        self._workers: list[threading.Thread] = []
        self._asking = 0
        self._next_question = 0.0
        self._failures = 0  # in a row
        self._opens = 0.0  # when an open circuit breaker lets the next question through
        self._problem = ""
        self._is_closed = False

    def schema(self, schema_id: SchemaId) -> EventSchema:
        """Return a schema that is known; never waits.

        Raises:
            UnknownSchemaIdError: The registry does not know it.
            SchemaError: What it holds there is no Avro schema of an event.
            SchemaAwaitedError: It has not answered yet: :meth:`ask` for it.

        """
        known = self._known.get(schema_id)
        if known is not None:
            return known
        with self._changed:
            now = self._clock()
            until, error = self._refused.get(schema_id, (now, None))
            if error is not None and until > now:
                raise error.with_traceback(None)
            wanted = self._wanted.get(schema_id)
            if self._problem or (wanted is not None and wanted.failures):
                raise SchemaAwaitedError(schema_id, f": {self._problem}" if self._problem else "", LONG_PAUSE)
            age = now - wanted.since if wanted is not None else 0.0
            raise SchemaAwaitedError(schema_id, "", min(LONG_PAUSE, max(_PAUSE, age / 2)))

    def ask(self, topic: str, schema_id: SchemaId) -> None:
        """Request the schema of an id that a record of ``topic`` needs."""
        with self._changed:
            now = self._clock()
            wanted = self._wanted.get(schema_id)
            if wanted is not None:
                wanted.last = now
                self._changed.notify()
                return
            queue = self._queues.setdefault(topic, deque())
            if schema_id in self._known or len(queue) >= QUEUE_LIMIT:
                return
            self._wanted[schema_id] = _Wanted(now)
            queue.append(schema_id)
            if len(self._workers) < _WORKERS:
                # A daemon thread: a missing answer does not keep the process from ending.
                worker = threading.Thread(target=self._work, name="schema-registry", daemon=True)
                self._workers.append(worker)
                worker.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Let the workers end; a worker that waits for an answer ends after it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (turn := self._take()) is not None:
            topic, schema_id = turn
            try:
                answer: EventSchema | Exception = self._registry.schema(schema_id)
            except (UnknownSchemaIdError, RegistryUnavailableError, SchemaError) as error:
                answer = error
            except Exception as error:
                logger.exception("the schema with id %s of the registry cannot be read", schema_id)
                answer = SchemaError(f"schema id {schema_id} of the registry", f"cannot be read: {error!r}")
            with self._changed:
                self._asking -= 1
                self._learn(topic, schema_id, answer)
                self._changed.notify_all()

    def _take(self) -> tuple[str, SchemaId] | None:
        """Wait for the next id that may be asked for, and return it with its topic; None at the end."""
        with self._changed:
            while not self._is_closed:
                now = self._clock()
                opens = self._next_question
                if self._failures >= _OPENS_AT:
                    opens = max(opens, self._opens)
                if opens > now:
                    self._changed.wait(opens - now)
                elif self._failures >= _OPENS_AT and self._asking:
                    self._changed.wait()
                elif (turn := self._next(now)) is not None:
                    self._asking += 1
                    self._next_question = now + _PACE
                    return turn
                else:
                    due = min([wanted.due for wanted in self._wanted.values() if wanted.due > now], default=None)
                    self._changed.wait(None if due is None else due - now)
        return None

    def _next(self, now: float) -> tuple[str, SchemaId] | None:
        for topic in list(self._queues):
            queue = self._queues[topic]
            for _ in range(len(queue)):
                schema_id = queue.popleft()
                wanted = self._wanted[schema_id]
                if now - wanted.last > _FORGOTTEN:
                    del self._wanted[schema_id]
                elif wanted.due <= now:
                    self._queues.move_to_end(topic)
                    return topic, schema_id
                else:
                    queue.append(schema_id)
            if not queue:
                del self._queues[topic]
        return None

    def _learn(self, topic: str, schema_id: SchemaId, answer: EventSchema | Exception) -> None:
        now = self._clock()
        if isinstance(answer, RegistryUnavailableError):
            wanted = self._wanted[schema_id]
            wanted.failures += 1
            wanted.due = now + min(_SLOWEST, 0.5 * 2.0**wanted.failures)
            self._queues.setdefault(topic, deque()).append(schema_id)
            self._failures += 1
            if self._failures >= _OPENS_AT:
                self._opens = now + min(_SLOWEST, 2.0 ** (self._failures - _OPENS_AT))
                for waiting in self._wanted.values():
                    waiting.due = min(waiting.due, self._opens)
            if self._failures == _OPENS_AT:
                self._problem = str(answer)
                logger.warning(
                    "%s. %d schemas are awaited: the partitions that need them wait, all else goes on. It is asked "
                    "again every 30 s at the latest",
                    answer,
                    len(self._wanted),
                )
            return
        if self._failures >= _OPENS_AT:
            for waiting in self._wanted.values():
                waiting.due = now
        if self._problem:
            logger.warning("the schema registry answers again")
        self._failures, self._problem = 0, ""
        del self._wanted[schema_id]
        if isinstance(answer, Exception):
            self._refused.pop(schema_id, None)
            self._refused[schema_id] = (now + UNKNOWN_LASTS, answer)
            if len(self._refused) > _UNKNOWN_LIMIT:
                self._refused.popitem(last=False)
        else:
            self._known[schema_id] = answer
