"""How much is measured: the whole bench, or a quick look that shows no more than that everything works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The counts of one run of the bench.

    Attributes:
        rounds: How often each kind of client runs; the kinds take turns.
        events: Events that a ceiling and a router consume.
        pairs: Pairs of events that a matcher completes.
        kind_rounds: How often each kind of window has its turn.
        kind_pairs: Pairs of events of each.
        creates: Workflows that a submitter, and a bare client, create in one round.
        latencies: Samples of each side.
        block: Samples of one side before the next side has its turn.
        windows: Open windows that are restored.
        window_restores: How often.
        entries: Entries of the ledger that are restored.
        entry_restores: How often.
        replay_rounds: How often each kind of plan has its turn.
        replayed: Events that a replay reads, of all topics together.
        kills: Processes killed inside an open transaction.
        kill_windows: Open windows while they are.

    """

    rounds: int = 7
    events: int = 300_000
    pairs: int = 60_000
    kind_rounds: int = 3
    kind_pairs: int = 20_000
    creates: int = 2_000
    latencies: int = 2_000
    block: int = 100
    windows: int = 100_000
    window_restores: int = 5
    entries: int = 1_000_000
    entry_restores: int = 3
    replay_rounds: int = 3
    replayed: int = 1_000_000
    kills: int = 10
    kill_windows: int = 100_000


FULL = Scale()
QUICK = Scale(
    rounds=2,
    events=30_000,
    pairs=5_000,
    kind_rounds=1,
    kind_pairs=6_000,  # more than one batch, also where a pair has one arrival
    creates=200,
    latencies=100,
    block=50,
    windows=10_000,
    window_restores=1,
    entries=50_000,
    entry_restores=1,
    replay_rounds=1,
    replayed=20_000,
    kills=1,
    kill_windows=5_000,
)
