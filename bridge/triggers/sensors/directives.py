"""What a flow's owner tells Flowbridge beyond what Metaflow knows, on the Sensor itself.

=========================  =========================================================================================
``flowbridge.dev/window``  how far apart the events of a match may have happened, as ``6h``; else a setting's default
``flowbridge.dev/key``     a payload field on whose value the events of a match must agree, as ``customer``
``…/allow-shell``          ``true``: values may hold what the shell of Metaflow's pod evaluates
=========================  =========================================================================================

Each is an annotation of the Sensor. Metaflow gives its users no way to set one, but writes the flow's docstring (or
``--workflow-description``) into the annotation ``workflows.argoproj.io/description`` (seen since 2.19). So a line
``flowbridge.dev/window: 6h`` in the docstring does the same, and stays through each new deployment, which replaces the
Sensor with all of its annotations. An annotation wins over a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.core.event import Micros
from bridge.triggers import values
from bridge.triggers.errors import FieldPath
from bridge.triggers.sensors.filters import field_of
from bridge.triggers.sensors.parts import Part, SensorMisfitError
from flowbridge_sdk.misfit import MisfitError

PREFIX = "flowbridge.dev/"
WINDOW, KEY, ALLOW_SHELL = "window", "key", "allow-shell"
DESCRIPTION = "workflows.argoproj.io/description"

_KNOWN = (WINDOW, KEY, ALLOW_SHELL)
_LINE = re.compile(rf"^[ \t]*{re.escape(PREFIX)}([^:\n]*):?(.*)$", re.MULTILINE)
_FIELD = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class Directives:
    """What the owner said.

    Attributes:
        window: How far apart the events of a match may have happened; None for the default.
        key: CEL for the correlation key; None for none.
        allow_shell: Values may hold what a shell evaluates.

    """

    window: Micros | None = None
    key: str | None = None
    allow_shell: bool = False


def read_directives(annotations: Part, slots: int) -> Directives:
    """Return what the annotations of a Sensor with so many slots say.

    Raises:
        SensorMisfitError: A directive is unknown, or its value makes no sense.

    """
    said: dict[str, tuple[str, FieldPath]] = {}
    for name, text, path in (*_lines(annotations), *_annotations(annotations)):
        if name not in _KNOWN:
            raise SensorMisfitError(path, f"{PREFIX}{name} is not known", "known are " + ", ".join(_KNOWN))
        said[name] = (text, path)
    window = _window(*said[WINDOW], slots) if WINDOW in said else None
    key = _key(*said[KEY]) if KEY in said else None
    return Directives(window, key, allow_shell=_truth(*said[ALLOW_SHELL]) if ALLOW_SHELL in said else False)


def _lines(annotations: Part) -> Iterator[tuple[str, str, FieldPath]]:
    description = annotations[DESCRIPTION]
    if description:
        seen = set()
        for found in _LINE.finditer(description.text()):
            name = found[1].strip()
            if name in seen:
                raise SensorMisfitError(description.path, f"{PREFIX}{name} stands there twice", "write it once")
            seen.add(name)
            yield name, found[2].strip(), description.path


def _annotations(annotations: Part) -> Iterator[tuple[str, str, FieldPath]]:
    for name, value in annotations.texts().items():
        if name.startswith(PREFIX):
            yield name.removeprefix(PREFIX), value, annotations[name].path


def _window(text: str, path: FieldPath, slots: int) -> Micros:
    if slots == 1:
        raise SensorMisfitError(path, "a window for a single event, which never waits", "leave it out")
    try:
        return values.positive_duration(text)
    except MisfitError as error:
        raise SensorMisfitError(path, error.found, error.right) from error


def _key(text: str, path: FieldPath) -> str:
    if not _FIELD.fullmatch(text):
        raise SensorMisfitError(path, f"found {text[:60]!r}", "write the name of a payload field, as customer.id")
    expression = "payload"
    for field in text.split("."):
        expression = field_of(field, expression)
    return expression


def _truth(text: str, path: FieldPath) -> bool:
    if text not in ("true", "false"):
        raise SensorMisfitError(path, f"found {text[:60]!r}", "write true or false")
    return text == "true"
