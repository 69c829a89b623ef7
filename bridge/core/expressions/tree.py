"""The syntax tree of a CEL expression, read from and written to the engine's own form (protobuf of ``cel.expr``).

The engine parses. Its tree shows which fields an expression reads and how much an evaluation may cost. A changed tree
goes back to the engine, which evaluates it. So there is one parser of CEL, and it is the engine's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_PARSED = b"type.googleapis.com/cel.expr.ParsedExpr"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NULL, _BOOL, _INT, _UINT, _DOUBLE, _STRING, _BYTES_VALUE = 1, 2, 3, 4, 5, 6, 7
_CONSTS = {type(None): _NULL, bool: _BOOL, int: _INT, float: _DOUBLE, str: _STRING, bytes: _BYTES_VALUE}
_LOOP_PARTS = (2, 4, 5, 6, 7)  # fields of a comprehension: range, start, condition, step, result


@dataclass(slots=True)
class Node:
    """A node of the tree.

    Attributes:
        kind: ``const``, ``ident``, ``select``, ``has``, ``call``, ``list``, ``map`` or ``loop``.
        id: The engine's number of the node; its place in the text is found by it.
        name: Name of an ident, field of a select or has, function of a call, variable of a loop.
        target: The value that a member call is made on, or None.
        parts: Operand, arguments, elements, keys and values in turn, or a loop's range, start, condition, step, result.
        value: Value of a const.
        accumulator: Variable of a loop that holds the result so far.
        second: Second variable of a loop, or nothing.
        optional: Indexes of the elements, or of the pairs, that are optional.

    """

    kind: str
    id: int = 0
    name: str = ""
    target: Node | None = None
    parts: list[Node] = field(default_factory=list)
    value: Any = None
    accumulator: str = ""
    second: str = ""
    optional: frozenset[int] = frozenset()

    def children(self) -> Iterator[Node]:
        """Yield the nodes right below."""
        if self.target is not None:
            yield self.target
        yield from self.parts

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for child in self.children():
            yield from child.walk()

    def path(self) -> tuple[str, ...]:
        """Return root and steps of ``a.b["c"]``; nothing for any other node."""
        if self.kind == "ident":
            return (self.name.removeprefix("."),)
        if self.kind == "select":
            above = self.parts[0].path()
            return (*above, self.name) if above else ()
        if self.kind == "call" and self.name == "_[_]" and self.parts[1].kind == "const":
            above, step = self.parts[0].path(), self.parts[1].value
            return (*above, step) if above and isinstance(step, str) else ()
        return ()


def read_tree(parsed: bytes) -> tuple[Node, dict[int, int]]:
    """Return the tree of a parsed expression, and the offset in the text, in code points, of each node."""
    whole = dict(_fields(dict(_fields(parsed))[2]))
    places: dict[int, int] = {}
    for number, content in _fields(whole.get(3, b"")):
        if number == 4:  # noqa: PLR2004  (SourceInfo.positions)
            pair = dict(_fields(content))
            places[pair.get(1, 0)] = pair.get(2, 0)
    return _node(whole[2]), places


def write_tree(node: Node) -> bytes:
    """Return ``node`` as the engine reads it."""
    return _message((1, _PARSED), (2, _message((2, _encoded(node)))))


def _node(data: bytes) -> Node:
    number, where, content = 0, 0, b""
    for at, value in _fields(data):
        if at == 2:  # noqa: PLR2004  (Expr.id)
            number = value
        else:
            where, content = at, value
    optional: list[int] = []  # places of optional members
    match where:  # the fields of cel.expr.Expr, as `_encoded` writes them
        case 3:
            ((kind, value),) = list(_fields(content)) or [(_NULL, 0)]
            read: Any = value
            if kind == _NULL:
                read = None
            elif kind == _BOOL:
                read = bool(value)
            elif kind == _INT:
                read = value - 2**64 if value >= 2**63 else value
            elif kind == _DOUBLE:
                read = struct.unpack("<d", value)[0]
            elif kind == _STRING:
                read = value.decode()
            return Node("const", number, "uint" if kind == _UINT else "", value=read)
        case 4:
            return Node("ident", number, dict(_fields(content))[1].decode())
        case 5:
            members = dict(_fields(content))
            name = members.get(2, b"").decode()
            return Node("has" if members.get(3) else "select", number, name, parts=[_node(members[1])])
        case 6:
            node = Node("call", number)
            for at, value in _fields(content):
                if at == 1:
                    node.target = _node(value)
                elif at == 2:  # noqa: PLR2004  (Call.function)
                    node.name = value.decode()
                else:
                    node.parts.append(_node(value))
            return node
        case 7:
            node = Node("list", number)
            for at, value in _fields(content):
                if at == 1:
                    node.parts.append(_node(value))
                elif isinstance(value, bytes):  # packed: one number after the other
                    place = 0
                    while place < len(value):
                        index, place = _varint(value, place)
                        optional.append(index)
                else:
                    optional.append(value)
            node.optional = frozenset(optional)
            return node
        case 8:
            node = Node("map", number)
            for at, value in _fields(content):
                if at == 1:
                    node.name = value.decode()
                    continue
                entry = dict(_fields(value))
                if entry.get(5):
                    optional.append(len(node.parts) // 2)
                key = _node(entry[3]) if 3 in entry else Node("const", value=entry.get(2, b"").decode())  # noqa: PLR2004
                node.parts += (key, _node(entry[4]))
            node.optional = frozenset(optional)
            return node
        case 9:
            members = dict(_fields(content))
            parts = [_node(members[at]) for at in _LOOP_PARTS]
            names = [members.get(at, b"").decode() for at in (1, 3, 8)]
            return Node("loop", number, names[0], parts=parts, accumulator=names[1], second=names[2])
    raise KeyError(where)


def _encoded(node: Node) -> bytes:
    parts = [_encoded(part) for part in node.parts]
    if node.kind == "const":
        value = 0 if node.value is None else node.value
        number = _UINT if node.name == "uint" else _CONSTS[type(node.value)]
        if isinstance(value, float):
            const = bytes([number << 3 | _FIXED64]) + struct.pack("<d", value)
        else:
            const = _message((number, value))
        return _message((2, node.id), (3, const))
    if node.kind == "ident":
        return _message((2, node.id), (4, _message((1, node.name))))
    if node.kind in {"select", "has"}:
        tested = ((3, 1),) if node.kind == "has" else ()
        return _message((2, node.id), (5, _message((1, parts[0]), (2, node.name), *tested)))
    if node.kind == "call":
        target = ((1, _encoded(node.target)),) if node.target is not None else ()
        return _message((2, node.id), (6, _message(*target, (2, node.name), *[(3, part) for part in parts])))
    if node.kind == "list":
        packed = b"".join([_written_varint(index) for index in sorted(node.optional)])
        optional = [(2, packed)] if packed else []
        return _message((2, node.id), (7, _message(*[(1, part) for part in parts], *optional)))
    if node.kind == "map":
        pairs = list(zip(parts[::2], parts[1::2], strict=True))
        entries = [
            (2, _message((3, key), (4, value), *(((5, 1),) if index in node.optional else ())))
            for index, (key, value) in enumerate(pairs)
        ]
        return _message((2, node.id), (8, _message(*entries)))
    second = ((8, node.second),) if node.second else ()
    members = list(zip(_LOOP_PARTS, parts, strict=True))
    loop = _message((1, node.name), members[0], (3, node.accumulator), *members[1:], *second)
    return _message((2, node.id), (9, loop))


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a protobuf message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if size is None:
            size, at = _varint(data, at)
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004  (the last byte of a varint)
            return value, at
        shift += 7


def _written_varint(value: int) -> bytes:
    value &= 2**64 - 1
    written = bytearray()
    while value > 127:  # noqa: PLR2004  (the last byte of a varint)
        written.append(value & 127 | 128)
        value >>= 7
    written.append(value)
    return bytes(written)


def _message(*fields: tuple[int, int | str | bytes]) -> bytes:
    written = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            written += _written_varint(number << 3 | _VARINT) + _written_varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            written += _written_varint(number << 3 | _BYTES) + _written_varint(len(content)) + content
    return bytes(written)
