"""Writes the same events by each way in turns, and prints the rows per second of CPU time as JSON.

The CPU time is that of the whole session: Spark's JVM and its Python processes.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyspark.sql import DataFrame, functions
from session import SETTINGS, session

from flowbridge_sdk import EventEncoder
from flowbridge_sdk.spark import to_kafka_columns

ROWS: int = SETTINGS["rows"]
COLUMNS = {"key": "customer", "time": "at", "id": "order_id"}
KAFKA = {
    "kafka.bootstrap.servers": SETTINGS["bootstrap"],
    "kafka.compression.type": "lz4",
    "kafka.linger.ms": "5",
}
_TICKS = os.sysconf("SC_CLK_TCK")


def _cpu_seconds() -> float:
    """Return the CPU time of all processes of this session, and of those that have ended."""
    ticks, mine = 0, str(os.getsid(0))
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may end meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[3] == mine:
                ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


def _sink(rows: DataFrame) -> None:
    rows.write.format("kafka").options(**KAFKA).save()


def _encoded(name: str) -> DataFrame:
    rows = spark.read.parquet(f"{SETTINGS['folder']}/rows")
    return to_kafka_columns(rows, name, encoder, **COLUMNS, exclude=["at"])


def _publish(name: str) -> None:
    options = {**KAFKA, **COLUMNS, "name": name, "exclude": "at", "schemas": SETTINGS["schemas"]}
    rows = spark.read.parquet(f"{SETTINGS['folder']}/rows")
    rows.write.format("flowbridge").mode("append").options(**options).save()


spark = session()
encoder = EventEncoder(schemas=SETTINGS["schemas"])
number = functions.col("id")
orders = spark.range(ROWS, numPartitions=1).select(
    functions.format_string("order-%09d", "id").alias("order_id"),
    functions.concat(functions.lit("customer-"), (number % 5000).cast("string")).alias("customer"),
    functions.lit("nz").alias("country"),
    (number % 7 + 1).alias("quantity"),
    ((number % 1000) / 4).alias("amount"),
    functions.timestamp_micros(functions.lit(1_767_000_000_000_000) + number * 1001).alias("at"),
)
orders.write.parquet(f"{SETTINGS['folder']}/rows")
work: dict[str, Callable[[], None]] = {}
for kind, name in SETTINGS["names"].items():
    ready = f"{SETTINGS['folder']}/{kind}"
    _encoded(name).write.parquet(ready)
    work[f"ready {kind}"] = lambda ready=ready: _sink(spark.read.parquet(ready))  # type: ignore[misc] # bound now
    work[f"columns {kind}"] = lambda name=name: _sink(_encoded(name))  # type: ignore[misc] # bound now
    work[f"source {kind}"] = lambda name=name: _publish(name)  # type: ignore[misc] # bound now
rates = defaultdict(list)
for turn in range(SETTINGS["rounds"] + 2):
    for what, write in work.items():
        before = _cpu_seconds()
        write()
        if turn > 1:  # the JVM compiles what runs often
            rates[what].append(ROWS / (_cpu_seconds() - before))
print(json.dumps(rates))
