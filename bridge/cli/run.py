"""``flowbridge run``: the bridge as a process of a deployment."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import click

from bridge.cli import logs
from bridge.cli.setting_options import settings_options
from bridge.cli.wiring import connect, connect_cluster, internal_topics, prepare_topics, surroundings
from bridge.console.health import Health
from bridge.console.metrics import Metrics
from bridge.console.server import ConsoleServer, application, open_listener
from bridge.errors import NewerRecordsError
from bridge.kafka.records import RecordError
from bridge.setting_values import Address
from bridge.settings import Settings
from bridge.stages.assembly import Surroundings, open_loop
from bridge.stages.running import Process

logger = logging.getLogger(__name__)


@click.command("run")
@settings_options()
def command(*, settings: Settings) -> None:
    """Run the bridge until SIGTERM or SIGINT: read events, match them, create Workflows.

    Any number of processes may run, each with any of the stages: what one has, another takes over when it ends. On
    SIGTERM a process finishes what is under way, within 60 s, and hands over at once.
    """
    logs.set_up(settings)
    log, topics = connect(settings), internal_topics(settings)
    prepare_topics(log, topics, settings)
    api = connect_cluster(settings)
    metrics = Metrics()
    around = surroundings(settings, log, api, topics, metrics.decided, metrics)
    health = Health([stage.value for stage in settings.stages])
    with ExitStack() as stack:
        stack.callback(api.close)
        if settings.listen is not None:
            stack.enter_context(_console(settings, settings.listen, health, metrics))
        serve(around, [stage.value for stage in settings.stages], health)


def serve(around: Surroundings, stages: Sequence[str], health: Health) -> None:
    """Run stages until a signal asks to stop, or one of them fails."""
    process = Process({name: partial(open_loop, name, around) for name in stages}, health.stage)
    before = {number: signal.signal(number, lambda *_: process.stop.set()) for number in _SIGNALS}
    try:
        around.decoder()  # wrong schemas are said before anything runs
        process.start()
        logger.info("running %s as %s", ", ".join(stages), around.member)
        process.wait()
        logger.info("stopped")
    except RecordError as error:
        raise NewerRecordsError(str(error)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _console(settings: Settings, address: Address, health: Health, metrics: Metrics) -> ConsoleServer:
    listener = open_listener(address.host, address.port, or_any_free=not settings.is_listen_explicit)
    return ConsoleServer(application(health, metrics), listener)
