"""Makes the Avro schema and the writer of a dataclass or a pydantic model.

=====================================  ====================================================================
the model has                          the schema has
=====================================  ====================================================================
bool, int, float, str, bytes, None     boolean, long, double, string, bytes, null
datetime                               timestamp-micros (pydantic's NaiveDatetime: local-timestamp-micros)
date, time, UUID                       date, time-micros, uuid
Decimal with ``Digits(12, 2)``         decimal (or pydantic's max_digits and decimal_places)
an Enum, a Literal                     of texts: an enum, or a string where one of them is no Avro symbol; of ints: long
X | None, unions                       a union; the type of the default comes first, else null
list, tuple[X, ...], Sequence          array
dict[str, X], Mapping[str, X]          map
a dataclass or a pydantic model        record, and by its name where it stands again, in itself too
``Annotated[X, Avro(schema)]``         that schema
=====================================  ====================================================================

Each model gets a writer of its own, made once (``models/writers.py``). pydantic is not imported here: the module of a
pydantic model has done so.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin
from uuid import UUID

from flowbridge_sdk.avro.checks import Measures, UnusableSchemaError, parse
from flowbridge_sdk.avro.encoding import PRIMITIVES, Write, array_writer, map_writer
from flowbridge_sdk.avro.logical import DIGITS_LIMIT
from flowbridge_sdk.avro.logical_writing import STRICT
from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.avro.reading import DEPTH_LIMIT, ReaderCompiler
from flowbridge_sdk.avro.writing import WriterCompiler
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.models.writers import choice_writer, member_writer, object_writer, symbol_writer, typed_union_writer


@dataclass(frozen=True, slots=True)
class Digits:
    """How many digits a Decimal has: ``price: Annotated[Decimal, Digits(12, 2)]``.

    Attributes:
        precision: Its digits, those behind the point included.
        scale: Those behind the point.

    """

    precision: int
    scale: int = 0


@dataclass(frozen=True, slots=True)
class Avro:
    """The Avro schema of an attribute, in place of the one that its type has.

    ``at: Annotated[datetime, Avro({"type": "long", "logicalType": "timestamp-millis"})]``

    Attributes:
        schema: The schema as plain values of JSON, without types that it does not spell out.

    """

    schema: Any


_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_MISSING: Any = object()
_ACCEPTED = (
    "bool, int, float, str, bytes, datetime, date, time, UUID, Decimal with its digits, an Enum, a Literal, lists, "
    "dicts with str keys, dataclasses, pydantic models, unions of these, or Annotated[..., Avro(schema)]"
)
_DIGITS = (
    "a Decimal with its digits: Annotated[Decimal, Digits(12, 2)], or pydantic's Field(max_digits=12, decimal_places=2)"
)


class _Node(NamedTuple):
    """A part of a model.

    Attributes:
        schema: Its Avro schema.
        write: The writer of its values.
        kinds: The types of its values, by which a union chooses its branch.

    """

    schema: Any
    write: Write
    kinds: tuple[type, ...]


class _Attribute(NamedTuple):
    """An attribute of a model, and the field that it becomes."""

    attribute: str
    name: str
    annotation: Any
    metadata: tuple[Any, ...]
    default: Any
    doc: str | None


class _Default(NamedTuple):
    """A default that becomes JSON when all types are known: its record, the field, the value, and its writer."""

    record: str
    part: dict[str, Any]
    value: Any
    write: Write
    path: list[str]


def _logical(kind: str, logical: str) -> tuple[Any, Write]:
    schema = {"type": kind, "logicalType": logical}
    convert, write = STRICT[kind, logical](schema), PRIMITIVES[kind]
    return schema, lambda out, value, depth: write(out, convert(value), depth)


_SCALARS: dict[type, tuple[Any, Write]] = {
    **{
        kind: (name, PRIMITIVES[name])
        for kind, name in {
            bool: "boolean",
            int: "long",
            float: "double",
            str: "string",
            bytes: "bytes",
            types.NoneType: "null",
        }.items()
    },
    datetime: _logical("long", "timestamp-micros"),
    date: _logical("int", "date"),
    time: _logical("long", "time-micros"),
    UUID: _logical("string", "uuid"),
}
_LOCAL = _logical("long", "local-timestamp-micros")
_OF_PYDANTIC = {
    "AwareDatetime": datetime,
    "PastDatetime": datetime,
    "FutureDatetime": datetime,
    "PastDate": date,
    "FutureDate": date,
}
"""Types of pydantic that stand for another at run time."""

_LISTS = (list, tuple, Sequence, MutableSequence)
_MAPS = (dict, Mapping, MutableMapping)


def title_of(model: type) -> str:
    """Return a model's name for errors, its module in front."""
    return f"{model.__module__}.{model.__qualname__}"


