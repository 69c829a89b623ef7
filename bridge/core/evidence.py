"""The evidence of a decision about an expression: its text, and the values that it read.

The values are looked up when they are asked for. A sensitive field (the trigger names it, or a setting does for all
triggers) is never shown: neither its value, nor an error that may quote it, nor a key that is made of it. Errors of CEL
may quote values. Our own never do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from typing_extensions import override

from bridge.core.decision import EvidenceOnDemand
from bridge.core.expressions.expression import Expression, ExpressionError, recorded
from bridge.core.expressions.parts import Conjunct, conjuncts, type_name

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


class Operand(NamedTuple):
    """A field that an expression reads.

    Attributes:
        path: The field, as the expression spells it.
        value: Its value as JSON text, cut short where it is long; redacted where it is sensitive; empty if the event
            has no such field.
        type: Its type as CEL calls it; empty if the event has no such field.

    """

    path: str
    value: str
    type: str


class ExpressionEvidence(EvidenceOnDemand):
    """The evidence of an expression's value, or of an error in it.

    Args:
        name: Name of the expression in the trigger: ``where``, ``key``.
        expression: The expression.
        variables: The variables of its evaluation.
        sensitive: Payload fields that are not shown.
        error: Why it has no value; None for a condition, which then tells it when it is asked again.

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
    def made(self) -> dict[str, str]:
        """Return the expression, the values that it read, and the error."""
        evidence = {self._name: self._expression.source}
        error = self._error
        if error is None:
            try:
                self._expression.holds(self._variables)
            except ExpressionError as failure:
                error = str(failure)
        if error is not None:
            evidence["error"] = REDACTED if reads_sensitive(self._expression, self._sensitive) else error
        for path, value in self._expression.values(self._variables).items():
            evidence[path] = REDACTED if is_sensitive(path, self._sensitive) else value_text(value)
        return evidence

    def operands(self) -> tuple[Operand, ...]:
        """Return the fields that the expression reads, with their types; those that are not there as well."""
        found = self._expression.values(self._variables)
        operands = []
        for path in self._expression.reads:
            if path not in found:
                operands.append(Operand(path, "", ""))
            elif is_sensitive(path, self._sensitive):
                operands.append(Operand(path, REDACTED, type_name(found[path])))
            else:
                operands.append(Operand(path, value_text(found[path]), type_name(found[path])))
        return tuple(operands)

    def conjuncts(self) -> tuple[Conjunct, ...]:
        """Return the parts of the expression that must be true, each with its value.

        Of a part that reads a sensitive field the error and the hint are left out.
        """
        parts = []
        for part in conjuncts(self._expression, self._variables):
            is_hidden = bool(self._sensitive) and reads_sensitive(recorded(part.source), self._sensitive)
            parts.append(part._replace(error=REDACTED if part.error else "", hint="") if is_hidden else part)
        return tuple(parts)


def value_text(value: Any) -> str:
    """Return a value as JSON text, cut short where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _VALUE_LIMIT else f"{text[:_VALUE_LIMIT]}…"
