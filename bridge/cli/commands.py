"""The commands as a person calls them: their options and help, and nothing that takes long to import.

The work of a command is in the module of its name, which is imported when the command runs: Kafka's client, the engine
of expressions and the web server take most of a second. ``flowbridge COMMAND --help`` and completion need none of them.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from bridge.cli.output import Output, output_option
from bridge.cli.setting_options import settings_options
from bridge.settings.values import Group

DEV_PORT = 9092
"""The port at which clients of Kafka look first."""


@click.command("dev")
@click.option("--once", is_flag=True, help="Run the example to its end, verify that its runs appeared, and exit.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEV_PORT,
    show_default=True,
    metavar="PORT",
    help="Port of the embedded broker on localhost; 0 is any free one. If the default is taken, a free port is used.",
)
@click.option("--kafka", metavar="HOST:PORT", help="A real Kafka instead of the embedded broker.")
@click.option("--kubeconfig", metavar="FILE", help="A real cluster instead of the stand-in; needs the templates there.")
@click.option("--templates", metavar="FILE", help="WorkflowTemplates (YAML) that the stand-in knows.")
@settings_options(
    "triggers", "sensors", "sensor_window", "namespace", Group.EVENTS, "shared_topics", "gateway_listen", "log_level"
)
@output_option
def dev(**options: Any) -> Any:
    """Try Flowbridge on this machine: every decision scrolls by.

    Without --triggers and --sensors it runs the example: a trigger on one event, and one on two events that belong
    together. From another terminal, events of your own can be published to the broker's address that it prints, and by
    Metaflow's ArgoEvent, or over HTTP, to the gateway's. Edited triggers are read again at once.
    """
    from bridge.cli.dev.dev import execute  # noqa: PLC0415 - the point of this module

    return execute(**options)


@click.command("run")
@settings_options(*Group)
def run(**options: Any) -> Any:
    """Run the bridge until SIGTERM or SIGINT: read events, match them, create Workflows.

    Any number of processes may run, each with any of the stages. When a process ends, the others take over its work. On
    SIGTERM a process finishes what is under way, within 60 s, and hands over at once. With --gateway it takes events
    over HTTP as well.
    """
    from bridge.cli.run import execute  # noqa: PLC0415 - the point of this module

    return execute(**options)


@click.command("gateway")
@settings_options(Group.KAFKA, Group.GATEWAY, Group.TOPICS, Group.OBSERVATION)
def gateway(**options: Any) -> Any:
    """Take events over HTTP until SIGTERM or SIGINT.

    Metaflow's ArgoEvent posts to it when METAFLOW_ARGO_EVENTS_WEBHOOK_URL names it; any CloudEvents client may use its
    second path. An event is answered 200 once every in-sync replica has it; while Kafka is away, requests are held.
    """
    from bridge.cli.gateway import execute  # noqa: PLC0415 - the point of this module

    return execute(**options)


@click.command("status")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@settings_options(Group.KAFKA, "internal_prefix", "partitions")
@output_option
def status(**options: Any) -> Any:
    """Show the state of the bridge: lag of each stage, triggers and their errors, windows, runs by outcome.

    All is read from Kafka, so it also answers while no bridge runs. A trigger is ready when every router has applied
    it.
    """
    from bridge.cli.status import execute  # noqa: PLC0415 - the point of this module

    return execute(**options)


@click.command("check")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--cluster", is_flag=True, help="Check the WorkflowTemplates and topics that triggers name.")
@settings_options(
    "namespace",
    "trigger_namespaces",
    "sensors",
    "sensor_window",
    "schemas",
    "internal_prefix",
    "shared_topics",
    "announce_runs",
    Group.KAFKA,
)
@output_option
def check(**options: Any) -> Any:
    """Validate the triggers in files and folders (else those of the setting triggers).

    Each finding is one line: FILE:LINE: FIELD: what was found; what would be right. Exits with 1 if there is an error;
    warnings and notes alone are 0. With --cluster the API server is the one of KUBECONFIG, or of the pod.
    It is asked for the WorkflowTemplates: whether they are there, and take the parameters. Kafka is asked for the
    topics of events, if bootstrap-servers is set.

    The path - is standard input: kustomize build . | flowbridge check -

    Where --schemas names a folder with the events' schemas, expressions are checked against them.

    Metaflow's Sensors (kubectl get sensors -o yaml) are checked as well: what the bridge would make of them. Other
    Sensors are left alone, with a note. Another note tells when the windows of a calendar trigger end next.
    """
    from bridge.cli.check import execute  # noqa: PLC0415 - the point of this module

    return execute(**options)


@click.command("version")
@output_option
def version(output: Output) -> None:
    """Print the versions of Flowbridge and of its libraries."""
    from confluent_kafka import libversion  # noqa: PLC0415 - takes 0.1 s to import, for this command only

    versions = {
        "flowbridge": metadata.version("flowbridge"),
        "flowbridge-sdk": metadata.version("flowbridge-sdk"),
        "python": platform.python_version(),
        "confluent-kafka": metadata.version("confluent-kafka"),
        "librdkafka": libversion()[0],
        "kubernetes": metadata.version("kubernetes"),
    }
    output.result([f"{name} {number}" for name, number in versions.items()], versions)
