"""Options made of the fields of the settings: one definition for options, variables, file and docs.

Options hand their texts over as they are; what is right is decided, and said, in one place for all sources.
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
from bridge.settings.values import Metavar, Trait

Command = Callable[..., Any]


def settings_options(*fields: str) -> Callable[[Command], Command]:
    """Give a command ``--config`` and the options of some settings (all, if none is named).

    The command gets the whole :class:`Settings` as its argument ``settings``: those without an option here still
    come from the environment and the file.
    """
    chosen = fields or tuple(Settings.model_fields)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_settings(*args: Any, config: str | None, **options: Any) -> Any:
            given = {field: options.pop(field) for field in chosen}
            given = {field: value for field, value in given.items() if value not in (None, ())}
            if "kafka" in given:
                given["kafka"] = _properties(given["kafka"])
            settings = load_settings(given, os.environ, Path(config) if config else None)
            return command(*args, settings=settings, **options)

        decorated: Command = with_settings
        for field in reversed(chosen):
            decorated = _option(field, Settings.model_fields[field])(decorated)
        return click.option("--config", metavar="FILE", help=_config_help())(decorated)

    return decorate


def option_name(field: str) -> str:
    """Return the option of a setting: ``--ledger-horizon``."""
    return "--kafka-property" if field == "kafka" else "--" + field.replace("_", "-")


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    option = option_name(name)
    if field.annotation is bool:
        option = f"{option}/--no-{option.removeprefix('--')}"
        return click.option(option, name, default=None, help=_help(name, field))
    former = [option_name(before) for before, today in FORMER.items() if today == name]
    return click.option(
        option,
        *former,
        name,
        multiple=Trait.REPEATED in field.metadata,
        metavar=_metavar(field),
        help=_help(name, field),
    )


def _metavar(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    if field.annotation is int:
        return "INTEGER"
    return next(_metavars(field.metadata, field.annotation))


def _metavars(metadata: Iterable[Any], annotation: Any) -> Iterator[str]:
    """Yield the metavars at a type, or inside of it where it is optional (``Url | None``)."""
    yield from (item.text for item in metadata if isinstance(item, Metavar))
    for part in get_args(annotation):
        yield from _metavars(getattr(part, "__metadata__", ()), None)


def _help(name: str, field: FieldInfo) -> str:
    variable = f"{KAFKA_PREFIX}<PROPERTY>" if name == "kafka" else PREFIX + name.upper()
    default = Settings().without_secrets()[name]
    text = (field.description or "").replace("`", "")
    shown = ",".join(default) if isinstance(default, list) else default
    return f"{text}  [{variable}; default: {'none' if shown in (None, '', {}) else str(shown).lower()}]"


def _config_help() -> str:
    return f"A YAML, JSON or TOML file of settings.  [{CONFIG}]"


def _properties(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    problems = [
        SettingProblem("--kafka-property", "found no '='", "KEY=VALUE is right, such as security.protocol=SSL")
        for _, equals, _ in pairs
        if not equals
    ]
    if problems:
        raise SettingsError(problems)
    return {name.strip(): value for name, _, value in pairs}
