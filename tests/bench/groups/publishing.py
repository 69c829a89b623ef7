"""Publishing: the SDK against a bare produce of the same bytes, the time of imports, and the size of a publisher."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # its stubs do not export it

from bench.bed import Bed
from bench.child import measured
from bench.cores import CLIENT, SERVERS, on_cores, pin
from bench.figures import Figure, at_least, at_most
from bench.material import EVENT, PARTITIONS, SINGLE
from bench.rounds import Side, Speed, Speeds, Trial, measure, speed
from bench.scale import Scale
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.log import TopicSpec
from servers.kafka import RUN_FAST, KafkaServer

_KINDS = {"generic": SINGLE, "typed": EVENT}
_IMPORTS = {"flowbridge_sdk.publisher": 150.0, "flowbridge_sdk.encoder": 60.0}
"""Modules, and how many milliseconds their import may take."""

_IMPORT_ROUNDS = 15
_SECONDS = 30
_MB = 1 << 20


def publishing(bed: Bed, scale: Scale) -> Trial:
    """Measure both kinds of events, in turns with the bare produce, on one broker."""
    admin = ConfluentLog({"bootstrap.servers": bed.bootstrap}).admin()
    admin.create([TopicSpec(SINGLE, PARTITIONS)])
    admin.close()
    return _compared(bed, scale, scale.rounds, _KINDS)


def publishers(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure publishing on one broker and with a replica on another, imports, and the size of a publisher."""
    figures = measure(bed, publishing(bed, scale))
    (bed.schemas / f"{EVENT}.replicated.avsc").write_text((bed.schemas / f"{EVENT}.avsc").read_text())
    replicated = {f"{kind}, two replicas": f"{name}.replicated" for kind, name in _KINDS.items()}
    with KafkaServer(java_options=RUN_FAST, beside=bed.kafka) as second:
        pin(second.pid, SERVERS)
        client = AdminClient({"bootstrap.servers": bed.bootstrap})
        made = client.create_topics([NewTopic(name, PARTITIONS, replication_factor=2) for name in replicated.values()])
        for future in made.values():
            future.result(_SECONDS)
        trial = _compared(bed, scale, scale.replica_rounds, replicated)
        for side in trial.sides.values():  # the second broker is cold
            side.turn(None)
        figures += measure(bed, trial)
    return [*figures, *_imports(), *_footprints(bed, scale)]


def _compared(bed: Bed, scale: Scale, rounds: int, kinds: Mapping[str, str]) -> Trial:
    """Compare events of these names, by what they are called in the table, with the bare produce."""

    def run(client: str, name: str, checkout: Path | None) -> Speed:
        where = {"bootstrap": bed.bootstrap, "schemas": str(bed.schemas)}
        return speed(measured(client, checkout, **where, name=name, count=scale.published))

    sides = {}
    for kind, name in kinds.items():
        bare = f"bare produce, bytes made beforehand, {kind}"
        sides[bare] = Side(bare, partial(run, "produce", name), is_yardstick=True)
        what = f"publish, {kind}"
        sides[what] = Side(what, partial(run, "publish", name), ("the bare produce", bare), at_least(90, "90 %"))

    def processor_time(found: Speeds) -> list[Figure]:
        figures = []
        for what, side in sides.items():
            if side.of is not None:
                bare = found[side.of[1]]
                times = [mine.cpu / its.cpu for mine, its in zip(found[what], bare, strict=True)]
                label = f"CPU of a {what}, of the bare produce"
                figures.append(Figure(label, "times", times, at_most(2.5, "2.5 times")))
        return figures

    return Trial(rounds, sides, processor_time)


def _imports() -> list[Figure]:
    figures = []
    for module, most in _IMPORTS.items():
        code = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
        seconds = []
        for _ in range(_IMPORT_ROUNDS):
            command = [*on_cores(CLIENT), sys.executable, "-c", code]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds.append(1000 * float(done.stdout))
        figures.append(Figure(f"import {module}", "ms", seconds, at_most(most, f"{most:.0f} ms")))
    return figures


def _footprints(bed: Bed, scale: Scale) -> list[Figure]:
    found = [measured("footprint", bootstrap=bed.bootstrap, name=SINGLE, count=scale.published) for _ in range(3)]
    return [
        Figure("memory of a publisher that has published nothing", "MB", [size["made"] / _MB for size in found]),
        Figure("… in use", "MB", [size["used"] / _MB for size in found]),
        Figure("… while events are published as fast as possible", "MB", [size["busy"] / _MB for size in found]),
        Figure("… after that", "MB", [size["after"] / _MB for size in found]),
        Figure("… while Kafka is away, 100,000 events in the buffer", "MB", [size["full"] / _MB for size in found]),
        Figure("threads of a publisher that has published nothing", "", [size["made threads"] for size in found]),
        Figure("… in use, with one broker", "", [size["threads"] for size in found]),
    ]
