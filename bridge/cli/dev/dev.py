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
from bridge.cli.wiring import connect, connect_cluster, dependencies, internal_topics, prepare_topics, trigger_source
from bridge.console.health import Health
from bridge.core.decision import RunDecision, RunReason
from bridge.errors import ExitCode, UsageError
from bridge.kafka.confluent.embedded import EmbeddedBroker
from bridge.kafka.log import LogError
from bridge.settings.settings import Settings
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import Process, steady_clock
from bridge.triggers.sources.sources import TriggerSource
from flowbridge_sdk import Publisher

_STAGES = ("controller", "router", "matcher", "submitter")
_ONCE_DEADLINE = 60.0  # seconds for --once; it takes a few
_BETWEEN_ROUNDS = 5.0
_LOOK = 0.1
_WATCH = 0.5  # seconds between two looks at triggers and topics
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
    _refuse(settings, kubeconfig, once=once, is_example=is_example)
    with ExitStack() as stack:
        broker = None if kafka else stack.enter_context(_broker(port))
        settings = _settings(settings, kafka or (broker.bootstrap if broker else ""))
        logs.set_up(settings, logs.kafka_outage(settings) if kafka else None)
        api: WorkflowApi
        if kubeconfig:
            api, lines = connect_cluster(settings, kubeconfig), DecisionLines(output)
        else:
            api = StandIn(settings.namespace, _template_files(templates, is_example=is_example))
            lines = DecisionLines(output, partial(_parameters_of, api))
        around = _around(settings, api, trigger_source(settings, kubeconfig), lines, embedded=broker is not None)
        webhook = _open_gateway(settings, around, stack)
        _introduce(settings, output, webhook, embedded=broker is not None, standing_in=kubeconfig is None)
        if broker is not None and not broker.has_door and port:
            output.remark(f"port {port} of localhost is taken: give other commands the address above")
        output.remark("")
        health = Health(_STAGES)
        process = Process({name: partial(open_loop, name, around) for name in _STAGES}, health.stage)
        definitions = Definitions(around.log, around.topics.triggers, steady_clock)
        stack.callback(definitions.close)
        watch = Watch(
            definitions, around.log.admin(), settings.internal_prefix, output, sees_all_topics=broker is not None
        )
        process.start()
        stack.callback(process.wait)
        stack.callback(process.stop.set)
        with contextlib.suppress(KeyboardInterrupt):
            if is_example:
                return _run_example(process, watch, around, settings, lines, output, once=once)
            _watch_until_the_end(process, watch)
        output.remark("stopping")
    return ExitCode.OK


def _refuse(settings: Settings, kubeconfig: str | None, *, once: bool, is_example: bool) -> None:
    """Refuse what cannot be before anything is started."""
    if settings.sensors and not kubeconfig:
        raise UsageError("--sensors without --kubeconfig", "name the cluster that has them, or leave --sensors out")
    if once and not is_example:
        raise UsageError("--once with other triggers", "--once runs the example; leave --triggers and --sensors out")
    for path in settings.triggers:
        if not path.exists():
            raise UsageError(f"--triggers {path}: no such file or folder", "name a file of triggers, or a folder")


@contextlib.contextmanager
def _broker(port: int) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(port or None)
    try:
        if port not in (0, DEV_PORT) and not broker.has_door:
            raise UsageError(f"--port {port}: the port is taken", "name another port, or 0 for any free port")
        yield broker
    finally:
        # Clients that are closing lose their broker first. What they say of it then is of no use to a person.
        logging.getLogger("bridge.kafka.client").setLevel(logging.CRITICAL)
        broker.close()


def _settings(settings: Settings, bootstrap: str) -> Settings:
    """Return the settings with the broker that is used, and what suits a person who waits and looks."""
    changes: dict[str, Any] = {"bootstrap_servers": bootstrap}
    if not settings.triggers and not settings.sensors:
        changes["triggers"] = (example.TRIGGERS,)
    if "log_level" not in settings.model_fields_set:
        changes["log_level"] = "warning"
        # The client's warnings are of a cluster that is still starting; what matters comes back as an error of ours.
        logging.getLogger("bridge.kafka.client").setLevel(logging.ERROR)
    return settings.model_copy(update=changes)


def _template_files(templates: str | None, *, is_example: bool) -> list[Path]:
    return [*([example.TEMPLATES] if is_example else []), *([Path(templates)] if templates else [])]


def _around(
    settings: Settings, api: WorkflowApi, source: TriggerSource, lines: DecisionLines, *, embedded: bool
) -> ProcessDependencies:
    log, topics = connect(settings, embedded=embedded), internal_topics(settings, embedded=embedded)
    prepare_topics(log, topics, settings)
    return dependencies(settings, log, api, topics, source, lines.show)


