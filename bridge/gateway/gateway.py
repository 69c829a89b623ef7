"""The gateway as an ASGI application: from a request to an event that is safe, and its answer.

A request passes these steps: its path, method and token; the body, and capacity for it if it is large; the event in it,
and whether its token may publish that; its topic; a place among the held events; its record; and the answer, once every
in-sync replica has the record. All waits (for capacity, for a place, for Kafka) have one deadline, counted from the
request's head: the publisher would wait no longer. So an outage of Kafka up to that long costs no event.

Each publisher has a share of these capacities. A publisher is a token, or an address where there are no tokens. So no
publisher can take all of a capacity, or make the gateway unready. Names whose topic Kafka must be asked for have places
of their own. Of an event that is held, only its encoded record stays in memory.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from time import time_ns

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bridge.core.event import SECOND
from bridge.core.spans import Span, span_of
from bridge.gateway import answers
from bridge.gateway.answers import Answer, cloudevents_status, webhook_status
from bridge.gateway.capacity import Capacity
from bridge.gateway.cloudevents import read_cloudevent
from bridge.gateway.event_log import EventLog, NotRecordedError
from bridge.gateway.event_topics import EventTopics
from bridge.gateway.incoming import SOURCE, Encoded, Incoming, encode
from bridge.gateway.metrics import GatewayMetrics
from bridge.gateway.tokens import Grant, Tokens
from bridge.gateway.webhook import read_webhook
from bridge.kafka.outage import ABOUT_KAFKA
from bridge.settings.groups import GatewaySettings
from flowbridge_sdk.attributes.trace import TRACEPARENT, read_traceparent

BODY_LIMIT = 1 << 20
"""Bytes of a request's body."""

SMALL_BODY = 64 << 10
"""Bytes of a body that needs no capacity: so many wait in a connection's buffers in any case."""

WEBHOOK_PATH = GatewaySettings.gateway_path
CLOUDEVENTS_PATH = GatewaySettings.gateway_cloudevents_path
PAGES = ("/livez", "/readyz", "/health")

_PLAIN = (b"content-type", b"text/plain; charset=utf-8")
_CHALLENGE = (b"www-authenticate", b"Bearer")
_log = logging.getLogger(__name__)

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Bounds:
    """The load that the gateway accepts at once.

    Attributes:
        hold: Seconds from a request's head until it is given up.
        held: Events that wait for Kafka at once.
        body_bytes: Bytes of large bodies that are being read or held.

    """

    hold: float = GatewaySettings.gateway_hold / SECOND
    held: int = GatewaySettings.gateway_held
    body_bytes: int = 64 << 20


@dataclass(frozen=True)
class Endpoint:
    """A path that takes events.

    Attributes:
        read: Makes an event of headers and body.
        status: HTTP's status of an answer on this path.
        keeps_sources: Whether its events keep their source, or have the gateway's.

    """

    read: Callable[[Headers, bytes], Incoming | Answer]
    status: Callable[[Answer], int]
    keeps_sources: bool = True


