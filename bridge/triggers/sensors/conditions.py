"""The ``conditions`` of a Sensor: a boolean expression over its dependencies, read as the number of slots of a match.

``a && b`` needs all slots, and ``a || b`` needs any. An expression that is true exactly if at least N of its
dependencies have an event needs N (``a && b || b && c || a && c``). Every other expression would need slots that are
not alike, and is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from itertools import combinations

from bridge.triggers.sensors.parts import Part, SensorMisfitError

COUNTED_LIMIT = 8
"""Dependencies up to which the N of N-of-M is searched, by a try of all their subsets: 256."""

_TOKEN = re.compile(r"\s*(?:(&&)|(\|\||\()|(\))|([A-Za-z0-9_-]+))\s*")
_LENGTH_LIMIT = 4_096


def read_conditions(part: Part, dependencies: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return the dependencies in the expression, in their own order, and how many of them a match needs.

    Args:
        part: The expression; an empty part means all dependencies.
        dependencies: Names of the dependencies.

    Raises:
        SensorMisfitError: Argo Events does not take the expression, or it has no number that means the same.

    """
    if not part:
        return tuple(dependencies), len(dependencies)
    tree, places = _parsed(part, dependencies)
    used = tuple(dependencies[index] for index in range(len(dependencies)) if index in places)
    indexes = [dependencies.index(name) for name in used]
    operators = {type(node) for node in ast.walk(tree) if isinstance(node, ast.And | ast.Or)}
    if operators == {ast.Or}:
        return used, 1
    if ast.Or not in operators:
        return used, len(indexes)
    # N, if the expression has one outcome for all subsets of a size: false below N, and true from N on.
    if len(indexes) <= COUNTED_LIMIT:
        outcomes = [
            {_holds(tree, dict.fromkeys(present, True)) for present in combinations(indexes, size)}
            for size in range(len(indexes) + 1)
        ]
        if {True, False} not in outcomes:
            return used, outcomes.index({True})
    raise part.misfit("write dependencies with && alone, or with || alone, or a Trigger for each alternative")


def _parsed(part: Part, dependencies: Sequence[str]) -> tuple[ast.expr, frozenset[int]]:
    """Return the expression as Python's, over names ``d0``, ``d1``, …, and the indexes in it."""
    text = part.text()
    # Argo Events takes '-' and '_' for the same character in this expression, and nowhere else.
    known = {name.replace("-", "_"): index for index, name in enumerate(dependencies)}
    words, position, places = [], 0, set()
    while position < len(text):
        token = _TOKEN.match(text, position)
        name = (token[4] or "").replace("-", "_") if token else ""
        if token is None or len(text) > _LENGTH_LIMIT or (token[4] and name not in known):
            raise part.misfit("write dependencies with &&, || and parentheses: " + ", ".join(dependencies))
        if token[4]:
            places.add(known[name])
            words.append(f"d{known[name]}")
        else:
            words.append({"&&": "and", "||": "or"}.get(token[0].strip(), token[0].strip()))
        position = token.end()
    try:
        return ast.parse(" ".join(words), mode="eval").body, frozenset(places)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise part.misfit("write dependencies with &&, || and parentheses") from error


def _holds(tree: ast.expr, present: Mapping[int, bool]) -> bool:
    if isinstance(tree, ast.BoolOp):
        outcomes = (_holds(part, present) for part in tree.values)
        return all(outcomes) if isinstance(tree.op, ast.And) else any(outcomes)
    if isinstance(tree, ast.Name):
        return present.get(int(tree.id[1:]), False)
    raise SensorMisfitError((), f"{ast.dump(tree)} in conditions")  # only names and operators were written
