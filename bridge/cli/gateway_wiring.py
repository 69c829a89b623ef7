"""From settings to a gateway: for ``flowbridge gateway``, and for ``run`` and ``dev``, which have one beside stages."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable
from datetime import timedelta

from prometheus_client import CollectorRegistry

from bridge.cli.wiring import accepted_by_client, new_topic
from bridge.console.health import StageHealth
from bridge.console.server import open_listener
from bridge.errors import ListenError, SettingProblem, SettingsError
from bridge.gateway.event_topics import EventTopics, TopicRules
from bridge.gateway.gateway import Bounds, Gateway
from bridge.gateway.kafka_log import KafkaEventLog
from bridge.gateway.metrics import GatewayMetrics
from bridge.gateway.server import GatewayServer
from bridge.gateway.tls import Certificate
from bridge.gateway.tokens import NoTokens, Tokens, TokensError
from bridge.http.serving import Connections
from bridge.kafka.log import Admin, Log
from bridge.settings.settings import Settings
from bridge.settings.values import Address
from flowbridge_sdk.shared_topics import SharedTopics

PART = "gateway"
"""What a gateway is called among the parts of a process that tell of their health."""

LINGER_S = 5.0
"""Seconds that a gateway goes on serving after SIGTERM, unready, until nobody sends it anything new."""

_CONNECTIONS_A_PLACE = 2
_BACKLOG = 1_024
logger = logging.getLogger(__name__)


def gateway_server(
    settings: Settings,
    log: Log,
    registry: CollectorRegistry,
    health: StageHealth | None = None,
    *,
    or_any_free: bool = False,
) -> GatewayServer:
    """Return the gateway that the settings describe; a context manager, which serves from entering until leaving.

    Args:
        settings: The settings.
        log: The connection to Kafka, for its topics.
        registry: What the gateway's metrics are counted into.
        health: Told once a second that the gateway lives, and whether it is ready.
        or_any_free: Take any free port if the one that is set is taken.

    Raises:
        SettingsError: The gateway's address is turned off, or a file of tokens or certificates cannot be used.
        ListenError: The address cannot be had.

    """
    if settings.gateway_listen is None:
        raise _wrong("gateway_listen", "found nothing", "HOST:PORT is right")
    tokens, certificate = _tokens(settings), _certificate(settings)
    with accepted_by_client():
        gateway = _gateway(settings, log.admin(), tokens, registry)
    listener = _listener(settings.gateway_listen, or_any_free=or_any_free)
    chores: list[Callable[[], None]] = [certificate.refresh] if certificate else []
    if health is not None:
        chores.append(lambda: _tell(health, gateway))
    server = GatewayServer(
        gateway,
        listener,
        Connections(_CONNECTIONS_A_PLACE * settings.gateway_held),
        tls=certificate.context if certificate else None,
        chores=chores,
    )
    logger.info("taking events at %s", webhook_url(settings, server))
    if settings.gateway_tokens is None and not _is_loopback(settings.gateway_listen.host):
        reached_at = settings.gateway_listen.text()
        logger.warning("gateway_tokens is not set: any client that reaches %s may publish", reached_at)
    return server


def webhook_url(settings: Settings, server: GatewayServer) -> str:
    """Return what METAFLOW_ARGO_EVENTS_WEBHOOK_URL is to be for whoever publishes through a server."""
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


def _gateway(settings: Settings, admin: Admin, tokens: Tokens, registry: CollectorRegistry) -> Gateway:
    hold = settings.gateway_hold / timedelta(seconds=1)
    rules = TopicRules(
        settings.internal_prefix,
        SharedTopics(settings.shared_topics),
        new_topic(settings) if settings.gateway_new_names == "create" else None,
        settings.topic_bound,
        new_topic(settings) if settings.create_topics else None,
    )
    return Gateway(
        KafkaEventLog(settings.client_properties(), hold),
        EventTopics(admin, rules),
        tokens,
        GatewayMetrics(registry),
        Bounds(hold, settings.gateway_held),
        settings.gateway_path,
        settings.gateway_cloudevents_path,
        keeps_sources=settings.gateway_source == "kept",
    )


def _tokens(settings: Settings) -> Tokens:
    if settings.gateway_tokens is None:
        return NoTokens()
    try:
        return Tokens(settings.gateway_tokens)
    except TokensError as error:
        raise _wrong("gateway_tokens", str(error), "docs/gateway.md has an example") from error


def _certificate(settings: Settings) -> Certificate | None:
    if settings.gateway_certificate is None:
        return None
    try:
        return Certificate(settings.gateway_certificate, settings.gateway_key)
    except OSError as error:
        key = f" with the key {settings.gateway_key}" if settings.gateway_key else ""
        right = "a certificate with its key, in PEM and without a passphrase, is right"
        raise _wrong("gateway_certificate", f"{settings.gateway_certificate}{key}: {error}", right) from error


def _tell(health: StageHealth, gateway: Gateway) -> None:
    health.beat()
    full = "room for another request: it holds as many as it may"
    health.ready(gateway.is_ready, "its end: it takes nothing new" if gateway.is_leaving else full)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrong(setting: str, found: str, right: str) -> SettingsError:
    return SettingsError([SettingProblem(setting, found, right)])
