"""Streaming queries that meet trouble, one by each way.

The rows are of a rate source, or of files. The trouble is in the last step before Kafka, so a task has published a part
of its rows when it happens. Files in the folder of each query tell the attempts apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, functions
from pyspark.sql.streaming import StreamingQuery
from session import SETTINGS, Step, session, written

WAYS = ("kafka", "flowbridge")
ROWS: int = SETTINGS["rows"]


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the other attempt, or the test, did not come")
        time.sleep(0.05)


def _failing_and_slow(markers: Path) -> Step:
    """Return a step in which a task of partition 1 fails once, and one of partition 0 waits for its second attempt."""

    def step(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        assert context is not None
        rows = 0
        for batch in batches:
            rows += batch.num_rows
            yield batch
            if context.partitionId() == 1 and rows and not (markers / "failed").exists():
                (markers / "failed").touch()
                raise RuntimeError("this task fails once")
        if context.partitionId() == 0 and rows:
            if context.attemptNumber() == 0 and not (markers / "overtaken").exists():
                (markers / "slow").touch()
                _wait_for((markers / "overtaken").exists)
            elif (markers / "slow").exists():
                (markers / "overtaken").touch()

    return step


def _held(markers: Path) -> Step:
    """Return a step in which the second micro-batch stops after its first rows, while there is a file ``hold``."""

    def step(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        assert context is not None
        for batch in batches:
            yield batch
            if context.getLocalProperty("streaming.sql.batchId") == "1":
                _wait_for(lambda: not (markers / "hold").exists())

    return step


def _rows(markers: Path) -> tuple[DataFrame, dict[str, Any], Step]:
    if SETTINGS["rows_of"] == "files":
        files = spark.readStream.schema("n long, customer string, at timestamp, parts array<struct<x: double>>")
        rows = files.option("maxFilesPerTrigger", 1).json(SETTINGS["files"])
        rows = rows.withColumn("order", functions.concat(functions.lit("o-"), "n"))
        return rows, {"id": "order", "key": "customer", "time": "at"}, _held(markers)
    stream = spark.readStream.format("rate").option("rowsPerSecond", 100).option("numPartitions", 4)
    rows = stream.load().where(f"value < {ROWS}").withColumnRenamed("value", "n")
    return rows, {"id": "n", "id_scope": "batch", "time": "timestamp"}, _failing_and_slow(markers)


def _start(way: str) -> StreamingQuery:
    folder = Path(SETTINGS["folder"]) / way
    rows, columns, step = _rows(folder)
    name = f"spark.{SETTINGS['rows_of']}.{way}"
    done = {"batchDone": f"{name}.done"} if SETTINGS["rows_of"] == "files" else {}
    writer = written(way, rows, name, columns, done, step)
    writer = writer.option("checkpointLocation", str(folder / "checkpoint"))
    query: StreamingQuery = (writer.trigger(availableNow=True) if SETTINGS["rows_of"] == "files" else writer).start()
    return query


def _run_to_last_row(query: StreamingQuery) -> None:
    deadline = time.monotonic() + 120
    while sum(progress["numInputRows"] for progress in query.recentProgress) <= ROWS:
        if query.exception() or time.monotonic() > deadline:
            raise query.exception() or TimeoutError(str(query.recentProgress))
        time.sleep(0.1)
    query.stop()


spark = session()
if SETTINGS["rows_of"] == "files":  # which end by themselves
    for query in [_start(way) for way in WAYS]:
        query.awaitTermination()
else:
    for way in WAYS:
        _run_to_last_row(_start(way))
