"""The highest cost of an evaluation: its tree, weighed with the sizes of its variables, before anything is evaluated.

The engine has no budget. So each evaluation is bounded before it begins, as Kubernetes does for CEL in its API: an
upper bound of time for each node follows from the sizes of its operands, and so does the size of its value. Memory is
bounded with it, because every value costs its size. Costs are nanoseconds, rounded up from measurements.

A loop over a list multiplies the cost of its body. Where that bound is too high, loops are not multiplied but *paid*:
:mod:`bridge.core.expressions.meter` counts their turns while they run.
"""

from __future__ import annotations

from collections.abc import Mapping

from bridge.core.expressions.tree import Node
from bridge.core.expressions.values import TINY, Shape, wider

LIMIT = 50_000_000
"""Nanoseconds that an evaluation may cost."""

COPY_COST = 120
"""Nanoseconds for each member that ``map`` and ``filter`` have gathered: the engine copies them for each new one."""

GATHER_COST = 2_500
"""Nanoseconds for a member that a paid ``map`` or ``filter`` takes out of the engine and back (measured: 1,500)."""

MATCH_COST = 6_000
"""Nanoseconds to call a regular expression. Its work on the text is paid when the text is known."""

RESULT_COST = 1_000
"""Nanoseconds for a member of the value that an expression has (measured: 1,000)."""

_OPTIONAL_COST = 1_000
_NODE_COST = 20
_BYTE_COST = 1  # to copy a byte into a new text: 0.3 to 3 ns
_MEMBER_COST = 100  # to copy or compare a member of a list
_FORMAT_WIDTH = 1_100  # most characters of a number with the precision that the engine allows
_COMPARED = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_SEARCHED = frozenset({"contains", "indexOf", "lastIndexOf", "split", "replace"})
_SCALAR = frozenset({"_&&_", "_||_", "!_", "-_", "_-_", "_*_", "_/_", "_%_", "@not_strictly_false"})
_INDEXED = frozenset({"_[_]", "_[?_]", "_?._"})
_NO_LONGER = frozenset({"charAt", "substring", "lowerAscii", "upperAscii", "trim", "reverse", "string", "bytes"})
_NUMBER_WIDTH = 40  # characters of a number, a moment or a duration as text
_HANDED_ON = frozenset({"value", "of", "ofNonZeroValue", "orValue", "or", "dyn"})


def loop_kind(node: Node) -> str:
    """Return the kind of a loop: ``all``, ``exists``, ``exists_one``, ``collect`` (map, filter), ``bind`` (no loop)."""
    start = node.parts[1]
    if node.parts[2].kind == "const" and node.parts[2].value is False:
        return "bind"
    if start.kind == "list":
        return "collect"
    if start.value is True:
        return "all"
    return "exists" if start.value is False else "exists_one"


def gathered(node: Node) -> Node:
    """Return the expression whose value a collecting loop adds in each turn."""
    step = node.parts[3]
    if step.name == "_?_:_":
        step = step.parts[1]
    return step.parts[1].parts[0]


