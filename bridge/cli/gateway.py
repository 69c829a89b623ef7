"""``flowbridge gateway``, and the gateway that ``run`` and ``dev`` have next to their stages."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

from prometheus_client import CollectorRegistry

from bridge.cli import logs
from bridge.cli.wiring.kafka import accepted_by_client, connect, new_topic
from bridge.cli.wiring.traces import exported_spans
from bridge.console.health import Health, StageHealth
from bridge.console.metrics import Metrics
from bridge.console.server import ConsoleServer, application, open_listener
from bridge.core.event import SECOND
from bridge.errors import ListenError, SettingProblem, SettingsError
from bridge.gateway.event_topics import EventTopics, TopicRules
from bridge.gateway.gateway import Bounds, Gateway
from bridge.gateway.kafka_log import KafkaEventLog
from bridge.gateway.metrics import GatewayMetrics
from bridge.gateway.server import GatewayServer
from bridge.gateway.tls import Certificate
from bridge.gateway.tokens import NoTokens, Tokens, TokensError
from bridge.http.serving import Connections
from bridge.kafka.log import Log
from bridge.kafka.loop import Trace
from bridge.settings.groups import GatewaySettings
from bridge.settings.settings import Settings
from bridge.settings.values import Address
from flowbridge_sdk.attributes.shared_topics import SharedTopics

PART = "gateway"
"""The name of a gateway among the parts of a process that report their health."""

LINGER_S = 5.0
"""Seconds that a gateway goes on serving after SIGTERM, unready, until load balancers send it nothing new."""

_CONNECTIONS_A_PLACE = 2
_BACKLOG = 1_024
_LOOK_S = 0.2
logger = logging.getLogger(__name__)


def execute(*, settings: Settings) -> None:
    """Take events over HTTP until SIGTERM or SIGINT."""
    logs.set_up(settings, logs.kafka_outage(settings))
    registry = CollectorRegistry()
    health = Health([PART])
    with ExitStack() as stack:
        if settings.listen is not None:
            address, is_free = settings.listen, not settings.is_listen_explicit
            console = open_listener(address.host, address.port, or_any_free=is_free)
            stack.enter_context(ConsoleServer(application(health, Metrics(registry)), console))
        trace = stack.enter_context(exported_spans(settings))
        log, state = connect(settings), health.stage(PART)
        server = stack.enter_context(gateway_server(settings, log, registry, state, trace=trace))
        signals: list[int] = []

        def note(number: int, _frame: object) -> None:
            signals.append(number)  # no more than that: this thread may hold any lock

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while server.is_alive and not signals:
                time.sleep(_LOOK_S)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        logger.info("stopping: finishing held requests first")
        # No load balancer stands before a gateway that a person ends by Ctrl-C, or that ended by itself.
        server.leave(LINGER_S if signals[:1] == [signal.SIGTERM] else 0.0)


def gateway_server(
    settings: Settings,
    log: Log,
    registry: CollectorRegistry,
    health: StageHealth | None = None,
    *,
    or_any_free: bool = False,
    trace: Trace | None = None,
) -> GatewayServer:
    """Return the gateway that the settings describe; a context manager, which serves from entering until leaving.

    Args:
        settings: The settings.
        log: The connection to Kafka, for its topics.
        registry: Counts the gateway's metrics.
        health: Told once a second that the gateway lives, and whether it is ready.
        or_any_free: Take any free port if the one that is set is taken.
        trace: Exports the spans of traced events; None if they have none.

    Raises:
        SettingsError: The gateway's address is turned off, or a file of tokens or certificates cannot be used.
        ListenError: The address cannot be used.

    """
    address = settings.gateway_listen
    if address is None:
        raise _wrong("gateway_listen", "found nothing", "HOST:PORT is right")
    tokens: Tokens = NoTokens()
    if settings.gateway_tokens is not None:
        try:
            tokens = Tokens(settings.gateway_tokens)
        except TokensError as error:
            raise _wrong("gateway_tokens", str(error), "docs/gateway.md has an example") from error
    certificate = None
    if settings.gateway_certificate is not None:
        try:
            certificate = Certificate(settings.gateway_certificate, settings.gateway_key)
        except OSError as error:
            key = f" with the key {settings.gateway_key}" if settings.gateway_key else ""
            expected = "a certificate with its key, in PEM and without a passphrase, is right"
            raise _wrong("gateway_certificate", f"{settings.gateway_certificate}{key}: {error}", expected) from error
    with accepted_by_client():
        gateway = _gateway(settings, log, tokens, registry, trace)
    listener = _listener(address, or_any_free=or_any_free)
    chores: list[Callable[[], None]] = [certificate.refresh] if certificate else []
    if health is not None:

        def report_health() -> None:
            health.beat()
            full = "room for another request: it holds as many as it may"
            health.ready(gateway.is_ready, "its end: it takes nothing new" if gateway.is_leaving else full)

        chores.append(report_health)
    server = GatewayServer(
        gateway,
        listener,
        Connections(_CONNECTIONS_A_PLACE * settings.gateway_held),
        tls=certificate.context if certificate else None,
        chores=chores,
    )
    logger.info("taking events at %s", webhook_url(settings, server))
    try:
        is_loopback = ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        is_loopback = address.host == "localhost"
    if settings.gateway_tokens is None and not is_loopback:
        logger.warning("gateway_tokens is not set: any client that reaches %s may publish", address.text())
    return server


def webhook_url(settings: Settings, server: GatewayServer) -> str:
    """Return the value of METAFLOW_ARGO_EVENTS_WEBHOOK_URL for publishers that use a server."""
    scheme = "https" if settings.gateway_certificate else "http"
    host = settings.gateway_listen.host if settings.gateway_listen else ""
    return f"{scheme}://{Address(host, server.port).text()}{settings.gateway_path}"


def _listener(address: Address, *, or_any_free: bool) -> socket.socket:
    try:
        listener = open_listener(address.host, address.port)
    except ListenError as error:
        if or_any_free and address.port != 0:
            return _listener(address._replace(port=0), or_any_free=False)
        raise ListenError(error.found, "name another address with --gateway-listen HOST:PORT") from error
    listener.listen(_BACKLOG)
    return listener


def _gateway(settings: Settings, log: Log, tokens: Tokens, registry: CollectorRegistry, trace: Trace | None) -> Gateway:
    group, spec_of = GatewaySettings.of(settings), new_topic(settings)
    hold_s = group.gateway_hold / SECOND
    rules = TopicRules(
        settings.internal_prefix,
        SharedTopics(settings.shared_topics),
        spec_of if settings.gateway_new_names == "create" else None,
        settings.topic_bound,
        spec_of if settings.create_topics else None,
    )
    return Gateway(
        KafkaEventLog(settings.client_properties(), hold_s),
        EventTopics(log.admin(), rules),
        tokens,
        GatewayMetrics(registry),
        Bounds(hold_s, group.gateway_held),
        group.gateway_path,
        group.gateway_cloudevents_path,
        keeps_sources=settings.gateway_source == "kept",
        trace=trace,
    )


def _wrong(setting: str, found: str, expected: str) -> SettingsError:
    return SettingsError([SettingProblem(setting, found, expected)])
