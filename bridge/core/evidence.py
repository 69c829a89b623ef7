"""The evidence of a decision about an expression: its text, and the values that it read.

A person reads the evidence of one event in hundreds of thousands that are filtered, so the values are looked up when
they are asked for. A sensitive field (the trigger names it, or a setting does for all triggers) is never shown: neither
its value, nor an error that may quote it, nor a key that is made of it. What may quote values is CEL; no error of ours
does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import override

from bridge.core.expressions.expression import Expression

REDACTED = "(redacted)"
_VALUE_LIMIT = 200  # characters


def reads_sensitive(expression: Expression, sensitive: Sequence[str]) -> bool:
    """Tell whether an expression reads a sensitive field, or something that holds it."""
    return bool(sensitive) and (
        "payload" in expression.read_whole or any(is_sensitive(path, sensitive) for path in expression.reads)
    )


def match_reads_sensitive(expression: Expression, sensitive: Sequence[str]) -> bool:
    """Tell whether an expression over the slots of a match reads a sensitive field, or something that holds it."""
    below = [path.partition(".")[2] for path in expression.reads]  # the slot's variable stands in front
    return bool(sensitive) and (bool(expression.read_whole) or any(is_sensitive(path, sensitive) for path in below))


def is_sensitive(path: str, sensitive: Sequence[str]) -> bool:
    """Tell whether the field at ``payload.…`` is, holds, or lies in a sensitive field; ``payload`` holds them all."""
    root, _, field = path.partition(".")
    return root == "payload" and any(
        not field or f"{field}.".startswith(f"{hidden}.") or hidden.startswith(f"{field}.") for hidden in sensitive
    )


class ExpressionEvidence(Mapping[str, str]):
    """The evidence of an expression's value, or of an error in it.

    Args:
        name: What the trigger calls the expression: ``where``, ``key``.
        expression: The expression.
        variables: What it was evaluated over.
        sensitive: Payload fields that are not shown.
        error: Why it has no value.

    """

    def __init__(
        self,
        name: str,
        expression: Expression,
        variables: Mapping[str, Any],
        sensitive: Sequence[str],
        error: str | None = None,
    ) -> None:
        self._name = name
        self._expression = expression
        self._variables = variables
        self._sensitive = sensitive
        self._error = error

    @override
    def __getitem__(self, name: str) -> str:
        return self._looked_up()[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._looked_up())

    @override
    def __len__(self) -> int:
        return len(self._looked_up())

    @override
    def __repr__(self) -> str:
        return repr(self._looked_up())

    def _looked_up(self) -> dict[str, str]:
        found = {self._name: self._expression.source}
        if self._error is not None:
            found["error"] = REDACTED if reads_sensitive(self._expression, self._sensitive) else self._error
        for path, value in self._expression.values(self._variables).items():
            found[path] = REDACTED if is_sensitive(path, self._sensitive) else _shown(value)
        return found


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _VALUE_LIMIT else f"{text[:_VALUE_LIMIT]}…"
