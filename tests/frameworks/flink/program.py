"""What the tests run in Flink's environment: what ``encoded`` refuses, and the golden event by both of Flink's APIs.

Arguments: Kafka's addresses, the connector's jar, a folder with the golden event's row as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment, Table

from flowbridge_sdk import EventEncoder, FlowbridgeError
from flowbridge_sdk.flink import ROW_TYPE, as_row, encoded, records_of, sink_table
from frameworks import golden

ENCODER = EventEncoder(golden.SOURCE)


def encode(text: str) -> Row:
    """Return the row of the golden event."""
    event = ENCODER.encode(golden.NAME, json.loads(text), key=golden.KEY, id=golden.ID, time=golden.TIME)
    return as_row(event)


def show_refusals(table: Table) -> None:
    """Print, a line each, how tables are refused before a job starts."""
    refused_arguments: tuple[dict[str, Any], ...] = (
        {},
        {"id": []},
        {"id": "missing"},
        {"id": "event_id", "key": "amount"},
        {"id": "event_id", "time": "order_id"},
        {"id": "event_id", "payload": ["order_id", "price"]},
    )
    for arguments in refused_arguments:
        try:
            encoded(table, golden.NAME, encoder=ENCODER, **arguments)
        except FlowbridgeError as refused:
            print(json.dumps(str(refused)), flush=True)


def main(bootstrap: str, jar: str, folder: str) -> None:
    """Write the golden event twice."""
    environment = StreamExecutionEnvironment.get_execution_environment()
    environment.add_jars(f"file://{jar}")
    environment.set_parallelism(1)
    environment.enable_checkpointing(1_000)
    tables = StreamTableEnvironment.create(environment)
    tables.get_config().set("table.local-time-zone", "Asia/Tokyo")  # a moment stays the moment that it is
    tables.execute_sql(f"""
        CREATE TABLE goldens (
            event_id STRING, customer STRING, happened TIMESTAMP_LTZ(6),
            order_id STRING, amount DECIMAL(10, 2), lines ARRAY<BIGINT>, `at` TIMESTAMP_LTZ(6), note STRING
        ) WITH (
            'connector' = 'filesystem', 'path' = 'file://{folder}', 'format' = 'json',
            'json.timestamp-format.standard' = 'ISO-8601'
        )
    """)
    table = tables.from_path("goldens")
    show_refusals(table)
    for sink in ("by_table", "by_stream"):
        prefix = f"golden's {sink}"  # with an apostrophe, which the DDL has to quote
        tables.execute_sql(sink_table(sink, golden.NAME, bootstrap=bootstrap, transactional_id_prefix=prefix))
    records = encoded(
        table,
        golden.NAME,
        key="customer",
        id="event_id",
        time="happened",
        payload=list(golden.FIELDS),
        encoder=lambda: EventEncoder(golden.SOURCE),  # made in the worker
    )
    texts = environment.from_collection([json.dumps(golden.FIELDS)], type_info=Types.STRING())
    inserts = tables.create_statement_set()
    inserts.add_insert("by_table", records)
    inserts.add_insert("by_stream", records_of(tables, texts.map(encode, output_type=ROW_TYPE)))
    inserts.execute().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
