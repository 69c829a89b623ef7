"""``flowbridge gateway``: the HTTP server that publishers post events to, as a process of its own."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import click
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from bridge.cli import logs
from bridge.cli.setting_options import settings_options
from bridge.cli.wiring import connect
from bridge.console.health import Health, StageHealth
from bridge.console.metrics import Metrics
from bridge.console.server import ConsoleServer, application, open_listener
from bridge.errors import ListenError, SettingProblem, SettingsError
from bridge.gateway.gateway import Bounds, Gateway
from bridge.gateway.kafka_log import KafkaEventLog
from bridge.gateway.metrics import GatewayMetrics
from bridge.gateway.server import Connections, GatewayServer
from bridge.gateway.tls import Certificate
from bridge.gateway.tokens import NoTokens, Tokens, TokensError
from bridge.gateway.topics import EventTopics, TopicRules
from bridge.kafka.log import Admin, Log, TopicSpec
from bridge.setting_values import Address
from bridge.settings import Settings

LINGER_S = 5.0
"""Seconds that a gateway goes on serving after SIGTERM, unready, until nobody sends it anything new."""

_CONNECTIONS_A_PLACE = 2
_BACKLOG = 1_024
_LOOK_S = 1.0
_STAGE = "gateway"
logger = logging.getLogger(__name__)


@click.command("gateway")
@settings_options(
    "bootstrap_servers",
    "kafka",
    "gateway_listen",
    "gateway_path",
    "gateway_cloudevents_path",
    "gateway_tokens",
    "gateway_certificate",
    "gateway_key",
    "gateway_new_names",
    "gateway_topic_bound",
    "gateway_hold",
    "gateway_held",
    "listen",
    "log_level",
    "log_format",
)
def command(*, settings: Settings) -> None:
    """Take events over HTTP until SIGTERM or SIGINT.

    Metaflow's ArgoEvent posts to it when METAFLOW_ARGO_EVENTS_WEBHOOK_URL names it; any CloudEvents client may use its
    second path. An event is answered 200 once every in-sync replica has it; while Kafka is away, requests are held.
    """
    logs.set_up(settings)
    registry = CollectorRegistry()
    health = Health([_STAGE])
    with ExitStack() as stack:
        if settings.listen is not None:
            address, is_free = settings.listen, not settings.is_listen_explicit
            console = open_listener(address.host, address.port, or_any_free=is_free)
            stack.enter_context(ConsoleServer(application(health, Metrics(registry)), console))
        server = stack.enter_context(gateway_server(settings, connect(settings), registry, health.stage(_STAGE)))
        asked = _wait(server)
        server.linger = LINGER_S if asked == signal.SIGTERM else 0.0  # nobody balances what a person starts by hand
        logger.info("stopping: what is held is finished first")


def _wait(server: GatewayServer) -> int:
    """Wait for a signal to stop, and return it; 0 if the server ended by itself."""
    asked: list[int] = []
    stopped = threading.Event()

    def note(number: int, _frame: object) -> None:
        asked.append(number)
        stopped.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while server.is_alive and not stopped.wait(_LOOK_S):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return asked[0] if asked else 0


def gateway_server(
    settings: Settings, log: Log, registry: CollectorRegistry, health: StageHealth | None = None
) -> GatewayServer:
    """Return the gateway that the settings describe; a context manager, which serves from entering until leaving.

    Args:
        settings: The settings.
        log: The connection to Kafka, for its topics.
        registry: What the gateway's metrics are counted into.
        health: Told once a second that the gateway lives, and whether it is ready.

    Raises:
        SettingsError: The gateway's address is turned off, or a file of tokens or certificates cannot be used.
        ListenError: The address cannot be had.

    """
    if settings.gateway_listen is None:
        raise _wrong("gateway_listen", "found nothing", "HOST:PORT is right")
    tokens, certificate = _tokens(settings), _certificate(settings)
    try:
        gateway = _gateway(settings, log.admin(), tokens, registry)
    except KafkaException as error:
        raise _wrong(
            "kafka", f"Kafka's client refuses it: {error.args[0].str()}", "librdkafka's own are right"
        ) from error
    listener = _listener(settings.gateway_listen)
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
    _introduce(settings, server.port)
    return server


def _listener(address: Address) -> socket.socket:
    try:
        listener = open_listener(address.host, address.port)
    except ListenError as error:
        raise ListenError(error.found, "name another address with --gateway-listen HOST:PORT") from error
    listener.listen(_BACKLOG)
    return listener


def _gateway(settings: Settings, admin: Admin, tokens: Tokens, registry: CollectorRegistry) -> Gateway:
    hold = settings.gateway_hold / timedelta(seconds=1)
    creates = settings.gateway_new_names == "create"
    rules = TopicRules(
        settings.internal_prefix,
        {},  # topics that names share are for when the router reads them, too
        (lambda name: TopicSpec(name, settings.event_topic_partitions, settings.replication)) if creates else None,
        settings.gateway_topic_bound,
    )
    return Gateway(
        KafkaEventLog(settings.client_properties(), hold),
        EventTopics(admin, rules),
        tokens,
        GatewayMetrics(registry),
        Bounds(hold, settings.gateway_held),
        settings.gateway_path,
        settings.gateway_cloudevents_path,
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
        found = f"{settings.gateway_certificate}: {error}"
        raise _wrong("gateway_certificate", found, "a certificate with its key, in PEM, is right") from error


def _tell(health: StageHealth, gateway: Gateway) -> None:
    health.beat()
    health.ready(gateway.is_ready)


def _introduce(settings: Settings, port: int) -> None:
    scheme = "https" if settings.gateway_certificate else "http"
    host = settings.gateway_listen.host if settings.gateway_listen else ""
    logger.info("taking events at %s://%s:%d%s", scheme, host, port, settings.gateway_path)
    if settings.gateway_tokens is None and not _is_loopback(host):
        logger.warning("no gateway_tokens: whoever reaches %s:%d may publish", host, port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _wrong(setting: str, found: str, right: str) -> SettingsError:
    return SettingsError([SettingProblem(setting, found, right)])
