"""The directives of a flow's owner to Flowbridge, which stand on the Sensor.

=========================  =========================================================================================
``flowbridge.dev/window``  how far apart the events of a match may have happened, as ``6h``; a setting has the default
``flowbridge.dev/key``     a payload field on whose value the events of a match must agree, as ``customer``
``…/allow-shell``          ``true``: values may hold text that the shell of Metaflow's pod evaluates
=========================  =========================================================================================

Each is an annotation of the Sensor. Metaflow gives its users no way to set an annotation, but it writes the flow's
docstring (or ``--workflow-description``) into the annotation ``workflows.argoproj.io/description`` (seen since 2.19). A
line ``flowbridge.dev/window: 6h`` in the docstring therefore does the same. It also survives each new deployment, which
replaces the Sensor with all of its annotations. An annotation wins over a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.core.event import Micros
from bridge.triggers import values
from bridge.triggers.errors import FieldPath
from bridge.triggers.sensors.filters import field_of
from bridge.triggers.sensors.parts import Part, SensorMisfitError
from flowbridge_sdk.avro.misfit import MisfitError

PREFIX = "flowbridge.dev/"
WINDOW, KEY, ALLOW_SHELL = "window", "key", "allow-shell"
DESCRIPTION = "workflows.argoproj.io/description"

_KNOWN = (WINDOW, KEY, ALLOW_SHELL)
_LINE = re.compile(rf"^[ \t]*{re.escape(PREFIX)}([^:\n]*):?(.*)$", re.MULTILINE)
_FIELD = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class Directives:
    """The directives of a Sensor.

    Attributes:
        window: How far apart the events of a match may have happened; None for the default.
        key: CEL for the correlation key; None for no key.
        allow_shell: Values may hold text that a shell evaluates.

    """

    window: Micros | None = None
    key: str | None = None
    allow_shell: bool = False


def read_directives(annotations: Part, slots: int) -> Directives:
    """Return the directives in the annotations of a Sensor with so many slots.

    Raises:
        SensorMisfitError: A directive is unknown, or its value makes no sense.

    """
    said: dict[str, tuple[str, FieldPath]] = {}
    description = annotations[DESCRIPTION]
    lines: dict[str, str] = {}
    for line in _LINE.finditer(description.text()) if description else ():
        name = line[1].strip()
        if name in lines:
            raise SensorMisfitError(description.path, f"{PREFIX}{name} stands there twice", "write it once")
        lines[name] = line[2].strip()
    written = [(name, text, description.path) for name, text in lines.items()]
    for annotation, text in annotations.texts().items():
        if annotation.startswith(PREFIX):
            written.append((annotation.removeprefix(PREFIX), text, annotations[annotation].path))
    for name, text, path in written:
        if name not in _KNOWN:
            raise SensorMisfitError(path, f"{PREFIX}{name} is not known", "known are " + ", ".join(_KNOWN))
        said[name] = (text, path)
    window, key, allow_shell = None, None, False
    if WINDOW in said:
        text, path = said[WINDOW]
        if slots == 1:
            raise SensorMisfitError(path, "a window for a single event, which never waits", "leave it out")
        try:
            window = values.positive_duration(text)
        except MisfitError as error:
            raise SensorMisfitError(path, error.found, error.expected) from error
    if KEY in said:
        text, path = said[KEY]
        if not _FIELD.fullmatch(text):
            raise SensorMisfitError(path, f"found {text[:60]!r}", "write the name of a payload field, as customer.id")
        key = "payload"
        for field in text.split("."):
            key = field_of(field, key)
    if ALLOW_SHELL in said:
        text, path = said[ALLOW_SHELL]
        if text not in ("true", "false"):
            raise SensorMisfitError(path, f"found {text[:60]!r}", "write true or false")
        allow_shell = text == "true"
    return Directives(window, key, allow_shell)
