"""Spark: rows per second of CPU time by each way, against Spark's own Kafka sink with the same bytes ready made.

All of Spark runs on the clients' core: its JVM, and the Python processes that encode. CPU time is what both ways are
limited by, and other work on the machine disturbs it less than the time on the clock.
"""

from __future__ import annotations

import json
import subprocess

from bench.bed import Bed
from bench.cores import CLIENT, on_cores
from bench.figures import Figure, at_least, ratios
from bench.material import EVENT, PARTITIONS, SINGLE
from bench.scale import Scale
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.log import TopicSpec
from frameworks.environments import ROOT, environment

NAMES = {"typed": EVENT, "generic": SINGLE}
WAYS = {"columns": "to_kafka_columns and Spark's Kafka sink", "source": "data source flowbridge"}
_ROWS_EACH = 4  # for each of the scale's events: a job of Spark begins with half a second of work
_SECONDS = 1800


def spark(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure both ways, and the sink alone, in turns in one session of Spark."""
    installed = environment("spark")
    admin = ConfluentLog({"bootstrap.servers": bed.bootstrap}).admin()
    admin.create([TopicSpec(SINGLE, PARTITIONS)])
    admin.close()
    settings = {
        "master": "local[1]",
        "jars": [str(jar) for jar in installed.jars],
        "spark": {"spark.sql.execution.arrow.maxRecordsPerBatch": "10000", "spark.buffer.size": "65536"},
        "bootstrap": bed.bootstrap,
        "folder": str(bed.folder),
        "schemas": str(bed.schemas),
        "names": NAMES,
        "rows": _ROWS_EACH * scale.events,
        "rounds": max(3, scale.rounds // 2),
    }
    done = subprocess.run(
        [*on_cores(CLIENT), str(installed.python), str(ROOT / "spark" / "rates.py"), json.dumps(settings)],
        env=installed.variables({"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(installed.python)}),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        start_new_session=True,  # its processes are counted by their session
    )
    assert done.returncode == 0, done.stderr
    rates: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    figures = []
    for kind in NAMES:
        ready = rates[f"ready {kind}"]
        figures.append(Figure(f"Spark's Kafka sink, {kind} bytes ready made, a second of CPU", "rows", ready))
        for way, what in WAYS.items():
            own = rates[f"{way} {kind}"]
            figures.append(Figure(f"{what}, {kind}, a second of CPU", "rows", own))
            figures.append(Figure("… of the sink", "%", ratios(own, ready), at_least(50, "50 %")))
    return figures
