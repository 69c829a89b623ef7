"""What ``flowbridge size`` does: read the load from options and trigger files, and tell what it takes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from bridge.cli.output import Output
from bridge.cli.size import costs
from bridge.cli.size.sizing import GIB, Load, Size, TriggerLoad, size_of
from bridge.cli.wiring.triggers import sensor_rules
from bridge.core.duration import DurationError, parse_duration
from bridge.core.event import DAY, SECOND
from bridge.core.trigger import Trigger
from bridge.errors import UsageError
from bridge.settings.settings import Settings
from bridge.triggers.sources.folder import TriggerFolder

_MB = 1_000_000
_BOUNDED = ("dead-letters", "decisions")  # topics whose bytes do not follow from the load
_KINDS_SHOWN = 20  # triggers that are shown, those with the most arrivals


@dataclass(frozen=True)
class Asked:
    """The options of the command, as a person gives them (:mod:`bridge.cli.size.commands`)."""

    paths: tuple[Path, ...]
    rates: tuple[str, ...]
    shares: tuple[str, ...]
    event_bytes: int
    triggers: int
    slots: int
    fan_out: int | None
    window: str | None
    dedupe: str | None
    wait: str | None
    runs: float | None
    run_time: str
    replicas: int


def execute(*, settings: Settings, output: Output, **options: Any) -> None:
    """Tell the size of an installation.

    Raises:
        UsageError: A rate, a share or a length of time is none, a trigger file has an error, or an event has no rate.

    """
    asked = Asked(**options)
    kinds, events = _of_files(asked, settings) if asked.paths else _alike(asked)
    remembered, waits = _seconds(asked.dedupe, "--dedupe"), _seconds(asked.wait, "--wait")
    kinds = [
        replace(
            kind,
            waits=None if kind.waits is None else min(kind.waits, kind.waits if waits is None else waits),
            remembers=kind.remembers if remembered is None else remembered,
        )
        for kind in kinds
    ]
    if asked.runs is not None:
        computed = sum(kind.runs * kind.number for kind in kinds)
        each = asked.runs / sum(kind.number for kind in kinds)
        kinds = [replace(kind, runs=kind.runs * asked.runs / computed if computed else each) for kind in kinds]
    load = Load(
        events,
        asked.event_bytes,
        tuple(kinds),
        _seconds(asked.run_time, "--run-time") or 0.0,
        settings.submitter.ledger_horizon / SECOND,
        asked.replicas,
    )
    _tell(load, size_of(load), output)


# -- the load ----------------------------------------------------------------------------------------------------------


def _named(texts: Sequence[str], option: str, what: str, most: float | None = None) -> dict[str, float]:
    """Return numbers by the names before them; the number without a name under the empty name."""
    named: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            named[name] = float(number)
        except ValueError:
            named[name] = -1.0
        if not 0 <= named[name] <= (float("inf") if most is None else most) or named[name] == float("inf"):
            raise UsageError(f"{option}: expected {what}, as NAME=NUMBER or NUMBER; found {text!r}")
    return named


def _rates(asked: Asked) -> dict[str, float]:
    return _named(asked.rates, "--rate", "events a second")


def _shares(asked: Asked) -> dict[str, float]:
    return _named(asked.shares, "--passes", "a share from 0 to 1", 1)


def _seconds(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text) / SECOND
    except DurationError as error:
        raise UsageError(f"{option}: {error}", "write a length of time such as 90s, 15m, 1h30m or 7d") from error


def _alike(asked: Asked) -> tuple[list[TriggerLoad], float]:
    """Return the load of triggers that are alike, and the events a second."""
    rate_of, share_of = _rates(asked), _shares(asked)
    triggers, slots, fan_out, window = asked.triggers, asked.slots, asked.fan_out, _seconds(asked.window, "--window")
    if set(rate_of) - {""} or set(share_of) - {""}:
        raise UsageError("a name is given, and no trigger file", "name files or folders, or give numbers without names")
    if "" not in rate_of:
        raise UsageError("no rate is given", "give the events a second of all topics: --rate 200")
    if window is None and slots > 1:
        raise UsageError(f"--slots {slots} without --window", "several slots need a window: add --window 1h")
    if fan_out is not None and fan_out > triggers:
        raise UsageError(f"--fan-out {fan_out} of {triggers} triggers", "no more triggers than there are read an event")
    events = rate_of[""]
    read = events * (fan_out or triggers) / triggers  # of each trigger
    passed = read * share_of.get("", 1.0)
    waits = None if window is None else window * 1.1  # with the usual grace
    name = f"{triggers} triggers of {slots} slots" if triggers > 1 else f"a trigger of {slots} slots"
    return [TriggerLoad(name, triggers, read, passed, passed / slots, waits, window or 0.0, is_keyed=True)], events


def _of_files(asked: Asked, settings: Settings) -> tuple[list[TriggerLoad], float]:
    """Return the load of the triggers in files and folders, and the events a second that they read."""
    rate_of, share_of = _rates(asked), _shares(asked)
    rules, allowed = sensor_rules(settings), settings.allowed_namespaces
    reading = TriggerFolder(asked.paths, settings.namespace, rules, sys.stdin.buffer, None, allowed).read()
    if reading.errors:
        raise UsageError(str(min(reading.errors)), "flowbridge check shows all errors of the files; correct them first")
    if not reading.triggers:
        raise UsageError(
            f"there is no trigger in {', '.join(map(str, asked.paths))}", "name files or folders that hold some"
        )
    events = {slot.event for trigger in reading.triggers for slot in trigger.slots}
    names = {trigger.identity for trigger in reading.triggers} | {trigger.name for trigger in reading.triggers}
    for given, known, what in (
        (rate_of, events, "event of these triggers"),
        (share_of, names, "trigger of these files"),
    ):
        if unknown := sorted(set(given) - known - {""}):
            raise UsageError(f"{unknown[0]!r} is no {what}", f"there are: {', '.join(sorted(known))}")
    if "" not in rate_of and (without := sorted(events - rate_of.keys())):
        raise UsageError(
            f"no rate is given of {', '.join(without)}", f"add --rate {without[0]}=10, or --rate 10 for all"
        )
    rate = {event: rate_of.get(event, rate_of.get("", 0.0)) for event in events}
    kinds = []
    for trigger in reading.triggers:
        share = share_of.get(trigger.identity, share_of.get(trigger.name, share_of.get("", 1.0)))
        kinds.append(_kind(trigger, [rate[slot.event] for slot in trigger.slots], share))
    return kinds, sum(rate.values())


def _kind(trigger: Trigger, rates: Sequence[float], share: float) -> TriggerLoad:
    """Return the load of a trigger, by the rates of the events of its slots."""
    filling = [rate / slot.count for slot, rate in zip(trigger.slots, rates, strict=True) if not slot.absent]
    runs = share * (min(filling, default=0.0) if trigger.window is not None else sum(filling))
    waits = None
    if trigger.window is not None:
        plan = trigger.window
        length = plan.length
        if plan.schedule is not None:
            length = plan.schedule.every or DAY  # a cron expression counts as daily
        waits = max(length, plan.max_wait or 0) + trigger.grace
    return TriggerLoad(
        trigger.identity,
        1,
        sum(rates),
        sum(rates) * share,
        runs,
        None if waits is None else waits / SECOND,
        trigger.dedupe / SECOND,
        is_keyed=any(slot.key is not None for slot in trigger.slots),
    )


# -- telling -----------------------------------------------------------------------------------------------------------


def _tell(load: Load, size: Size, output: Output) -> None:
    shown = sorted(load.triggers, key=lambda kind: -kind.passed * kind.number)[:_KINDS_SHOWN]
    for kind in shown:
        what = (
            f"{kind.waiting * kind.number:,.0f} arrivals wait, {kind.remembered * kind.number:,.0f} are remembered"
            if kind.waits is not None
            else "without a window"
        )
        passed, runs = kind.passed * kind.number, kind.runs * kind.number
        text = f"{kind.name}: {passed:,.4g} events/s pass, {runs:,.4g} runs/s, {what}"
        output.result(text, {"kind": "trigger", **asdict(kind)})
    if len(shown) < len(load.triggers):
        output.remark(f"… and {len(load.triggers) - len(shown)} triggers with fewer events")
    topics = sum(size.topic_bytes.values())
    ledger = f"{_bytes(size.ledger_memory)} of memory, {_bytes(size.ledger_disk)} of disk"
    lines = [
        "",
        f"an event      becomes {size.fan_out:,.3g} arrivals, {load.event_bytes:,} bytes each",
        f"windows       {size.waiting:,.0f} at most are open, {size.remembered:,.0f} identities are remembered",
        f"              {_bytes(size.window_memory)} counted as in memory, {_bytes(size.window_disk)} if on disk",
        f"runs          {size.runs:,.4g} a second, {size.followed:,.0f} Workflows run at a time",
        f"ledger        {size.ledger_entries:,.0f} runs are known: {ledger}",
        f"cores         router {size.router:.2f}, matcher {size.matcher:.2f}; submitter {size.submitter:.2f} processes",
        f"processes     {size.processes} with all stages, {_bytes(size.process_memory)} of memory each at most",
        f"partitions    {size.partitions} of the internal topics",
        f"topics        {_bytes(topics)} a replica, {_bytes(load.replication * topics)} in all; of these",
        *(
            f"              {name:<13} {_bytes(number)}{' at most' if name in _BOUNDED else ''}"
            for name, number in size.topic_bytes.items()
        ),
        f"              {_bytes(size.written)} a second are written to each replica",
        f"emptyDir      {ceil(size.disk / GIB)}Gi for /tmp of each process",
        "settings      " + ("set" if size.settings else "the defaults fit"),
        *(f"              {name}={value}" for name, value in size.settings.items()),
        *(f"warning       {text}" for text in size.warnings),
    ]
    output.result([line.rstrip() for line in lines], {"kind": "size", **asdict(size)})
    output.record({"kind": "costs", "costs": [cost._asdict() for cost in costs.COSTS]})


def _bytes(number: float) -> str:
    return f"{number / GIB:,.1f} GiB" if number >= GIB else f"{number / _MB:,.1f} MB"
