"""``flowbridge version``: what runs here, for a report of a problem."""

from __future__ import annotations

import platform
from importlib.metadata import version

import click

from bridge.cli.output import Output, output_option


@click.command("version")
@output_option
def command(output: Output) -> None:
    """Print the versions of Flowbridge and of what it rests on."""
    from confluent_kafka import libversion  # noqa: PLC0415 - takes 0.1 s to import, for this command only

    versions = {
        "flowbridge": version("flowbridge"),
        "flowbridge-sdk": version("flowbridge-sdk"),
        "python": platform.python_version(),
        "confluent-kafka": version("confluent-kafka"),
        "librdkafka": libversion()[0],
        "kubernetes": version("kubernetes"),
    }
    output.result([f"{name} {number}" for name, number in versions.items()], versions)
