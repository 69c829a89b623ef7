"""Writers of models' objects. Each is made once for a type, so that no event is inspected."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any

from flowbridge_sdk.avro.encoding import Write, check_depth, write_varint
from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.avro.reading import DEPTH_LIMIT
from flowbridge_sdk.avro.writing import union_writer


def object_writer(model: type, attributes: Sequence[tuple[str, str]], writes: Sequence[Write]) -> Write:
    """Return the writer of a model's objects.

    Args:
        model: The model.
        attributes: The names of its attributes, each with the name of its field.
        writes: Their writers.

    """
    parts, names = [part for part, _ in attributes], [name for _, name in attributes]
    get: Callable[[Any], tuple[Any, ...]] = (
        attrgetter(*parts)
        if len(parts) > 1
        else lambda value: tuple(getattr(value, part) for part in parts)  # of a single one, attrgetter makes no tuple
    )
    expected = f"{'an' if model.__name__[0] in 'AEIOUaeiou' else 'a'} {model.__name__}"

    classes = {model}  # and its subclasses without attributes of their own

    def write_object(out: bytearray, value: object, depth: int) -> None:
        if type(value) not in classes:
            if not isinstance(value, model):
                raise MisfitError.of(value, expected)
            if _names_of(type(value)) != _names_of(model):  # they would be lost
                raise MisfitError(
                    f"a {type(value).__name__}, which has attributes of its own", f"{expected}, and none of these"
                )
            classes.add(type(value))
        if depth >= DEPTH_LIMIT:
            check_depth(value, depth)
        inner = depth + 1
        name = names[0] if names else ""
        try:
            for name, write, item in zip(names, writes, get(value), strict=True):  # noqa: B007 - the error names it
                write(out, item, inner)
        except MisfitError as misfit:
            raise misfit.inside(name) from None
        except AttributeError as error:
            raise MisfitError(f"no attribute {error.name!r}", "it has no value").inside(str(error.name)) from None

    return write_object


def typed_union_writer(branches: Sequence[tuple[Any, Write, tuple[type, ...]]]) -> Write:
    """Return the writer of a union, which knows the branch by the type of the value.

    A value of a type that it does not know, or that two branches take, is tried at each branch.

    Args:
        branches: The schema, the writer and the Python types of each branch.

    """
    kinds = Counter(kind for _, _, own in branches for kind in set(own))
    by_kind = {
        kind: (index, write) for index, (_, write, own) in enumerate(branches) for kind in own if kinds[kind] == 1
    }
    inexact = [schema in ("float", "double") for schema, _, _ in branches]  # an int fits these too
    order = sorted(range(len(branches)), key=inexact.__getitem__)
    write_any = union_writer([(index, branches[index][1]) for index in order], len(branches))

    def write_union(out: bytearray, value: object, depth: int) -> None:
        branch = by_kind.get(type(value))
        if branch is None:
            write_any(out, value, depth)
            return
        index, write = branch
        write_varint(out, index)
        write(out, value, depth)

    return write_union


def member_writer(kind: type[Enum], write: Write) -> Write:
    """Return the writer of an Enum's values. A value may stand for its member, as with pydantic's use_enum_values."""
    values = {member.value for member in kind}

    def write_member(out: bytearray, value: object, depth: int) -> None:
        plain = value.value if isinstance(value, kind) else value
        if not isinstance(plain, str | int) or plain not in values:
            raise MisfitError.of(value, f"a member of {kind.__name__}")
        write(out, plain, depth)

    return write_member


def symbol_writer(symbols: Sequence[str], kind: type[Enum] | None = None) -> Write:
    """Return the writer of an enum: of its symbols, and of the members that stand for them in the same order."""
    index_of: dict[Any, int] = {symbol: index for index, symbol in enumerate(symbols)}
    if kind is not None:
        index_of |= {member: index for index, member in enumerate(kind)}
    kinds = (str,) if kind is None else (str, kind)

    def write_symbol(out: bytearray, value: object, _depth: int) -> None:
        index = index_of.get(value) if isinstance(value, kinds) else None
        if index is None:
            raise MisfitError.of(value, f"one of {', '.join(symbols[:20])}")
        write_varint(out, index)

    return write_symbol


def choice_writer(values: Sequence[Any], write: Write) -> Write:
    """Return the writer of a Literal's values, which ``write`` appends."""

    def write_choice(out: bytearray, value: object, depth: int) -> None:
        if value not in values:
            raise MisfitError.of(value, f"one of {', '.join(map(repr, values[:20]))}")
        write(out, value, depth)

    return write_choice


def _names_of(model: Any) -> list[str]:
    fields = getattr(model, "model_fields", None)  # pydantic's
    return [part.name for part in dataclasses.fields(model)] if fields is None else list(fields)
