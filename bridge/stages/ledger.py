"""The ledger: what became of each run key, for as long as "already ran" has to be known.

One record a run key, in the partition of its trigger: *parked* (waits, with its whole run), *intent* (a create may have
been sent), and the final *done* and *dead*. Of final ones only the key stays in memory, 32 bytes in sets by age, so
that a million take well below 200 MB and whole sets are dropped as they pass the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.core.event import Micros
from bridge.core.run import Run
from bridge.kafka.log import Admin, Partition, Reader
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.disk_keys import DiskKeys
from bridge.stages.run_records import decode_run, encode_run

State = Literal["parked", "intent", "done", "dead"]

MEMORY_BOUND = 1_000_000
"""Run keys of one partition in memory, about 100 bytes each."""

_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_PADDING = 4  # bits that the last character of a run key has too many
_GENERATIONS = 16  # sets in one horizon: a look-up asks each, a key is kept at most one part longer than promised


class FinalKeys:
    """Run keys whose runs have ended, for the length of a horizon.

    Args:
        horizon: How long they are remembered.
        bound: How many are held in memory; beyond it the oldest go to disk.

    """

    def __init__(self, horizon: Micros, bound: int = MEMORY_BOUND) -> None:
        self._horizon = horizon
        self._bound = bound
        self._part = max(1, horizon // _GENERATIONS)
        self._generations: dict[int, set[bytes]] = {}
        self._in_memory = 0
        self._disk: DiskKeys | None = None

    def __contains__(self, run_key: str) -> bool:
        """Tell whether the run of this key has ended within the horizon."""
        digest = _digest(run_key)
        if any(digest in one for one in self._generations.values()):
            return True
        return self._disk is not None and digest in self._disk

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return self._in_memory + (len(self._disk) if self._disk is not None else 0)

    def add(self, run_key: str, at: Micros) -> None:
        """Remember a run that ended at ``at``."""
        generation = self._generations.setdefault(at // self._part, set())
        before = len(generation)
        generation.add(_digest(run_key))
        self._in_memory += len(generation) - before
        if self._in_memory > self._bound:
            self._spill()

    def forget(self, now: Micros) -> None:
        """Forget what lies beyond the horizon."""
        oldest = (now - self._horizon) // self._part
        gone = [one for one in self._generations if one < oldest]
        for generation in gone:
            self._in_memory -= len(self._generations.pop(generation))
        if gone and self._disk is not None:
            self._disk.forget_before(oldest)

    def _spill(self) -> None:
        """Move the oldest generation to disk."""
        self._disk = self._disk or DiskKeys()
        oldest = min(self._generations)
        keys = self._generations.pop(oldest)
        self._in_memory -= len(keys)
        self._disk.add(oldest, keys)


def _digest(run_key: str) -> bytes:
    """Return the 32 bytes of which a run key is the base32 text."""
    return (int(run_key.translate(_DIGITS), 32) >> _PADDING).to_bytes(32, "big")  # base64 takes six times as long


@dataclass(slots=True)
class OpenRun:
    """A run that has not ended.

    Attributes:
        run: The run; its parameters are resolved once an intent was written.
        partition: Its partition of the ledger.
        since: When it was first taken up.
        intent: When the oldest intent was written that no definite refusal has voided; None without one.
        in_doubt: An attempt under this intent may have made the Workflow.
        attempts: How many creates were sent.
        due: When it is to be tried next.
        under_way: A worker has it.
        is_kept: The ledger in Kafka has it, or will with the batch that is being made.
        is_dropped: Its partition was let go: no worker may create it any more.
        reason: What the last attempt came to.

    """

    run: Run
    partition: int
    since: Micros
    intent: Micros | None = None
    in_doubt: bool = False
    attempts: int = 0
    due: Micros = 0
    under_way: bool = False
    is_kept: bool = False
    is_dropped: bool = False
    reason: str = ""


class LedgerPartition:
    """One partition of the ledger, as far as it is needed in memory.

    Attributes:
        final: Keys of runs that have ended.
        open: Runs that have not, by key.

    """

    def __init__(self, horizon: Micros) -> None:
        self.final = FinalKeys(horizon)
        self.open: dict[str, OpenRun] = {}

    def knows(self, run_key: str) -> bool:
        """Tell whether a run was taken up before."""
        return run_key in self.open or run_key in self.final


def encode_entry(state: State, one: OpenRun, at: Micros) -> bytes:
    """Return the ledger's record of a run; a final one leaves the run itself out."""
    run = one.run
    return LEDGER_ENTRY.encode(
        {
            "state": state,
            "at": one.intent if state == "intent" and one.intent is not None else at,
            "trigger": run.trigger,
            "workflow": f"{run.namespace}/{run.name}",
            "reason": one.reason,
            "attempts": one.attempts,
            "since": one.since,
            "run": encode_run(run) if state in ("parked", "intent") else None,
        }
    )


def read_ledger(reader: Reader, admin: Admin, partition: Partition, horizon: Micros, now: Micros) -> LedgerPartition:
    """Return a partition of the ledger as it stands in Kafka; its former owner has been fenced."""
    ledger = LedgerPartition(horizon)
    end = admin.end_offsets([partition])[partition]
    unfinished: dict[str, bytes] = {}
    decode_first = LEDGER_ENTRY.first("state", "at")
    for records in reader.read(partition, 0, end):
        for record in records:
            if record.key is None:
                continue
            run_key = record.key.decode()
            unfinished.pop(run_key, None)
            if record.value is None:
                continue
            state, at = decode_first(record.value)
            if state in ("done", "dead"):
                ledger.final.add(run_key, at)
            else:
                unfinished[run_key] = record.value
    ledger.final.forget(now)
    for run_key, value in unfinished.items():
        ledger.open[run_key] = _open(value, partition.number)
    return ledger


def _open(value: bytes, partition: int) -> OpenRun:
    fields = LEDGER_ENTRY.decode(value)
    return OpenRun(
        run=decode_run(fields["run"]),
        partition=partition,
        since=fields["since"],
        intent=fields["at"] if fields["state"] == "intent" else None,
        in_doubt=fields["state"] == "intent",
        attempts=fields["attempts"],
        is_kept=True,
        reason=fields["reason"],
    )
