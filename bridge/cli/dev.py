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

import click
import yaml
from prometheus_client import CollectorRegistry

from bridge.argo.api import WorkflowApi
from bridge.argo.memory import MemoryWorkflowApi
from bridge.argo.workflow import Workflow
from bridge.cli import example, logs
from bridge.cli.decision_lines import DecisionLines
from bridge.cli.gateway_wiring import gateway_server, webhook_url
from bridge.cli.output import Output, output_option
from bridge.cli.setting_options import settings_options
from bridge.cli.wiring import connect, connect_cluster, internal_topics, prepare_topics, surroundings, trigger_source
from bridge.console.health import Health
from bridge.core.decision import RunDecision, RunReason
from bridge.errors import ExitCode, UsageError
from bridge.kafka.embedded import EmbeddedBroker
from bridge.kafka.log import LogError
from bridge.settings import Settings
from bridge.stages.assembly import Surroundings, open_loop
from bridge.stages.definitions import Definitions
from bridge.stages.running import Process, steady_clock
from bridge.triggers.sources import TriggerSource
from flowbridge_sdk import Publisher

_STAGES = ("controller", "router", "matcher", "submitter")
_ONCE_DEADLINE = 60.0  # seconds for --once; it takes a few
_BETWEEN_ROUNDS = 5.0
_LOOK = 0.1
_LIMITS = (
    "The embedded broker forgets everything when this ends, keeps 5 MiB a partition, and keeps no offsets of "
    "transactions: trust it for trying things out, not for delivery."
)


@click.command("dev")
@click.option("--once", is_flag=True, help="Run the example to its end, verify that its runs appeared, and exit.")
@click.option("--kafka", metavar="HOST:PORT", help="A real Kafka instead of the embedded broker.")
@click.option("--kubeconfig", metavar="FILE", help="A real cluster instead of the stand-in; needs the templates there.")
@click.option("--templates", metavar="FILE", help="WorkflowTemplates (YAML) that the stand-in is to know.")
@settings_options(
    "triggers",
    "sensors",
    "sensor_window",
    "schemas",
    "schema_registry_url",
    "namespace",
    "shared_topics",
    "gateway_listen",
    "log_level",
)
@output_option
def command(
    *,
    once: bool,
    kafka: str | None,
    kubeconfig: str | None,
    templates: str | None,
    settings: Settings,
    output: Output,
) -> int:
    """Try Flowbridge on this machine: every decision scrolls by.

    Without --triggers and --sensors it runs the example: a trigger on one event, and one on two events that belong
    together. Events of your own can be published to it from another terminal with the bootstrap address that it prints,
    and by Metaflow's ArgoEvent, or over HTTP, at the gateway's.
    """
    is_example = not settings.triggers and not settings.sensors
    if settings.sensors and not kubeconfig:
        raise UsageError("--sensors without --kubeconfig", "name the cluster that has them, or leave --sensors out")
    if once and not is_example:
        raise UsageError("--once with other triggers", "--once runs the example; leave --triggers and --sensors out")
    with ExitStack() as stack:
        settings = _settings(settings, kafka, stack)
        logs.set_up(settings)
        lines = DecisionLines(output)
        api = connect_cluster(settings, kubeconfig) if kubeconfig else _stand_in(settings, templates, is_example)
        around = _around(settings, api, trigger_source(settings, kubeconfig), lines, embedded=kafka is None)
        _introduce(settings, output, embedded=kafka is None, standing_in=kubeconfig is None)
        _open_gateway(settings, around, stack, output)
        output.remark("")
        health = Health(_STAGES)
        process = Process({name: partial(open_loop, name, around) for name in _STAGES}, health.stage)
        process.start()
        stack.callback(process.wait)
        stack.callback(process.stop.set)
        if not is_example:
            return _until_interrupted(process, around, output)
        return _run_example(process, around, settings, lines, output, once=once)


def _settings(settings: Settings, kafka: str | None, stack: ExitStack) -> Settings:
    """Return the settings with the broker that is used, and what suits a person who waits and looks."""
    if kafka is None:
        broker = EmbeddedBroker()
        stack.callback(broker.close)
        kafka = broker.bootstrap
    changes: dict[str, Any] = {"bootstrap_servers": kafka}
    if not settings.triggers and not settings.sensors:
        changes["triggers"] = (example.TRIGGERS,)
    if "log_level" not in settings.model_fields_set:
        changes["log_level"] = "warning"
        # The client's warnings are of a cluster that is still starting; what matters comes back as an error of ours.
        logging.getLogger("bridge.kafka.client").setLevel(logging.ERROR)
    return settings.model_copy(update=changes)