def _avro_name(model: type) -> str:
    return str(model.__dict__.get("__avro_name__", model.__name__))


def _is_pydantic(model: Any) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(model, type) and issubclass(model, pydantic.BaseModel)


class ModelCompiler:
    """Makes the schema and the writer of one model.

    Args:
        model: A dataclass or a pydantic model.
        namespace: The namespace of its records.

    """

    def __init__(self, model: type, namespace: str) -> None:
        self._model = model
        self._namespace = namespace or _avro_name(model).rpartition(".")[0]
        self._space = ""  # of the record that encloses the part at hand
        self._path: list[str] = []
        self._named: dict[str, Any] = {}  # by full name: the class, or what else was given the name
        self._writes: dict[type, Write] = {}
        self._stated_names: set[str] = set()
        self._owner = ("", "")  # the record and the field of the part at hand
        self._defaults: list[_Default] = []

    def root(self) -> tuple[dict[str, Any], Write]:
        """Return the schema and the writer of the model.

        Raises:
            SchemaError: It has none.

        """
        if not (dataclasses.is_dataclass(self._model) or _is_pydantic(self._model)):
            raise self._refusal(f"expected a dataclass or a pydantic model, found {self._model.__name__}")
        if self._namespace and not _FULL_NAME.fullmatch(self._namespace):
            raise self._refusal(f"expected a namespace such as shop.events, found {self._namespace!r}")
        node = self._record(self._model)
        plain: dict[str, Any] = node.schema
        known: dict[str, Any] = {}
        try:
            parse(json.dumps(plain), {})  # refuses a record that always holds itself, and too deep nesting
            parse(json.dumps(_without_logical_types(plain)), known)
        except UnusableSchemaError as error:
            raise self._refusal(str(error)) from None
        readers = ReaderCompiler(known, Measures(known).parts)
        for default in self._defaults:
            out = bytearray()
            try:
                default.write(out, default.value, 0)
            except MisfitError as misfit:
                self._path = default.path
                raise self._refusal(f"its default is {misfit.found}; expected {misfit.expected}") from None
            # the JSON of a default is the value that its bytes are without logical types
            bare = next(part for part in known[default.record]["fields"] if part["name"] == default.part["name"])
            default.part["default"] = _as_json(readers.compile(bare["type"])(bytes(out), 0, 0)[0])
        return plain, node.write

    def _refusal(self, problem: str) -> SchemaError:
        path = ".".join(self._path).replace(".[", "[").replace(".{", "{")
        return SchemaError(title_of(self._model), f"field {path}: {problem}" if path else problem)

    def _node(self, annotation: Any, metadata: tuple[Any, ...] = (), default: Any = _MISSING) -> _Node:
        """Return the node of an annotation.

        Args:
            annotation: The type.
            metadata: What ``Annotated`` and pydantic say about it.
            default: The default of its attribute; its type becomes the first branch of a union.

        """
        for item in metadata:
            if isinstance(item, Avro):
                return self._stated(item.schema)
        branches = list(self._branches(annotation, metadata))
        if len(branches) == 1:
            return self._single(*branches[0])
        return self._union(branches, default)

    def _branches(self, annotation: Any, metadata: tuple[Any, ...], depth: int = 0) -> Iterator[tuple[Any, Any]]:
        """Yield the types that an annotation allows, each with its metadata, without aliases and wrappers."""
        origin = get_origin(annotation)
        if depth > DEPTH_LIMIT:
            raise self._refusal("expected a type that ends; this alias holds itself: use a dataclass in its place")
        if origin is Annotated:
            base, *more = get_args(annotation)
            flat = tuple(part for item in more for part in (item, *_metadata_of(item)))
            if any(isinstance(item, Avro) for item in flat):
                yield base, flat
            else:
                yield from self._branches(base, (*flat, *metadata), depth + 1)
        elif origin in (typing.Union, types.UnionType):
            for argument in get_args(annotation):
                yield from self._branches(argument, metadata, depth + 1)
        elif origin is typing.Final:
            yield from self._branches(get_args(annotation)[0], metadata, depth + 1)
        elif type(annotation).__name__ == "TypeAliasType":  # `type X = ...`, which Python 3.11 lacks
            yield from self._branches(annotation.__value__, metadata, depth + 1)
        elif isinstance(annotation, typing.NewType):
            yield from self._branches(annotation.__supertype__, metadata, depth + 1)
        elif isinstance(annotation, str | typing.ForwardRef):
            raise self._refusal(f"the type {annotation!r} is not known; define it at the top of its module")
        elif origin is Literal:
            by_type: dict[type, list[Any]] = {}  # those of one type together
            for value in get_args(annotation):
                by_type.setdefault(type(value), []).append(value)
            for kind, members in by_type.items():
                if kind is types.NoneType or issubclass(kind, Enum):
                    yield kind, ()
                elif kind in (str, int, bool):
                    yield Literal, tuple(members)
                else:
                    raise self._refusal(
                        f"expected a Literal of str, int, bool or members of an Enum, found {kind.__name__}"
                    )
        else:
            yield (types.NoneType if annotation is None else annotation), metadata

    def _single(self, kind: Any, metadata: tuple[Any, ...]) -> _Node:
        """Return the node of a type that is no union."""
        if kind is Literal:
            return self._choice(metadata)
        for item in metadata:
            if isinstance(item, Avro):
                return self._stated(item.schema)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in _LISTS or kind in _LISTS:
            is_open = len(arguments) == 2 and arguments[1] is ...  # noqa: PLR2004 - tuple[X, ...]
            if (origin or kind) is tuple and not is_open:
                raise self._refusal(
                    f"{_shown(kind)} has parts of its own types; expected tuple[X, ...], or a dataclass"
                )
            if not arguments:
                raise self._refusal(f"{_shown(kind)} does not say what it holds; expected for example list[str]")
            self._path.append("[]")
            node = self._node(arguments[0])
            self._path.pop()
            return _Node({"type": "array", "items": node.schema}, array_writer(node.write), (list, tuple))
        if origin in _MAPS or kind in _MAPS:
            keys = list(self._branches(arguments[0], ())) if arguments else []
            if len(keys) != 1 or keys[0][0] is not str:
                raise self._refusal(f"{_shown(kind)} is no mapping from str; expected for example dict[str, int]")
            self._path.append("{}")
            node = self._node(arguments[1])
            self._path.pop()
            return _Node({"type": "map", "values": node.schema}, map_writer(node.write), (dict,))
        if not isinstance(kind, type):
            raise self._refusal(f"{_shown(kind)} has no Avro counterpart; expected {_ACCEPTED}")
        if dataclasses.is_dataclass(kind) or _is_pydantic(kind):
            return self._record(kind)
        if issubclass(kind, Enum):
            return self._enum(kind)
        if issubclass(kind, Decimal):
            return self._decimal(metadata)
        if kind.__module__.startswith("pydantic."):
            if kind.__name__ == "NaiveDatetime":
                return _Node(*_LOCAL, (datetime,))
            kind = _OF_PYDANTIC.get(kind.__name__, kind)
        for base in kind.__mro__:
            if base in _SCALARS:
                return _Node(*_SCALARS[base], (kind, base))
        raise self._refusal(f"{_shown(kind)} has no Avro counterpart; expected {_ACCEPTED}")

    def _decimal(self, metadata: tuple[Any, ...]) -> _Node:
        precision = scale = None
        for item in metadata:
            if isinstance(item, Digits):
                precision, scale = item.precision, item.scale
                break
            precision = precision if precision is not None else getattr(item, "max_digits", None)
            scale = scale if scale is not None else getattr(item, "decimal_places", None)
        if precision is None or scale is None:
            found = f"max_digits={precision}, decimal_places={scale}" if precision or scale else "none"
            raise self._refusal(f"expected {_DIGITS}; found {found}")
        if not 1 <= precision <= DIGITS_LIMIT or not 0 <= scale <= precision:
            raise self._refusal(
                f"expected 1 to {DIGITS_LIMIT} digits and no more of them behind the point; "
                f"found {precision}, and {scale} behind the point"
            )
        schema = {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
        convert, write = STRICT["bytes", "decimal"](schema), PRIMITIVES["bytes"]
        return _Node(schema, lambda out, value, depth: write(out, convert(value), depth), (Decimal,))

    def _stated(self, schema: Any) -> _Node:
        """Return the node of a schema that the model states."""
        known: dict[str, Any] = {}
        try:
            parsed = parse(json.dumps(schema), known)
        except (UnusableSchemaError, TypeError) as error:
            raise self._refusal(f"its Avro schema {schema!r:.100} is wrong: {error}") from None
        for name, definition in known.items():
            if self._named.setdefault(name, definition) != definition:
                raise self._refusal(f"its Avro schema gives the name {name} to another type")
        write = WriterCompiler(known).compile(parsed)
        if len(known) == 1 and isinstance(schema, dict) and "name" in schema:
            (name,) = known
            if name in self._stated_names:
                return _Node(name, write, ())
            self._stated_names.add(name)
        return _Node(schema, write, ())

    def _name(self, simple: str, owner: Any) -> tuple[str, str]:
        """Return the full name of a type, and the name by which the record around it knows it."""
        full = simple if "." in simple or not self._namespace else f"{self._namespace}.{simple}"
        if not _FULL_NAME.fullmatch(full):
            raise self._refusal(
                f'{full!r} is no Avro name (letters, digits and _); state one with __avro_name__ = "Name" in the class'
            )
        taken = self._named.setdefault(full, owner)
        if taken is not owner:
            raise self._refusal(
                f"{_shown(taken)} and {_shown(owner)} would both be called {full}; "
                'name one of them with __avro_name__ = "Name" in the class'
            )
        return full, full.rpartition(".")[2] if full.rpartition(".")[0] == self._space else full

    def _enum(self, kind: type[Enum]) -> _Node:
        values = [member.value for member in kind]
        if values and all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            return _Node("long", member_writer(kind, PRIMITIVES["long"]), (kind,))
        if not values or not all(isinstance(value, str) for value in values):
            raise self._refusal(f"{_shown(kind)} has values that are neither all str nor all int")
        if not all(_SYMBOL.fullmatch(value) for value in values):
            return _Node("string", member_writer(kind, PRIMITIVES["string"]), (kind,))
        _, shown = self._name(_avro_name(kind), kind)
        write = symbol_writer(values, kind)
        if kind in self._writes:
            return _Node(shown, write, (kind,))
        self._writes[kind] = write
        return _Node({"type": "enum", "name": shown, "symbols": values}, write, (kind,))

    def _choice(self, values: tuple[Any, ...]) -> _Node:
        """Return the node of a Literal, whose values are all of one type."""
        kind = type(values[0])
        if kind is str and all(_SYMBOL.fullmatch(value) for value in values):
            record, attribute = self._owner
            name, number = f"{record}_{attribute}", 1
            full = f"{self._namespace}.{name}" if self._namespace else name
            while (full if number == 1 else f"{full}_{number}") in self._named:
                number += 1
            _, shown = self._name(name if number == 1 else f"{name}_{number}", values)
            return _Node({"type": "enum", "name": shown, "symbols": list(values)}, symbol_writer(values), (str,))
        schema, write = _SCALARS[kind]
        return _Node(schema, choice_writer(values, write), (kind,))

    def _union(self, branches: list[tuple[Any, Any]], default: Any) -> _Node:
        def rank(branch: tuple[Any, Any]) -> int:
            if default is not _MISSING and _may_hold(branch, default):
                return 0
            return 1 if branch[0] is types.NoneType else 2

        ordered = sorted(branches, key=rank)  # which keeps the order of equals
        nodes = [self._single(*branch) for branch in ordered]
        known: dict[str, int] = {}
        for index, node in enumerate(nodes):
            taken = known.setdefault(_avro_kind(node.schema), index)
            if taken != index:
                raise self._refusal(
                    f"{_shown(ordered[taken][0])} and {_shown(ordered[index][0])} are both "
                    f"{_avro_kind(node.schema)} in Avro, which a union holds once; use one of them"
                )
        return _Node(
            [node.schema for node in nodes],
            typed_union_writer([(node.schema, node.write, node.kinds) for node in nodes]),
            (),
        )

    def _record(self, model: type) -> _Node:
        full, shown = self._name(_avro_name(model), model)
        writers = self._writes
        if model in writers:

            def write_later(out: bytearray, value: object, depth: int) -> None:
                writers[model](out, value, depth)  # the writer of a model that stands inside itself is made later

            return _Node(shown, write_later, (model,))
        self._writes[model] = _unfinished
        space, owner = self._space, self._owner
        plain: dict[str, Any] = {"type": "record", "name": shown}
        if not self._path and self._namespace and "." in shown:
            plain |= {"name": full.rpartition(".")[2], "namespace": full.rpartition(".")[0]}
        self._space = full.rpartition(".")[0]
        doc = model.__dict__.get("__doc__") or ""
        if doc and not doc.startswith(f"{model.__name__}("):  # that is what dataclass writes
            plain["doc"] = inspect.cleandoc(doc).partition("\n\n")[0].replace("\n", " ")
        plain["fields"] = []
        attributes, writes = list(self._attributes(model)), []
        for attribute in attributes:
            self._path.append(attribute.name)
            self._owner = full.rpartition(".")[2], attribute.name
            if not _SYMBOL.fullmatch(attribute.name):
                raise self._refusal("expected a name of the letters A to Z, digits and _")
            if any(attribute.name == part["name"] for part in plain["fields"]):
                raise self._refusal("two attributes have this name")
            node = self._node(attribute.annotation, attribute.metadata, attribute.default)
            part = {"name": attribute.name, "type": node.schema}
            if attribute.doc:
                part["doc"] = attribute.doc
            if attribute.default is not _MISSING:
                part["default"] = None  # stays in its place until all types are known
                self._defaults.append(_Default(full, part, attribute.default, node.write, [*self._path]))
            plain["fields"].append(part)
            writes.append(node.write)
            self._path.pop()
        self._space, self._owner = space, owner
        write = object_writer(model, [(part.attribute, part.name) for part in attributes], writes)
        self._writes[model] = write
        return _Node(plain, write, (model,))

    def _attributes(self, model: type) -> Iterator[_Attribute]:
        """Yield the attributes of a model that become fields."""
        if _is_pydantic(model):
            yield from self._attributes_of_pydantic(model)
            return
        if getattr(model, "__parameters__", ()):
            raise self._refusal(f"{_shown(model)} is generic; expected a class whose types are all stated")
        try:
            hints = typing.get_type_hints(model, include_extras=True)
        except Exception as error:  # noqa: BLE001 - the evaluation of annotations raises anything
            raise self._refusal(
                f"the types of {_shown(model)} are not known: {error}; define them at the top of their module"
            ) from None
        for part in dataclasses.fields(model):
            default: Any = _MISSING
            if part.default is not dataclasses.MISSING:
                default = part.default
            elif part.default_factory in (list, dict, tuple):
                default = part.default_factory()
            yield _Attribute(part.name, part.name, hints[part.name], (), default, part.metadata.get("doc"))

    def _attributes_of_pydantic(self, model: Any) -> Iterator[_Attribute]:
        if model.model_config.get("extra") == "allow":
            raise self._refusal(f'{_shown(model)} has extra="allow", and its schema cannot name what it does not know')
        if model.__pydantic_root_model__:
            raise self._refusal(f"{_shown(model)} is a RootModel; expected a model whose fields have names")
        if not model.__pydantic_complete__:
            model.model_rebuild(raise_errors=False)
        for name, info in model.model_fields.items():
            if info.exclude:
                continue
            default: Any = _MISSING
            if not info.is_required():
                if info.default_factory is None:
                    default = info.default
                elif info.default_factory in (list, dict, tuple):
                    default = info.default_factory()
            metadata = tuple(part for item in info.metadata for part in (item, *_metadata_of(item)))
            alias = info.serialization_alias or name
            yield _Attribute(name, alias, info.annotation, metadata, default, info.description)


def _unfinished(_out: bytearray, _value: object, _depth: int) -> None:
    raise AssertionError("a writer runs when its model is whole")


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _metadata_of(item: Any) -> tuple[Any, ...]:
    """Return what a pydantic ``Field(...)`` in ``Annotated`` says."""
    return tuple(getattr(item, "metadata", ())) if type(item).__name__ == "FieldInfo" else ()


def _avro_kind(schema: Any) -> str:
    """Return what must be unique among the branches of a union."""
    if isinstance(schema, dict):
        return str(schema.get("name") or schema["type"])
    return str(schema)


def _may_hold(branch: tuple[Any, Any], value: object) -> bool:
    kind, metadata = branch
    if kind is Literal:
        return any(type(value) is type(choice) and value == choice for choice in metadata)
    kind = get_origin(kind) or kind
    if kind in (int, float, date):  # of which bool, int and datetime would pass for
        return type(value) is kind
    return isinstance(kind, type) and isinstance(value, kind)


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: part for key, part in schema.items() if key not in ("logicalType", "default")}
    for key in ("type", "items", "values"):
        if key in plain:
            plain[key] = _without_logical_types(plain[key])
    if "fields" in plain:
        plain["fields"] = [_without_logical_types(part) for part in plain["fields"]]
    return plain


def _as_json(value: Any) -> Any:
    """Return a value as Avro's defaults spell it: bytes are texts of their code points."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return value
