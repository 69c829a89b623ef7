"""Deal with many letters: batch by batch, each in one transaction, at a rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bridge.core.event import SECOND, Micros
from bridge.letters.letter import Letter
from bridge.letters.letter_log import LetterOwner, Sending
from bridge.letters.way_back import Stays
from bridge.stages.shared.dead_letters import Cause

_AT_ONCE = 500  # letters of one transaction, and
_BYTES = 8 * 1024 * 1024  # their bytes
_BATCHES = 4  # a second, at most, while a rate is kept


@dataclass
class Progress:
    """How far dealing has come.

    Attributes:
        done: Letters that were dealt with.
        staying: Letters that stay, each with the reason.
        is_stopped: It ended before all letters were dealt with.

    """

    done: int = 0
    staying: list[tuple[Letter, Stays]] = field(default_factory=list)
    is_stopped: bool = False


class Dealing:
    """Deals with letters.

    Args:
        owner: The owner of the letters.
        cause: What is done.
        why: The reason that the person gives.
        clock: The process's clock.
        pace: A steady clock.
        wait: Waits some seconds; returns True if the work has to stop.
        tell: Hears of the progress after each batch.

    """

    def __init__(
        self,
        owner: LetterOwner,
        cause: Cause,
        why: str,
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        wait: Callable[[float], bool],
        tell: Callable[[Progress], object],
    ) -> None:
        self._owner = owner
        self._cause = cause
        self._why = why
        self._clock = clock
        self._pace = pace
        self._wait = wait
        self._tell = tell

    def all(
        self,
        letters: Iterable[Letter],
        way_of: Callable[[Letter], Sending | Stays | None],
        *,
        rate: float | None = None,
        limit: int | None = None,
    ) -> Progress:
        """Deal with letters; a process that is killed meanwhile leaves each one dealt with and marked, or as it was.

        Args:
            letters: The letters.
            way_of: Returns what is sent for a letter, None for nothing, or why it stays.
            rate: Letters a second, at most; None for no bound.
            limit: Letters in all, at most; those that stay do not count.

        Raises:
            FencedError: Another process deals with letters now.
            LogError: Kafka did not answer.

        """
        progress = Progress()
        most = _AT_ONCE if rate is None else max(1, min(_AT_ONCE, int(rate / _BATCHES)))
        begun = self._pace()
        batch: list[tuple[Letter, Sending | None]] = []
        size = 0
        for letter in letters:
            if limit is not None and progress.done + len(batch) >= limit:
                break
            way = way_of(letter)
            if isinstance(way, Stays):
                progress.staying.append((letter, way))
                continue
            batch.append((letter, way))
            size += len(way.value or b"") if way is not None else 0
            if len(batch) < most and size < _BYTES:
                continue
            if self._stops(progress, rate, begun):
                return progress
            self._send(batch, progress)
            batch, size = [], 0
        if batch and not self._stops(progress, rate, begun):
            self._send(batch, progress)
        return progress

    def _stops(self, progress: Progress, rate: float | None, begun: Micros) -> bool:
        """Wait until the next batch is due; return whether the work has to stop."""
        due = begun if rate is None else begun + round(progress.done / rate * SECOND)
        progress.is_stopped = self._wait(max(0, due - self._pace()) / SECOND)
        return progress.is_stopped

    def _send(self, batch: list[tuple[Letter, Sending | None]], progress: Progress) -> None:
        self._owner.deal(batch, self._cause, self._why, self._clock())
        progress.done += len(batch)
        self._tell(progress)
