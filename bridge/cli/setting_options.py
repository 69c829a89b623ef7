"""Options made of the fields of the settings: one definition for options, variables, file and docs.

Options hand their texts over as they are. Which texts are valid is decided in one place for all sources.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from bridge.errors import SettingProblem, SettingsError
from bridge.settings.settings import Settings, load_settings
from bridge.settings.sources import CONFIG, FORMER, KAFKA_PREFIX, PREFIX
from bridge.settings.values import Group, Metavar, Trait

Command = Callable[..., Any]


def settings_options(*chosen: Group | str) -> Callable[[Command], Command]:
    """Give a command ``--config`` and the options of groups of settings, and of single settings by their names.

    A setting declares its group itself, so a new setting is an option of each command that takes its group. The command
    gets the whole :class:`Settings` as its argument ``settings``: settings without an option here still come from the
    environment and the file.
    """
    fields = [name for item in chosen for name in (names_of(item) if isinstance(item, Group) else [item])]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_settings(*args: Any, config: str | None, **options: Any) -> Any:
            values = {field: options.pop(field) for field in fields}
            values = {field: value for field, value in values.items() if value not in (None, ())}
            if "kafka" in values:
                pairs = [text.partition("=") for text in values["kafka"]]
                expected = "KEY=VALUE is right, such as security.protocol=SSL"
                if missing := sum(not equals for _, equals, _ in pairs):
                    raise SettingsError([SettingProblem("--kafka-property", "found no '='", expected)] * missing)
                values["kafka"] = {name.strip(): value for name, _, value in pairs}
            settings = load_settings(values, os.environ, Path(config) if config else None)
            return command(*args, settings=settings, **options)

        decorated: Command = with_settings
        for field in reversed(fields):
            decorated = _option(field, Settings.model_fields[field])(decorated)
        config_help = f"A YAML, JSON or TOML file of settings.  [{CONFIG}]"
        return click.option("--config", metavar="FILE", help=config_help)(decorated)

    return decorate


def names_of(group: Group) -> list[str]:
    """Return the names of the settings that declare a group, in the order of their definition."""
    return [name for name, field in Settings.model_fields.items() if group in field.metadata]


def option_name(field: str) -> str:
    """Return the option of a setting: ``--ledger-horizon``."""
    return "--kafka-property" if field == "kafka" else "--" + field.replace("_", "-")


def variable_name(field: str) -> str:
    """Return the environment variable of a setting: ``FLOWBRIDGE_LEDGER_HORIZON``."""
    return f"{KAFKA_PREFIX}<PROPERTY>" if field == "kafka" else PREFIX + field.upper()


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    default = Settings().without_secrets()[name]
    shown = ",".join(default) if isinstance(default, list) else default
    default_text = "none" if shown in (None, "", {}) else str(shown).lower()
    help_text = f"{(field.description or '').replace('`', '')}  [{variable_name(name)}; default: {default_text}]"
    option = option_name(name)
    if field.annotation is bool:
        option = f"{option}/--no-{option.removeprefix('--')}"
        return click.option(option, name, default=None, help=help_text)
    if get_origin(field.annotation) is Literal:
        metavar = "|".join(get_args(field.annotation))
    elif field.annotation is int:
        metavar = "INTEGER"
    else:
        metavar = next(_metavars(field.metadata, field.annotation))
    return click.option(
        option,
        *(option_name(former) for former, today in FORMER.items() if today == name),
        name,
        multiple=Trait.REPEATED in field.metadata,
        metavar=metavar,
        help=help_text,
    )


def _metavars(metadata: Iterable[Any], annotation: Any) -> Iterator[str]:
    """Yield the metavars at a type, or inside of it where it is optional (``Url | None``)."""
    yield from (item.text for item in metadata if isinstance(item, Metavar))
    for part in get_args(annotation):
        yield from _metavars(getattr(part, "__metadata__", ()), None)
