"""What Argo Events puts into a parameter, told naively: the reference that the bridge's values are compared with.

It evaluates exactly the templates that Metaflow has written, by what their words mean (``hasKey``, ``get``, ``toJson``,
``toRawJson``, ``squote``, ``kindIs``), on values as gjson reads them. ``argo_events_values.json`` holds what Argo
Events' own code answered; the reference is held against it.
"""

from __future__ import annotations

import json
import re
from typing import Any

_FIELD = re.compile(r'(?:payload\.|payload ")([A-Za-z0-9_-]+)')


def argo_events_text(source: dict[str, Any], data: str) -> str | None:
    """Return the text for a parameter's ``src`` and an event's data; None where Argo Events gives up."""
    payload = json.loads(data)["body"]["payload"]
    if source.get("dataTemplate"):
        text = _from_template(source["dataTemplate"], payload)
    else:
        text = _from_key(source["dataKey"], payload, data)
    default: str | None = source.get("value")
    return text if text is not None else default


def _from_template(template: str, payload: dict[str, Any]) -> str | None:
    field = _FIELD.findall(template)[0]
    if "-" in field and "get " not in template:
        return None  # Go takes the dash for something else and does not parse the template
    if "hasKey" in template and field not in payload:
        return None  # fail "use-default-instead"
    text = go_json(payload.get(field))
    if "squote" in template:
        return f"'{text}'"
    if "kindIs" in template and not isinstance(payload[field], str):
        return go_json(text)
    return text


def _from_key(key: str, payload: dict[str, Any], data: str) -> str | None:
    if key == "body.payload":
        return data[data.index('"payload":') + len('"payload":') : -len("}}")]
    field = key.removeprefix("body.payload.")
    if field not in payload:
        return None
    value = payload[field]
    return value if isinstance(value, str) else go_json(value, exact=True)


def go_json(value: Any, *, exact: bool = False) -> str:
    """Return JSON as Go writes it: numbers are float64, unless the text is taken as it is; keys are sorted."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        number = value if exact and isinstance(value, int) else float(value)
        return str(int(number)) if number == int(number) and abs(number) < 1e21 else repr(number)
    if isinstance(value, list):
        return "[" + ",".join(go_json(item, exact=exact) for item in value) + "]"
    members = (f"{go_json(name)}:{go_json(value[name], exact=exact)}" for name in sorted(value))
    return "{" + ",".join(members) + "}"
