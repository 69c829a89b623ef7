"""The ledger: the outcome of each run key, kept for the ledger's horizon.

One record a run key, in the partition of its trigger: *parked* (waits, with its whole run), *intent* (a create may have
been sent), and the final *done* (created, there already, or skipped) and *dead*. A final record has the facts about its
run, which a replay reads (:class:`bridge.core.runs.run.RunFacts`). Of these runs only the key stays in memory
(:mod:`bridge.stages.submitter.ledger.ended_runs`). A created run is *followed* until its Workflow has ended
(:mod:`bridge.stages.submitter.ledger.followed_runs`). Its record is then written once more, with the phase. Runs that
wait lie on a shelf (:mod:`bridge.stages.submitter.waiting_runs`). How a new owner reads it all back is
:mod:`bridge.stages.submitter.ledger.ledger_restore`.

Kafka deletes entries by their age. Final ones may go: they are older than the ledger's horizon then. Those of runs
that have not ended are written again when a quarter of the topic's retention has passed, so an entry is lost only if
no process owns its partition for the other three quarters.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from bridge.core.event import DAY, Micros
from bridge.core.runs.run import RunPhase
from bridge.core.windows.window import Frame
from bridge.kafka.log import Headers
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.shared.run_records import encode_facts, encode_run, ended_facts
from bridge.stages.submitter.ledger.ended_runs import FinalKeys
from bridge.stages.submitter.open_run import OpenRun
from bridge.stages.submitter.waiting_runs import WaitingRuns

State = Literal["parked", "intent", "done", "dead"]

RUNNING: Headers = (("flowbridge-running", b""),)
"""Header of the entry of a run whose Workflow has not ended. A restore finds these entries by it: of all others it
reads the first bytes alone."""


class LedgerPartition:
    """The state of one partition of the ledger.

    Args:
        number: The partition.
        horizon: How long keys of ended runs are remembered.
        retention: How long Kafka keeps an entry.

    Attributes:
        final: Keys of runs that have ended.
        open: Runs in memory that have not ended, by key.
        waiting_runs: The other runs that have not ended.
        asked: When the latest ended runs of a lane were taken up, for its limits; filled by restoring.
        started: When its latest runs were started, ended or not; the same.
        running: Entries of created runs whose Workflows have not ended, by key; filled by restoring, until they are
            followed (:mod:`bridge.stages.submitter.ledger.followed_runs`).

    """

    def __init__(self, number: int, horizon: Micros, retention: Micros = 8 * DAY) -> None:
        self.final = FinalKeys(horizon)
        self.open: dict[str, OpenRun] = {}
        self.waiting_runs = WaitingRuns(number)
        self.asked: defaultdict[str, list[Micros]] = defaultdict(list)
        self.started: defaultdict[str, list[Micros]] = defaultdict(list)
        self.running: dict[str, bytes] = {}
        self.rewrite_after = retention // 4

    def __len__(self) -> int:
        """Return how many runs have not ended."""
        return len(self.open) + len(self.waiting_runs)

    def knows(self, run_key: str) -> bool:
        """Return whether a run was taken up before."""
        return run_key in self.open or run_key in self.final or run_key in self.waiting_runs

    def forget(self, run: OpenRun) -> None:
        """Hold a run in memory no longer."""
        self.open.pop(run.run.run_key, None)

    def end(self, run: OpenRun, at: Micros) -> None:
        """Keep only the key of a run that has ended."""
        self.forget(run)
        run.body = None
        self.final.add(run.run.run_key, at)


def encode_entry(
    state: State, open_run: OpenRun, at: Micros, frame: Frame | None = None, phase: RunPhase | None = None
) -> bytes:
    """Return the ledger's record of a run: with the whole run, or with the facts about one that has ended.

    The time of an intent is that of the first one that stands. The time of a parked run is that of its first refusal,
    or 0 while it was never refused. The time of a final one is ``at``.

    Args:
        state: Where the run stands.
        open_run: The run.
        at: The time.
        frame: Of a final one: the calendar window of its match.
        phase: Of a final one: how far its Workflow has come; None if it has none.

    """
    run, moment = open_run.run, at
    if state in ("done", "dead"):
        body = encode_facts(run, frame, phase)
    else:
        body = open_run.body = open_run.body or encode_run(run)
        moment = (open_run.refused or 0) if state == "parked" else at if open_run.intent is None else open_run.intent
    return LEDGER_ENTRY.encode(
        {
            "state": state,
            "at": moment,
            "trigger": run.trigger,
            "workflow": f"{run.namespace}/{run.name}",
            "reason": open_run.reason,
            "attempts": open_run.attempts,
            "since": open_run.since,
            "run": body,
        }
    )


def encode_end(entry: bytes, phase: RunPhase, ended: Micros) -> bytes:
    """Return the entry of a created run whose Workflow has ended. Its other fields stay.

    Args:
        entry: The entry that was written when it was created.
        phase: Its last phase.
        ended: When its end was seen.

    Raises:
        RecordError: The entry cannot be read.

    """
    fields = LEDGER_ENTRY.decode(entry)
    return LEDGER_ENTRY.encode(fields | {"run": ended_facts(fields["run"], phase, ended)})
