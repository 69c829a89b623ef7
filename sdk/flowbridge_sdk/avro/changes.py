"""What differs between two Avro schemas, and whether one of them reads what the other one wrote.

The rules of reading are those of Avro's specification (schema resolution), with two additions, because a value that is
read must also mean what it meant. Decimals match if their digits do, and logical types that differ do not match: a
number of milliseconds is no number of microseconds. A logical type that comes or goes is a change and no fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.avro.writing import WriterCompiler

if TYPE_CHECKING:
    from flowbridge_sdk.schemas import EventSchema

_RECORDS = ("record", "error")
_PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
"""Types that a reader may have in place of the writer's."""

Path: TypeAlias = tuple[str, ...]
_Definition: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """A part of a schema by which a reader cannot read what a writer wrote.

    Attributes:
        path: The field, as in ``lines[].price``; empty for the record itself. ``{}`` stands for the values of a map.
        rule: The rule that is broken, in a few words.
        reader: What the reader's schema has there.
        writer: What the writer's schema has there.

    """

    path: str
    rule: str
    reader: str
    writer: str

    def __str__(self) -> str:
        return f"{self.path or 'the whole'}: {self.rule}; the reader has {self.reader}, the writer {self.writer}"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two schemas.

    Attributes:
        path: The field, as in :class:`Incompatibility`.
        kind: ``added``, ``removed``, ``type``, ``name``, ``symbols``, ``default``, ``aliases``, ``order`` or ``doc``.
        text: What changed, in a few words.
        before: What was there; None for nothing.
        after: What is there now; None for nothing.

    """

    path: str
    kind: str
    text: str
    before: Any
    after: Any

    @property
    def matters(self) -> bool:
        """Whether it changes the bytes of a value, or what they mean."""
        return self.kind not in ("default", "aliases", "doc")

    def __str__(self) -> str:
        return f"{self.path or 'the whole'}: {self.text}"


class _Side:
    """A schema and its named types."""

    def __init__(self, schema: EventSchema) -> None:
        self.root: Any = schema.parsed
        self._types = schema.types

    def at(self, part: Any) -> Any:
        """Return a part, which is a name or spelled out: a list for a union, else a mapping with its type."""
        if isinstance(part, str):
            return self._types.get(part) or {"type": part}
        return part

    def default_misfit(self, field: _Definition) -> MisfitError | None:
        """Return why the default of a field does not fit it; None if it does."""
        try:
            WriterCompiler(self._types, "default").compile(field["type"])(bytearray(), field["default"], 0)
        except MisfitError as misfit:
            return misfit
        return None


def kind_text(part: Any) -> str:
    """Return a part of a schema as people call it: ``long``, ``decimal(12, 2)``, ``record shop.Line``."""
    if isinstance(part, list):
        return " | ".join(kind_text(branch) for branch in part) or "an empty union"
    if isinstance(part, str):
        return part
    kind, logical = part["type"], part.get("logicalType")
    if logical == "decimal":
        return f"decimal({part['precision']}, {part.get('scale', 0)})" + (f" on {kind}" if kind == "fixed" else "")
    if logical:
        return f"{logical} on {kind}"
    match kind:
        case "array":
            return f"array of {kind_text(part['items'])}"
        case "map":
            return f"map of {kind_text(part['values'])}"
        case "fixed":
            return f"fixed {part['name']} of {part['size']} bytes"
        case "record" | "error" | "enum":
            return f"{kind} {part['name']}"
    return str(kind)


def _text(path: Path) -> str:
    text = ""
    for part in path:
        text += part if part in ("[]", "{}") or part.startswith("<") or not text else f".{part}"
    return text


def _meaning(part: _Definition) -> tuple[Any, ...] | None:
    logical = part.get("logicalType")
    return None if logical is None else (logical, part.get("precision"), part.get("scale", 0))


def _same_name(reader: _Definition, writer: _Definition) -> bool:
    """Return whether two types have one name, their namespaces left out, or the reader knows the writer's as an alias.

    An alias without a dot is in the namespace of the type that has it.
    """
    name, old = str(reader["name"]), str(writer["name"])
    if name.rpartition(".")[2] == old.rpartition(".")[2]:
        return True
    space = name.rpartition(".")[0]
    aliases = (alias if "." in alias or not space else f"{space}.{alias}" for alias in reader.get("aliases", ()))
    return old in aliases


def _by_field(reader: _Definition, writer: _Definition) -> Iterator[tuple[_Definition, _Definition | None]]:
    """Yield each field of a reader's record with the writer's that it takes its value from, by name or by alias."""
    written = {part["name"]: part for part in writer["fields"]}
    for part in reader["fields"]:
        names = (part["name"], *part.get("aliases", ()))
        yield part, next((written[name] for name in names if name in written), None)


def incompatibilities(reader: EventSchema, writer: EventSchema) -> list[Incompatibility]:
    """Return why the values of a writer's schema cannot be read by a reader's; nothing if all can."""
    return _Resolution(reader, writer).found()


class _Resolution:
    """The reading of all values of one schema by another one.

    Types that hold themselves make the question circular. A pair of named types under way counts as compatible. If it
    turns out not to be, all is looked at again with that known, until nothing new turns up.
    """

    def __init__(self, reader: EventSchema, writer: EventSchema) -> None:
        self._reader, self._writer = _Side(reader), _Side(writer)
        self._known_bad: dict[tuple[str, str], list[Incompatibility]] = {}
        self._seen: dict[tuple[str, str], list[Incompatibility]] = {}

    def found(self) -> list[Incompatibility]:
        """Return all that is wrong, each once."""
        while True:
            self._seen = {}
            found = self._between(self._reader.root, self._writer.root, ())
            bad = {pair: wrong for pair, wrong in self._seen.items() if wrong}
            if bad.keys() <= self._known_bad.keys():
                return found
            self._known_bad |= bad

    def _between(self, reading: Any, writing: Any, path: Path) -> list[Incompatibility]:
        reader, writer = self._reader.at(reading), self._writer.at(writing)
        if isinstance(writer, list):
            found: list[Incompatibility] = []
            for branch in writer:
                found += self._between(reading, branch, path)
            return list(dict.fromkeys(found))
        if isinstance(reader, list):
            tries = [self._between(branch, writing, path) for branch in reader]
            if any(not wrong for wrong in tries):
                return []
            # a branch of the same type says where it fails; for others it suffices that none takes the value
            for branch, wrong in zip(reader, tries, strict=True):
                if self._reader.at(branch)["type"] == writer["type"] and any(
                    part.path != _text(path) for part in wrong
                ):
                    return wrong
            return [self._wrong(path, "no branch of the reader's union takes it", reader, writer)]
        if "name" not in reader or "name" not in writer:
            return self._single(reader, writer, path)
        pair = str(reader["name"]), str(writer["name"])
        if pair not in self._seen:
            self._seen[pair] = self._known_bad.get(pair, [])  # while it is under way
            self._seen[pair] = list(dict.fromkeys(self._single(reader, writer, path)))
        return self._seen[pair]

    def _single(self, reader: _Definition, writer: _Definition, path: Path) -> list[Incompatibility]:
        kind, written = reader["type"], writer["type"]
        before, after = _meaning(writer), _meaning(reader)
        if kind != written and kind not in _PROMOTIONS.get(written, ()):
            return [self._wrong(path, "the types differ", reader, writer)]
        if before is not None and after is not None and before != after:
            rule = "the digits differ" if before[0] == after[0] == "decimal" else "the logical types differ"
            return [self._wrong(path, rule, reader, writer)]
        if kind != written:
            return []
        match kind:
            case "array":
                return self._between(reader["items"], writer["items"], (*path, "[]"))
            case "map":
                return self._between(reader["values"], writer["values"], (*path, "{}"))
            case "record" | "error" | "enum" | "fixed" if not _same_name(reader, writer):
                return [self._wrong(path, "the names differ, and no alias of the reader says so", reader, writer)]
            case "fixed" if reader["size"] != writer["size"]:
                return [self._wrong(path, "the sizes differ", reader, writer)]
            case "enum":
                missing = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
                if missing and reader.get("default") not in reader["symbols"]:
                    symbols = ", ".join(missing)
                    rule = f"the reader has no symbol {symbols}, and no default for those that it does not know"
                    own, others = ", ".join(reader["symbols"]), ", ".join(writer["symbols"])
                    return [Incompatibility(_text(path), rule, own, others)]
            case "record" | "error":
                return self._record(reader, writer, path)
        return []

    def _record(self, reader: _Definition, writer: _Definition, path: Path) -> list[Incompatibility]:
        found: list[Incompatibility] = []
        for part, source in _by_field(reader, writer):
            inner = (*path, part["name"])
            if source is not None:
                found += self._between(part["type"], source["type"], inner)
                continue
            rule = "the reader asks for the field and has no default for it"
            if "default" in part:
                misfit = self._reader.default_misfit(part)
                if misfit is None:
                    continue
                rule = f"the reader's default does not fit the field: found {misfit.found}, expected {misfit.expected}"
            found.append(Incompatibility(_text(inner), rule, kind_text(part["type"]), "no such field"))
        return found

    @staticmethod
    def _wrong(path: Path, rule: str, reader: Any, writer: Any) -> Incompatibility:
        return Incompatibility(_text(path), rule, kind_text(reader), kind_text(writer))


def changes(before: EventSchema, after: EventSchema) -> list[Change]:
    """Return what changed from one schema to another, field by field, in the order of the new one."""
    seen: set[tuple[str, str]] = set()
    return list(_changes(_Side(before), _Side(after), before.parsed, after.parsed, (), seen))


def _changes(old: _Side, new: _Side, was: Any, now: Any, path: Path, seen: set[tuple[str, str]]) -> Iterator[Change]:
    before, after, where = old.at(was), new.at(now), _text(path)
    if isinstance(before, list) or isinstance(after, list):
        yield from _union_changes(old, new, before, after, path, seen)
        return
    kind = after["type"]
    if "name" in before and "name" in after:
        pair = before["name"], after["name"]
        if pair in seen:
            return
        seen.add(pair)
    if before["type"] != kind or _meaning(before) != _meaning(after) or before.get("size") != after.get("size"):
        promoted = " (promoted)" if kind in _PROMOTIONS.get(before["type"], ()) else ""
        text = f"type changed from {kind_text(before)} to {kind_text(after)}{promoted}"
        yield Change(where, "type", text, _plain(before), _plain(after))
        return
    if "name" in after:
        if before["name"] != after["name"]:
            text = f"renamed from {before['name']} to {after['name']}"
            yield Change(where, "name", text, before["name"], after["name"])
        yield from _told(where, before, after)
    match kind:
        case "array":
            yield from _changes(old, new, before["items"], after["items"], (*path, "[]"), seen)
        case "map":
            yield from _changes(old, new, before["values"], after["values"], (*path, "{}"), seen)
        case "enum":
            was_symbols, is_symbols = before["symbols"], after["symbols"]
            gone = [symbol for symbol in was_symbols if symbol not in is_symbols]
            added = [symbol for symbol in is_symbols if symbol not in was_symbols]
            texts = [
                f"symbols {what}: {', '.join(some)}" for what, some in (("removed", gone), ("added", added)) if some
            ]
            if was_symbols != is_symbols:
                text = "; ".join(texts) or "symbols in another order"
                yield Change(where, "symbols", text, list(was_symbols), list(is_symbols))
            yield from _default_change(where, before, after)
        case "record" | "error":
            yield from _record_changes(old, new, before, after, path, seen)


def _record_changes(
    old: _Side, new: _Side, before: _Definition, after: _Definition, path: Path, seen: set[tuple[str, str]]
) -> Iterator[Change]:
    taken = []
    for part, source in _by_field(after, before):
        inner = (*path, part["name"])
        where = _text(inner)
        if source is None:
            default = f", default {_json(part['default'])}" if "default" in part else ", without a default"
            yield Change(where, "added", f"added, {kind_text(part['type'])}{default}", None, _plain(part))
            continue
        taken.append(source["name"])
        if source["name"] != part["name"]:
            yield Change(where, "name", f"renamed from {source['name']}", source["name"], part["name"])
        yield from _changes(old, new, source["type"], part["type"], inner, seen)
        yield from _default_change(where, source, part)
        yield from _told(where, source, part)
    for part in before["fields"]:
        if part["name"] not in taken:
            text = f"removed, was {kind_text(part['type'])}"
            yield Change(_text((*path, part["name"])), "removed", text, _plain(part), None)
    order = [part["name"] for part in before["fields"] if part["name"] in taken]
    if order != taken:
        yield Change(_text(path), "order", "fields in another order", order, taken)


def _union_changes(
    old: _Side, new: _Side, before: Any, after: Any, path: Path, seen: set[tuple[str, str]]
) -> Iterator[Change]:
    """Yield what changed where one of two parts is a union: its branches, and what is in those that stayed."""
    where = _text(path)
    earlier = before if isinstance(before, list) else [before]
    later = after if isinstance(after, list) else [after]

    def marks(side: _Side, branches: list[Any]) -> list[tuple[Any, ...]]:
        parts = [side.at(branch) for branch in branches]
        return [(part["type"], str(part.get("name", "")).rpartition(".")[2], _meaning(part)) for part in parts]

    were, are = marks(old, earlier), marks(new, later)
    if were != are or isinstance(before, list) != isinstance(after, list):
        text = "type changed"
        if were != are and sorted(map(str, were)) == sorted(map(str, are)):
            text = "branches of the union in another order"
        elif ("null", "", None) in are and ("null", "", None) not in were:
            text = "may be null now"
        elif ("null", "", None) in were and ("null", "", None) not in are:
            text = "may not be null any more"
        text += f": from {kind_text(before)} to {kind_text(after)}"
        yield Change(where, "type", text, _plain(before), _plain(after))
    for mark, branch in zip(are, later, strict=True):
        if mark in were:
            yield from _changes(old, new, earlier[were.index(mark)], branch, path, seen)


def _default_change(where: str, before: _Definition, after: _Definition) -> Iterator[Change]:
    had, has = "default" in before, "default" in after
    was, now = before.get("default"), after.get("default")
    if had and has and _json(was) != _json(now):
        yield Change(where, "default", f"default changed from {_json(was)} to {_json(now)}", was, now)
    elif has and not had:
        yield Change(where, "default", f"default {_json(now)} added", None, now)
    elif had and not has:
        yield Change(where, "default", f"default {_json(was)} removed", was, None)


def _told(where: str, before: _Definition, after: _Definition) -> Iterator[Change]:
    """Yield changes of what a schema says and no value shows."""
    for key, name in (("aliases", "aliases"), ("doc", "description")):
        was, now = before.get(key), after.get(key)
        if was != now:
            yield Change(where, key, f"{name} changed", was, now)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(part: Any) -> Any:
    """Return a part of a schema without fastavro's marks."""
    if isinstance(part, list):
        return [_plain(branch) for branch in part]
    if isinstance(part, dict):
        return {key: _plain(inner) for key, inner in part.items() if not key.startswith("__")}
    return part
