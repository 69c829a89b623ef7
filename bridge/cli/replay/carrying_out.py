"""Carry a replay out on the command line: connect, tell how far it comes, pause it on Ctrl-C, and say how it ended."""

from __future__ import annotations

import signal
import sys
from collections import Counter, deque
from typing import Any

import click

from bridge.cli.output import Output
from bridge.cli.replay.cluster import Cluster
from bridge.core.duration import duration_text
from bridge.core.event import SECOND, Micros, time_text
from bridge.errors import (
    ExitCode,
    KafkaUnreachableError,
)
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log, LogError
from bridge.replay.execution import DEAD, MEANWHILE, SKIPPED, SUBMITTED, Execution, State
from bridge.replay.replays import COMPLETED, PAUSED, Replay, ReplayOwner, user_and_machine
from bridge.stages.stage_thread import steady_clock, wall_clock

_PATIENCE = 5.0  # seconds that Kafka has for a first answer
_RECENT: Micros = 30 * SECOND  # the time over which the present rate is measured
_PHASES_EVERY: Micros = 5 * SECOND


def carry_out(
    log: Log, topics: InternalTopics, owner: ReplayOwner, replay: Replay, cluster: Cluster, output: Output
) -> int:
    """Carry a replay out, and tell how far it comes. Ctrl-C and SIGTERM pause it."""
    progress = _SendingProgress(cluster, output)
    by = f"stopped by {user_and_machine()}"
    execution = Execution(log, topics, owner, replay, wall_clock, steady_clock, progress.tell, by)
    go_on = f"flowbridge replay resume {replay.name}"
    is_interrupted = False

    def interrupt(_number: int, _frame: object) -> None:  # between two steps, never in the middle of a transaction
        nonlocal is_interrupted
        is_interrupted = True
        execution.stop()

    former = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stands = execution.run()
    except LogError as error:
        progress.end()
        raise KafkaUnreachableError(
            f"the replay stopped: {error}", f"when Kafka answers, go on with: {go_on}"
        ) from error
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        execution.close()
        owner.close()
    progress.end()
    if is_interrupted and stands.state == PAUSED:
        output.result(f"paused; go on with: {go_on}", summary(stands))
        return ExitCode.INTERRUPTED
    tell_state(stands, cluster.finished(stands), output)
    return ExitCode.OK if stands.state == COMPLETED else ExitCode.NOT_SO


class _SendingProgress:
    """Shows how far a replay has come: on the terminal in one line, as JSON a record a second."""

    def __init__(self, cluster: Cluster, output: Output) -> None:
        self._cluster = cluster
        self._output = output
        self._is_shown = sys.stderr.isatty()
        self._recent: deque[tuple[Micros, int]] = deque()
        self._asked: Micros = -(2**62)
        self._finished: int | None = None

    def tell(self, state: State) -> None:
        replay, now = state.replay, steady_clock()
        dealt = sum(replay.counts.values())
        self._recent.append((now, dealt))
        while self._recent[0][0] < now - _RECENT:
            self._recent.popleft()
        (since, before), seconds = self._recent[0], (now - self._recent[0][0]) / SECOND
        rate = (dealt - before) / seconds if seconds and since < now else 0.0
        if now - self._asked >= _PHASES_EVERY:
            self._asked, self._finished = now, self._cluster.finished(replay)
        left = f", about {duration_text(round((replay.planned - dealt) / rate) * SECOND)} left" if rate else ""
        finished = "" if self._finished is None else f", {self._finished} finished"
        finished += f"; waits for replay {state.waits_for}" if state.waits_for else ""
        text = (
            f"{counts_text(replay)}{finished}, {state.on_their_way} on their way; {rate:.1f}/s{left}; "
            f"last advanced at {time_text(replay.advanced_at)}"
        )
        if self._is_shown:
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)
        self._output.record(
            {
                **summary(replay),
                "kind": "progress",
                "on_their_way": state.on_their_way,
                "rate": round(rate, 2),
                "finished": self._finished,
            }
        )

    def end(self) -> None:
        if self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def tell_state(replay: Replay, finished: int | None, output: Output) -> None:
    """Print how a replay stands; ``finished``: how many of its Workflows have ended, None if that is not known."""
    text = f"replay {replay.name} is {replay.state}: {counts_text(replay)}"
    text += "" if finished is None else f", {finished} finished"
    lines = [text, replay.text] if replay.text else [text]
    output.result(lines, {**summary(replay), "finished": finished})


def counts_text(replay: Replay) -> str:
    """Return how many runs of a replay were dealt with, and how, for people."""
    counts = Counter(replay.counts)
    text = f"submitted {counts[SUBMITTED]} of {replay.planned}"
    return text + "".join(f", {counts[word]} {word}" for word in (DEAD, SKIPPED, MEANWHILE) if counts[word])


def summary(replay: Replay) -> dict[str, Any]:
    """Return a replay as plain values."""
    return {
        "kind": "replay",
        "name": replay.name,
        "state": replay.state,
        "text": replay.text,
        "trigger": replay.trigger,
        "planned": replay.planned,
        "counts": dict(replay.counts),
        "created_at": time_text(replay.created_at),
        "advanced_at": time_text(replay.advanced_at),
        "who": replay.who,
        "why": replay.why,
    }