def _around(
    settings: Settings, api: WorkflowApi, source: TriggerSource, lines: DecisionLines, *, embedded: bool
) -> Surroundings:
    log, topics = connect(settings, embedded=embedded), internal_topics(settings, embedded=embedded)
    prepare_topics(log, topics, settings)
    return surroundings(settings, log, api, topics, source, lines.show)


def _introduce(settings: Settings, output: Output, *, embedded: bool, standing_in: bool) -> None:
    output.remark(f"Kafka: {settings.bootstrap_servers}{' (embedded)' if embedded else ''}")
    output.remark(f"Workflows: {'a stand-in in memory, nothing runs them' if standing_in else 'your cluster'}")
    if embedded:
        output.remark(_LIMITS)
    output.remark(
        f"try: flowbridge publish data.updated table=sales rows:=3 --bootstrap-servers {settings.bootstrap_servers}"
    )


def _open_gateway(settings: Settings, around: Surroundings, stack: ExitStack, output: Output) -> None:
    """Serve the gateway until the end, and say where; a default address that is taken gives way to a free port."""
    if settings.gateway_listen is None:
        return
    is_free = not settings.is_gateway_listen_explicit
    server = stack.enter_context(gateway_server(settings, around.log, CollectorRegistry(), or_any_free=is_free))
    output.remark(f"gateway: METAFLOW_ARGO_EVENTS_WEBHOOK_URL={webhook_url(settings, server)}")


# -- the stand-in ------------------------------------------------------------------------------------------------------


class StandIn(MemoryWorkflowApi):
    """The Workflow API in memory, which takes a template that nobody named for one without parameters."""

    def template(self, namespace: str, name: str) -> Any:
        """Return the template; one that is not known is made up, so that its Workflows show all the same."""
        found = super().template(namespace, name)
        if found is not None:
            return found
        self.add_template(namespace, name)
        return super().template(namespace, name)


def _stand_in(settings: Settings, templates: str | None, is_example: bool) -> StandIn:  # noqa: FBT001  (one caller)
    api = StandIn()
    api.add_namespace(settings.namespace)
    paths = [Path(templates)] if templates else []
    for path in [example.TEMPLATES, *paths] if is_example else paths:
        for namespace, name, with_default, without in _templates(path, settings.namespace):
            api.add_namespace(namespace)
            api.add_template(namespace, name, without, defaults=with_default)
    return api


def _templates(path: Path, namespace: str) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield namespace, name and parameters (with and without default) of the WorkflowTemplates in a file."""
    try:
        documents = [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]
        for document in documents:
            metadata = document["metadata"]
            parameters = document.get("spec", {}).get("arguments", {}).get("parameters", [])
            with_default = [one["name"] for one in parameters if "value" in one]
            without = [one["name"] for one in parameters if "value" not in one]
            yield metadata.get("namespace", namespace), metadata["name"], with_default, without
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: no WorkflowTemplates: {error}", "name a YAML file of WorkflowTemplates") from error


# -- the example -------------------------------------------------------------------------------------------------------


def _until_interrupted(process: Process, around: Surroundings, output: Output) -> int:
    with contextlib.suppress(KeyboardInterrupt):
        if _wait_until(process, partial(_topics_begun, Definitions(around.log, around.topics.triggers, steady_clock))):
            output.remark("ready: events published from now on are seen")
        process.wait()
    return ExitCode.OK


def _run_example(
    process: Process,
    around: Surroundings,
    settings: Settings,
    lines: DecisionLines,
    output: Output,
    *,
    once: bool,
) -> int:
    _wait_until(process, partial(_topics_begun, Definitions(around.log, around.topics.triggers, steady_clock)))
    with Publisher(
        config=settings.client_properties(), source="flowbridge-dev", shared_topics=settings.shared_topics
    ) as publisher:
        round_ = int(time.time())
        _publish(publisher, round_)
        if once:
            return _verify(process, around.api, lines, output, round_)
        with contextlib.suppress(KeyboardInterrupt):
            while not process.stop.wait(_BETWEEN_ROUNDS):
                round_ += 1
                _publish(publisher, round_)
    return ExitCode.OK


def _topics_begun(definitions: Definitions) -> bool:
    with contextlib.suppress(LogError):  # a real broker may not be ready with a topic that was made just now
        definitions.refresh()
    return bool(definitions.topics()) and definitions.topics() <= definitions.starts.keys()


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
    return {one["name"]: one["value"] for one in parameters}


def _wait_until(process: Process, is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _ONCE_DEADLINE
    never = threading.Event()
    while time.monotonic() < deadline and not process.stop.is_set():
        if is_so():
            return True
        never.wait(_LOOK)
    return False
