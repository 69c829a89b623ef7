"""The dependencies of a Sensor, each with the events that it takes.

Three forms of an expression over event data are known. ``name == 'X'`` on the payload's name becomes the slot's event.
``true == true`` on a field means that the field must be there (it may be null). ``field == 'v'`` compares texts and is
false for a value of another type. As with Argo Events, an event is filtered if the name in its payload contradicts the
event's name. An event whose payload has no name (from a publisher other than Metaflow) is taken by the name of its
topic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.core.expressions.expression import RESERVED_WORDS
from bridge.triggers import values
from bridge.triggers.sensors.parts import Part, SensorMisfitError
from flowbridge_sdk.avro.misfit import MisfitError

_PATH = re.compile(r"body\.payload\.([A-Za-z0-9_-]+)")
_COMPARED = re.compile(r"(name|field) == '([^'\\\x00-\x1f\x7f]*)'")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME_PATH = "body.payload.name"


@dataclass(frozen=True)
class Dependency:
    """A dependency of a Sensor.

    Attributes:
        name: Its name in the Sensor.
        event: Name of the events that it takes.
        where: CEL that must be true for them.
        source: Argo Events' own source and name of the events, which are the same for all of Metaflow's events.

    """

    name: str
    event: str
    where: str
    source: tuple[str, str]


def read_dependency(part: Part) -> Dependency:
    """Return an entry of ``dependencies``.

    Raises:
        SensorMisfitError: Metaflow does not write such a dependency.

    """
    part.only("name", "eventName", "eventSourceName", "filters", "filtersLogicalOperator")
    # With nothing but expressions, both operators mean the same.
    part["filtersLogicalOperator"].must_be(None, "and", "or")
    filters = part["filters"].only("exprs", "exprLogicalOperator")
    expressions = list(filters["exprs"].members())
    filters["exprLogicalOperator"].must_be(None, "and", *(("or",) if len(expressions) == 1 else ()))
    named: list[str] = []
    others: list[Part] = []
    for expression in expressions:
        comparison = _COMPARED.fullmatch(expression["expr"].text())
        if comparison is None or comparison[1] != "name":
            others.append(expression)
            continue
        if _field_path(expression, "name").text() != _NAME_PATH:
            raise expression["fields"].one()["path"].misfit(f"write {_NAME_PATH}")
        try:
            named.append(values.event_name(comparison[2]))
        except MisfitError as error:
            raise SensorMisfitError(expression["expr"].path, error.found, error.expected) from error
    if len(named) != 1:
        found = "no name of an event" if not named else f"{len(named)} names of events"
        raise SensorMisfitError(filters["exprs"].path, found, "write name == 'X' on body.payload.name, once")
    guard = f"!has(payload.name) || payload.name == {_cel_text(named[0])}"
    conditions = [_condition(expression) for expression in others]
    return Dependency(
        name=part["name"].text(),
        event=named[0],
        where=" && ".join([f"({guard})", *conditions]) if conditions else guard,
        source=(part["eventSourceName"].text(), part["eventName"].text()),
    )


def field_of(field: str, of: str = "payload") -> str:
    """Return CEL for a field of a mapping, with ``.`` if possible, because this is evaluated faster."""
    if _IDENTIFIER.fullmatch(field) and field not in RESERVED_WORDS:
        return f"{of}.{field}"
    return f"{of}[{_cel_text(field)}]"


def _condition(part: Part) -> str:
    """Return CEL for an expression on a field that is not the event's name."""
    expression = part["expr"].text()
    comparison = _COMPARED.fullmatch(expression)
    if comparison is None and expression != "true == true":
        raise part["expr"].misfit("write name == 'X', true == true, or field == 'v'")
    path = _field_path(part, "field")
    field = _PATH.fullmatch(path.text())
    if field is None:
        raise path.misfit("write body.payload.X, where X is letters, digits, '_' and '-'")
    if comparison is not None:
        return f"{field_of(field[1])} == {_cel_text(comparison[2])}"
    place = field_of(field[1])
    return f"{_cel_text(field[1])} in payload" if place.endswith("]") else f"has({place})"


def _field_path(part: Part, variable: str) -> Part:
    """Return the path of an expression's only field."""
    field = part.only("expr", "fields")["fields"].one().only("name", "path")
    field["name"].must_be(variable)
    return field["path"]


def _cel_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