class Gateway:
    """Takes events over HTTP and appends them to the log. An ASGI application for one event loop.

    Args:
        log: The log that events are appended to.
        topics: Finds the topic of a name.
        tokens: The grants of publishers.
        metrics: Counts requests.
        bounds: The load that it accepts at once.
        webhook: The path of Argo Events' webhook.
        cloudevents: The path of CloudEvents.
        keeps_sources: Whether CloudEvents keep their source, or have the gateway's.
        trace: Exports the spans of traced events, without waiting; None if they have none.

    Attributes:
        is_leaving: Whether the process ends soon: the gateway is unready, but still serves all requests.

    """

    def __init__(
        self,
        log: EventLog,
        topics: EventTopics,
        tokens: Tokens,
        metrics: GatewayMetrics,
        bounds: Bounds = Bounds(),
        webhook: str = WEBHOOK_PATH,
        cloudevents: str = CLOUDEVENTS_PATH,
        *,
        keeps_sources: bool = True,
        trace: Callable[[Sequence[Span]], None] | None = None,
    ) -> None:
        self.log = log
        self.topics = topics
        self.tokens = tokens
        self.metrics = metrics
        self.bounds = bounds
        self.is_leaving = False
        self._trace = trace
        self._end = float("inf")
        self._endpoints = {
            cloudevents: Endpoint(read_cloudevent, cloudevents_status, keeps_sources),
            webhook: Endpoint(lambda _headers, body: read_webhook(body), webhook_status),
        }
        self._held = Capacity(bounds.held, _share(bounds.held))
        self._lookups = Capacity(_share(bounds.held), _share(_share(bounds.held)))
        self._body_bytes = Capacity(bounds.body_bytes, max(_share(bounds.body_bytes), BODY_LIMIT))
        self._pages = _pages(self)
        metrics.holding(lambda: self._held.used)

    @property
    def is_ready(self) -> bool:
        """Whether it can take another event. It can while Kafka is away, as long as there are places to hold one."""
        return not (self.is_leaving or self._held.is_full or self._body_bytes.is_full)

    def leave(self) -> None:
        """Be unready from now on. Later requests are held no longer than earlier ones, so the end is near."""
        self.is_leaving = True
        self._end = asyncio.get_running_loop().time() + self.bounds.hold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        endpoint = self._endpoints.get(scope["path"])
        if endpoint is None:
            await self._pages(scope, receive, send)
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            answer = await self._publish(endpoint, scope, receive, min(began + self.bounds.hold, self._end))
        except Exception:  # noqa: BLE001 - no caller sees it: a stranger's request must not end in silence
            _log.exception("a request failed; this is a bug of Flowbridge")
            answer = answers.BUG
        if answer is not answers.DISCONNECTED:
            status, body = endpoint.status(answer), answer.text.encode("utf-8", "replace")
            headers = [_PLAIN, (b"content-length", b"%d" % len(body))]
            if status == 401:  # noqa: PLR2004 - HTTP's own number
                headers.append(_CHALLENGE)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        self.metrics.answered(answer.outcome, clock() - began)

    async def _publish(self, endpoint: Endpoint, scope: Scope, receive: Receive, deadline: float) -> Answer:
        if scope["method"] != "POST":
            return answers.WRONG_METHOD
        grant = self.tokens.grant(_header(scope["headers"], b"authorization"))
        if isinstance(grant, Answer):
            return grant
        length = _header(scope["headers"], b"content-length")
        size = int(length) if length is not None and length.isdigit() else BODY_LIMIT
        if size > BODY_LIMIT:
            return answers.too_large(BODY_LIMIT)
        publisher = grant.name if grant.digest else str((scope.get("client") or ("",))[0])
        async with self._body_bytes.reservation(size, deadline, publisher) as reserve:
            # no variable here holds the body: while the event is held, its memory is free
            event = self._accepted(endpoint, scope["headers"], await _body(receive, reserve), grant)
            if isinstance(event, Answer):
                return event
            name, topic, record, span = event
            if topic is None:
                async with self._lookups.reservation(1, deadline, publisher) as reserve_lookup:
                    answer = await self.topics.find(name, deadline) if await reserve_lookup() else answers.NOT_RECORDED
                if isinstance(answer, Answer):
                    return answer
                topic = answer
            async with self._held.reservation(1, deadline, publisher) as reserve_place:
                if not await reserve_place():
                    return answers.NOT_RECORDED
                try:
                    async with asyncio.timeout_at(deadline):  # the log's own time began later than the request's
                        await self.log.append(topic, record)
                except (NotRecordedError, TimeoutError) as error:
                    _log.warning("an event for topic %s was not recorded: %s", topic, error, extra=ABOUT_KAFKA)
                    return answers.NOT_RECORDED
            if span is not None and self._trace is not None:
                self._trace([span._replace(end=max(span.start, time_ns() // 1_000))])
            return answers.PUBLISHED

    def _accepted(
        self, endpoint: Endpoint, headers: Headers, body: bytes | Answer, grant: Grant
    ) -> tuple[str, str | None, Encoded, Span | None] | Answer:
        """Return name, topic, record and span of the event in a body, or the refusal.

        The topic may not be known yet. The span begins now; None for an event that is not traced.
        """
        event = body if isinstance(body, Answer) else endpoint.read(headers, body)
        if isinstance(event, Answer):
            return event
        if not grant.may_publish(event.name):
            return answers.forbidden(event.name)
        topic = self.topics.at_once(event.name)
        if isinstance(topic, Answer):
            return topic
        given = dict(event.extensions) | {TRACEPARENT: _header(headers, b"traceparent")}
        context, span = read_traceparent(given), None
        if context and self._trace is not None:
            now, about = time_ns() // 1_000, {"flowbridge.event": event.id, "flowbridge.source": event.source}
            span = span_of(f"publish {event.name}", (context,), now, now, secrets.randbits(64) or 1, about)
            if span is not None:
                context, span = span.context, span._replace(is_publication=True)
        if context:
            event = event._replace(extensions=(*event.extensions, (TRACEPARENT, context.encode())))
        encoded = encode(event if endpoint.keeps_sources else event._replace(source=SOURCE))
        return encoded if isinstance(encoded, Answer) else (event.name, topic, encoded, span)


async def _body(receive: Receive, reserve: Callable[[], Awaitable[bool]]) -> bytes | Answer:
    """Return a request's body, or the refusal. A large body reserves its capacity once that much of it has arrived."""
    body = b""
    is_reserved = False
    while len(body) <= BODY_LIMIT:
        message = await receive()
        if message["type"] == "http.disconnect":
            return answers.DISCONNECTED
        body += message["body"]
        if not message.get("more_body"):
            break
        if len(body) > SMALL_BODY and not is_reserved:
            is_reserved = await reserve()
            if not is_reserved:
                return answers.NOT_RECORDED
    return body if len(body) <= BODY_LIMIT else answers.too_large(BODY_LIMIT)


def _share(size: int) -> int:
    """Return the share of a capacity that one publisher may have: three quarters."""
    return max(size - size // 4, 1)


def _header(headers: Headers, wanted: bytes) -> bytes | None:
    for name, value in headers:
        if name == wanted:
            return value
    return None


def _pages(gateway: Gateway) -> Starlette:
    async def live(_request: Request) -> Response:
        return PlainTextResponse("OK")

    async def ready(_request: Request) -> Response:
        return PlainTextResponse("OK") if gateway.is_ready else PlainTextResponse("full or leaving", 503)

    return Starlette(routes=[Route("/livez", live), Route("/health", live), Route("/readyz", ready)])
