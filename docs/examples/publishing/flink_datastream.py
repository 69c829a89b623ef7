"""Publish each refund of the topic ``refunds`` as the event ``order.refunded``, with Flink's DataStream API."""

import json
import os

from pyflink.common import Row, SimpleStringSchema, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import KafkaOffsetsInitializer, KafkaSource
from pyflink.table import StreamTableEnvironment

from flowbridge_sdk import EventEncoder
from flowbridge_sdk.flink import ROW_TYPE, as_row, records_of, sink_table

KAFKA = os.environ["FLOWBRIDGE_BOOTSTRAP_SERVERS"]
ENCODER = EventEncoder("refunds")


def encode(text: str) -> Row:
    """Return the row of a refund's event."""
    refund = json.loads(text)
    return as_row(ENCODER.encode("order.refunded", refund, key=refund["customer"], id=refund["refund_id"]))


environment = StreamExecutionEnvironment.get_execution_environment()
environment.enable_checkpointing(2_000)  # events are read once a checkpoint is complete
tables = StreamTableEnvironment.create(environment)
tables.execute_sql(sink_table("events", "order.refunded", bootstrap=KAFKA, transactional_id_prefix="refunds"))
source = (
    KafkaSource.builder()
    .set_bootstrap_servers(KAFKA)
    .set_topics("refunds")
    .set_starting_offsets(KafkaOffsetsInitializer.earliest())
    .set_property("isolation.level", "read_committed")
    .set_value_only_deserializer(SimpleStringSchema())
    .build()
)
refunds = environment.from_source(source, WatermarkStrategy.no_watermarks(), "refunds")
records_of(tables, refunds.map(encode, output_type=ROW_TYPE)).execute_insert("events").wait()
