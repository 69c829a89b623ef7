"""Does what cannot work, and prints each error as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable

from pyspark.sql import functions
from session import SETTINGS, session, written

from flowbridge_sdk.spark import to_kafka_columns

spark = session()
rows = spark.range(20, numPartitions=1).select(
    functions.col("id").alias("n"),
    functions.when(functions.col("id") == 13, functions.lit(float("nan"))).otherwise(functions.lit(0.5)).alias("x"),
)
stream = spark.readStream.format("rate").load().withColumnRenamed("value", "n")
start = {"checkpointLocation": SETTINGS["checkpoint"]}


def started(writer: object) -> None:
    writer.options(**start).trigger(availableNow=True).start().awaitTermination()  # type: ignore[attr-defined] # Spark's


def sunk() -> None:
    encoded = to_kafka_columns(rows, "spark.refused.sunk", id="n")
    encoded.write.format("kafka").option("kafka.bootstrap.servers", SETTINGS["bootstrap"]).save()


soon = {"kafka.topic.metadata.propagation.max.ms": "500"}  # librdkafka waits so long for a topic to appear
counted = stream.groupBy("n").count()
cases: dict[str, Callable[[], object]] = {
    "no id": lambda: written("flowbridge", rows, "spark.absent", {}).save(),
    "no column": lambda: written("flowbridge", rows, "spark.absent", {"id": "n", "key": "nope"}).save(),
    "unknown option": lambda: written("flowbridge", rows, "spark.absent", {"id": "n"}, {"kee": "n"}).save(),
    "overwrite": lambda: written("flowbridge", rows, "spark.absent", {"id": "n"}).mode("overwrite").save(),
    "complete": lambda: started(written("flowbridge", counted, "spark.absent", {"id": "n"}).outputMode("complete")),
    "stream": lambda: started(written("flowbridge", stream, "spark.absent", {"id": "n", "time": "n"})),
    "id within a batch job": lambda: written(
        "flowbridge", rows, "spark.absent", {"id": "n", "id_scope": "batch"}
    ).save(),
    "no such topic": lambda: written("flowbridge", rows.where("n < 3"), "spark.absent", {"id": "n"}, soon).save(),
    "refused row": lambda: written("flowbridge", rows, "spark.refused", {"id": "n"}).save(),
    "kafka sink: no id": lambda: to_kafka_columns(rows, "spark.absent"),
    "kafka sink: refused row": sunk,
}
found = {}
for case, work in cases.items():
    try:
        work()
    except Exception as error:  # noqa: BLE001 - each is printed
        found[case] = str(error)
    else:
        found[case] = "no error"
print(json.dumps(found))
