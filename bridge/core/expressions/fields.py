"""Which fields an expression names. It gets these, each as a variable of its own, and not the mappings around them.

The engine converts all its variables. With whole mappings, that would be most of the cost of an evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from bridge.core.expressions.tree import Node

ABSENT = object()
"""Stands for a field that is not there."""

TYPE_NAMES = frozenset(
    {"bool", "bytes", "double", "duration", "int", "list", "map", "null_type", "string", "timestamp", "type", "uint"}
)
"""Names that CEL gives a meaning of their own, for ``type(x) == int``."""

NAMESPACES = frozenset({"math", "optional", "strings"})
"""Names in front of functions, as in ``math.sqrt(x)``."""


class FieldVariable(NamedTuple):
    """A field that the expression takes as a variable of its own.

    Attributes:
        variable: The variable.
        root: The name that it stands below (``payload``).
        steps: Names below it; none for the whole of it.
        use: Its ``value``; whether it is there (``has``); or ``null`` or something else (``null``).

    """

    variable: str
    root: str
    steps: tuple[str, ...]
    use: Literal["value", "has", "null"] = "value"

    def path(self) -> str:
        """Return the field as the expression has it."""
        return ".".join((self.root, *self.steps))

    def found(self, variables: Mapping[str, Any]) -> Any:
        """Return the field, or ``ABSENT``."""
        value = variables.get(self.root, ABSENT)
        try:
            for step in self.steps:
                value = value[step]
        except (KeyError, TypeError, IndexError):
            return ABSENT
        return value

    def value(self, variables: Mapping[str, Any]) -> Any:
        """Return the variable's value; ``ABSENT`` where CEL would find no value."""
        if self.use == "has":
            above = self._replace(steps=self.steps[:-1]).found(variables)
            return self.steps[-1] in above if isinstance(above, Mapping) else ABSENT
        value = self.found(variables)
        return value if self.use == "value" or value is None or value is ABSENT else True


class FieldUse(NamedTuple):
    """One place where a name that no macro binds is used.

    Attributes:
        root: The name (``payload``).
        steps: Names below it.
        use: As in :class:`FieldVariable`.
        node: The number of its node.

    """

    root: str
    steps: tuple[str, ...]
    use: Literal["value", "has", "null"]
    node: int


def narrowed(tree: Node) -> tuple[Node, tuple[FieldVariable, ...], tuple[FieldUse, ...]]:
    """Return a tree over variables of its own, the fields that these stand for, and where they are used."""
    taken = _Narrowing()
    changed = taken.over(tree, frozenset())
    return changed, tuple(taken.picks.values()), tuple(taken.uses)


class _Narrowing:
    def __init__(self) -> None:
        self.picks: dict[tuple[str, tuple[str, ...], str], FieldVariable] = {}
        self.uses: list[FieldUse] = []

    def over(self, node: Node, bound: frozenset[str]) -> Node:
        """Return a copy of ``node`` in which fields of free names are variables."""
        if node.kind == "has":
            path = _free(node.parts[0], bound)
            if path:
                return self._variable((*path, node.name), "has", node.id)
        path = _free(node, bound)
        if path:
            return self._variable(path, "value", node.id)
        if node.kind == "call" and node.name in {"_==_", "_!=_"}:
            left, right = node.parts
            is_null = [part.kind == "const" and part.value is None for part in node.parts]
            sides = []
            for part, other_is_null in ((left, is_null[1]), (right, is_null[0])):
                path = _free(part, bound)
                # Of a field that is compared with null, the engine needs to know no more than whether it is null.
                is_test = bool(path) and other_is_null
                sides.append(self._variable(path, "null", part.id) if is_test else self.over(part, bound))
            return Node("call", node.id, node.name, parts=sides)
        is_named = node.target is not None and node.target.kind == "ident" and node.target.name in NAMESPACES
        target = node.target if node.target is None or is_named else self.over(node.target, bound)
        if node.kind == "loop":
            inner = bound | {node.name, node.second, node.accumulator}
            head = [self.over(part, bound) for part in node.parts[:2]]
            parts = [*head, *[self.over(part, inner) for part in node.parts[2:]]]
        else:
            parts = [self.over(part, bound) for part in node.parts]
        return Node(
            node.kind, node.id, node.name, target, parts, node.value, node.accumulator, node.second, node.optional
        )

    def _variable(self, path: tuple[str, ...], use: Literal["value", "has", "null"], node: int) -> Node:
        root, steps = path[0], path[1:]
        self.uses.append(FieldUse(root, steps, use, node))
        pick = self.picks.setdefault((root, steps, use), FieldVariable(f"@v{len(self.picks)}", root, steps, use))
        return Node("ident", node, pick.variable)


def _free(node: Node, bound: frozenset[str]) -> tuple[str, ...]:
    """Return the path of a field of a name that nothing binds; nothing for any other node."""
    path = node.path()
    if not path or path[0].startswith("@"):
        return ()
    if path[0] in bound:
        root = node
        while root.parts:
            root = root.parts[0]
        if not root.name.startswith("."):  # a macro binds `x`, and never `.x`
            return ()
    return () if len(path) == 1 and (path[0] in TYPE_NAMES or path[0] == "optional_type") else path


def names_of(uses: tuple[FieldUse, ...]) -> Iterator[str]:
    """Yield the free names, once each."""
    yield from dict.fromkeys(use.root for use in uses)
