"""``flowbridge schema`` as a person calls it: its options and help, and nothing that takes long to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bridge.cli.output import output_option
from bridge.cli.setting_options import settings_options
from bridge.settings.values import Group

MODES = (
    "backward",
    "backward-transitive",
    "forward",
    "forward-transitive",
    "full",
    "full-transitive",
    "none",
)
"""Avro's modes, as schema registries call them."""

_EXAMPLES = """\b
Examples:
  flowbridge schema infer shop.events:Order > schemas/order.created.avsc
  flowbridge schema infer topic:order.created --last 5000 > schemas/order.created.avsc
  flowbridge schema check schemas/ --against deployed/schemas/
  flowbridge schema register schemas/order.created.avsc --schema-registry-url http://localhost:8081
  flowbridge schema diff schemas/order.created@1.avsc schemas/order.created.avsc
"""
_MODES_TEXT = """\b
Modes:
  backward       a reader with the new schema reads what the version before wrote
  forward        a reader with the version before reads what the new schema writes
  full           both
  ...-transitive the same for all versions
  none           nothing is compared
"""
_SOURCE = "A SOURCE is a file NAME.avsc, a model as MODULE:CLASS, or registry:SUBJECT[@VERSION]."


@click.group("schema", epilog=_EXAMPLES)
def schema() -> None:
    """Make, compare and register the Avro schemas of events.

    An event called NAME is written with the schema in NAME.avsc. Older versions are kept as NAME@ANYTHING.avsc.
    """


@schema.command("infer")
@click.argument("source", metavar="MODULE:CLASS|FILE|-|topic:TOPIC")
@click.option("--name", metavar="NAME", help="Name of the events: it names the record, and selects them in a topic.")
@click.option("--namespace", metavar="NAMESPACE", default="", help="Namespace of the records.")
@click.option(
    "--logical",
    is_flag=True,
    help="Take texts that are all times with a zone, dates or UUIDs in the samples for these.",
)
@click.option(
    "--last",
    type=click.IntRange(1, 1_000_000),
    default=1_000,
    show_default=True,
    metavar="N",
    help="Records of the topic that are read.",
)
@settings_options(Group.KAFKA, "schemas", "schema_registry_url")
def infer(**options: Any) -> Any:
    """Print the Avro schema of a model, of sample events, or of the last events of a topic.

    MODULE:CLASS is a dataclass or a pydantic model, looked for from the current folder too. A FILE has events as JSON:
    an object a line, one object, or an array of them. The path - is standard input.
    """
    from bridge.cli.schema.inferring import execute  # noqa: PLC0415 - as in bridge/cli/commands.py

    return execute(**options)


@schema.command("check", epilog=f"{_MODES_TEXT}\n\n{_SOURCE}")
@click.argument("sources", nargs=-1, metavar="[SOURCE|FOLDER]...")
@click.option(
    "--against",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file or folder with the schemas in use. Else those of --schemas.",
)
@click.option("--mode", type=click.Choice(MODES), default=MODES[0], show_default=True, help="Who must be able to read.")
@click.option("--name", metavar="NAME", help="Name of the events of a model.")
@click.option(
    "--triggers",
    "trigger_paths",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Triggers that must find the fields that they read.",
)
@settings_options("schemas", "schema_registry_url", "namespace", "trigger_namespaces")
@output_option
def check(**options: Any) -> Any:
    """Tell whether changed schemas are compatible with those in use.

    Each NAME.avsc is compared with its older versions NAME@*.avsc, with the files of --against or --schemas, and with
    the subject NAME-value of the registry, where one is set. Exits with 1 if there is an incompatibility.
    """
    from bridge.cli.schema.checking import execute  # noqa: PLC0415 - as in bridge/cli/commands.py

    return execute(**options)


@schema.command("register", epilog=_SOURCE)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE|FOLDER...")
@click.option("--name", metavar="NAME", help="Name of the events of a model.")
@click.option(
    "--subject", metavar="SUBJECT", help="The subject of a single schema. Else that of the event: TOPIC-value."
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="TYPE=SUBJECT@VERSION",
    help="A type of another subject, which the schema uses by name.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and stop.")
@settings_options("schema_registry_url")
@output_option
def register(**options: Any) -> Any:
    """Register schemas with the schema registry; print the id and version of each.

    A schema that is registered already keeps both. Exits with 1 if the registry finds a schema incompatible with the
    subject's versions, by its own rule.
    """
    from bridge.cli.schema.registering import execute  # noqa: PLC0415 - as in bridge/cli/commands.py

    return execute(**options)


@schema.command("diff", epilog=_SOURCE)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@settings_options("schema_registry_url")
@output_option
def diff(**options: Any) -> Any:
    """Print what changed from one schema to another, a change a line.

    OLD and NEW are each a SOURCE.
    """
    from bridge.cli.schema.sources import compare  # noqa: PLC0415 - as in bridge/cli/commands.py

    return compare(**options)
