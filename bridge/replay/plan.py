"""The plan of a replay: each match of the range by its outcome, and the runs that the replay is to start."""

from __future__ import annotations

import marshal
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bridge.core.definition import Definition, attributes
from bridge.core.event import Event, EventIdentity, Micros
from bridge.core.expressions.expression import Expression, ExpressionError
from bridge.core.route import route
from bridge.core.runs.identity import run_key_of, workflow_name
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError
from bridge.replay.history import History
from bridge.replay.past import PastMatch
from bridge.replay.recorded import Outcome, RecordedRun
from bridge.replay.request import Mode, Only
from bridge.stages.shared.spill_file import spill_file

_CREATE = """
CREATE TABLE matches (run_key TEXT, outcome TEXT, at INTEGER, body BLOB);
"""
_CACHE_KIB = 16 * 1024
_EXAMPLES = 5
_TOGETHER = 500  # matches that are written together
_REPEATS = """
DELETE FROM matches WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, row_number() OVER (PARTITION BY run_key ORDER BY rowid) AS nth FROM matches)
    WHERE nth > 1
)
"""

UNRUNNABLE = "unrunnable"
"""The outcome of a match of which no run can be made."""

_AGAIN = frozenset({Outcome.DEAD, Outcome.SKIPPED, Outcome.FAILED})


class Selection:
    """Which matches a replay looks at.

    Args:
        definition: The definition that decides.
        where: An event of the match has to satisfy it; None for all matches.
        only: The definition of that time has to have decided so about an event of the match; None for all.
        history: Which definition was in force when.

    Attributes:
        definition: The definition that decides.

    """

    def __init__(
        self, definition: Definition, where: Expression | None, only: Only | None, history: History | None
    ) -> None:
        self.definition = definition
        self._where = where
        self._only = only
        self._history = history

    @property
    def needs_payload(self) -> bool:
        """Return whether it looks into events."""
        return self._where is not None or self._only is not None

    def picks(self, match: PastMatch) -> bool:
        """Return whether a match is selected."""
        if self._where is None and self._only is None:
            return True
        for slot, events in zip(self.definition.slots, match.events, strict=True):
            for event in events:
                try:
                    is_picked = self._where is None or self._where.holds(
                        {"payload": event.payload, "event": attributes(event)}
                    )
                except ExpressionError:
                    is_picked = False
                if is_picked and (self._only is None or self._reason_then(event, slot.slot.event) == self._only):
                    return True
        return False

    def _reason_then(self, event: Event, name: str) -> str:
        """Return how the definition of that time decided about an event; empty if it let the event pass."""
        definition = self._history.at(event.reached) if self._history is not None else None
        if definition is None:
            return ""
        reasons = {
            getattr(route(definition, slot, event), "reason", "")
            for slot in definition.slots
            if slot.slot.event == name
        }
        return str(next(iter(reasons))) if len(reasons) == 1 else ""


class PlannedRun(NamedTuple):
    """A run of a plan, and when its match was complete."""

    run: Run
    complete: Micros


