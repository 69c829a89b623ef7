"""Writes the golden event, and one of each type that Spark has, by each way."""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import functions
from session import SETTINGS, session, written

spark = session()
row = spark.range(1).select(
    functions.lit("o-1").alias("order_id"),
    functions.lit("12.50").cast("decimal(10,2)").alias("amount"),
    functions.array(*[functions.lit(number).cast("long") for number in (1, 2, 300)]).alias("lines"),
    functions.lit(datetime(2026, 1, 31, 11, 59, 59, 250000, tzinfo=UTC)).alias("at"),
    functions.lit(None).cast("string").alias("note"),
    functions.lit("golden-1").alias("event"),
    functions.lit("c-7").alias("customer"),
    functions.lit(datetime(2026, 1, 31, 12, 0, 0, 500000, tzinfo=UTC)).alias("happened"),
)
columns = {"id": "event", "key": "customer", "time": "happened", "exclude": ["event", "customer", "happened"]}

every = spark.sql("""
    SELECT 'e-1' AS id, true AS b, 7Y AS byte, 8S AS short, -9 AS i, 10L AS l, 0.5F AS f, 0.25D AS d, 1.50BD AS dec,
           X'00ff' AS bin, DATE'2026-01-31' AS day, TIMESTAMP'2026-01-31 07:00:00.000001' AS at, NULL AS none,
           named_struct('a', 1, 'm', map('x', array(1L, NULL))) AS s, array(named_struct('t', 'é')) AS list,
           map('k', DATE'2026-01-31') AS days
""")
for way in ("kafka", "flowbridge"):
    written(way, row, "golden.ordered", columns).save()
    written(way, every, SETTINGS["every"], {"id": "id"}).save()
