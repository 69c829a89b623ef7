"""Rounds: each kind of client has its turn in each of them, so a slow moment of the machine meets all kinds.

A ratio is one of two clients of the same round. A *trial* is the kinds of client that share the rounds. The bench
measures a trial with the code of this checkout (:func:`measure`), or with the code of two revisions
(:func:`compare`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.bed import Bed
from bench.figures import Figure, Target, at_least, ratios


class Speed(NamedTuple):
    """What a client measured in one turn.

    Attributes:
        rate: Records a second.
        cpu: Microseconds of processor time a record, in all threads of the process; NaN if that is not known.
        client: Everything else that the client measured, by name.

    """

    rate: float
    cpu: float
    client: Mapping[str, Any]


def speed(client: Mapping[str, Any], worth: float = 1.0) -> Speed:
    """Return the speed that a client measured.

    Args:
        client: What it printed: its ``rate``, and ``per_core``, records a second of processor time. Publishers of
            earlier revisions print ``cpu`` in place of ``per_core``: microseconds a record.
        worth: How many records each of those is that the client counted.

    """
    cpu = 1e6 / client["per_core"] if "per_core" in client else client.get("cpu", math.nan)
    return Speed(client["rate"] * worth, cpu / worth, client)


Speeds = Mapping[str, Sequence[Speed]]
"""What each side measured, a speed a round, by the side's name."""


@dataclass(frozen=True)
class Side:
    """A kind of client that has its turn in each round.

    Attributes:
        what: What it does, as the table says it.
        turn: Runs it once with the code of a checkout; None is this one.
        of: The side with which it is compared, as the table refers to it ("the ceiling"), and that side's name.
        target: What was promised of that share; of the rate, if it is compared with none.
        is_yardstick: It runs no code of the revision, so a comparison of revisions leaves it out.

    """

    what: str
    turn: Callable[[Path | None], Speed]
    of: tuple[str, str] | None = None
    target: Target | None = None
    is_yardstick: bool = False


def _nothing_else(_: Speeds) -> list[Figure]:
    return []


@dataclass(frozen=True)
class Trial:
    """The sides that share the rounds.

    Attributes:
        rounds: How many there are.
        sides: In the order of their turns, by name. A side may use what one before it has made in the same round.
        further: Further figures, from what the sides of this checkout measured.

    """

    rounds: int
    sides: Mapping[str, Side]
    further: Callable[[Speeds], list[Figure]] = field(default=_nothing_else)


def take_turns(bed: Bed, trial: Trial) -> dict[str, list[Speed]]:
    """Return the speeds of all sides, with the code of this checkout."""
    found: dict[str, list[Speed]] = defaultdict(list)
    for _ in range(trial.rounds):
        with bed.round():
            for name, side in trial.sides.items():
                found[name].append(side.turn(None))
    return found


def measure(bed: Bed, trial: Trial) -> list[Figure]:
    """Measure all sides with the code of this checkout; return the lines of the table."""
    found = take_turns(bed, trial)
    figures = []
    for name, side in trial.sides.items():
        figures.append(rate_figure(side.what, found[name], None if side.of else side.target))
        if side.of is not None:
            called, other = side.of
            shares = ratios(rates(found[name]), rates(found[other]))
            figures.append(Figure(f"… of {called}", "%", shares, side.target))
    return figures + trial.further(found)


def compare(bed: Bed, trial: Trial, other: Path) -> list[Figure]:
    """Measure the sides with the code of another checkout and with that of this one, in each round.

    The two take turns in beginning a round.
    """
    before: dict[str, list[Speed]] = defaultdict(list)
    now: dict[str, list[Speed]] = defaultdict(list)
    for number in range(trial.rounds):
        for checkout, found in ((other, before), (None, now))[:: 1 if number % 2 else -1]:
            with bed.round():
                for name, side in trial.sides.items():
                    if not side.is_yardstick:
                        found[name].append(side.turn(checkout))
    return [row for name in now for row in compared(trial.sides[name].what, before[name], now[name])]


_NOT_SLOWER = at_least(95, "95 %")


def compared(what: str, before: Sequence[Speed], now: Sequence[Speed]) -> list[Figure]:
    """Return what two revisions measured in the same rounds, and the ratios of the second to the first."""
    figures = [
        rate_figure(f"{what}: before", before),
        rate_figure(f"{what}: now", now),
        Figure("… of before, by rate", "%", ratios(rates(now), rates(before)), _NOT_SLOWER),
    ]
    if all(not math.isnan(turn.cpu) for turn in (*before, *now)):
        # more records in the same processor time is better: so before by now
        shares = ratios([turn.cpu for turn in before], [turn.cpu for turn in now])
        figures.append(Figure("… of before, by processor time", "%", shares, _NOT_SLOWER))
    return figures


def one_after_the_other(first: Speed, second: Speed) -> Speed:
    """Return the speed of records that pass two clients on the same core, of which each has its time."""
    return Speed(1 / (1 / first.rate + 1 / second.rate), first.cpu + second.cpu, {})


def rate_figure(what: str, speeds: Sequence[Speed], target: Target | None = None) -> Figure:
    """Return the line of a rate, with the processor time of a record where that is known."""
    cpu = [turn.cpu for turn in speeds if not math.isnan(turn.cpu)]
    return Figure(what, "/s", rates(speeds), target, cpu=cpu)


def rates(speeds: Sequence[Speed]) -> list[float]:
    """Return the rates of the rounds."""
    return [turn.rate for turn in speeds]
