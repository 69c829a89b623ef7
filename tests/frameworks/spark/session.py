"""The Spark session of the programs here, from the settings that a test passes as JSON in the first argument."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from flowbridge_sdk import EventEncoder
from flowbridge_sdk.spark import FlowbridgeDataSource, to_kafka_columns

Step = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
SETTINGS: dict[str, Any] = json.loads(sys.argv[1])


def session() -> SparkSession:
    """Return a session that listens on loopback only, gives up after four attempts, and has small batches of Arrow."""
    builder = SparkSession.builder.master(SETTINGS.get("master", "local[2,4]"))
    settings = {
        "spark.jars": ",".join(SETTINGS["jars"]),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "America/New_York",  # which must not show in any event
        "spark.sql.execution.arrow.maxRecordsPerBatch": "10",
        "spark.buffer.size": "256",  # or batches this small would wait for each other
        **SETTINGS.get("spark", {}),
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark: SparkSession = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.dataSource.register(FlowbridgeDataSource)
    return spark


def written(
    way: str,
    rows: DataFrame,
    name: str,
    columns: dict[str, Any],
    options: dict[str, str] | None = None,
    step: Step | None = None,
) -> Any:
    """Return the writer of a DataFrame.

    Args:
        way: ``kafka`` for Spark's Kafka sink, ``flowbridge`` for the data source.
        rows: The rows, of a batch or a stream.
        name: The event's name.
        columns: ``key``, ``time``, ``id``, ``exclude`` and ``id_scope``, as ``to_kafka_columns`` takes them.
        options: Further options of the data source.
        step: What the batches of Arrow pass last before they are published.

    """
    if way == "kafka":
        encoder = EventEncoder(SETTINGS["source"], schemas=SETTINGS.get("schemas"))
        rows = to_kafka_columns(rows, name, encoder, **columns)
        if step is not None:
            rows = rows.mapInArrow(step, rows.schema)
        writer = (rows.writeStream if rows.isStreaming else rows.write).format("kafka")
    else:
        if step is not None:
            rows.sparkSession.dataSource.register(_with_step(step))
        texts = {option: ",".join(value) if isinstance(value, list) else value for option, value in columns.items()}
        named = {option.replace("id_scope", "idScope"): text for option, text in texts.items()}
        named |= {"name": name, "defaultSource": SETTINGS["source"], **(options or {})}
        if "schemas" in SETTINGS:
            named["schemas"] = SETTINGS["schemas"]
        writer = rows.writeStream if rows.isStreaming else rows.write.mode("append")
        writer = writer.format("flowbridge").options(**named)
    return writer.option("kafka.bootstrap.servers", SETTINGS["bootstrap"])


def _with_step(step: Step) -> type[FlowbridgeDataSource]:
    """Return the data source with a step in the process that publishes; Spark's buffers between processes hide it."""

    class WithStep(FlowbridgeDataSource):
        def streamWriter(self, schema: StructType, overwrite: bool) -> Any:  # noqa: N802, FBT001 - Spark's signature
            writer: Any = super().streamWriter(schema, overwrite)
            write = writer.write
            writer.write = lambda batches: write(step(batches))
            return writer

    return WithStep
