"""The gateway: publishes a second over 32 connections, CPU a request, and latency at 200 a second.

A load generator in Go and the servers share one core, the gateway has the other. A bare produce with acks=all by the
same client library, with as many events under way, takes turns with it on the gateway's core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.bed import Bed
from bench.cores import CLIENT, SERVERS, on_cores, pin
from bench.figures import Figure, at_least, percentile
from bench.scale import Scale
from integration.gateway_process import GatewayProcess
from servers.cache import cached

CONNECTIONS = 32
RATE = 200
TARGET = 2_000.0
_TOPIC = "bench.gateway"
_LOAD = Path(__file__).with_name("load")
_SECONDS = 300
_TICKS = os.sysconf("SC_CLK_TCK")


def gateways(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure both, in turns."""
    found: dict[str, list[float]] = defaultdict(list)
    posts, samples = scale.posts, scale.latencies
    with GatewayProcess(bed.bootstrap, bed.folder / "gateway.log") as gateway:
        pin(gateway.pid, CLIENT)
        _post(gateway, 500, 0)
        for _ in range(scale.rounds):
            bare = _produce(bed, posts, 0)
            found["bare /s"].append(posts / bare["seconds"])
            found["bare cpu"].append(1e6 * bare["cpu"] / posts)
            spent = _cpu_seconds(gateway.pid)
            posted = _post(gateway, posts, 0)
            found["cpu"].append(1e6 * (_cpu_seconds(gateway.pid) - spent) / posts)
            found["/s"].append(posted["published"] / posted["seconds"])
            found["bare ms"] += _produce(bed, samples, RATE)["latencies"]
            found["ms"] += _post(gateway, samples, RATE)["latencies"]
    return _figures(found)


def load_generator() -> Path:
    """Return the program that posts, built now or on an earlier day."""
    sources = [path.read_bytes() for path in sorted(_LOAD.iterdir())]

    def build(folder: Path) -> None:
        command = ["go", "build", "-mod=readonly", "-buildvcs=false", "-o", str(folder / "load"), "."]
        subprocess.run(command, cwd=_LOAD, env=os.environ | {"CGO_ENABLED": "0"}, check=True)

    return cached("bench-load", sources, build) / "load"


def _post(gateway: GatewayProcess, events: int, rate: int) -> dict[str, Any]:
    address = ["-address", f"127.0.0.1:{gateway.port}", "-event", _TOPIC]
    counts = ["-events", str(events), "-rate", str(rate), "-connections", str(CONNECTIONS)]
    found = _run([*on_cores(SERVERS), str(load_generator()), *address, *counts])
    assert found["published"] == events, found["first_error"]
    return found


def _produce(bed: Bed, events: int, rate: int) -> dict[str, Any]:
    settings = {
        "bootstrap": bed.bootstrap,
        "topic": _TOPIC,
        "events": events,
        "rate": rate,
        "under_way": CONNECTIONS,
    }
    return _run([sys.executable, "-m", "bench.clients.gateway_produce"], json.dumps(settings))


def _run(command: Sequence[str], given: str = "") -> dict[str, Any]:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _figures(found: Mapping[str, list[float]]) -> list[Figure]:
    bare = f"bare produce, acks=all, {CONNECTIONS} under way"
    target = at_least(TARGET, "2,000/s")
    figures = [
        Figure(bare, "/s", found["bare /s"], cpu=found["bare cpu"]),
        Figure(f"gateway, {CONNECTIONS} connections", "/s", found["/s"], target, cpu=found["cpu"]),
    ]
    for name, what in (("bare ms", "bare produce"), ("ms", "gateway")):
        for share in (0.5, 0.99):
            middle = partial(percentile, share=share)
            figures.append(Figure(f"{what} at {RATE}/s: p{share * 100:.0f}", "ms", found[name], judge=middle))
    return figures
