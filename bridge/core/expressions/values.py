"""Values on their way into CEL and out of it: the types that the engine lacks, and the sizes of values."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from cel_expr_python import cel

MEMBER_COST = 200
"""Nanoseconds to weigh a member of a list and hand it to the engine (measured: 150 to 200)."""

PAIR_COST = 1_000
"""The same for a name and a value of a mapping (measured: 800)."""

MAPPING_COST = 1_500
"""The same for a mapping itself."""

WALK_COST = 3_500
"""The same for a member that has to be looked into: a list, a decimal, a UUID."""

TIME_COST = 5_000
"""The same for a moment or a duration."""

SCALARS = frozenset({str, int, float, bool, type(None), bytes, dt.datetime})
"""Types that hold nothing else, and leave an expression as they are."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZERO = "\x00"
_FLAT = frozenset({str, float, bool, type(None)})
_FLAT_OR_INT = _FLAT | {int}
_WIDEST_INT = 2**63
_TYPE_NAMES = {"null": "null_type", "timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}

Spend = Callable[[float], None]
"""Takes nanoseconds off a budget; raises where it is used up."""


class Shape(NamedTuple):
    """How large a value is at most.

    Attributes:
        text: Bytes of all texts in it, at any depth.
        members: Members of all lists and mappings in it, at any depth.
        width: Members right below.
        item: The shape that covers each of its members, or None where it has none.

    """

    text: int = 0
    members: int = 0
    width: int = 0
    item: Shape | None = None


TINY = Shape()
"""The shape of values of a bounded size: a number, a bool, a moment."""


def wider(shape: Shape | None, other: Shape | None) -> Shape | None:
    """Return a shape that covers both."""
    if shape is None or other is None or shape is other:
        return shape if other is None else other
    return Shape(
        max(shape.text, other.text),
        max(shape.members, other.members),
        max(shape.width, other.width),
        wider(shape.item, other.item),
    )


def admitted(value: Any, spend: Spend) -> tuple[Any, Shape]:
    """Return ``value`` as the engine takes it, and its shape.

    Raises:
        TypeError: CEL has no type for it.

    """
    kind = type(value)
    if kind is str:
        if ZERO in value:  # as a message: of a text the binding takes only the part before the zero
            from google.protobuf import wrappers_pb2  # noqa: PLC0415 - hardly any text has one

            return wrappers_pb2.StringValue(value=value), Shape(_width(value))
        return value, Shape(_width(value))
    if kind in _FLAT:
        return value, TINY
    if isinstance(value, Mapping):
        spend(MAPPING_COST + PAIR_COST * len(value))
        members = value.values()
        if holds_zero(value):
            raise TypeError("CEL has no name with a zero character in it")
        if kind is dict and _are_flat(members):  # the commonest member of a list; and no other is slower
            widths = [_width(member) for member in members if type(member) is str]
            names = [_width(name) if type(name) is str else 8 for name in value]
            item = Shape(max(max(widths, default=0), max(names, default=0)))
            return value, Shape(sum(widths) + sum(names), len(value), len(value), item if names else None)
        spend(WALK_COST * len(value))
        pairs = [(name, *admitted(member, spend)) for name, member in value.items()]
        shapes = [shape for _, _, shape in pairs]
        shapes += [Shape(_width(name) if isinstance(name, str) else 8) for name in value]
        return {name: member for name, member, _ in pairs}, _around(shapes, len(pairs))
    if isinstance(value, list | tuple):
        spend(MEMBER_COST * len(value))
        whole = value if type(value) is list else list(value)
        if _are_flat(whole):
            texts = [member for member in whole if type(member) is str]
            factor = 1 if all(map(str.isascii, texts)) else 4
            lengths = list(map(len, texts))
            item = Shape(max(lengths, default=0) * factor)
            return whole, Shape(sum(lengths) * factor, len(whole), len(whole), item if whole else None)
        spend(WALK_COST * len(whole))
        weighed = [admitted(member, spend) for member in whole]
        return [member for member, _ in weighed], _around([shape for _, shape in weighed], len(whole))
    if isinstance(value, dt.datetime | dt.timedelta):
        spend(TIME_COST)
        return _time(value), TINY
    return _scalar(value)


def _are_flat(members: Collection[Any]) -> bool:
    """Tell whether the engine takes all of these as they are."""
    kinds = set(map(type, members))
    if not kinds <= _FLAT_OR_INT or (str in kinds and holds_zero(members)):
        return False
    return int not in kinds or all(-_WIDEST_INT <= member < _WIDEST_INT for member in members if type(member) is int)


def small_size(value: Any, limit: int) -> int:
    """Return text's bytes and members of a short flat list or mapping, and more than ``limit`` for anything else."""
    if type(value) is list:
        members: Collection[Any] = value
    elif type(value) is dict:
        members = value.values()
    else:
        return limit + 1
    if len(members) > limit or not _are_flat(members):
        return limit + 1
    if members is not value and holds_zero(value):
        return limit + 1
    names = 32 * len(members) if members is not value else 0
    return names + len(members) + sum([4 * len(member) for member in members if type(member) is str])


def _around(shapes: list[Shape], count: int) -> Shape:
    """Return the shape of a list or mapping whose members have these shapes."""
    item: Shape | None = None
    for shape in shapes:
        item = wider(item, shape)
    text = sum([shape.text for shape in shapes])
    return Shape(text, count + sum([shape.members for shape in shapes]), count, item)


def _scalar(value: Any) -> tuple[Any, Shape]:
    if isinstance(value, int):
        if -_WIDEST_INT <= value < _WIDEST_INT:
            return value, TINY
        try:
            return float(value), TINY
        except OverflowError:
            return float("inf" if value > 0 else "-inf"), TINY
    if isinstance(value, decimal.Decimal):
        return float(value), TINY
    if isinstance(value, float):
        return value, TINY
    if isinstance(value, bytes | bytearray):  # of `bytes` the binding takes only the part before a zero
        return bytearray(value), Shape(len(value))
    if isinstance(value, uuid.UUID):
        return str(value), Shape(36)
    if isinstance(value, dt.time | dt.date):
        return value.isoformat(), Shape(40)
    if isinstance(value, str):
        return admitted(str(value), lambda _: None)
    if type(value).__name__ in {"Timestamp", "Duration", "StringValue"}:  # admitted before, on its way through a loop
        return value, TINY
    raise TypeError(f"CEL has no type for {type(value).__name__}")


def holds_zero(members: Iterable[Any]) -> bool:
    """Return whether any text among ``members`` holds a zero character."""
    return ZERO in "".join([member for member in members if type(member) is str])


def _time(value: dt.datetime | dt.timedelta) -> Any:
    """Return a moment or a duration as a message: the engine takes Python's own only where it is told to expect it."""
    from google.protobuf import duration_pb2, timestamp_pb2  # noqa: PLC0415 - few expressions read times; 15 ms

    if isinstance(value, dt.timedelta):
        micros = value // dt.timedelta(microseconds=1)
        seconds, rest = divmod(abs(micros), 1_000_000)
        sign = 1 if micros >= 0 else -1
        return duration_pb2.Duration(seconds=sign * seconds, nanos=sign * rest * 1000)
    aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
    micros = (aware - _EPOCH) // dt.timedelta(microseconds=1)
    seconds, rest = divmod(micros, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1000)


def _width(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)


def plain(value: Any) -> Any:
    """Return ``value`` with texts in place of values that CEL has no type for, at any depth."""
    if isinstance(value, Mapping):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dt.time) or (isinstance(value, dt.date) and type(value) not in SCALARS):
        return value.isoformat()
    return value


def returned(value: Any) -> Any:
    """Return a result of the engine with our types, and with mappings in the order of their keys: CEL has no order."""
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, Mapping):
        return {name: returned(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, list):
        return [returned(member) for member in value]
    if isinstance(value, cel.Type):  # the engine says `LIST<DYN>`, `NULL`, `TIMESTAMP`, and CEL calls them otherwise
        name = str(value.name()).partition("<")[0].lower()
        return _TYPE_NAMES.get(name, name)
    return value


def total(shapes: Iterable[Shape]) -> int:
    """Return texts' bytes and members of several values together."""
    return sum([shape.text + shape.members for shape in shapes])
