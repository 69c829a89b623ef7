"""The objects of one kind in one namespace: listed, and then watched by a thread, so that no reader waits for the API.

A watch that ends is resumed from its last version. If the API server no longer knows this version, or if too many
changes wait to be taken, all objects are listed again, in pages. Any other error is :class:`Away` until the API answers
again.

The requests are bounded, whatever the objects do: one list at the beginning, one watch request for each
:data:`WATCH_SECONDS`, and after an error one request a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, Literal, TypeVar

from bridge.cluster.api_server import ApiServer, Stream
from bridge.cluster.responses import Answer, Unknown
from bridge.plain_text import plain_text

logger = logging.getLogger(__name__)

T = TypeVar("T")

WATCH_SECONDS = 60
"""Seconds of one watch request."""
NEWS_LIMIT = 10_000
"""Changes that are kept until they are taken."""
PAGE = 500
"""Objects in a page of a list."""

_RETRY_SECONDS = 1.0
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
_SILENCE_SECONDS = WATCH_SECONDS + 10.0  # the server ends a watch before this; one that is silent for longer is gone
_KINDS: dict[str, Any] = {"ADDED": "put", "MODIFIED": "put", "DELETED": "deleted"}


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """All objects of a namespace at one moment. Others do not exist.

    Attributes:
        objects: The objects.
        number: How many lists had been begun, this one included. It counts from 1.

    """

    objects: Sequence[T]
    number: int = 1


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """An object that was put or deleted. An object that is not selected any more counts as deleted.

    Attributes:
        kind: Whether it was put or deleted.
        object: The object; its last state if it was deleted.

    """

    kind: Literal["put", "deleted"]
    object: T


@dataclass(frozen=True, slots=True)
class Away:
    """The API could not be asked, or it refused. Nothing follows for any object.

    Attributes:
        reason: What happened.
        is_lasting: It does not pass by itself, as an outage does: the account may not ask, or an answer makes no sense.

    """

    reason: str
    is_lasting: bool = False


class Watch(Generic[T]):
    """A thread that watches the objects of a namespace until it is stopped.

    Args:
        server: The API server.
        path: Path of the objects, quoted.
        labels: Labels that the objects have.
        read: Returns an object as it is kept. A KeyError, TypeError or AttributeError says that it cannot be read.
        only_metadata: Ask for the metadata of the objects alone.

    """

    def __init__(
        self,
        server: ApiServer,
        path: str,
        labels: Mapping[str, str],
        read: Callable[[Any], T],
        *,
        only_metadata: bool = False,
    ) -> None:
        self._server = server
        self._path = path
        self._selector = ",".join(f"{name}={value}" for name, value in labels.items())
        self._read = read
        self._only_metadata = only_metadata
        self._version = ""  # of the last change; empty before a list
        self._lists_begun = 0
        self._oldest_list = 0  # number of the oldest list that is new enough
        self._news: list[Listing[T] | Change[T]] = []
        self._trouble: Away | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._stream: Stream | None = None
        threading.Thread(target=self._run, name=f"watch-{path.rpartition('/')[2]}", daemon=True).start()

    @property
    def lists_begun(self) -> int:
        """Return how many lists were begun. An object that exists now is in each list that begins after this."""
        with self._lock:
            return self._lists_begun

    def take(self) -> Sequence[Listing[T] | Change[T]] | Away:
        """Return the changes since the last call, in order, or why there can be none.

        The first of them is a :class:`Listing`. Another listing follows if changes may have been missed. An empty
        result may mean that the first listing is not there yet.
        """
        with self._lock:
            taken, self._news = self._news, []
            return taken or self._trouble or ()

    def list_again(self) -> None:
        """Have all objects listed again. Changes that were not taken are in that list."""
        with self._lock:
            self._news, self._version, self._oldest_list = [], "", self._lists_begun + 1
            if self._stream is not None:
                self._stream.stop()

    def stop(self) -> None:
        """End the thread, without waiting for it."""
        with self._lock:
            self._stopped.set()
            if self._stream is not None:
                self._stream.stop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                trouble = self._watched() if self._version else self._listed()
            except Exception as error:  # this thread must never end unnoticed, because no change would be seen any more
                logger.exception("the watch at %s broke", self._path)
                trouble = Away(f"a defect of Flowbridge: {type(error).__name__}: {plain_text(error)}")
            with self._lock:
                self._trouble = trouble
            self._stopped.wait(_RETRY_SECONDS if trouble or not self._version else 0)

    def _listed(self) -> Away | None:
        """List all objects; return why that failed."""
        with self._lock:
            self._lists_begun += 1
            number = self._lists_begun
        query = {"labelSelector": self._selector, "limit": str(PAGE)}
        objects: list[T] = []
        while True:
            response = self._server.list(self._path, query, only_metadata=self._only_metadata)
            if not isinstance(response, Answer):
                return Away(response.reason)
            if response.status != HTTPStatus.OK:
                return Away(response.text(), is_lasting=response.status in _REFUSALS)
            body: Any = response.object
            try:
                items = body["items"]
                if items is None and self._only_metadata:  # API servers write an empty list of metadata as null
                    items = ()
                objects += [self._read(item) for item in items]
                version, rest = str(body["metadata"]["resourceVersion"]), body["metadata"].get("continue")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return Away(f"the list cannot be read: {plain_text(error)}", is_lasting=True)
            if not rest:
                break
            query["continue"] = rest
        with self._lock:
            if number >= self._oldest_list:
                self._news, self._version = [Listing(objects, number)], version
        return None

    def _watched(self) -> Away | None:
        """Watch once; return why it ended. None means that its time is over, or that a list is needed."""
        query = {"labelSelector": self._selector, "watch": "true", "allowWatchBookmarks": "true"}
        query |= {"resourceVersion": self._version, "timeoutSeconds": str(WATCH_SECONDS)}
        stream = self._server.watch(self._path, query, timeout=_SILENCE_SECONDS, only_metadata=self._only_metadata)
        if isinstance(stream, Answer):
            if stream.status != HTTPStatus.GONE:
                return Away(stream.text(), is_lasting=stream.status in _REFUSALS)
            self._version = ""
            return None
        if not isinstance(stream, Stream):
            return Away(stream.reason)
        with self._lock:
            if self._stopped.is_set() or not self._version:
                stream.close()
                return None
            self._trouble = None
            self._stream = stream
        try:
            for event in stream.events():
                if self._stopped.is_set() or not self._version:
                    return None
                if isinstance(event, Unknown):
                    return Away(f"the watch broke: {event.reason}")
                kind, thing = event["type"], event["object"]
                if kind == "ERROR":
                    self._version = "" if thing.get("code") == HTTPStatus.GONE else self._version
                    return Away(str(thing.get("message"))) if self._version else None
                version = thing["metadata"]["resourceVersion"]
                change = Change(_KINDS[kind], self._read(thing)) if kind in _KINDS else None
                with self._lock:
                    if not self._version:  # a list was asked for meanwhile
                        return None
                    self._version = version
                    if change is not None:
                        self._news.append(change)
                    if len(self._news) > NEWS_LIMIT:
                        self._news, self._version = [], ""
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Away(f"the watch broke: {plain_text(error)}")
        finally:
            with self._lock:
                self._stream = None
            stream.close()
        return None
