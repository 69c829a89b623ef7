"""Publishing: the SDK against a bare produce of the same bytes, the time of imports, and the size of a publisher."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # its stubs do not export it

from bench.bed import Bed
from bench.child import measured
from bench.cores import CLIENT, SERVERS, pin, pin_self
from bench.figures import Figure, at_least, at_most, ratios
from bench.material import EVENT, PARTITIONS, SINGLE
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


def publishers(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure both kinds of events, in turns with the bare produce: on one broker, and with a replica on another."""
    admin = ConfluentLog({"bootstrap.servers": bed.bootstrap}).admin()
    admin.create([TopicSpec(SINGLE, PARTITIONS)])
    admin.close()
    figures = _compared(bed, scale, _KINDS)
    (bed.schemas / f"{EVENT}.replicated.avsc").write_text((bed.schemas / f"{EVENT}.avsc").read_text())
    replicated = {f"{kind}, two replicas": f"{name}.replicated" for kind, name in _KINDS.items()}
    with KafkaServer(java_options=RUN_FAST, beside=bed.kafka) as second:
        pin(second.pid, SERVERS)
        client = AdminClient({"bootstrap.servers": bed.bootstrap})
        made = client.create_topics([NewTopic(name, PARTITIONS, replication_factor=2) for name in replicated.values()])
        for future in made.values():
            future.result(_SECONDS)
        figures += _compared(bed, scale, replicated)
    return [*figures, *_imports(), *_footprints(bed, scale)]


def _compared(bed: Bed, scale: Scale, kinds: Mapping[str, str]) -> list[Figure]:
    """Measure events of these names, by what they are called in the table."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(scale.rounds):
        for kind, name in kinds.items():
            for client in ("produce", "publish"):
                where = {"bootstrap": bed.bootstrap, "schemas": str(bed.schemas)}
                of_round = measured(client, **where, name=name, count=scale.events)
                found[kind, f"{client} rate"].append(of_round["rate"])
                found[kind, f"{client} cpu"].append(of_round["cpu"])
    figures = []
    for kind in kinds:
        rate, bare_rate = found[kind, "publish rate"], found[kind, "produce rate"]
        cpu, bare_cpu = found[kind, "publish cpu"], found[kind, "produce cpu"]
        times = [mine / bare for mine, bare in zip(cpu, bare_cpu, strict=True)]
        figures += [
            Figure(f"bare produce, the bytes of a {kind} event", "/s", bare_rate),
            Figure(f"publish, {kind}", "/s", rate),
            Figure("… of the bare produce", "%", ratios(rate, bare_rate), at_least(90, "90 %")),
            Figure(f"CPU time of a bare produce, {kind}", "µs", bare_cpu),
            Figure(f"CPU time of a publish, {kind}", "µs", cpu),
            Figure("… of the bare produce", "times", times, at_most(2.5, "2.5 times")),
        ]
    return figures


def _imports() -> list[Figure]:
    figures = []
    for module, most in _IMPORTS.items():
        code = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
        seconds = []
        for _ in range(_IMPORT_ROUNDS):
            done = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                preexec_fn=lambda: pin_self(CLIENT),
            )
            seconds.append(1000 * float(done.stdout))
        figures.append(Figure(f"import {module}", "ms", seconds, at_most(most, f"{most:.0f} ms")))
    return figures


def _footprints(bed: Bed, scale: Scale) -> list[Figure]:
    found = [measured("footprint", bootstrap=bed.bootstrap, name=SINGLE, count=scale.events) for _ in range(3)]
    return [
        Figure("memory of a publisher that has published nothing", "MB", [size["made"] / _MB for size in found]),
        Figure("… in use", "MB", [size["used"] / _MB for size in found]),
        Figure("… while events are published as fast as possible", "MB", [size["busy"] / _MB for size in found]),
        Figure("… after that", "MB", [size["after"] / _MB for size in found]),
        Figure("… while Kafka is away, 100,000 events in the buffer", "MB", [size["full"] / _MB for size in found]),
        Figure("threads of a publisher that has published nothing", "", [size["made threads"] for size in found]),
        Figure("… in use, with one broker", "", [size["threads"] for size in found]),
    ]
