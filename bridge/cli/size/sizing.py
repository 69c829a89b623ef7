"""From the load of an installation to what it takes: pure rules, with the costs of :mod:`bridge.cli.size.costs`.

They count the steady state at the given rates. Each arrival waits for as long as its trigger lets it, unless a shorter
wait is given, so windows are counted at their worst. A process is planned to be busy for 60 % of a core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from bridge.cli.size import costs
from bridge.settings.groups import SubmitterSettings, WindowSettings

BUSY = 0.6
"""Part of a core that a process uses at the given rates. The rest is for bursts, and for work after an outage."""

GIB = 1024**3
_MB = 1_000_000
_DAY = 86_400
_KEYS = 1_000_000  # of each partition of the ledger are in memory (bridge/stages/submitter/ledger/ended_runs.py)
_DIRTY = 1.25  # a compacted topic holds a fifth of records that are no longer the last of their key
_LARGEST_SHARE = 3 / 4  # of a partition's bound, that one trigger can hold (bridge/stages/matcher/window_indexes.py)
_LEAST_PARTITIONS = 24
_LEAST_PROCESSES = 2
_DISK_BOUND = 64 * GIB  # of windows: beyond that, other windows are cheaper
_STEEP_RUNS = 100  # Workflows a second that few clusters take


@dataclass(frozen=True)
class TriggerLoad:
    """What one trigger has to do, or several that are alike.

    Attributes:
        name: Its name, for people.
        number: How many such triggers there are.
        evaluated: Events a second that its slots look at.
        passed: Events a second that pass its slots.
        runs: Runs a second that it starts.
        waits: Seconds that an arrival waits at most; None for a trigger without a window.
        remembers: Seconds that an identity is remembered after its last use.
        is_keyed: Whether it has a key. Without one, all of its windows are in one partition.

    """

    name: str
    number: int
    evaluated: float
    passed: float
    runs: float
    waits: float | None
    remembers: float
    is_keyed: bool

    @property
    def waiting(self) -> float:
        """Return how many arrivals of each such trigger wait."""
        return self.passed * self.waits if self.waits is not None else 0.0

    @property
    def remembered(self) -> float:
        """Return how many identities of each such trigger are remembered beyond those that wait."""
        return self.passed * self.remembers if self.waits is not None else 0.0


@dataclass(frozen=True)
class Load:
    """What an installation has to do.

    Attributes:
        events: Events a second, those of all topics together.
        event_bytes: Bytes of an event's value.
        triggers: Its triggers.
        run_time: Seconds that a Workflow runs.
        horizon: Seconds that the ledger remembers a run.
        replication: Copies of each internal topic.

    """

    events: float
    event_bytes: int
    triggers: tuple[TriggerLoad, ...]
    run_time: float
    horizon: float
    replication: int


@dataclass(frozen=True)
class Size:
    """What an installation takes.

    Attributes:
        fan_out: Arrivals that an event becomes, on average.
        arrivals: Arrivals a second.
        runs: Runs a second.
        waiting: Arrivals that wait. No more windows than that are open.
        remembered: Identities that are remembered.
        window_memory: Bytes of all windows, counted as in memory.
        window_disk: Bytes of the same windows on disk.
        ledger_entries: Runs that the ledger knows.
        ledger_memory: Bytes of their keys in memory, in all processes together.
        ledger_disk: Bytes of the keys that are on disk.
        followed: Workflows that run at a time.
        router: Cores of routers.
        matcher: Cores of matchers.
        submitter: The part of a submitter's creates that is used, in processes.
        processes: Processes with all stages.
        process_memory: Bytes of memory that one process takes, if it has all partitions.
        partitions: Partitions of the internal topics.
        topic_bytes: Bytes of the internal topics on one replica, by name without the prefix.
        written: Bytes a second that all stages write, on one replica.
        disk: Bytes of the volume for temporary files of each process.
        settings: Settings to set, by their variables. Those that are left out keep their defaults.
        warnings: What does not fit, and what to do.

    """

    fan_out: float
    arrivals: float
    runs: float
    waiting: float
    remembered: float
    window_memory: float
    window_disk: float
    ledger_entries: float
    ledger_memory: float
    ledger_disk: float
    followed: float
    router: float
    matcher: float
    submitter: float
    processes: int
    process_memory: float
    partitions: int
    topic_bytes: dict[str, float]
    written: float
    disk: int
    settings: dict[str, str]
    warnings: tuple[str, ...]


def size_of(load: Load) -> Size:
    """Return what an installation takes."""
    kinds = load.triggers
    windowed = [kind for kind in kinds if kind.waits is not None]
    arrivals = sum(kind.passed * kind.number for kind in windowed)
    runs = sum(kind.runs * kind.number for kind in kinds)
    runs_at_once = sum(kind.runs * kind.number for kind in kinds if kind.waits is None)
    evaluated = sum(kind.evaluated * kind.number for kind in kinds)
    more_filters = max(0.0, evaluated - load.events)
    router = (
        load.events * costs.READ.value
        + more_filters * costs.FILTER.value
        + runs_at_once * costs.RUN.value
        + arrivals * costs.ROUTE.value
    ) / _MB
    matcher, submitter = arrivals * costs.MATCH.value / _MB, runs / costs.CREATES.value
    processes = max(_LEAST_PROCESSES, ceil((router + matcher + submitter) / BUSY))
    partitions = max(_LEAST_PARTITIONS, 2 * processes)

    waiting = sum(kind.waiting * kind.number for kind in windowed)
    remembered = sum(kind.remembered * kind.number for kind in windowed)
    memory = _window_bytes(waiting, remembered, load.event_bytes)
    # A bound is divided among the partitions, and one trigger can hold three quarters of a share.
    needed = (
        max(
            [
                memory,
                *(
                    _window_bytes(kind.waiting, kind.remembered, load.event_bytes)
                    * (1 if kind.is_keyed else partitions)
                    for kind in windowed
                ),
            ]
        )
        / _LARGEST_SHARE
    )
    defaults = WindowSettings()
    window_bytes, window_disk = defaults.window_bytes, defaults.window_disk_bytes
    window_disk = max(window_disk, GIB * ceil((needed - window_bytes) / GIB))
    remembered_most = max(
        [(kind.waiting + kind.remembered) / (partitions if kind.is_keyed else 1) for kind in windowed], default=0.0
    )
    entries = runs * load.horizon
    in_memory = min(entries, partitions * _KEYS)
    followed = runs * load.run_time
    waiting_bytes = SubmitterSettings().waiting_bytes
    topic_bytes = {
        "windows": _DIRTY
        * (waiting * (costs.WAITING_RECORD.value + load.event_bytes) + remembered * costs.SPENT_RECORD.value),
        "ledger": _DIRTY * runs * (load.horizon + _DAY) * costs.DONE_RECORD.value,
        "arrivals": 60 * arrivals * (costs.ARRIVAL_RECORD.value + load.event_bytes),  # purged once a minute
        "runs": 60 * runs * costs.RUN_RECORD.value,
        "dead-letters": partitions * 256 * 1024**2,
        "decisions": partitions * 128 * 1024**2,
    }
    written = arrivals * (
        costs.ARRIVAL_RECORD.value + costs.WAITING_RECORD.value + 2 * load.event_bytes + costs.SPENT_RECORD.value
    ) + runs * (costs.RUN_RECORD.value + costs.INTENT_RECORD.value + 2 * costs.DONE_RECORD.value)
    number = sum(kind.number for kind in kinds)
    settings = dict(
        _settings(
            partitions=partitions,
            window_disk=window_disk,
            remembered=remembered_most,
            followed=followed,
            processes=processes,
            load=load,
        )
    )
    return Size(
        fan_out=arrivals / load.events if load.events else 0.0,
        arrivals=arrivals,
        runs=runs,
        waiting=waiting,
        remembered=remembered,
        window_memory=memory,
        window_disk=waiting * (costs.WAITING_DISK.value + load.event_bytes) + remembered * costs.SPENT_DISK.value,
        ledger_entries=entries,
        ledger_memory=in_memory * costs.LEDGER_KEY.value,
        ledger_disk=(entries - in_memory) * costs.LEDGER_KEY.value,
        followed=followed,
        router=router,
        matcher=matcher,
        submitter=submitter,
        processes=processes,
        process_memory=_MB * (costs.PROCESS.value + number * costs.TRIGGER.value)
        + min(memory, window_bytes)
        + in_memory * costs.LEDGER_KEY.value,
        partitions=partitions,
        topic_bytes=topic_bytes,
        written=written,
        disk=window_disk + 2 * waiting_bytes + ceil((entries - in_memory) * costs.LEDGER_KEY.value),
        settings=settings,
        warnings=tuple(_warnings(load, runs, window_disk, processes)),
    )


def _window_bytes(waiting: float, remembered: float, event_bytes: int) -> float:
    return waiting * (costs.WAITING.value + event_bytes) + remembered * costs.SPENT.value


def _settings(
    *, partitions: int, window_disk: int, remembered: float, followed: float, processes: int, load: Load
) -> Iterator[tuple[str, str]]:
    """Yield the settings that differ from their defaults."""
    if partitions != _LEAST_PARTITIONS:
        yield "FLOWBRIDGE_PARTITIONS", str(partitions)
    if load.replication > 1:
        yield "FLOWBRIDGE_REPLICATION", str(load.replication)
    if window_disk != WindowSettings.window_disk_bytes:
        yield "FLOWBRIDGE_WINDOW_DISK_BYTES", str(window_disk)
    if remembered > WindowSettings.remembered_bound:
        yield "FLOWBRIDGE_REMEMBERED_BOUND", str(_rounded(remembered))
    if followed / processes > SubmitterSettings.followed_runs:
        yield "FLOWBRIDGE_FOLLOWED_RUNS", str(_rounded(followed))  # one process may have all of them
    if load.horizon != SubmitterSettings.ledger_horizon / _MB:
        yield "FLOWBRIDGE_LEDGER_HORIZON", f"{round(load.horizon / 3600)}h"


def _rounded(number: float) -> int:
    """Return a number with half as much again, as a multiple of 100,000."""
    return ceil(number * 1.5 / 100_000) * 100_000


def _warnings(load: Load, runs: float, window_disk: int, processes: int) -> Iterator[str]:
    for kind in load.triggers:
        if kind.waits is None:
            continue
        if not kind.is_keyed and kind.waiting > WindowSettings.window_bound:
            yield (
                f"{kind.name}: {kind.waiting:,.0f} arrivals may wait in one window, and FLOWBRIDGE_WINDOW_BOUND allows "
                f"{WindowSettings.window_bound:,}. Give the trigger a key or a shorter window, or raise the bound"
            )
        if not kind.is_keyed and kind.passed * (costs.MATCH.value / _MB) > BUSY:
            yield (
                f"{kind.name}: without a key, one matcher has all of its {kind.passed:,.0f} arrivals a second, and "
                f"does {BUSY * _MB / costs.MATCH.value:,.0f} in good order. Give the trigger a key"
            )
    if window_disk > _DISK_BOUND:
        yield (
            f"windows take {window_disk // GIB} GiB of FLOWBRIDGE_WINDOW_DISK_BYTES. Let fewer events pass (`where`), "
            "or use shorter windows, a shorter `dedupe` or smaller events"
        )
    if runs > _STEEP_RUNS:
        yield f"{runs:,.0f} Workflows a second: few clusters take more than {_STEEP_RUNS}. Batch events (`batch`)"
    if processes > _LEAST_PROCESSES:
        yield (
            f"{processes} processes share the work of routers only if event topics have {processes} partitions or more"
        )
