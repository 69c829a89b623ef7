"""The sources of a Sensor's parameters, in the forms that Metaflow has written since 2.9. Other forms are refused.

=======================  ==============================================  =======================================
Metaflow                 a field                                         where the payload does not have it
=======================  ==============================================  =======================================
2.9                      ``dataKey: body.payload.X``                     the default
2.10 to 2.11.5           ``toJson``                                      ``null``
2.11.10 to 2.12.0        ``hasKey``, ``toJson``                          the default
2.12.20 and later        ``hasKey``, ``get``, ``toRawJson``              the default
2.15 to 2.18, JSONType   the same, and ``squote``                        the default
2.19, JSONType           the same, and ``toRawJson`` once or twice       the default
=======================  ==============================================  =======================================

Templates are compared with these texts and never evaluated. Before 2.12.20 a field with a dash in its name could not be
read, because Go's templates take the dash for something else. Argo Events then always takes the default.
"""

from __future__ import annotations

import re

from bridge.core.runs.field_parameters import Encoding, FieldParameter
from bridge.triggers.sensors.parts import Part, SensorMisfitError

_FIELD = "(?P<field>[A-Za-z0-9_-]+)"
_HAS = '{{ if (hasKey $.Input.body.payload "%s") }}'
_ELSE = '{{- else -}}{{ (fail "use-default-instead") }}{{- end -}}'
_GET = '(get $.Input.body.payload "%s"'
_FORMS: tuple[tuple[str, Encoding], ...] = (
    ("{{ .Input.body.payload.%s | toJson }}", "json"),
    (_HAS + "{{- (.Input.body.payload.%s | toJson) -}}" + _ELSE, "json"),
    (_HAS + "{{- " + _GET + " | toRawJson) -}}" + _ELSE, "json"),
    (_HAS + "{{- " + _GET + " | toRawJson | squote) -}}" + _ELSE, "json-quoted"),
    (
        _HAS + "{{- $pv:=" + _GET + ') -}}{{ if kindIs "string" $pv }}{{- $pv | toRawJson -}}{{- else -}}'
        "{{ $pv | toRawJson | toRawJson }}{{- end -}}" + _ELSE,
        "json-twice",
    ),
)
_DATA_KEY = re.compile(rf"body\.payload(?:\.{_FIELD})?")
_NOT_RAW = (None, False)
_DESTINATION = re.compile(r"spec\.arguments\.parameters\.#\(name=([A-Za-z0-9_-]+)\)\.value")


# The field's name must be the same wherever it stands in a template.
_TEMPLATES = tuple(
    (re.compile(re.escape(form).replace("%s", _FIELD, 1).replace("%s", "(?P=field)")), encoding)
    for form, encoding in _FORMS
)
_WITHOUT_DASHES = (_TEMPLATES[0][0], _TEMPLATES[1][0])


def read_parameter(part: Part, slots: dict[str, str], *, early: bool) -> FieldParameter:
    """Return an entry of a trigger's ``parameters``.

    Args:
        part: The entry.
        slots: Variable of the slot by the name of its dependency.
        early: The Sensor is of a Metaflow before 2.17.

    Raises:
        SensorMisfitError: Metaflow does not write such an entry.

    """
    part.only("src", "dest", "operation")
    part["operation"].must_be(None, "overwrite")
    source = part["src"].only("dependencyName", "dataKey", "dataTemplate", "value", "useRawData")
    source["useRawData"].must_be(*_NOT_RAW)
    destination = _DESTINATION.fullmatch(part["dest"].text())
    if destination is None:
        raise part["dest"].misfit("write spec.arguments.parameters.#(name=X).value")
    dependency = source["dependencyName"]
    if dependency.text() not in slots:
        raise dependency.misfit("name one of the dependencies")
    default = source["value"].text() if source["value"] else None
    key, template = source["dataKey"], source["dataTemplate"]
    if bool(key) == bool(template):
        raise SensorMisfitError(source.path, "a dataKey and a dataTemplate, or neither")
    missing = default  # the text for a payload without the field
    encoding: Encoding
    if key:
        path = _DATA_KEY.fullmatch(key.text())
        if path is None:
            raise key.misfit("write body.payload, or body.payload.X for a field")
        encoding = "text" if path["field"] else "event"
    else:
        forms = [(path, *form) for form in _TEMPLATES if (path := form[0].fullmatch(template.text())) is not None]
        if not forms:
            found = f"a template that no known Metaflow writes: {template.text()[:200]!r}"
            raise SensorMisfitError(template.path, found)
        path, pattern, encoding = forms[0]
        if "-" in path["field"] and pattern in _WITHOUT_DASHES:
            encoding = "default"
        else:
            encoding = "json-early" if encoding == "json" and early else encoding
            missing = "null" if pattern is _WITHOUT_DASHES[0] else default
    return FieldParameter(destination[1], slots[dependency.text()], path["field"], encoding, missing, default)
