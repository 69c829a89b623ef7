"""``flowbridge version``: what runs here, for a report of a problem."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from bridge.cli.output import Output, output_option


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
