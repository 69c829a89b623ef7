"""Publish each large order of the topic ``orders`` as the event ``order.large``, with Flink's Table API."""

import os

from pyflink.table import EnvironmentSettings, TableEnvironment

from flowbridge_sdk import EventEncoder
from flowbridge_sdk.flink import KAFKA_PLACE, encoded, sink_table

KAFKA = os.environ["FLOWBRIDGE_BOOTSTRAP_SERVERS"]

tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.get_config().set("execution.checkpointing.interval", "2 s")  # events are read once a checkpoint is complete
tables.execute_sql(f"""
    CREATE TABLE orders (
        order_id STRING, customer STRING, amount DECIMAL(10, 2), ordered_at TIMESTAMP_LTZ(3), {KAFKA_PLACE}
    ) WITH (
        'connector' = 'kafka', 'topic' = 'orders', 'properties.bootstrap.servers' = '{KAFKA}',
        'scan.startup.mode' = 'earliest-offset', 'properties.isolation.level' = 'read_committed',
        'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'
    )
""")
tables.execute_sql(sink_table("events", "order.large", bootstrap=KAFKA, transactional_id_prefix="large-orders"))
large = tables.sql_query("SELECT * FROM orders WHERE amount >= 10")
records = encoded(large, "order.large", key="customer", time="ordered_at", encoder=EventEncoder("large-orders"))
records.execute_insert("events").wait()