class Cost:
    """Weighs a tree.

    Args:
        shapes: Sizes of the variables, by name.
        is_metered: Whether loops are paid while they run; then they are not counted here.

    Attributes:
        spent: Nanoseconds at most.
        turns: Where loops are paid: nanoseconds of each turn, by the loop's number.
        gathered: Members of the value that a turn gathers, in the same way.

    """

    def __init__(self, shapes: Mapping[str, Shape], *, is_metered: bool = False) -> None:
        self._shapes = dict(shapes)
        self._is_metered = is_metered
        self.spent = 0
        self.turns: dict[int, int] = {}
        self.gathered: dict[int, int] = {}

    def of_whole(self, tree: Node) -> int:
        """Return the highest cost of an evaluation, its value included."""
        shape = self.of(tree)
        is_paid = self._is_metered and tree.kind == "loop"
        self.spent += 0 if is_paid else RESULT_COST * shape.members + shape.text
        return self.spent

    def of(self, node: Node) -> Shape:
        """Add the cost of ``node``, and return the shape of its value."""
        self.spent += _NODE_COST
        if node.kind == "const":
            content = node.value
            return Shape(len(content) * 4) if isinstance(content, str | bytes) else TINY
        if node.kind == "ident":
            return self._shapes.get(node.name.removeprefix("."), TINY)
        if node.kind == "loop":
            return self._loop(node)
        if node.kind == "call":
            return self._call(node)
        parts = [self.of(part) for part in node.parts]
        if node.kind in {"select", "has"}:
            return _item(parts[0]) if node.kind == "select" else TINY
        item: Shape | None = None  # a list or a mapping
        for part in parts:
            item = wider(item, part)
        self.spent += _MEMBER_COST * len(parts)
        members = len(parts) + sum([part.members for part in parts])
        return Shape(sum([part.text for part in parts]), members, len(parts), item)

    def _call(self, node: Node) -> Shape:
        target = self.of(node.target) if node.target is not None else None
        parts = [*([target] if target is not None else []), *[self.of(part) for part in node.parts]]
        name = node.name
        first = parts[0] if parts else TINY
        second = parts[1] if len(parts) > 1 else TINY
        if name == "_+_":
            self._pay(first.text + second.text, first.members + second.members)
            item = wider(first.item, second.item)
            members = first.members + second.members
            return Shape(first.text + second.text, members, first.width + second.width, item)
        if name in _COMPARED:
            self._pay(min(first.text, second.text) // 8, min(first.members, second.members))
            return TINY
        if name == "@in":
            self._pay(second.text // 8, second.members)
            return TINY
        if name == "_?_:_":
            return wider(parts[1], parts[2]) or TINY
        if name in _INDEXED:
            self.spent += _OPTIONAL_COST if "?" in name else 0
            return _item(first)
        if name in _SEARCHED:
            # at worst the sought text is compared at each place of the other
            self._pay(4 * first.text + first.text * second.text // 20, 0)
            if name == "split":
                self._pay(0, first.text + 1)
                return Shape(first.text, first.text + 1, first.text + 1, Shape(first.text))
            if name == "replace" and len(parts) > 2:  # noqa: PLR2004  (the replacement is the third)
                made = first.text + (first.text + 1) * parts[2].text
                self._pay(2 * made, 0)
                return Shape(made)
            return TINY
        if name in {"join", "format"}:
            if name == "join":
                made = first.text + first.width * second.text
            else:
                pattern = node.target
                is_fixed = pattern is not None and pattern.kind == "const" and isinstance(pattern.value, str)
                directives = pattern.value.count("%") if pattern is not None and is_fixed else first.text // 2
                made = first.text + directives * (_FORMAT_WIDTH + 8 * second.text + 32 * second.members)
            self._pay(2 * made, first.width)
            return Shape(made)
        if name in _HANDED_ON:
            return wider(first, parts[-1] if parts else TINY) or TINY
        if name == "@matches":
            self.spent += MATCH_COST
            return TINY
        if name == "size":
            self._pay(first.text, 0)
            return TINY
        text, members = sum([part.text for part in parts]), sum([part.members for part in parts])
        if name in _SCALAR:
            return TINY
        self._pay(2 * text, members)
        made = max(text if name in _NO_LONGER else 4 * text, _NUMBER_WIDTH)
        return Shape(made, members, members, Shape(made, members) if members else None)

    def _loop(self, node: Node) -> Shape:
        around = self.of(node.parts[0])
        kind = loop_kind(node)
        start = self.of(node.parts[1])
        outer = self._shapes
        self._shapes = {**outer, node.name: _item(around), node.second: _item(around), node.accumulator: start}
        if kind == "bind":
            result = self.of(node.parts[4])
            self._shapes = outer
            return result
        before, self.spent = self.spent, 0
        self.of(node.parts[2])
        self.of(node.parts[3])
        each = self.spent
        member = self.of(gathered(node)) if kind == "collect" else TINY
        self._shapes, self.spent, turns = outer, before, around.width
        if self._is_metered:
            self.turns[node.id] = each
            self.gathered[node.id] = member.members
        else:
            self.spent += turns * each + (COPY_COST * turns * turns // 2 if kind == "collect" else 0)
        if kind != "collect":
            return TINY
        return Shape(turns * member.text, turns * (member.members + 1), turns, member)

    def _pay(self, text: int, members: int) -> None:
        self.spent += _BYTE_COST * text + _MEMBER_COST * members


def _item(shape: Shape) -> Shape:
    return shape.item if shape.item is not None else TINY
