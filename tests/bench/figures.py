"""Figures: what was measured, its median and span, and the table that a person reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

HEAD = (
    "| what | median, or as said | min … max | CPU a record | values | target |\n"
    "| --- | ---: | ---: | ---: | ---: | --- |"
)
"""The head of the table, in Markdown."""


@dataclass(frozen=True)
class Target:
    """What was promised of a figure.

    Attributes:
        text: As a person reads it: ``≥ 45 %``.
        holds: Whether a value keeps it.

    """

    text: str
    holds: Callable[[float], bool]


def at_least(bound: float, text: str) -> Target:
    """Return the target of a figure that should be large."""
    return Target(f"≥ {text}", lambda value: value >= bound)


def at_most(bound: float, text: str) -> Target:
    """Return the target of a figure that should be small."""
    return Target(f"≤ {text}", lambda value: value <= bound)


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: What was measured.
        unit: Of the values.
        values: One a round.
        target: What was promised of it, or nothing.
        judge: Makes one value of them: the median, unless the line is about another.
        cpu: Microseconds of processor time a record, one a round; empty where they are not measured.

    """

    what: str
    unit: str
    values: Sequence[float]
    target: Target | None = None
    judge: Callable[[Sequence[float]], float] = median
    cpu: Sequence[float] = ()

    def row(self) -> str:
        """Return the line in Markdown."""
        value, judged = self.judge(self.values), ""
        if self.target is not None:
            judged = f"{self.target.text} {'✓' if self.target.holds(value) else '✗'}"
        cpu = f"{text(median(self.cpu))} µs" if self.cpu else ""
        shown = f"{text(value)} {self.unit} | {span(self.values)} | {cpu} | {len(self.values)}"
        return f"| {self.what} | {shown} | {judged} |"


def ratios(values: Sequence[float], ceilings: Sequence[float]) -> list[float]:
    """Return values in percent of the ceilings of their rounds."""
    return [100 * value / ceiling for value, ceiling in zip(values, ceilings, strict=True)]


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that ``share`` of all samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def span(values: Sequence[float]) -> str:
    """Return the smallest and the largest of several values."""
    return f"{text(min(values))} … {text(max(values))}" if len(values) > 1 else ""


def text(value: float) -> str:
    """Return a value as a person reads it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
