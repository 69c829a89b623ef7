"""The sources of settings: options of a command, the environment, a file. Each knows the place of each value.

Precedence is the order of the sources. ``kafka`` is merged property by property. Sources pass their values on under the
names of the fields, and :mod:`bridge.settings.settings` validates them.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from bridge.errors import SettingProblem, SettingsError
from bridge.settings.values import Trait

PREFIX = "FLOWBRIDGE_"
CONFIG = PREFIX + "CONFIG"
KAFKA_PREFIX = PREFIX + "KAFKA_"
_MEANT = 0.85
"""The similarity at which an unknown name is taken for a misspelt setting (difflib's ratio)."""

FORMER = {"gateway_topic_bound": "topic_bound"}
"""Settings of 0.1.0 that have another name now; in the environment, the file and as options both are read."""

Values = Mapping[str, Any]


class PlacedSource:
    """One source of settings.

    Attributes:
        values: The values that it sets, by the name of the field.

    """

    def __init__(self, values: Values) -> None:
        self.values = dict(values)

    def sets(self, field: str, kafka_property: str | None = None) -> bool:
        """Tell whether it sets this field, or this property of ``kafka``."""
        if field not in self.values:
            return False
        return kafka_property is None or kafka_property in self.values[field]

    def place(self, field: str, kafka_property: str | None = None) -> str:
        """Return the place at which a person finds the value. Each source says its own."""
        raise NotImplementedError


class OptionsSource(PlacedSource):
    """Options of a command, by the names of the fields; options that were not given are left out."""

    def place(self, field: str, kafka_property: str | None = None) -> str:
        """Return the option."""
        if kafka_property is not None:
            return f"--kafka-property {kafka_property}"
        return "--" + field.replace("_", "-")


class EnvironmentSource(PlacedSource):
    """``FLOWBRIDGE_<FIELD>`` and ``FLOWBRIDGE_KAFKA_<PROPERTY>`` of an environment."""

    def __init__(self, settings: type[BaseModel], environment: Mapping[str, str]) -> None:
        """Read ``environment``.

        Raises:
            SettingsError: A variable looks like a setting that is misspelt.

        """
        fields = set(settings.model_fields) - {"kafka"}
        may_be_empty = _with_trait(settings, Trait.EMPTY)
        values: dict[str, Any] = {}
        for variable, value in environment.items():
            name = variable.removeprefix(PREFIX).lower()
            if name in FORMER and PREFIX + FORMER[name].upper() not in environment:
                name = FORMER[name]
            if variable.startswith(PREFIX) and name in fields and (value or name in may_be_empty):
                values[name] = value
        kafka = {
            variable.removeprefix(KAFKA_PREFIX).lower().replace("_", "."): value
            for variable, value in environment.items()
            if variable.startswith(KAFKA_PREFIX)
        }
        super().__init__(values | ({"kafka": kafka} if kafka else {}))
        known = {PREFIX + field.upper() for field in (*fields, *FORMER)} | {CONFIG}
        problems = []
        for variable in environment:
            if not variable.startswith(PREFIX) or variable.startswith(KAFKA_PREFIX) or variable in known:
                continue
            # The common prefix counts as alike, so the ratio is raised to that at which the name's rest reaches it.
            closeness = (len(PREFIX) + _MEANT * (len(variable) - len(PREFIX))) / len(variable)
            if similar := difflib.get_close_matches(variable, known, 1, closeness):
                problems.append(SettingProblem(variable, "there is no such setting", f"{similar[0]} is meant?"))
        if problems:
            raise SettingsError(problems)

    def place(self, field: str, kafka_property: str | None = None) -> str:
        """Return the variable."""
        if kafka_property is not None:
            return KAFKA_PREFIX + kafka_property.replace(".", "_").upper()
        return PREFIX + field.upper()


class FileSource(PlacedSource):
    """A YAML, JSON or TOML file with the names of the fields as keys. Its relative paths start at its folder."""

    def __init__(self, settings: type[BaseModel], path: Path) -> None:
        """Read the file at ``path``.

        Raises:
            SettingsError: It cannot be read, is no mapping, or has a key that is no setting.

        """
        self.path = path
        values = {FORMER.get(key, key): value for key, value in _read(path).items()}
        problems = []
        for key in values:
            if key not in settings.model_fields:
                similar = difflib.get_close_matches(str(key).replace("-", "_"), settings.model_fields, 1)
                expected = f"{similar[0]} is meant?" if similar else "docs/settings.md lists all settings"
                problems.append(SettingProblem(f"{path}: {key}", "there is no such setting", expected))
        if not isinstance(values.get("kafka", {}), dict):
            problems.append(SettingProblem(f"{path}: kafka", "no mapping", "properties of librdkafka are right"))
        if problems:
            raise SettingsError(problems)
        for name in _with_trait(settings, Trait.PATH) & values.keys():
            texts = [values[name]] if isinstance(values[name], str) else values[name]
            if isinstance(texts, list):
                parts = [part.strip() for text in texts for part in str(text).replace(os.pathsep, ",").split(",")]
                values[name] = [str(path.parent / part) for part in parts if part]
        super().__init__(values)

    def place(self, field: str, kafka_property: str | None = None) -> str:
        """Return the file and the key."""
        key = field if kafka_property is None else f"{field}.{kafka_property}"
        return f"{self.path}: {key}"


def _with_trait(settings: type[BaseModel], trait: Trait) -> set[str]:
    return {name for name, field in settings.model_fields.items() if trait in field.metadata}


def _read(path: Path) -> dict[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix not in (".yaml", ".yml", ".json"):
            raise _refused(path, f"a file ending in {path.suffix!r}", "a name ending in .yaml, .json or .toml is right")
        values = yaml.safe_load(text)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}", "the path of a readable file is right") from error
    except UnicodeDecodeError as error:
        raise _refused(path, "no text in UTF-8", "a YAML, JSON or TOML file is right") from error
    except tomllib.TOMLDecodeError as error:
        raise _refused(path, f"no TOML: {error}", "correct it there") from error
    except yaml.YAMLError as error:
        # Nothing of the file is quoted: it may be a password.
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = re.sub(r"'.*'|\".*\"", "...", getattr(error, "problem", None) or "it cannot be parsed")
        raise _refused(path, f"no YAML: {problem}{place}", "correct it there") from error
    if not isinstance(values, dict | None):
        raise _refused(path, "no mapping", "lines such as 'partitions: 24' are right")
    return values or {}


def _refused(path: Path, found: str, expected: str) -> SettingsError:
    return SettingsError([SettingProblem(str(path), found, expected)])
