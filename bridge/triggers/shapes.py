"""The shape of documents as pydantic models, and the misfits of a document that has another shape.

Fields that a model does not have are refused, so that a misspelt field is never silently without effect.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from bridge.triggers.errors import FieldPath, Misfit, quote_value
from flowbridge_sdk.avro.misfit import MisfitError


class Part(BaseModel):
    """A part of a document. Its names in YAML are camelCase, and other names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Shapes = Mapping[tuple[str, ...], str]
"""How parts are written, by the names on the way to them: a mapping, or a list of mappings that have a name.

People often write only the value that matters in a part.
"""


def misfits_of(error: ValidationError, whole: type[Part], shapes: Shapes) -> list[Misfit]:
    """Return the misfits of a document, with their places.

    Args:
        error: The error of pydantic.
        whole: The model of the whole document.
        shapes: How its parts are written.

    """
    return [_misfit(detail, whole, shapes) for detail in error.errors(include_url=False)]


def _misfit(detail: Any, whole: type[Part], shapes: Shapes) -> Misfit:
    path: FieldPath = tuple(detail["loc"])
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, MisfitError):
        return path, cause
    if detail["type"] == "extra_forbidden":
        places = [place for place, name in _all_fields(whole) if name == path[-1]]
        places.sort(key=lambda place: place.count("."))
        if places:
            return path, MisfitError("there is no such field here", f"write it in {' or '.join(places)}")
        part = whole
        for step in path[:-1]:
            fields = {info.alias or name: info for name, info in part.model_fields.items()}
            if isinstance(step, str):
                part = _part_of(fields[step].annotation)
        known = [info.alias or name for name, info in part.model_fields.items()]
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        expected = f"did you mean {near[0]}?" if near else f"known here are {', '.join(known)}"
        return path, MisfitError("there is no such field", expected)
    names = tuple(step for step in path if isinstance(step, str))
    if detail["type"] == "missing":
        return path, MisfitError("it is missing", f"write {path[-1]}: {shapes.get(names, '…')}")
    value = detail["input"]
    if detail["type"] in _SHAPELESS and names in shapes:
        # A value stands where a mapping or a list with it belongs.
        is_plain = isinstance(value, str | int) and not isinstance(value, bool)
        text = f"'{value}'" if str(value).startswith(("*", "0 ")) else str(value)
        if not shapes[names].startswith("["):
            expected = f"write {names[-1]}: {shapes[names].replace('…', text if is_plain else '…')}"
        elif isinstance(path[-1], int):
            expected = f"write - name: {text}" if is_plain else "write a mapping, as - name: order.created"
        else:
            expected = f"write a list, as - name: {text if is_plain else 'order.created'}"
    elif detail["type"] == "too_long":
        expected = f"write at most {detail['ctx']['max_length']} entries"
    else:
        expected = _EXPECTED.get(detail["type"]) or detail["msg"].replace("Input should be", "write").replace("'", "")
    return path, MisfitError(f"found {quote_value(value)}", expected)


_EXPECTED = {
    "model_type": "write a mapping {name: value}",
    "model_attributes_type": "write a mapping {name: value}",
    "list_type": "write a list, each entry behind a '-'",
    "bool_type": "write true or false",
    "too_short": "write one entry at least",
}


_SHAPELESS = frozenset({"model_type", "model_attributes_type", "list_type"})


def _all_fields(part: type[Part], place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place and the name of each field of a part and of the parts inside it."""
    for name, info in part.model_fields.items():
        alias = info.alias or name
        if place:
            yield place, alias
        inner = [member for member in (info.annotation, *_arguments(info.annotation)) if _is_part(member)]
        for member in inner:
            is_list = member is not info.annotation and "list" in str(info.annotation)
            yield from _all_fields(member, f"{place}.{alias}".removeprefix(".") + ("[…]" if is_list else ""))


def _arguments(annotation: Any) -> Iterator[Any]:
    for member in get_args(annotation):
        yield member
        yield from _arguments(member)


def _is_part(annotation: Any) -> TypeGuard[type[Part]]:
    return isinstance(annotation, type) and issubclass(annotation, Part)


def _part_of(annotation: Any) -> type[Part]:
    """Return the part in an annotation: the annotation itself, or the part inside a list or an optional."""
    if _is_part(annotation):
        return annotation
    return next(_part_of(member) for member in get_args(annotation) if member is not type(None))
