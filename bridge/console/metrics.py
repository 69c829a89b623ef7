"""The metrics for Prometheus: decisions, creates, latency, ends, lag, windows, dead letters, replays, transactions.

Stages hand over their decisions a batch at a time (:data:`DecisionSink`), so that a batch costs one count for each
trigger and reason, not one for each event. No label ever holds a payload, a key or an id.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bridge.core.decision import Decision, Reason, RunDecision
from bridge.core.event import SECOND, Micros
from bridge.core.slot_filters import Decisions, SlotFilters

DecisionSink = Callable[[str, Sequence[Decision | RunDecision]], None]
"""Takes the decisions of a stage in one batch, after its commit: the stage's name and the decisions."""

_LATENCIES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_KEPT = 1_000  # indexes over filters whose counts wait until somebody asks

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class _Filtered:
    """How many events some slots of a topic have filtered out, and how often each has not."""

    events: int = 0
    others: Tally[int] = field(default_factory=Tally)


class Metrics:
    """The metrics of one process. Safe for several threads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Count into ``registry``, which other parts of the process may share, or into a registry of its own."""
        self._registry = registry or CollectorRegistry()
        self._lock = threading.Lock()
        self._whole = (
            threading.Lock()
        )  # of gauges whose series are replaced together, so that a scrape finds all of them
        self._filtered: dict[tuple[str, SlotFilters], _Filtered] = {}
        self._decisions = Counter(
            "flowbridge_decisions",
            "What became of events at slots, and of runs.",
            ["stage", "trigger", "reason"],
            registry=self._registry,
        )
        self._creates = Counter(
            "flowbridge_creates",
            "Requests to create a Workflow, by what came of them.",
            ["outcome"],
            registry=self._registry,
        )
        self._transactions = Counter(
            "flowbridge_transactions",
            "Kafka transactions of the stages, by how they ended.",
            ["stage", "outcome"],
            registry=self._registry,
        )
        self._lag = Gauge(
            "flowbridge_lag",
            "Records of a partition that this process has been assigned and has not committed.",
            ["topic", "partition"],
            registry=self._registry,
        )
        self._lag_seconds = Gauge(
            "flowbridge_lag_seconds",
            "Age of the first record of a partition of this process that is not committed, by its timestamp; else 0.",
            ["topic", "partition"],
            registry=self._registry,
        )
        self._open_windows = Gauge(
            "flowbridge_open_windows",
            "Windows that hold arrivals, in the partitions of this process.",
            registry=self._registry,
        )
        self._oldest_windows = Gauge(
            "flowbridge_oldest_window_timestamp_seconds",
            "When the oldest event in an open window of a trigger reached the bridge, to ten seconds (Unix time).",
            ["trigger"],
            registry=self._registry,
        )
        self._overdue_windows = Gauge(
            "flowbridge_overdue_windows_seconds",
            "Seconds for which the first window that is due has not ended: worth an alert.",
            registry=self._registry,
        )
        self._window_bytes = Gauge(
            "flowbridge_window_bytes",
            "Bytes that the windows of a partition of this process hold in memory, arrivals and remembered identities.",
            ["partition"],
            registry=self._registry,
        )
        self._window_disk_bytes = Gauge(
            "flowbridge_window_disk_bytes",
            "Bytes that the windows of a partition of this process hold on disk, counted as in memory.",
            ["partition"],
            registry=self._registry,
        )
        self._started = Histogram(
            "flowbridge_event_to_workflow_seconds",
            "Seconds from when the last event of a match reached the bridge until its Workflow was created.",
            buckets=_LATENCIES,
            registry=self._registry,
        )
        self._followed = Gauge(
            "flowbridge_followed_runs",
            "Created runs of this process whose Workflows have not ended.",
            registry=self._registry,
        )
        self._ended = Counter(
            "flowbridge_workflows_ended",
            "Workflows of the bridge that have ended, by their last phase.",
            ["trigger", "phase"],
            registry=self._registry,
        )
        self._held = Gauge(
            "flowbridge_held_runs",
            "Runs of a trigger that wait because a storm holds them (worth an alert), or a person: by storm, hold.",
            ["trigger", "by"],
            registry=self._registry,
        )
        self._unread = Gauge(
            "flowbridge_unread_templates",
            "WorkflowTemplates that runs wait for, since they are missing or cannot be read: worth an alert.",
            ["template"],
            registry=self._registry,
        )
        self._untrusted = Counter(
            "flowbridge_untrusted_timestamps",
            "Records of an event topic whose timestamps cannot be true; when they were routed is taken in their place.",
            ["topic"],
            registry=self._registry,
        )
        self._unreadable = Counter(
            "flowbridge_unreadable_records",
            "Records of the bridge's own topics that cannot be read and are set aside: worth an alert.",
            ["topic"],
            registry=self._registry,
        )
        self._sent_back = Counter(
            "flowbridge_sent_back",
            "Events that were dead letters, waited for their schema, and have been routed again.",
            registry=self._registry,
        )

        self._open_letters = Gauge(
            "flowbridge_open_dead_letters",
            "Dead letters that nothing was done with, by reason. Only the process whose controller leads tells them.",
            ["reason"],
            registry=self._registry,
        )
        self._planned_runs = Gauge(
            "flowbridge_replay_planned_runs",
            "Runs that a replay in progress has planned. Each process with a submitter tells the same.",
            ["replay", "state"],
            registry=self._registry,
        )
        self._replayed_runs = Gauge(
            "flowbridge_replay_done_runs",
            "Runs of a replay in progress that were dealt with. Each process with a submitter tells the same.",
            ["replay", "state"],
            registry=self._registry,
        )

    def decided(self, stage: str, decisions: Sequence[Decision | RunDecision]) -> None:
        """Count the decisions of a stage in one batch (a :data:`DecisionSink`)."""
        if isinstance(decisions, Decisions):
            tally = decisions.tally()
            if decisions.rejections:
                with self._lock:
                    for filters, rejections in decisions.rejections.items():
                        filtered = self._filtered.get((stage, filters))
                        if filtered is None:
                            filtered = self._filtered[stage, filters] = _Filtered()
                        filtered.events += len(rejections)
                        for _, others in rejections:
                            if others:
                                filtered.others.update(others)
                if len(self._filtered) > _KEPT:  # an index of earlier definitions is kept until it is counted
                    self._count_filtered()
        else:
            tally = Tally([(decision.trigger, decision.reason._value_) for decision in decisions])
        for (trigger, reason), number in tally.items():
            self._decisions.labels(stage, trigger, reason).inc(number)

    def created(self, outcome: str) -> None:
        """Count a request to create a Workflow."""
        self._creates.labels(outcome).inc()

    def started(self, seconds: float) -> None:
        """Note how long after the last event of its match a Workflow was created."""
        self._started.observe(seconds)

    def followed(self, runs: int) -> None:
        """Set how many created runs have Workflows that have not ended."""
        self._followed.set(runs)

    def ended(self, trigger: str, phase: str) -> None:
        """Count a Workflow that has ended."""
        self._ended.labels(trigger, phase).inc()

    def committed(self, stage: str) -> None:
        """Count a transaction that was committed."""
        self._transactions.labels(stage, "committed").inc()

    def aborted(self, stage: str) -> None:
        """Count a transaction that was aborted."""
        self._transactions.labels(stage, "aborted").inc()

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Set how many records of a partition are not yet committed."""
        self._lag.labels(topic, str(partition)).set(records)

    def lag_seconds(self, topic: str, partition: int, seconds: float) -> None:
        """Set how old the first record of a partition is that is not committed."""
        self._lag_seconds.labels(topic, str(partition)).set(seconds)

    def forget_lag(self, topic: str, partition: int) -> None:
        """Remove the lag of a partition that another process has now."""
        for gauge in (self._lag, self._lag_seconds):
            with suppress(KeyError):
                gauge.remove(topic, str(partition))

    def open_windows(self, number: int) -> None:
        """Set how many windows hold arrivals."""
        self._open_windows.set(number)

    def oldest_windows(self, since: Mapping[str, Micros]) -> None:
        """Set since when the oldest event in an open window of each trigger waits. A trigger without has no metric."""
        self._replace(self._oldest_windows, {(trigger,): time // SECOND for trigger, time in since.items()})

    def overdue_windows(self, seconds: float) -> None:
        """Set for how long the first window that is due has not ended."""
        self._overdue_windows.set(seconds)

    def window_bytes(self, partition: int, in_memory: int | None, on_disk: int | None) -> None:
        """Set how many bytes the windows of a partition hold; None if another process has the partition now."""
        for gauge, held in ((self._window_bytes, in_memory), (self._window_disk_bytes, on_disk)):
            if held is not None:
                gauge.labels(str(partition)).set(held)
            else:
                with suppress(KeyError):
                    gauge.remove(str(partition))

    def held(self, trigger: str, by: str, runs: int) -> None:
        """Set how many runs of a trigger a storm or a person holds. A trigger that is not held has no such metric."""
        if runs:
            self._held.labels(trigger, by).set(runs)
        else:
            with suppress(KeyError):
                self._held.remove(trigger, by)

    def unread(self, template: str, *, is_unread: bool) -> None:
        """Note whether runs wait for a WorkflowTemplate. A template that can be read has no such metric."""
        if is_unread:
            self._unread.labels(template).set(1)
        else:
            with suppress(KeyError):
                self._unread.remove(template)

    def untrusted_timestamps(self, topic: str, records: int) -> None:
        """Count records of a topic whose timestamps cannot be true."""
        self._untrusted.labels(topic).inc(records)

    def unreadable(self, topic: str) -> None:
        """Count a record of the bridge that cannot be read."""
        self._unreadable.labels(topic).inc()

    def sent_back(self, events: int) -> None:
        """Count events that were dead letters and have been routed again."""
        self._sent_back.inc(events)

    def open_letters(self, letters: Mapping[str, int]) -> None:
        """Set how many dead letters nothing was done with, by reason."""
        self._replace(self._open_letters, {(reason,): number for reason, number in letters.items()})

    def replays(self, runs: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """Set how far the replays in progress have come, by name and state. A replay that is over has no metric."""
        self._replace(self._planned_runs, {labels: planned for labels, (planned, _) in runs.items()})
        self._replace(self._replayed_runs, {labels: done for labels, (_, done) in runs.items()})

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self._count_filtered()
        with self._whole:
            return generate_latest(self._registry)

    def _replace(self, gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
        """Replace all series of a gauge, by the values of their labels."""
        with self._whole:
            gauge.clear()
            for labels, value in values.items():
                gauge.labels(*labels).set(value)

    def _count_filtered(self) -> None:
        """Count the events that slots have filtered out.

        That is done when somebody asks. Otherwise each batch would cost something for each of ten thousand slots.
        """
        with self._lock:
            filtered, self._filtered = self._filtered, {}
        for (stage, filters), some in filtered.items():
            tally: Tally[str] = Tally()
            for number, (definition, _) in enumerate(filters.places):
                tally[definition.identity] += some.events - some.others[number]
            for trigger, count in tally.items():
                if count:
                    self._decisions.labels(stage, trigger, Reason.FILTERED._value_).inc(count)
