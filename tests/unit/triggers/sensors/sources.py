"""The sources of parameters in all forms that Metaflow has written, for one field."""

from __future__ import annotations

import json
from typing import Any

_HAS = '{{ if (hasKey $.Input.body.payload "X") }}%s{{- else -}}{{ (fail "use-default-instead") }}{{- end -}}'
_TWICE = (
    '{{- $pv:=(get $.Input.body.payload "X") -}}{{ if kindIs "string" $pv }}{{- $pv | toRawJson -}}'
    "{{- else -}}{{ $pv | toRawJson | toRawJson }}{{- end -}}"
)
_FORMS: dict[str, dict[str, str]] = {
    "dataKey": {"dataKey": "body.payload.X"},
    "toJson": {"dataTemplate": "{{ .Input.body.payload.X | toJson }}"},
    "hasKey": {"dataTemplate": _HAS % "{{- (.Input.body.payload.X | toJson) -}}"},
    "get": {"dataTemplate": _HAS % '{{- (get $.Input.body.payload "X" | toRawJson) -}}'},
    "squote": {"dataTemplate": _HAS % '{{- (get $.Input.body.payload "X" | toRawJson | squote) -}}'},
    "twice": {"dataTemplate": _HAS % _TWICE},
    "event": {"dataKey": "body.payload"},
}
FORMS = tuple(_FORMS)
DEFAULT = '"the default"'


def source(form: str, field: str, default: str | None = DEFAULT) -> dict[str, Any]:
    """Return the ``src`` of a parameter in one of :data:`FORMS`."""
    texts = {name: text.replace("X", field) for name, text in _FORMS[form].items()}
    return {"dependencyName": "d", "value": default, "useRawData": False} | texts


def data_of(payload: Any) -> str:
    """Return the data of an event as Argo Events' webhook passes it on."""
    return json.dumps({"header": {}, "body": {"name": "x", "payload": payload}}, separators=(",", ":"))
