"""``flowbridge dev``: the whole bridge on one machine, with nothing installed but Python.

An embedded broker, a stand-in for the Workflow API, all stages, the gateway, example triggers and a producer;
``--kafka`` and ``--kubeconfig`` put the real ones in their places.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from bridge.argo.api import WorkflowApi
from bridge.argo.workflow import Workflow
from bridge.cli import logs
from bridge.cli.commands import DEV_PORT
from bridge.cli.dev import example
from bridge.cli.dev.decision_lines import DecisionLines
from bridge.cli.dev.memory_cluster import StandIn
from bridge.cli.dev.watch import Watch
from bridge.cli.gateway import gateway_server, webhook_url
from bridge.cli.output import Output
from bridge.cli.wiring.cluster import connect_cluster
from bridge.cli.wiring.kafka import connect, internal_topics, prepare_topics
from bridge.cli.wiring.process import dependencies
from bridge.cli.wiring.traces import exported_spans
from bridge.cli.wiring.triggers import trigger_source
from bridge.console.health import Health
from bridge.core.decision import RunReason
from bridge.errors import ExitCode, UsageError
from bridge.kafka.confluent.embedded import EmbeddedBroker
from bridge.kafka.log import Log, LogError
from bridge.settings.settings import Settings
from bridge.stages.process import open_loop
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import Process, steady_clock
from flowbridge_sdk import Publisher

_STAGES = ("controller", "router", "matcher", "submitter")
_ONCE_DEADLINE = 60.0  # seconds for --once; it takes a few
_BETWEEN_ROUNDS = 5.0
_LOOK = 0.1
_WATCH = 0.5  # seconds between two looks at triggers and topics
_EVENTS = 8 + 2  # decisions: one for each of the eight events, and "waiting" before "matched" for two of them
_LIMITS = (
    "The embedded broker forgets everything when this ends, keeps 5 MiB a partition, and keeps no offsets of "
    "transactions: trust it for trying things out, not for delivery."
)


def execute(
    *,
    once: bool,
    port: int,
    kafka: str | None,
    kubeconfig: str | None,
    templates: str | None,
    settings: Settings,
    output: Output,
) -> int:
    """Try Flowbridge on this machine: every decision scrolls by."""
    is_example = not settings.triggers and not settings.sensors
    if settings.sensors and not kubeconfig:
        raise UsageError("--sensors without --kubeconfig", "name the cluster that has them, or leave --sensors out")
    if once and not is_example:
        raise UsageError("--once with other triggers", "--once runs the example; leave --triggers and --sensors out")
    for path in settings.triggers:
        if not path.exists():
            raise UsageError(f"--triggers {path}: no such file or folder", "name a file of triggers, or a folder")
    with ExitStack() as stack:
        broker = None if kafka else stack.enter_context(_broker(port))
        changes: dict[str, Any] = {"bootstrap_servers": kafka or (broker.bootstrap if broker else "")}
        if is_example:
            changes["triggers"] = (example.TRIGGERS,)
        if "log_level" not in settings.model_fields_set:
            changes["log_level"] = "warning"
            # The client warns of a cluster that is still starting. What matters comes back as an error of ours.
            logging.getLogger("bridge.kafka.client").setLevel(logging.ERROR)
        settings = settings.model_copy(update=changes)
        logs.set_up(settings, logs.kafka_outage(settings) if kafka else None)
        api: WorkflowApi
        if kubeconfig:
            api, lines = connect_cluster(settings, kubeconfig), DecisionLines(output)
        else:
            files = [*([example.TEMPLATES] if is_example else []), *([Path(templates)] if templates else [])]
            api = StandIn(settings.namespace, files)
            lines = DecisionLines(output, partial(_parameters_of, api))
        source = trigger_source(settings, kubeconfig)
        is_embedded = broker is not None
        log = connect(settings, embedded=is_embedded)
        topics = internal_topics(settings, embedded=is_embedded)
        prepare_topics(log, topics, settings)
        trace = stack.enter_context(exported_spans(settings))
        around = dependencies(settings, log, api, topics, source, lines.show, trace=trace)
        _introduce(settings, log, stack, output, embedded=is_embedded, standing_in=kubeconfig is None)
        if broker is not None and not broker.has_door and port:
            output.remark(f"port {port} of localhost is taken: give other commands the address above")
        output.remark("")
        process = Process({name: partial(open_loop, name, around) for name in _STAGES}, Health(_STAGES).stage)
        definitions = Definitions(log, topics.triggers, steady_clock)
        stack.callback(definitions.close)
        watch = Watch(definitions, log.admin(), settings.internal_prefix, output, sees_all_topics=is_embedded)
        process.start()
        stack.callback(process.wait)
        stack.callback(process.stop.set)
        with contextlib.suppress(KeyboardInterrupt):
            if is_example:
                return _run_example(process, watch, api, settings, lines, output, once=once)
            while not process.stop.is_set():
                with contextlib.suppress(LogError):  # the stages report a broker that is away
                    watch.look()
                process.stop.wait(_WATCH)
        output.remark("stopping")
    return ExitCode.OK


@contextlib.contextmanager
def _broker(port: int) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(port or None)
    try:
        if port not in (0, DEV_PORT) and not broker.has_door:
            raise UsageError(f"--port {port}: the port is taken", "name another port, or 0 for any free port")
        yield broker
    finally:
        # Clients that are closing lose their broker first. Their messages about that are of no use to a person.
        logging.getLogger("bridge.kafka.client").setLevel(logging.CRITICAL)
        broker.close()


def _introduce(
    settings: Settings, log: Log, stack: ExitStack, output: Output, *, embedded: bool, standing_in: bool
) -> None:
    """Serve the gateway until the end, and print the addresses that other commands need."""
    webhook = None
    if settings.gateway_listen is not None:
        is_free = not settings.is_gateway_listen_explicit  # if the default is taken, a free port will do
        server = stack.enter_context(gateway_server(settings, log, CollectorRegistry(), or_any_free=is_free))
        webhook = webhook_url(settings, server)
    lines = [f"Kafka: {settings.bootstrap_servers}{' (embedded)' if embedded else ''}"]
    lines.append(f"Workflows: {'a stand-in in memory, nothing runs them' if standing_in else 'your cluster'}")
    if webhook is not None:
        lines.append(f"gateway: METAFLOW_ARGO_EVENTS_WEBHOOK_URL={webhook}")
    addresses = {"kind": "addresses", "bootstrap_servers": settings.bootstrap_servers, "gateway": webhook}
    output.result(lines, addresses)
    if embedded:
        output.remark(_LIMITS)


# -- the example -------------------------------------------------------------------------------------------------------


def _run_example(
    process: Process,
    watch: Watch,
    api: WorkflowApi,
    settings: Settings,
    lines: DecisionLines,
    output: Output,
    *,
    once: bool,
) -> int:
    """Publish the example's events until the end; ``once``, and then compare the Workflows with those expected."""

    def is_ready() -> bool:
        with contextlib.suppress(LogError):  # a real broker may not be ready with a topic that was created just now
            watch.look()
        return watch.is_ready

    _wait_until(process, is_ready)
    with Publisher(
        config=settings.client_properties(), source="flowbridge-dev", shared_topics=settings.shared_topics
    ) as publisher:
        round_ = int(time.time())
        _publish(publisher, round_)
        if once:
            expected = sorted(example.expected(round_), key=str)
            decided = _wait_until(
                process, lambda: lines.runs_ended() >= len(expected) and lines.events_decided() >= _EVENTS
            )
            created = [_parameters_of(api, run.workflow) for run in lines.runs if run.reason is RunReason.CREATED]
            workflows = sorted((parameters for parameters in created if parameters is not None), key=str)
            ok = workflows == expected
            text = f"{len(workflows)} Workflows, as expected" if ok else f"expected {expected}, found {workflows}"
            output.result(text, {"ok": ok, "expected": expected, "found": workflows})
            return ExitCode.OK if decided and ok else ExitCode.NOT_SO
        published = time.monotonic()
        while not process.stop.wait(_WATCH):
            with contextlib.suppress(LogError):
                watch.look()
            if time.monotonic() - published >= _BETWEEN_ROUNDS:
                published = time.monotonic()
                round_ += 1
                _publish(publisher, round_)
    return ExitCode.OK


def _publish(publisher: Publisher, round_: int) -> None:
    for event in example.events(round_):
        publisher.publish(event.name, event.payload, id=event.id, key=event.payload.get("order_id"))
    publisher.flush()


def _parameters_of(api: WorkflowApi, name: str) -> Mapping[str, str] | None:
    workflow = api.find(*name.split("/", 1))
    if not isinstance(workflow, Workflow):
        return None
    parameters = workflow.manifest["spec"].get("arguments", {}).get("parameters", [])
    return {parameter["name"]: parameter["value"] for parameter in parameters}


def _wait_until(process: Process, is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _ONCE_DEADLINE
    never = threading.Event()
    while time.monotonic() < deadline and not process.stop.is_set():
        if is_so():
            return True
        never.wait(_LOOK)
    return False
