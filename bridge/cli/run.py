"""``flowbridge run``: the bridge as a process of a deployment, and the decisions in its log."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from prometheus_client import CollectorRegistry

from bridge.cli import logs
from bridge.cli.gateway import LINGER_S, PART, gateway_server
from bridge.cli.wiring.cluster import connect_cluster
from bridge.cli.wiring.kafka import connect, internal_topics, prepare_topics
from bridge.cli.wiring.process import dependencies
from bridge.cli.wiring.traces import exported_spans
from bridge.cli.wiring.triggers import trigger_source
from bridge.console.health import Health
from bridge.console.metrics import Metrics
from bridge.console.server import ConsoleServer, application, open_listener
from bridge.core.decision import Decision, RunDecision, RunReason
from bridge.errors import ExitCode, NewerRecordsError
from bridge.gateway.server import GatewayServer
from bridge.kafka.records import RecordError
from bridge.log_fields import about
from bridge.settings.settings import Settings
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.stages.stage_thread import Process

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_S = 0.2
logger = logging.getLogger(__name__)


def execute(*, settings: Settings) -> None:
    """Run the bridge until SIGTERM or SIGINT: read events, match them, create Workflows."""
    logs.set_up(settings, logs.kafka_outage(settings))
    log, topics = connect(settings), internal_topics(settings)
    logger.info("connecting to Kafka at %s", settings.bootstrap_servers)
    prepare_topics(log, topics, settings)
    api = connect_cluster(settings)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    stages = [stage.value for stage in settings.stages]
    health = Health([*stages, PART] if settings.gateway else stages)
    with ExitStack() as stack:
        stack.callback(api.close)
        trace = stack.enter_context(exported_spans(settings))
        source, sink = trigger_source(settings), logged(metrics.decided)
        around = dependencies(settings, log, api, topics, source, sink, metrics, trace)
        if settings.listen is not None:
            address, is_free = settings.listen, not settings.is_listen_explicit
            console = open_listener(address.host, address.port, or_any_free=is_free)
            stack.enter_context(ConsoleServer(application(health, metrics), console))
        gateway = None
        if settings.gateway:
            gateway = stack.enter_context(gateway_server(settings, log, registry, health.stage(PART), trace=trace))
        left = serve(around, stages, health, gateway)
    if left:
        logging.shutdown()
        os._exit(ExitCode.OK)  # clients of Kafka that are in the middle of a call could hold up a usual end


def serve(
    around: ProcessDependencies, stages: Sequence[str], health: Health, gateway: GatewayServer | None = None
) -> list[str]:
    """Run stages and the gateway until a signal asks to stop, or one of them fails. Then all of them end.

    Returns:
        The stages that did not end in time, since Kafka does not answer.

    """
    process = Process({name: partial(open_loop, name, around) for name in stages}, health.stage)
    signals: list[int] = []

    def note(number: int, _frame: object) -> None:
        signals.append(number)
        process.stop.set()

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        around.decoder()  # so that wrong schemas are reported before a stage runs
        process.start()
        logger.info("running %s as %s", ", ".join(stages), around.member)
        while gateway is not None and gateway.is_alive and not process.stop.is_set():
            time.sleep(_LOOK_S)  # not a wait for `stop`, whose lock the handler of a signal must find free
        if gateway is not None:
            process.stop.set()
            gateway.leave(0.0 if signal.SIGINT in signals else LINGER_S)  # both drain at once
        left = process.wait()
        logger.info("stopped")
    except RecordError as error:
        raise NewerRecordsError(str(error)) from error
    else:
        return left
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def logged(
    sink: Callable[[str, Sequence[Decision | RunDecision]], None],
) -> Callable[[str, Sequence[Decision | RunDecision]], None]:
    """Return a sink that passes decisions on, and logs a line for each Workflow, and at level debug for each decision.

    Only the submitter decides about runs, so the decisions of other stages are not looked at unless all are logged.
    """

    def take(stage: str, decisions: Sequence[Decision | RunDecision]) -> None:
        sink(stage, decisions)
        is_every = logger.isEnabledFor(logging.DEBUG)
        if not is_every and stage != "submitter":
            return
        for decision in decisions:
            is_created = isinstance(decision, RunDecision) and decision.reason is RunReason.CREATED
            if not is_created and not is_every:
                continue
            if isinstance(decision, RunDecision):
                text = f"{decision.reason}: workflow {decision.workflow} of trigger {decision.trigger}"
            else:
                event, place = decision.event, f"{decision.slot} of trigger {decision.trigger}"
                text = f"{decision.reason}: event {event.name} {event.id!r} from {event.source!r} at {place}"
                text += f", key {decision.key!r}" if decision.key else ""
            text += "".join(f", {name} {value}" for name, value in decision.evidence.items())
            if isinstance(decision, RunDecision):
                shown = decision.evidence.get("key", "")
                fields = about(
                    trigger=decision.trigger, key=shown, run_key=decision.run_key, workflow=decision.workflow
                )
            else:
                fields = about(trigger=decision.trigger, key=decision.key)
            if is_created:
                logger.info("%s", text, extra=fields)
            else:
                logger.debug("%s: %s", stage, text, extra=fields)

    return take
