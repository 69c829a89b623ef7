"""What an edit of a trigger changes, as values: counts and examples."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bridge.explain.story import Told, WindowStory

FAILABLE = ("new", "removed", "changed", "filtered", "errors")
"""The differences that ``--fail-on`` may name."""

_EXAMPLES = (*FAILABLE, "passed", "open")


@dataclass
class RunExample:
    """A run that only one side has, or that both have with other parameters."""

    at: str
    workflow: str
    key: str
    events: list[str]
    parameters: dict[str, str]


@dataclass
class EventExample:
    """An event that the two sides decide otherwise."""

    event: str
    place: str
    slot: str
    before: str
    after: str
    decision: Told | None


@dataclass
class Difference:
    """What an edit changes.

    Attributes:
        trigger: ``namespace/name``.
        before: Hash of the deployed definition; empty if there is none.
        after: Hash of the edited definition.
        begin: When the range begins.
        end: When it ends.
        records: Records that were read.
        runs: Counts of runs: ``same`` (also where neither can make one), ``new``, ``removed``, ``changed`` (the same
            events, other parameters).
        events: Counts of events at slots: ``filtered`` (they passed before), ``passed`` (they did not), ``errors``.
        decisions: All decisions of the edited trigger in the range, by reason.
        windows: How many windows are open at the end, ``before`` and ``after``.
        new: Examples of new runs.
        removed: Examples of removed runs.
        changed: Examples of changed runs: before, and after.
        filtered: Examples of events that are newly filtered.
        passed: Examples of events that newly pass.
        errors: Examples of events and matches that fail and did not before.
        open: Examples of open windows of the edited trigger.
        notes: What a person should know.

    """

    trigger: str
    before: str
    after: str
    begin: str
    end: str
    records: int = 0
    runs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("same", "new", "removed", "changed"), 0))
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("filtered", "passed", "errors"), 0))
    decisions: dict[str, int] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    new: list[RunExample] = field(default_factory=list)
    removed: list[RunExample] = field(default_factory=list)
    changed: list[tuple[RunExample, RunExample]] = field(default_factory=list)
    filtered: list[EventExample] = field(default_factory=list)
    passed: list[EventExample] = field(default_factory=list)
    errors: list[EventExample] = field(default_factory=list)
    open: list[WindowStory] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Difference) -> None:
        """Add what another part of the correlation keys has."""
        for mine, more in (
            (self.runs, other.runs),
            (self.events, other.events),
            (self.decisions, other.decisions),
            (self.windows, other.windows),
        ):
            for name, count in more.items():
                mine[name] = mine.get(name, 0) + count
        for name in _EXAMPLES:
            setattr(self, name, [*getattr(self, name), *getattr(other, name)])

    def cut(self, examples: int) -> None:
        """Keep so many examples of each kind, of runs those that were complete first."""
        for name in _EXAMPLES:
            kept = getattr(self, name)
            if name in ("new", "removed"):
                kept = sorted(kept, key=lambda example: example.at)
            setattr(self, name, kept[:examples])

    def counts(self) -> dict[str, int]:
        """Return how many differences there are of each kind that ``--fail-on`` may name."""
        return {name: (self.runs | self.events)[name] for name in FAILABLE}

    def plain(self) -> dict[str, Any]:
        """Return the difference as plain values, for JSON."""
        return {"kind": "plan", **asdict(self)}
