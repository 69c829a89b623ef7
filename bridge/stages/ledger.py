"""The ledger: what became of each run key, for as long as "already ran" has to be known.

One record a run key, in the partition of its trigger: *parked* (waits, with its whole run), *intent* (a create may have
been sent), and the final *done* (created, there already, or skipped) and *dead*. Of final ones only the key stays in
memory (:mod:`bridge.stages.final_keys`), of those that wait a stub: their bodies lie on a shelf
(:mod:`bridge.stages.shelf`). How a new owner reads it all back is :mod:`bridge.stages.ledger_restoring`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from bridge.core.event import Micros
from bridge.core.run import Run
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.final_keys import FinalKeys
from bridge.stages.run_records import decode_run, encode_run
from bridge.stages.shelf import Shelf

State = Literal["parked", "intent", "done", "dead"]


@dataclass(slots=True)
class OpenRun:
    """A run that has not ended.

    Attributes:
        run: The run; its parameters are resolved once an intent was written. Only a stub of it while it is shelved.
        partition: Its partition of the ledger.
        since: When it was first taken up.
        body: The record of the run; None where it has to be written anew, or lies on the shelf.
        intent: When the oldest intent was written that no definite refusal has voided; None without one.
        started: The start that its trigger's rate counts for it: its last attempt under the intent.
        in_doubt: An attempt under this intent may have made the Workflow.
        attempts: How many creates were sent.
        due: When it is to be tried again, while it is put off; else None.
        under_way: A worker has it.
        is_kept: The ledger in Kafka has it, or will with the batch that is being made.
        is_shelved: Its body lies on the shelf.
        has_ended: Its end is in the ledger.
        is_dropped: Its partition was let go: no worker may create it any more.
        reason: What the last attempt came to, or what it waits for.

    """

    run: Run
    partition: int
    since: Micros
    body: bytes | None = None
    intent: Micros | None = None
    started: Micros | None = None
    in_doubt: bool = False
    attempts: int = 0
    due: Micros | None = None
    under_way: bool = False
    is_kept: bool = False
    is_shelved: bool = False
    has_ended: bool = False
    is_dropped: bool = False
    reason: str = ""

    def is_too_late(self, now: Micros) -> bool:
        """Tell whether its time to start has passed while surely nothing was made of it."""
        return self.intent is None and self.run.start_by is not None and now >= self.run.start_by


class LedgerPartition:
    """One partition of the ledger, as far as it is needed in memory.

    Attributes:
        final: Keys of runs that have ended.
        open: Runs that have not, by key, in the order of their last records.
        shelf: Bodies of those that wait.
        asked: When the latest runs of a trigger were taken up, as its new owner finds them, for its limits.
        started: The same for when they were started.

    """

    def __init__(self, horizon: Micros) -> None:
        self.final = FinalKeys(horizon)
        self.open: dict[str, OpenRun] = {}
        self.shelf = Shelf()
        self.asked: defaultdict[str, list[Micros]] = defaultdict(list)
        self.started: defaultdict[str, list[Micros]] = defaultdict(list)

    def knows(self, run_key: str) -> bool:
        """Tell whether a run was taken up before."""
        return run_key in self.open or run_key in self.final

    def end(self, one: OpenRun, at: Micros) -> None:
        """Let a run have ended."""
        if self.open.pop(one.run.run_key, None) is not None and one.is_shelved:
            self.shelf.discard(one.run.run_key)
        one.has_ended = True
        one.run, one.body = _stub(one.run), None  # its lane or a timer may remember it for a while
        self.final.add(one.run.run_key, at)

    def lay_down(self, one: OpenRun) -> None:
        """Leave a stub of a run in memory; the ledger in Kafka has it whole."""
        if not one.is_shelved:
            self.shelf.put(one.run.run_key, one.body or encode_run(one.run))
            one.run, one.body, one.is_shelved = _stub(one.run), None, True

    def take_up(self, one: OpenRun) -> None:
        """Bring a run back from the shelf."""
        if one.is_shelved:
            one.body = self.shelf.take(one.run.run_key)
            one.run, one.is_shelved = decode_run(one.body), False


def _stub(run: Run) -> Run:
    """Return what has to be known of a run that waits: what all runs of its definition share, and a few short texts."""
    return run._replace(parameters=None, payload=None, events=())


def encode_entry(state: State, one: OpenRun, at: Micros) -> bytes:
    """Return the ledger's record of a run; a final one leaves the run itself out."""
    run, body = one.run, None
    if state in ("parked", "intent"):
        body = one.body = one.body or encode_run(run)
    return LEDGER_ENTRY.encode(
        {
            "state": state,
            "at": one.intent if state == "intent" and one.intent is not None else at,
            "trigger": run.trigger,
            "workflow": f"{run.namespace}/{run.name}",
            "reason": one.reason,
            "attempts": one.attempts,
            "since": one.since,
            "run": body,
        }
    )
