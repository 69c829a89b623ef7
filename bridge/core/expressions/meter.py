"""The engine, and the meter that bounds the work of an evaluation.

Where :mod:`bridge.core.expressions.cost` cannot promise that an evaluation is cheap, the tree is changed before it goes
to the engine:

- A loop over a list becomes a call of ``@loop``. It hands the list to the engine in pieces, and pays for each piece
  before. Between pieces other threads run. A piece is short, so ``map`` copies little, and the engine's own bound of
  10,000 turns an evaluation is not met by one long list.
- A loop inside a loop pays in each turn (``@tick``).
- ``matches`` is ours in every expression: RE2 with a bounded program, compiled once, paid by the text's length and the
  program's size. The engine itself compiles a pattern at each call.
- A time zone is looked up here first: the engine would open any file of that name, and never forget the name.

Costs follow from sizes alone, so that the same event has the same decision on every machine. A clock is the second
line of defence: it ends an evaluation that takes far longer than its cost says.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import zoneinfo
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import re2
from cel_expr_python import cel

from bridge.core.expressions.cost import COPY_COST, GATHER_COST, LIMIT, Cost, loop_kind
from bridge.core.expressions.tree import Node, read_tree, write_tree
from bridge.core.expressions.values import MEMBER_COST, TINY, Shape, admitted, returned, wider

PATTERN_LIMIT = 1_024
"""Characters in a regular expression that comes from an event."""

PATTERN_MEMORY = 1 << 20
"""Bytes that a regular expression may take: about 20,000 steps of its program."""

CLOCK_LIMIT = 0.2
"""Seconds of a thread's own time after which an evaluation ends, at any computed cost."""

