r"""The text that a Sensor puts from an event into a parameter, as Argo Events would have written it.

============  =============================================================  ====================================
encoding      text of a payload field                                        written by
============  =============================================================  ====================================
json          JSON: a string keeps its quotes                                ``toRawJson``, since Metaflow 2.17
json-early    the same                                                       ``toJson``, ``toRawJson``, until 2.16
json-twice    a string as JSON; anything else as JSON inside of a string     JSONType, since Metaflow 2.19
json-quoted   JSON between single quotes                                     JSONType, Metaflow 2.15 to 2.18
text          a string as it is, anything else as JSON                       ``dataKey`` of a field, before 2.10
event         the whole payload as JSON                                      ``dataKey: body.payload``
default       the default, always                                            ``toJson`` of a name with a dash
============  =============================================================  ====================================

A float without a fraction is written without one, as Go does (an ``int`` Parameter takes ``5`` and not ``5.0``); an
integer keeps all its digits, where Argo Events rounds those above 2**53.

Metaflow's pod writes the parameters of a flow into a file of ``export NAME=value`` lines that a shell reads, so there
is no escaping of ``$(…)``, a backtick or ``$NAME`` inside of a text, and a list or mapping falls apart into words,
each of which can set a variable of its own (``LD_PRELOAD=…``). Early pods had the values in their command, some between
single quotes, which a quote in the value ends. Such values are refused, unless the flow's owner allows them. The whole
payload goes into an environment variable, without a shell: there ``$`` is written as ``\u0024``, since the kubelet
expands ``$(NAME)`` and ``$$``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bridge.core.runs.parameters import ParameterError, check_template_tags, payload_json

Encoding = Literal["json", "json-early", "json-twice", "json-quoted", "text", "event", "default"]

_WHOLE_BELOW = 1e21  # Go writes larger floats with an exponent
_EVALUATED = re.compile(r"[$`]")
_IN_QUOTES = frozenset({"json-early", "json-quoted", "text"})


@dataclass(frozen=True)
class FieldParameter:
    """A Workflow parameter that an event fills.

    Attributes:
        parameter: Name of the parameter.
        slot: Variable of the slot whose event fills it.
        field: Field of the payload; None for the whole payload.
        encoding: How its value becomes text.
        missing: Text where the event does not have the field; None where no run can be made then.
        left_out: Text where the match has no event for the slot; None keeps the parameter as it is.

    """

    parameter: str
    slot: str
    field: str | None
    encoding: Encoding
    missing: str | None
    left_out: str | None


def field_text(parameter: FieldParameter, payload: Mapping[str, Any], *, allow_shell: bool) -> str:
    """Return the text that an event's payload gives to a parameter (the table above).

    Args:
        parameter: The parameter.
        payload: Payload of the slot's event.
        allow_shell: Let values through that the pod's shell evaluates.

    Raises:
        ParameterError: The field is not there and there is no text for that, or its value has no harmless text.

    """
    encoding = parameter.encoding
    if parameter.field is not None and (parameter.field not in payload or encoding == "default"):
        if parameter.missing is None:
            reason = f"the payload has no field {parameter.field!r}, and the Sensor no default"
            raise ParameterError(f"parameter {parameter.parameter!r}: {reason}")
        return parameter.missing
    try:
        if parameter.field is None:
            return payload_json(_as_go_writes(payload)).replace("$", "\\u0024")
        value = _as_go_writes(payload[parameter.field])
        if encoding == "text" and isinstance(value, str):
            check_template_tags(value)
            text = value
        else:
            text = _json(value)
            if encoding == "json-quoted":
                text = f"'{text}'"
            elif encoding == "json-twice" and not isinstance(value, str):
                text = _json(text)
        if not allow_shell:
            _refuse_evaluated(value, text, encoding)
    except ParameterError as error:
        raise ParameterError(f"parameter {parameter.parameter!r}: {error}") from error
    return text


def event_payload(payload: Mapping[str, Any], name: str, id_: str, seconds: int) -> Mapping[str, Any]:
    """Return a payload with the fields by which Metaflow knows an event, where its publisher gave none.

    ``current.trigger`` is built from ``name``, ``id`` and ``timestamp``; events that come through the gateway have
    them already.

    Args:
        payload: Payload of the event.
        name: Name of the event.
        id_: Id of the event.
        seconds: Time of the event, in seconds since the epoch.

    """
    return {"name": name, "id": id_, "timestamp": seconds, **payload}


def _refuse_evaluated(value: Any, text: str, encoding: Encoding) -> None:
    allow = "allow it with flowbridge.dev/allow-shell, if all who publish this event may run commands there"
    if _EVALUATED.search(text):
        raise ParameterError(f"the value holds '$' or a backtick, which the shell of Metaflow's pod evaluates; {allow}")
    if encoding in _IN_QUOTES and "'" in (text[1:-1] if encoding == "json-quoted" else text):
        raise ParameterError(f"the value holds a quote, which ends the text for the shell of Metaflow's pod; {allow}")
    if encoding == "json" and not _is_one_word(value):
        raise ParameterError(
            f"a list or mapping falls apart in the shell of Metaflow's pod; make the Parameter a JSONType, or {allow}"
        )


def _is_one_word(value: Any) -> bool:
    """Tell whether a shell reads the JSON of ``value`` as one word: no list or mapping with more than one part."""
    if isinstance(value, Mapping):
        return not value
    if isinstance(value, list | tuple):
        return not value or (len(value) == 1 and _is_one_word(value[0]))
    return True


def _as_go_writes(value: Any) -> Any:
    """Return ``value`` with its floats without a fraction as integers, at any depth."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _WHOLE_BELOW else value
    if isinstance(value, Mapping):
        return {name: _as_go_writes(member) for name, member in value.items()}
    return [_as_go_writes(member) for member in value] if isinstance(value, list | tuple) else value


def _json(value: Any) -> str:
    """Return compact JSON that holds no template tag, as :func:`payload_json` writes it for a mapping."""
    return payload_json({"": value})[len('{"":') : -1]
