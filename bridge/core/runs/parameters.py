r"""The text of parameter values: data on its way into a Workflow, so that nothing on that way evaluates it.

Argo evaluates ``{{…}}`` inside parameter values. So JSON text carries ``{{`` as ``{\u007b`` (the same JSON, inert for
Argo), and a raw string that holds ``{{`` is an error, unless its trigger allows it. JSON text also carries control
characters, DEL and lone surrogates as escapes only.

A template may write several parameters next to each other, and Argo evaluates the joined text. A tag cannot
form across such a seam, because no text ends with ``{``: JSON text never does, and a raw string that does is an error.
A raw string that begins with ``{`` is an error as well, unless it reads as JSON does (``{"`` or ``{}``, with whitespace
between), which is never the beginning of a tag: so a text of the template's own that ends with ``{`` opens no tag.

======================  ===================================================  =======================
value                   text of a parameter                                  inside JSON
======================  ===================================================  =======================
str                     as it is                                             string
None                    ``null``                                             null
bool                    ``true``, ``false``                                  true, false
int                     decimal digits                                       number
float                   shortest text that reads back the same; no NaN       number
bytes                   base64                                               string
datetime                RFC 3339, UTC, ``Z`` (without a zone: read as UTC)   string
date, time              ISO 8601                                             string
Decimal                 plain digits, never an exponent; no NaN              string (exact)
UUID                    its usual text                                       string
list, tuple, mapping    compact JSON                                         array, object
======================  ===================================================  =======================

Anything else is an error.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite, isnan
from typing import Any
from uuid import UUID

PARAMETERS_LIMIT = 65_536
"""Bytes of all parameters of a run, names and texts. One environment variable of a pod holds 131,072."""

_DECIMAL_DIGITS = 4_096  # Avro decimals stay far below; a Decimal("1e9999999") would write ten million digits
_LONG = 2**63
_UTF8 = 4  # bytes of a character, at most
_TEMPLATE_TAG = "{{"
_INERT_TAG = "{\\u007b"
_SEAM = re.compile(r'\{(?!\s*["}])')  # a beginning that continues a tag that was opened before it
_UNWRITABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # json itself escapes the characters below 0x20


class ParameterError(ValueError):
    """A value that cannot become a parameter: of no known type, not finite, evaluated by Argo, or too large.

    Its text never quotes the value.
    """


def parameter_text(value: Any, *, allow_template_tags: bool) -> str:
    """Return the text that a Workflow parameter takes for ``value`` (the table above).

    Args:
        value: A plain Python value.
        allow_template_tags: Strings may hold ``{{``, or a part of it at an end. JSON text never does.

    Raises:
        ParameterError: The value has no such text.

    """
    kind = type(value)
    if kind is str:
        return _raw_text(value, allow_template_tags=allow_template_tags)
    if (kind is int and -_LONG <= value <= _LONG) or (kind is float and isfinite(value)):
        return repr(value)  # the text that JSON gives, in a tenth of the time
    if value is None or isinstance(value, (bool, int, float)):
        return _json_text(value)
    if isinstance(value, (Mapping, list, tuple)):
        return _json_text(value)
    if not isinstance(value, str):
        value = _plain(value)
    return _raw_text(str(value), allow_template_tags=allow_template_tags)


def payload_json(payload: Mapping[str, Any]) -> str:
    """Return a whole payload as compact JSON text, under the same rules.

    Raises:
        ParameterError: A value in it has no text.

    """
    return _json_text(payload)


def carried_payload(payload: Mapping[str, Any]) -> str:
    """Return a payload as :func:`default_parameters` takes it: the JSON text of each field that has one.

    Which of its fields become parameters only the WorkflowTemplate says, so a field without a text is no error yet. It
    is carried as ``[NaN,"why"]``. No field that has a text reads like that, and version 0.1.0 refuses it by its name
    as well.
    """
    try:
        return _json_text(payload)
    except ParameterError:  # of some field; so each is written by itself
        fields = []
        for name, value in payload.items():
            try:
                fields.append(_json_text({name: value})[1:-1])
            except ParameterError as error:
                fields.append(f"{_json_text(name)}:[NaN,{_json_text(str(error))}]")
        return "{" + ",".join(fields) + "}"


def default_parameters(names: Iterable[str], payload: str, *, allow_template_tags: bool) -> tuple[tuple[str, str], ...]:
    """Return the default mapping: each parameter takes the payload's top-level field of the same name.

    A parameter without such a field is left out, so that the WorkflowTemplate's own default holds. Each text is the
    one that :func:`parameter_text` gives for the field itself.

    Args:
        names: Parameters of the WorkflowTemplate.
        payload: The text of :func:`carried_payload`.
        allow_template_tags: Strings may hold ``{{``.

    Raises:
        ParameterError: A field has no text; the error names the parameter.

    """
    fields = json.loads(payload)
    if not isinstance(fields, dict):
        raise ParameterError(f"a payload is a JSON object, found {type(fields).__name__}")
    parameters = []
    for name in names:
        if name not in fields:
            continue
        value = fields[name]
        if isinstance(value, list) and value and isinstance(value[0], float) and isnan(value[0]):
            raise ParameterError(f"parameter {name!r}: {value[-1]}")
        parameters.append((name, named_text(name, value, allow_template_tags=allow_template_tags)))
    return tuple(parameters)


def named_text(name: str, value: Any, *, allow_template_tags: bool) -> str:
    """Return :func:`parameter_text` of a value; an error begins with the parameter's name.

    Raises:
        ParameterError: The value has no text.

    """
    try:
        return parameter_text(value, allow_template_tags=allow_template_tags)
    except ParameterError as error:
        raise ParameterError(f"parameter {name!r}: {error}") from error


def check_size(parameters: Sequence[tuple[str, str]]) -> None:
    """Refuse the parameters of a run that are too large together.

    Raises:
        ParameterError: Names and texts have more than :data:`PARAMETERS_LIMIT` bytes.

    """
    characters = 0
    for name, text in parameters:
        characters += len(name) + len(text)
    if _UTF8 * characters <= PARAMETERS_LIMIT:
        return  # nearly always, and without encoding them
    size = sum([len(name.encode()) + len(text.encode()) for name, text in parameters])
    if size > PARAMETERS_LIMIT:
        raise ParameterError(f"the parameters of a run have at most {PARAMETERS_LIMIT} bytes together, found {size}")


def check_template_tags(text: str) -> None:
    """Refuse a raw text in which Argo finds a template tag, alone or next to other texts.

    Raises:
        ParameterError: It holds ``{{``, ends with ``{``, or begins with ``{`` and not as JSON does.

    """
    if _TEMPLATE_TAG in text:
        raise ParameterError("the text holds '{{', which Argo would evaluate")
    if text.endswith("{"):
        raise ParameterError("the text ends with '{', which Argo would evaluate together with a text that follows it")
    if _SEAM.match(text):
        raise ParameterError(
            "the text begins with '{' and is no JSON object, and Argo would evaluate it after a text that ends with '{'"
        )


def inert(text: str) -> str:
    """Return text in which Argo finds nothing to evaluate; JSON text keeps its meaning."""
    return text.replace(_TEMPLATE_TAG, _INERT_TAG) if _TEMPLATE_TAG in text else text


def _raw_text(text: str, *, allow_template_tags: bool) -> str:
    if not allow_template_tags and "{" in text:
        try:
            check_template_tags(text)
        except ParameterError as error:
            raise ParameterError(f"{error}; set run.allowTemplateTags if this trigger's events may do that") from error
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ParameterError("the text holds half of a surrogate pair, which no encoding can carry")
    return text


def _json_text(value: Any) -> str:
    try:
        text = _ENCODER.encode(value)
    except ParameterError:
        raise
    except RecursionError as error:
        raise ParameterError("the value is nested too deeply, or holds itself") from error
    except ValueError as error:
        raise ParameterError(f"JSON has no such number: {error}") from error
    except TypeError as error:
        raise ParameterError(f"JSON has no such key: {error}") from error
    if "\x7f" in text or not text.isascii():
        text = _UNWRITABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return inert(text)


def _plain(value: object) -> Any:
    """Return a value that JSON has for one of a type that it lacks; called by the encoder, too."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        try:
            return aware.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        except OverflowError as error:
            raise ParameterError("a time that is not between the years 1 and 9999 in UTC") from error
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ParameterError("a number must be finite")
        _, digits, exponent = value.as_tuple()
        length = len(digits) + abs(int(exponent))
        if length > _DECIMAL_DIGITS:
            raise ParameterError(f"a decimal has at most {_DECIMAL_DIGITS} digits written out, found {length}")
        return format(value, "f")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, timedelta):
        raise ParameterError("a duration has no text of its own; write string(...) around it")
    raise ParameterError(f"a parameter cannot be made of a value of type {type(value).__name__}")


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_plain
)