_PIECE = 2_000_000  # nanoseconds of a loop between two chances for other threads
_TURNS = 4_000  # of one evaluation; the engine takes 10,000, loops inside included
_GATHERED = 64  # members that a piece gathers: copying grows with the square
_ARENA_USES = 256
_TICK_COST = 600
_FIRST = 16  # members of the first piece, where loops stand inside
_CALL_COST = 12_000  # nanoseconds to hand over a piece
_QUICK_MEMORY = 1 << 16  # bytes that a pattern may take where each expression keeps its own
_PATTERN_COST = 150_000  # to compile one; 300 more for each step of its program
_COLD_BYTES = 500  # of a text that make RE2 build new states, at most, for one pattern
_UNTYPED = frozenset({"uint", "type", "of", "ofNonZeroValue", "none", "optMap", "optFlatMap", "_?._", "_[?_]"})
_OPTIONAL = (_UNTYPED - {"uint", "type"}) | {"optional.of", "optional.none"}
_NO_OPTIONAL = "an optional is no value here; write .orValue(...) behind it"
_OFFSET = re.compile(r"[+-]?\d\d:\d\d")
_ZONE_SELECTORS = frozenset(
    f"get{part}"
    for part in (
        *("Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "FullYear"),
        *("Hours", "Milliseconds", "Minutes", "Month", "Seconds"),
    )
)
_OWN = _ZONE_SELECTORS | {
    *("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_", "-_", "!_", "_&&_", "_||_"),
    *("_?_:_", "@in", "@not_strictly_false", "size", "contains", "startsWith", "endsWith", "matches", "type"),
    *("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "uint"),
    *("@loop", "@chunk", "@tick", "@matches", "@zone"),
}  # functions that need no extension; `_[_]` has more overloads with them, so its type is another
_DATABASE = Path("/usr/share/zoneinfo")


class TooCostlyError(ValueError):
    """An evaluation that costs more than it may."""


class Meter:
    """The cost of one evaluation so far.

    Attributes:
        spent: Nanoseconds.
        patterns: The regular expressions that it has used.
        chunk: The members that the loop at hand walks over.
        loops: The loops of the expression, where they are paid.
        arguments: The values of the variables.
        activation: The same, as the engine has it.
        shapes: Sizes of the same.
        turns: Nanoseconds of a turn, by the loop's number.
        gathered: Members of the value that a turn gathers, by the loop's number.

    """

    def __init__(self) -> None:
        self.spent: float = 0
        self.patterns: set[str] = set()
        self.chunk: list[Any] = []
        self.loops: list[_Loop] = []
        self.arguments: Mapping[str, Any] = {}
        self.activation: Any = None
        self.shapes: dict[str, Shape] = {}
        self.turns: dict[int, int] = {}
        self.gathered: dict[int, int] = {}
        self._ticks = 0
        self._end = 0.0

    def spend(self, cost: float) -> None:
        """Take ``cost`` nanoseconds off the budget.

        Raises:
            TooCostlyError: There is nothing left.

        """
        self.spent += cost  # also beyond the limit: if the engine goes on, its next call fails here at once
        if self.spent > LIMIT:
            raise TooCostlyError(costly(self.spent))
        self._ticks += 1
        if not self._ticks & 255:
            self.look_at_clock()

    def look_at_clock(self) -> None:
        """Raise :class:`TooCostlyError` if the evaluation takes far longer than it costs."""
        now = time.thread_time()
        self._end = self._end or now + CLOCK_LIMIT
        if now > self._end:
            self.spent = max(self.spent, CLOCK_LIMIT * 1e9)
            raise TooCostlyError(costly(self.spent))

    @property
    def is_over(self) -> bool:
        """Whether the budget was passed; the engine may have taken the error for a value (``error || true``)."""
        return self.spent > LIMIT


class _Running(threading.local):
    meter: Meter


_running = _Running()


def costly(cost: float) -> str:
    """Return the text for an evaluation that costs too much."""
    return f"too costly: {cost / 1e6:,.0f} ms of work or more; an evaluation may cost {LIMIT // 1_000_000} ms"


def metered(meter: Meter, evaluate: Callable[[], Any]) -> Any:
    """Return the result of ``evaluate``, with ``meter`` counting its cost."""
    _running.meter = meter
    result = evaluate()
    if meter.is_over:
        raise TooCostlyError(costly(meter.spent))
    return result


@cache
def engine(*, extended: bool) -> cel.Env:
    """Return the environment that expressions are evaluated in.

    Args:
        extended: With the extensions, which take 8 to 13 MB and which most filters do not need.

    """
    if not _DATABASE.is_dir():  # the engine's zones, as in an image without them; ours come with Python's `tzdata`
        os.environ.setdefault("TZDIR", str(resources.files("tzdata") / "zoneinfo"))
    kinds = cel.Type
    ours = (
        ("@loop", (kinds.INT,), kinds.DYN, _run_loop),
        ("@chunk", (), kinds.DYN, lambda: _running.meter.chunk),
        ("@tick", (kinds.INT, kinds.INT), kinds.BOOL, _tick),
        ("@matches", (kinds.STRING, kinds.STRING), kinds.BOOL, _matches),
        ("@zone", (kinds.STRING,), kinds.STRING, _zone),
    )
    functions = [
        cel.FunctionDecl(name, [cel.Overload(name, return_type=result, parameters=list(taken), impl=function)])
        for name, taken, result, function in ours
    ]
    return cel.NewEnv(extensions=extensions() if extended else [], functions=functions)


def extensions() -> list[Any]:
    """Return the extensions of CEL that expressions may use."""
    from cel_expr_python.ext import ext_math, ext_optional, ext_strings  # noqa: PLC0415 - 8 to 13 MB

    return [ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()]


def parse(source: str) -> tuple[Node, dict[int, int]]:
    """Return the tree of an expression, and the place in ``source`` of each of its nodes.

    Raises:
        RuntimeError: It is no CEL.

    """
    try:
        tree, places = read_tree(engine(extended=False).compile(source, disable_check=True).serialize())
    except RuntimeError:
        pass  # without its extension, the syntax of optionals is none
    else:
        if not is_extended(tree):
            return tree, places
    return read_tree(engine(extended=True).compile(source, disable_check=True).serialize())


def is_extended(tree: Node) -> bool:
    """Return whether an expression may need the extensions: it has more functions, types or syntax than CEL itself."""
    return any(
        node.optional
        or (node.kind == "call" and node.name not in _OWN)
        or (node.kind == "ident" and node.name.removeprefix(".") == "optional_type")
        for node in tree.walk()
    )


def environment_of(tree: Node) -> cel.Env:
    """Return the environment that an expression needs."""
    return engine(extended=is_extended(tree))


class _Arenas:
    """The memory of evaluations that end at once: shared by some hundreds, which saves a third of their time."""

    def __init__(self) -> None:
        self.arena = cel.Arena()
        self._left = _ARENA_USES

    def next(self) -> Any:
        """Return the memory for an evaluation."""
        self._left -= 1
        if self._left < 0:
            self.arena = cel.Arena()
            self._left = _ARENA_USES
        return self.arena


arenas = _Arenas()


def program(tree: Node, environment: cel.Env | None = None) -> cel.Expression:
    """Return ``tree`` ready to be evaluated, in an environment that has all that it calls."""
    return (environment or environment_of(tree)).deserialize(write_tree(tree))


def guarded(tree: Node) -> tuple[Node, bool]:
    """Return ``tree`` with our own ``matches`` and zones, and whether it needs a meter for them."""
    needs_meter = False

    def changed(node: Node) -> Node:
        nonlocal needs_meter
        node = _over(node, changed)
        if node.kind != "call":
            return node
        parts = node.parts if node.target is None else [node.target, *node.parts]
        if node.name == "matches" and len(parts) == 2:  # noqa: PLR2004  (text and pattern)
            needs_meter = True
            return Node("call", node.id, "@matches", parts=parts)
        if node.name in _ZONE_SELECTORS and len(node.parts) == 1:
            needs_meter = True
            zone = Node("call", node.id, "@zone", parts=node.parts)
            return Node("call", node.id, node.name, node.target, [zone])
        return node

    tree = changed(tree)
    return tree, needs_meter


def _over(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return a copy of ``node`` with ``change`` applied to the nodes below it."""
    target = change(node.target) if node.target is not None else None
    parts = [change(part) for part in node.parts]
    return Node(node.kind, node.id, node.name, target, parts, node.value, node.accumulator, node.second, node.optional)


class _Loop:
    """A loop that is handed to the engine in pieces."""

    def __init__(self, node: Node, environment: cel.Env, *, has_optionals: bool) -> None:
        self.node = node
        self.has_optionals = has_optionals
        self.kind = loop_kind(node)
        self.is_nested = any(inner.kind == "loop" for part in node.parts[2:4] for inner in part.walk())
        around = node.parts[0]
        self.variable = around.name if around.kind == "ident" and around.name.startswith("@v") else ""
        self.range = None if self.variable else program(around, environment)
        parts = [Node("call", around.id, "@chunk"), node.parts[1], *[_ticking(part) for part in node.parts[2:4]]]
        result = Node("ident", node.id, node.accumulator)
        self.body = program(
            Node("loop", node.id, node.name, None, [*parts, result], None, node.accumulator), environment
        )

    def run(self, meter: Meter) -> Any:
        """Return the loop's value."""
        around = meter.arguments.get(self.variable)
        if self.range is not None:
            value = value_of(self.range.eval(meter.activation), has_optionals=self.has_optionals)
            around = admitted(value, meter.spend)[0]
        members = list(around) if isinstance(around, Mapping) else around
        if not isinstance(members, list):
            raise ValueError(f"a macro walks over a list or a mapping, not over {type(members).__name__}")  # noqa: TRY004  (the engine takes ValueError for an error of CEL)
        each = meter.turns.get(self.node.id, 0)
        is_known = bool(self.variable) and meter.spent + len(members) * each < LIMIT
        cap = _GATHERED if self.kind == "collect" else _TURNS
        values: list[Any] = []
        failure: ValueError | None = None
        extra = GATHER_COST * (1 + meter.gathered.get(self.node.id, 0)) if self.kind == "collect" else 0
        at, length = 0, _FIRST if self.is_nested else cap
        while at < len(members):
            part = members[at : at + length]
            if not is_known:
                each = self._weighed(meter, part)
            if (each + extra) * len(part) > _PIECE and len(part) > 1:
                length = len(part) // 2  # a member that is larger than the rest must not be taken for all of them
                continue
            meter.spend(_CALL_COST + len(part) * (each + extra))
            meter.look_at_clock()
            meter.chunk = part
            try:
                value = value_of(self.body.eval(meter.activation), has_optionals=self.has_optionals)
            except RuntimeError as error:
                if "Iteration budget" not in str(error):
                    raise
                if len(part) == 1:
                    raise ValueError("more than 10,000 turns of a macro inside a macro") from error
                length = cap = len(part) // 2
                continue
            except ValueError as error:
                if meter.is_over or self.kind not in {"all", "exists"}:
                    raise
                failure = failure or error
                value = self.kind == "all"
            if self.kind in {"all", "exists"} and value is not (self.kind == "all"):
                return value
            values.append(value)
            at += len(part)
            if 4 * (each + extra) * len(part) < _PIECE:
                length = min(cap, 2 * length)
        if failure is not None:
            raise failure
        if self.kind == "collect":
            return [member for part in values for member in part]
        return sum(values) == 1 if self.kind == "exists_one" else self.kind == "all"

    def _weighed(self, meter: Meter, part: list[Any]) -> int:
        """Return the cost of a turn for these members, whose sizes may differ from those of the rest."""
        meter.spend(MEMBER_COST * len(part))
        item: Shape | None = None
        for member in part:
            item = wider(item, admitted(member, meter.spend)[1])
        cost = Cost({**meter.shapes, self.node.name: item or TINY}, is_metered=True)
        cost.of(self.node.parts[2])
        cost.of(self.node.parts[3])
        meter.turns.update(cost.turns)
        return cost.spent


class Metered:
    """An expression whose loops are paid while they run.

    Args:
        tree: Its tree, over the variables that it is given.

    """

    def __init__(self, tree: Node) -> None:
        self._tree = tree
        self._loops: list[_Loop] = []
        self._has_optionals = makes_optionals(tree)
        self._is_untyped = any(
            node.name in _UNTYPED for node in tree.walk()
        )  # a value that leaves CEL would lose its type
        self._environment = environment_of(tree)
        self._program = program(self._hoisted(tree), self._environment)

    def evaluate(self, meter: Meter, arguments: Mapping[str, Any], shapes: dict[str, Shape]) -> Any:
        """Return the engine's result.

        Raises:
            TooCostlyError: It costs too much.

        """
        cost = Cost(shapes, is_metered=True)
        meter.spend(cost.of_whole(self._tree))
        meter.loops, meter.turns, meter.gathered, meter.shapes = self._loops, cost.turns, cost.gathered, shapes
        meter.arguments, meter.activation = arguments, self._environment.Activation(dict(arguments))
        return metered(meter, lambda: self._program.eval(meter.activation))

    def _hoisted(self, node: Node) -> Node:
        if node.kind != "loop":
            return _over(node, self._hoisted)
        kind = loop_kind(node)
        if kind == "bind":
            parts = [*[self._hoisted(part) for part in node.parts[:2]], *[_ticking(part) for part in node.parts[2:]]]
        elif node.second or (self._is_untyped and (kind == "collect" or node.parts[0].kind != "ident")):
            return _ticking(node)
        else:
            around = self._hoisted(node.parts[0])
            parts = [around, *node.parts[1:]]
            whole = Node("loop", node.id, node.name, None, parts, None, node.accumulator)
            self._loops.append(_Loop(whole, self._environment, has_optionals=self._has_optionals))
            return Node("call", node.id, "@loop", parts=[Node("const", value=len(self._loops) - 1)])
        return Node("loop", node.id, node.name, None, parts, None, node.accumulator, node.second)


def _ticking(node: Node) -> Node:
    """Return ``node`` with loops that pay in each turn."""
    node = _over(node, _ticking)
    if node.kind != "loop" or loop_kind(node) == "bind":
        return node
    gathered: Node = Node("const", value=0)
    if loop_kind(node) == "collect":
        gathered = Node("call", node.id, "size", parts=[Node("ident", node.id, node.accumulator)])
    tick = Node("call", node.id, "@tick", parts=[Node("const", value=node.id), gathered])
    node.parts[2] = Node("call", node.id, "_&&_", parts=[tick, node.parts[2]])
    return node


def makes_optionals(tree: Node) -> bool:
    """Return whether an expression has anything that makes an optional; no event brings one along."""
    return any(node.name in _OPTIONAL for node in tree.walk())


def value_of(result: cel.Value, *, has_optionals: bool = False) -> Any:
    """Return the engine's result as a value of ours.

    Args:
        result: The engine's result.
        has_optionals: There may be an optional in it. The engine's binding ends the process when it is asked for the
            plain value of a mapping that holds one, so these are looked for before.

    Raises:
        ValueError: It is an error, or of a type that only CEL has.

    """
    if result.type() == cel.Type.ERROR:
        raise ValueError(str(result.plain_value()))
    if has_optionals and _holds_optional(result):
        raise ValueError(_NO_OPTIONAL)
    try:
        return returned(result.plain_value())
    except TypeError as error:
        raise ValueError(_NO_OPTIONAL) from error


def _holds_optional(result: Any) -> bool:
    """Return whether an optional is a member of a mapping or a list; the binding calls its type an error there."""
    value = result.value()
    members = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(member.type() == cel.Type.ERROR or _holds_optional(member) for member in members)


def _run_loop(index: int) -> Any:
    meter = _running.meter
    value = meter.loops[index].run(meter)
    return admitted(value, meter.spend)[0] if isinstance(value, list) else value


def _tick(loop: int, gathered: int) -> bool:
    meter = _running.meter
    meter.spend(meter.turns.get(loop, 0) + COPY_COST * gathered + _TICK_COST)
    return True


def _matches(text: str, pattern: str) -> bool:
    meter = _running.meter
    width = len(text) if text.isascii() else 4 * len(text)
    is_new = pattern not in meter.patterns
    meter.spend(_PATTERN_COST if is_new else 0)
    compiled = compiled_pattern(pattern)
    size = compiled.programsize
    meter.patterns.add(pattern)
    meter.spend(_match_cost(width, size, is_new=is_new))
    return compiled.search(text) is not None


def _match_cost(width: int, size: int, *, is_new: bool) -> int:
    """Return the nanoseconds of a search through a text of ``width`` bytes by a program of ``size`` steps."""
    return width * (5 + size * 3 // 10) + (size * (300 + 60 * min(width, _COLD_BYTES)) if is_new else 0)


def quick_search(pattern: str, width: int) -> tuple[Callable[[str], object], int] | None:
    """Return what searches texts for a pattern, and what that costs at most; None if the pattern is large, or none.

    Args:
        pattern: The regular expression.
        width: Bytes of a text, at most.

    Returns:
        The function returns None where there is no match. The cost is in nanoseconds.

    """
    try:
        compiled = _compiled_pattern(pattern, _QUICK_MEMORY)
    except ValueError:
        return None
    return compiled.search, _PATTERN_COST + _match_cost(width, compiled.programsize, is_new=True)


@lru_cache(maxsize=32)
def compiled_pattern(pattern: str) -> Any:
    """Return a regular expression of RE2.

    Raises:
        ValueError: It is none, or too large.

    """
    return _compiled_pattern(pattern, PATTERN_MEMORY)


def _compiled_pattern(pattern: str, memory: int) -> Any:
    if len(pattern) > PATTERN_LIMIT:
        raise ValueError(f"a pattern of {len(pattern)} characters; at most {PATTERN_LIMIT} may be")
    options = re2.Options()
    options.max_mem = memory
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise ValueError(f"invalid regular expression: {text}") from error


def _zone(name: str) -> str:
    if not _OFFSET.fullmatch(name) and name not in _zones():
        raise ValueError(f"there is no time zone {name[:60]!r}")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(sys.intern(name) for name in zoneinfo.available_timezones()) | {"UTC"}
