"""The port for metrics of a process: numbers, never contents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bridge.core.event import Micros


class Observer(Protocol):
    """Hears of transactions, lag, windows, creates and the ends of Workflows. Safe for several threads."""

    def committed(self, stage: str) -> None:
        """Hear that a transaction was committed."""

    def aborted(self, stage: str) -> None:
        """Hear that a transaction was aborted."""

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Hear how many records of an owned partition are not committed yet."""

    def lag_seconds(self, topic: str, partition: int, seconds: float) -> None:
        """Hear how old the first record of an owned partition is that is not committed yet; 0 if there is none."""

    def forget_lag(self, topic: str, partition: int) -> None:
        """Hear that a partition is no longer owned."""

    def open_windows(self, number: int) -> None:
        """Hear how many windows are open in the partitions that are owned."""

    def oldest_windows(self, since: Mapping[str, Micros]) -> None:
        """Hear since when the oldest event in an open window of each trigger waits, in partitions that are owned."""

    def overdue_windows(self, seconds: float) -> None:
        """Hear for how long the first window that is due has not ended; 0 if none is due."""

    def window_bytes(self, partition: int, in_memory: int | None, on_disk: int | None) -> None:
        """Hear how many bytes the windows of a partition take; None when it is no longer owned."""

    def created(self, outcome: str) -> None:
        """Hear the outcome of a request to create a Workflow."""

    def started(self, seconds: float) -> None:
        """Hear how long after the last event of its match reached us the Workflow of a live run was created."""

    def followed(self, runs: int) -> None:
        """Hear how many created runs are followed to the end of their Workflows."""

    def ended(self, trigger: str, phase: str) -> None:
        """Hear that the Workflow of a run of a trigger has ended, and in which phase."""

    def held(self, trigger: str, by: str, runs: int) -> None:
        """Hear how many runs of a trigger are held by a ``storm``, or by a person's ``hold``; 0 when it is over."""

    def unread(self, template: str, *, is_unread: bool) -> None:
        """Hear whether runs wait for a WorkflowTemplate, ``namespace/name``, that cannot be read."""

    def untrusted_timestamps(self, topic: str, records: int) -> None:
        """Hear of records of a topic whose timestamps cannot be true."""

    def unreadable(self, topic: str) -> None:
        """Hear of a record of ours that cannot be read and is set aside."""

    def sent_back(self, events: int) -> None:
        """Hear of events that were dead letters and have been routed again."""

    def open_letters(self, letters: Mapping[str, int]) -> None:
        """Hear how many dead letters nothing was done with, by reason. All of them: no other process tells."""

    def replays(self, runs: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """Hear, by name and state of each replay that is not over, how many runs it has planned, and dealt with."""


class Unobserved:
    """An observer that ignores everything."""

    def committed(self, stage: str) -> None:
        """Ignore it."""

    def aborted(self, stage: str) -> None:
        """Ignore it."""

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Ignore it."""

    def lag_seconds(self, topic: str, partition: int, seconds: float) -> None:
        """Ignore it."""

    def forget_lag(self, topic: str, partition: int) -> None:
        """Ignore it."""

    def open_windows(self, number: int) -> None:
        """Ignore it."""

    def oldest_windows(self, since: Mapping[str, Micros]) -> None:
        """Ignore it."""

    def overdue_windows(self, seconds: float) -> None:
        """Ignore it."""

    def window_bytes(self, partition: int, in_memory: int | None, on_disk: int | None) -> None:
        """Ignore it."""

    def created(self, outcome: str) -> None:
        """Ignore it."""

    def started(self, seconds: float) -> None:
        """Ignore it."""

    def followed(self, runs: int) -> None:
        """Ignore it."""

    def ended(self, trigger: str, phase: str) -> None:
        """Ignore it."""

    def held(self, trigger: str, by: str, runs: int) -> None:
        """Ignore it."""

    def unread(self, template: str, *, is_unread: bool) -> None:
        """Ignore it."""

    def untrusted_timestamps(self, topic: str, records: int) -> None:
        """Ignore it."""

    def unreadable(self, topic: str) -> None:
        """Ignore it."""

    def sent_back(self, events: int) -> None:
        """Ignore it."""

    def open_letters(self, letters: Mapping[str, int]) -> None:
        """Ignore it."""

    def replays(self, runs: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """Ignore it."""