class Plan:
    """The matches of a range.

    Args:
        name: Name of the replay.
        installation: The bridge's internal prefix.
        mode: The matches that get a run.
        replay_id: Id of a second set of runs; empty for the live set.
        selection: The matches that are looked at.

    Attributes:
        unrunnable: Why no run can be made of some of the matches, for people.

    """

    def __init__(self, name: str, installation: str, mode: Mode, replay_id: str, selection: Selection) -> None:
        self._name = name
        self._installation = installation
        self._mode = mode
        self._replay_id = replay_id
        self._selection = selection
        self._database = spill_file(_CREATE, _CACHE_KIB)
        self._database.execute("BEGIN")
        self._unwritten: list[tuple[str, str, int, bytes | None]] = []
        self._may_repeat = False
        self.unrunnable: list[str] = []

    def add(self, matches: Iterable[PastMatch]) -> None:
        """Add matches. A match that is completed outside of the range, or is not selected, counts for nothing."""
        planned: list[tuple[str, str, Micros, Run | None]] = []
        for match in matches:
            if not match.is_inside or not self._selection.picks(match):
                continue
            outcome = match.recorded.outcome if match.recorded is not None else Outcome.MISSING
            if match.run is None:
                if match.recorded is not None:
                    planned.append((match.recorded.run_key, outcome, match.complete, None))
                continue
            if isinstance(match.run, UnrunnableError):
                if outcome is Outcome.MISSING and len(self.unrunnable) < _EXAMPLES:
                    self.unrunnable.append(str(match.run))
                key = f"{UNRUNNABLE} {match.complete} {[event for slot in match.used for event in slot]}"
                planned.append((key, UNRUNNABLE if outcome is Outcome.MISSING else outcome, match.complete, None))
                continue
            run = self._run(match, match.run)
            shown = match.second.outcome if match.second is not None else outcome
            live_key = match.recorded.run_key if match.recorded is not None else match.run.run_key
            run_key = match.run.run_key if self._replay_id else live_key
            planned.append((run_key, shown, match.complete, run))
        self._unwritten += [
            (run_key, outcome, complete, None if run is None else _packed(run))
            for run_key, outcome, complete, run in planned
        ]
        if len(self._unwritten) >= _TOGETHER:
            self._write()

    def _run(self, match: PastMatch, run: Run) -> Run | None:
        """Return the run that the replay is to start for a match; None for none."""
        failed: RecordedRun | None = None
        for recorded in (match.recorded, match.second) if self._replay_id else (match.recorded,):
            if recorded is None or (recorded is match.recorded and self._mode == "all"):
                continue
            if self._mode != "missing+failed" or recorded.outcome not in _AGAIN:
                return None
            failed = recorded
        return run if failed is None else repeated(run, failed.run_key, failed.attempt + 1, self._installation)

    def _write(self) -> None:
        self._database.executemany("INSERT INTO matches VALUES (?, ?, ?, ?)", self._unwritten)
        self._unwritten.clear()
        self._may_repeat = True

    def _read(self) -> sqlite3.Connection:
        """Return the file with all matches in it, each once.

        Matches of the same run are removed here, and not as they come: the keys of runs are random, and an index that
        grows by them is written again and again once it is larger than its pages in memory.
        """
        if self._unwritten:
            self._write()
        if self._may_repeat:
            self._database.execute("CREATE INDEX by_key ON matches (run_key)")
            self._database.execute(_REPEATS)
            self._database.execute("DROP INDEX by_key")
            self._may_repeat = False
        return self._database

    def save(self, file: Path) -> None:
        """Write the matches to a new file, for :meth:`take`."""
        self._read().execute("COMMIT")
        self._database.execute("VACUUM INTO ?", (str(file),))
        self._database.execute("BEGIN")

    def take(self, file: Path, unrunnable: Iterable[str]) -> None:
        """Take over the matches of another part of the range, from the file that :meth:`save` wrote."""
        self.unrunnable = [*self.unrunnable, *unrunnable][:_EXAMPLES]
        self._read().execute("COMMIT")
        self._database.execute("ATTACH ? AS other", (str(file),))
        self._database.execute("INSERT INTO matches SELECT * FROM other.matches")
        self._may_repeat = True
        self._database.execute("DETACH other")
        self._database.execute("BEGIN")

    # -- what it holds -------------------------------------------------------------------------------------------------

    def outcomes(self) -> Counter[str]:
        """Return how many matches have each outcome."""
        return Counter(dict(self._read().execute("SELECT outcome, count(*) FROM matches GROUP BY outcome")))

    def count(self, limit: int | None = None) -> int:
        """Return how many runs the replay is to start, at most ``limit``."""
        row: tuple[int] = self._read().execute("SELECT count(*) FROM matches WHERE body IS NOT NULL").fetchone()
        return row[0] if limit is None else min(row[0], limit)

    def runs(self, *, newest_first: bool = False, limit: int | None = None) -> Iterator[PlannedRun]:
        """Yield the runs, in the order in which their matches were complete."""
        order = "DESC" if newest_first else "ASC"
        select = f"SELECT body, at FROM matches WHERE body IS NOT NULL ORDER BY at {order}, rowid {order} LIMIT ?"  # noqa: S608  (the order is ours)
        for body, at in self._read().execute(select, (-1 if limit is None else limit,)):
            yield PlannedRun(self._unpacked(body), at)

    def _unpacked(self, body: bytes) -> Run:
        """Return the run of a row; what all runs of the plan have in common is that of the definition."""
        definition = self._selection.definition
        run_key, key, parameters, payload, events, event_time, reached, repeats, traces = marshal.loads(body)  # noqa: S302 - of our own file
        plan = definition.trigger.run
        return Run(
            run_key=run_key,
            trigger=definition.identity,
            definition_hash=definition.hash,
            key=key,
            namespace=plan.namespace,
            name=workflow_name(plan.template, run_key),
            template=plan.template,
            parameters=parameters,
            payload=payload,
            labels=plan.labels,
            annotations=plan.annotations,
            events=tuple([(slot, EventIdentity(*identity)) for slot, *identity in events]),
            event_time=event_time,
            reached=reached,
            allow_template_tags=plan.allow_template_tags,
            start_by=None,
            synchronization=plan.synchronization,
            replay=self._name,
            replay_id=self._replay_id,
            repeats=repeats,
            traces=traces,
        )

    def close(self) -> None:
        """Remove the file."""
        self._database.close()


def _packed(run: Run) -> bytes:
    """Return what a run has of its own, in a form that is written in a fraction of the time of its record."""
    events = [(slot, *identity) for slot, identity in run.events]
    own = (run.run_key, run.key, run.parameters, run.payload, events, run.event_time, run.reached, run.repeats)
    return marshal.dumps((*own, run.traces))


def repeated(run: Run, base: str, attempt: int, installation: str) -> Run:
    """Return a run that is made in place of another one, which failed.

    Its key follows from that of the other one and the number of the attempt alone. So two replays that make the same
    attempt make one run.

    Args:
        run: The run as it would be made first.
        base: Key of the run in whose place it is made.
        attempt: 1 for the first run in its place, and so on.
        installation: The bridge's internal prefix.

    """
    match = ("run.repeats", base, str(attempt))
    run_key = run_key_of(installation, run.trigger, run.key, match, run.replay_id)
    return run._replace(run_key=run_key, name=workflow_name(run.template, run_key), repeats=base)