def _open_gateway(settings: Settings, around: ProcessDependencies, stack: ExitStack) -> str | None:
    """Serve the gateway until the end, and return its address. If the default is taken, it takes a free port."""
    if settings.gateway_listen is None:
        return None
    is_free = not settings.is_gateway_listen_explicit
    server = stack.enter_context(gateway_server(settings, around.log, CollectorRegistry(), or_any_free=is_free))
    return webhook_url(settings, server)


def _introduce(settings: Settings, output: Output, webhook: str | None, *, embedded: bool, standing_in: bool) -> None:
    lines = [f"Kafka: {settings.bootstrap_servers}{' (embedded)' if embedded else ''}"]
    lines.append(f"Workflows: {'a stand-in in memory, nothing runs them' if standing_in else 'your cluster'}")
    if webhook is not None:
        lines.append(f"gateway: METAFLOW_ARGO_EVENTS_WEBHOOK_URL={webhook}")
    addresses = {"kind": "addresses", "bootstrap_servers": settings.bootstrap_servers, "gateway": webhook}
    output.result(lines, addresses)
    if embedded:
        output.remark(_LIMITS)


def _watch_until_the_end(process: Process, watch: Watch) -> None:
    while not process.stop.is_set():
        with contextlib.suppress(LogError):  # a broker that is away is told by the stages
            watch.look()
        process.stop.wait(_WATCH)


# -- the example -------------------------------------------------------------------------------------------------------


def _run_example(
    process: Process,
    watch: Watch,
    around: ProcessDependencies,
    settings: Settings,
    lines: DecisionLines,
    output: Output,
    *,
    once: bool,
) -> int:
    _wait_until(process, partial(_is_ready, watch))
    with Publisher(
        config=settings.client_properties(), source="flowbridge-dev", shared_topics=settings.shared_topics
    ) as publisher:
        round_ = int(time.time())
        _publish(publisher, round_)
        if once:
            return _verify(process, around.api, lines, output, round_)
        published = time.monotonic()
        while not process.stop.wait(_WATCH):
            with contextlib.suppress(LogError):
                watch.look()
            if time.monotonic() - published >= _BETWEEN_ROUNDS:
                published = time.monotonic()
                round_ += 1
                _publish(publisher, round_)
    return ExitCode.OK


def _is_ready(watch: Watch) -> bool:
    with contextlib.suppress(LogError):  # a real broker may not be ready with a topic that was made just now
        watch.look()
    return watch.is_ready


def _publish(publisher: Publisher, round_: int) -> None:
    for event in example.events(round_):
        publisher.publish(event.name, event.payload, id=event.id, key=event.payload.get("order_id"))
    publisher.flush()


def _verify(process: Process, api: WorkflowApi, lines: DecisionLines, output: Output, round_: int) -> int:
    """Wait until every decision on the round is made, and compare the Workflows that exist with those expected."""
    wanted = sorted(example.expected(round_), key=str)
    decided = _wait_until(process, lambda: lines.runs_ended() >= len(wanted) and lines.events_decided() >= _EVENTS)
    found = sorted((_parameters(workflow) for workflow in _created(api, lines)), key=str)
    text = f"{len(found)} Workflows, as expected" if found == wanted else f"expected {wanted}, found {found}"
    output.result(text, {"ok": found == wanted, "expected": wanted, "found": found})
    return ExitCode.OK if decided and found == wanted else ExitCode.NOT_SO


_EVENTS = 8 + 2  # decisions: one for each of the eight events, and "waiting" before "matched" for two of them


def _created(api: WorkflowApi, lines: DecisionLines) -> Iterator[Workflow]:
    for run in lines.runs:
        if isinstance(run, RunDecision) and run.reason is RunReason.CREATED:
            found = api.find(*run.workflow.split("/", 1))
            if isinstance(found, Workflow):
                yield found


def _parameters(workflow: Workflow) -> Mapping[str, str]:
    parameters = workflow.manifest["spec"].get("arguments", {}).get("parameters", [])
    return {parameter["name"]: parameter["value"] for parameter in parameters}


def _parameters_of(api: WorkflowApi, workflow: str) -> Mapping[str, str] | None:
    found = api.find(*workflow.split("/", 1))
    return _parameters(found) if isinstance(found, Workflow) else None


def _wait_until(process: Process, is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _ONCE_DEADLINE
    never = threading.Event()
    while time.monotonic() < deadline and not process.stop.is_set():
        if is_so():
            return True
        never.wait(_LOOK)
    return False
