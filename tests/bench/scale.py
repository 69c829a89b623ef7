"""How much is measured: in full, or just enough to see that the bench works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The counts of one run of the bench.

    Attributes:
        warm_ups: How often the broker is loaded at most before anything is measured.
        rounds: How often each kind of client runs; the kinds take turns.
        events: Events that a ceiling and a router consume.
        pairs: Pairs of events that a matcher completes.
        filter_rounds: How often each number of filters has its turn.
        filtered: Events that pass through filters that ask for a value.
        evaluated: Events that pass through filters that have to be evaluated.
        most_filters: The largest number of filters that ask for a value.
        kind_rounds: How often each kind of window has its turn.
        kind_pairs: Pairs of events of each.
        creates: Workflows that a submitter, and a bare client, create in one round.
        hold_rounds: How often runs are held.
        held: Runs that a person holds.
        published: Events that a publisher, and a bare client, publish in one round.
        replica_rounds: How often that is done on a topic with a second replica.
        posts: Requests to the gateway in one round.
        latencies: Samples of each side.
        block: Samples of one side before the next side has its turn.
        windows: Open windows that are restored.
        window_restores: How often.
        entries: Entries of the ledger that are restored.
        entry_restores: How often.
        spill_rounds: How often windows are completed from memory and from disk.
        spilled: Windows that are.
        replay_rounds: How often each kind of plan has its turn.
        replayed: Events that a replay reads, of all topics together.
        planned: Events that the plan of an edit reads.
        kills: Processes killed inside an open transaction.
        kill_windows: Open windows while they are.
        peer_rounds: How often each peer has its turn.
        peer_events: Events of each topic that the peers read.

    """

    warm_ups: int = 3
    rounds: int = 5
    events: int = 45_000
    pairs: int = 20_000
    filter_rounds: int = 2
    filtered: int = 100_000
    evaluated: int = 12_000
    most_filters: int = 10_000
    kind_rounds: int = 2
    kind_pairs: int = 30_000
    creates: int = 500
    hold_rounds: int = 1
    held: int = 30_000
    published: int = 50_000
    replica_rounds: int = 1
    posts: int = 4_000
    latencies: int = 200
    block: int = 100
    windows: int = 1_000_000
    window_restores: int = 3
    entries: int = 1_000_000
    entry_restores: int = 3
    spill_rounds: int = 1
    spilled: int = 30_000
    replay_rounds: int = 1
    replayed: int = 20_000
    planned: int = 150_000
    kills: int = 2
    kill_windows: int = 100_000
    peer_rounds: int = 5
    peer_events: int = 100_000


FULL = Scale()
QUICK = Scale(
    warm_ups=1,
    rounds=2,
    events=30_000,
    pairs=5_000,
    filter_rounds=1,
    filtered=11_000,  # more than one batch
    evaluated=11_000,
    most_filters=1_000,
    kind_rounds=1,
    kind_pairs=6_000,  # more than one batch, also where a pair has one arrival
    creates=200,
    held=1_000,
    published=20_000,
    posts=1_000,
    latencies=100,
    block=50,
    windows=10_000,
    window_restores=1,
    entries=50_000,
    entry_restores=1,
    spilled=10_000,
    replay_rounds=1,
    replayed=20_000,
    planned=20_000,
    kills=1,
    kill_windows=5_000,
    peer_rounds=1,
    peer_events=20_000,
)
