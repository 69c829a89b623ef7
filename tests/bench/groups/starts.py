"""Starts: how long a command takes, and what a bridge costs that has nothing to do.

The commands are the installed ``flowbridge``. Its modules are compiled, as an installation has them. The bridge has a
thousand triggers in force, and its figures begin when its memory has settled.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from bench.bed import Bed
from bench.cores import CLIENT, pin, pin_self
from bench.figures import Figure, at_most
from bench.groups.latency import environment
from bench.material import EVENT, NEVER, PARTNER, PAST, write_trigger
from bench.scale import Scale
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock
from e2e.bridge_process import FLOWBRIDGE, BridgeProcess, in_environment
from kinds import KINDS
from servers.process import ServerProcess, wait_for

_COMMAND_ROUNDS = 15
_FILES = 100
_TRIGGERS = 1_000
_IN_FORCE = 120.0
_SETTLED = 45.0
_IDLE = 30.0
_MEGABYTE = 1_000_000
_PAGE, _TICK = os.sysconf("SC_PAGE_SIZE"), 1 / os.sysconf("SC_CLK_TCK")

_ONE_SLOT = (EVENT, PARTNER, PAST, NEVER)
_WINDOWS = tuple(condition.text for kind in KINDS.values() for condition in kind.measured.values())


def starts(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure commands, ``flowbridge dev``, and a bridge with nothing to do."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(bed.folder / "compiled")}
    checked = _write_triggers(bed.folder / "checked", _FILES)
    versions, version_times = _commands(compiled, _COMMAND_ROUNDS, "--version")
    checks, check_times = _commands(compiled, scale.rounds, "check", "--schemas", str(bed.schemas), str(checked))
    dev = [_dev(bed, compiled, number) for number in range(1 + scale.rounds)][1:]  # the first compiles modules
    idle = [_idle(bed, compiled, _write_triggers(bed.folder / f"idle-{count}", count)) for count in (1, _TRIGGERS)]
    (one_share, one_memory), (share, memory) = idle
    return [
        Figure("flowbridge --version", "ms", [1_000 * seconds for seconds in versions], at_most(150, "150 ms")),
        Figure("… processor time", "ms", [1_000 * seconds for seconds in version_times]),
        Figure(f"flowbridge check, {_FILES} files", "s", checks, at_most(1, "1 s")),
        Figure("… processor time", "s", check_times),
        Figure("flowbridge dev, until it is ready", "s", dev, at_most(3, "3 s")),
        Figure(f"flowbridge run, idle, {_TRIGGERS:,} triggers, of a core", "%", [share], at_most(1, "1 %")),
        Figure("… with one trigger", "%", [one_share]),
        Figure(f"flowbridge run, idle, {_TRIGGERS:,} triggers, memory", "MB", [memory], at_most(110, "110 MB")),
        Figure("… with one trigger", "MB", [one_memory]),
    ]


def _write_triggers(folder: Path, count: int) -> Path:
    """Write triggers on the topics of the bench, a file each: one slot and every kind of window take turns."""
    folder.mkdir()
    windows = itertools.cycle(_WINDOWS)
    for number in range(count):
        if number % 2:
            condition = f"{next(windows)}  key: payload.order_id\n"
        else:
            where = f'payload.country == "c{number}" && payload.quantity > 0'
            condition = f"  events: [{{name: {_ONE_SLOT[number // 2 % 4]}, where: '{where}'}}]\n"
        head = f"apiVersion: flowbridge.dev/v1\nkind: Trigger\nmetadata: {{name: many-{number}}}\nspec:\n"
        write_trigger(folder, f"many-{number:04}", f"{head}{condition}  run: {{workflowTemplate: bench}}\n")
    return folder


def _commands(compiled: Mapping[str, str], rounds: int, *arguments: str) -> tuple[list[float], list[float]]:
    """Return how many seconds a command took, round by round, and how many of them it computed.

    The first round compiles modules and does not count.
    """
    seconds, computed = [], []
    for _ in range(1 + rounds):
        before, began = os.times(), time.perf_counter()
        subprocess.run(
            [*in_environment(compiled), str(FLOWBRIDGE), *arguments],
            stdout=subprocess.DEVNULL,
            check=True,
            preexec_fn=lambda: pin_self(CLIENT),
        )
        seconds.append(time.perf_counter() - began)
        after = os.times()
        computed.append(sum(after[2:4]) - sum(before[2:4]))  # of children that have ended
    return seconds[1:], computed[1:]


def _dev(bed: Bed, compiled: Mapping[str, str], number: int) -> float:
    """Return how many seconds ``flowbridge dev`` takes until it sees the events of a trigger."""
    log, triggers = bed.folder / f"dev-{number}.log", _write_triggers(bed.folder / f"dev-{number}", 1)
    words = [*in_environment(compiled), str(FLOWBRIDGE), "dev", "--port", "0", "--triggers", str(triggers)]
    dev = ServerProcess("flowbridge dev", words, log)
    began = time.perf_counter()
    dev.start()
    try:
        pin(dev.pid, CLIENT)
        dev.wait_until(lambda: "\nready: " in log.read_text(), _IN_FORCE)
        return time.perf_counter() - began
    finally:
        dev.kill()


def _idle(bed: Bed, compiled: Mapping[str, str], triggers: Path) -> tuple[float, float]:
    """Return the share of a core that a bridge takes without events, in percent, and its memory in megabytes."""
    settings = environment(bed, triggers, bed.namespace())
    topics = InternalTopics(settings["FLOWBRIDGE_INTERNAL_PREFIX"])
    with BridgeProcess({**settings, **compiled}, bed.folder / f"{triggers.name}.log") as bridge:
        pin(bridge.pid, CLIENT)
        bridge.wait_ready()
        definitions = Definitions(ConfluentLog({"bootstrap.servers": bed.bootstrap}), topics.triggers, steady_clock)

        def in_force() -> bool:
            definitions.refresh_when_due()
            return len(definitions.in_force) == len(list(triggers.iterdir()))

        wait_for(in_force, _IN_FORCE, "the triggers to come into force")
        definitions.close()
        time.sleep(_SETTLED)
        before, began = _processor_time(bridge.pid), time.monotonic()
        time.sleep(_IDLE)
        share = 100 * (_processor_time(bridge.pid) - before) / (time.monotonic() - began)
        resident = int(Path(f"/proc/{bridge.pid}/statm").read_text().split()[1]) * _PAGE
        return share, resident / _MEGABYTE


def _processor_time(pid: int) -> float:
    """Return the seconds that a process and its threads have computed, in the kernel as well."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) * _TICK
