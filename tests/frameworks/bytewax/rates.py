"""A dataflow of Bytewax that the bench measures, in turns with Flowbridge's stages (bench/groups/peers.py).

It reads typed events from the beginning of their topics to the end, in one worker, with recovery. Settings come as JSON
on stdin: Kafka's address, the job, the events' topics with the files of their schemas, the output topic, and how many
events there are. The speed, the number of output records and the version go to stdout.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import timedelta
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import bytewax.operators as op
import fastavro
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow, Stream
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from fastavro.schema import parse_schema

from bench.clients.progress import Progress

SETTINGS = json.load(sys.stdin)
_BLOCK = 500
_SINGLE_OBJECT_PREFIX = 10
_SNAPSHOTS = timedelta(seconds=1)
SCHEMAS = {name: parse_schema(json.loads(Path(file).read_text())) for name, file in SETTINGS["schemas"].items()}


class Count:
    """Counts the events that were read, and the output records."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.made = 0
        self._seen = 0

    def decode(self, message: KafkaSourceMessage) -> Any:
        """Decode one event, as the ceiling does."""
        self._seen += 1
        if self._seen % _BLOCK == 0 or self._seen == SETTINGS["count"]:
            self.progress.add(self._seen - self.progress.done)
        body = BytesIO(message.value)
        body.seek(_SINGLE_OBJECT_PREFIX)
        return fastavro.schemaless_reader(body, SCHEMAS[message.topic], None)

    def message(self, key: bytes, order: str, amount: float) -> KafkaSinkMessage:
        """Make one output record."""
        self.made += 1
        return KafkaSinkMessage(key, orjson.dumps({"order": order, "amount": amount}))


def read(flow: Dataflow, topic: str) -> Stream:
    """Return the decoded events of a topic."""
    source = KafkaSource([SETTINGS["bootstrap"]], [topic], tail=False)
    return op.map(f"decode {topic}".replace(".", "-"), op.input(topic.replace(".", "-"), flow, source), count.decode)


def job(flow: Dataflow) -> Stream:
    """Return the stream of output records of the job that the settings name."""
    streams = [read(flow, topic) for topic in SCHEMAS]
    if SETTINGS["job"] == "filter":
        passed = op.filter("where", streams[0], lambda event: event["quantity"] > 0 and event["country"] == "nowhere")
        return op.map("record", passed, lambda event: count.message(b"key", event["order_id"], event["amount"]))
    if SETTINGS["job"] == "map":
        return op.map("record", streams[0], lambda event: count.message(b"key", event["order_id"], event["amount"]))
    orders, payments = [
        op.map(f"key {number}", stream, lambda event: (event["order_id"], event["amount"]))
        for number, stream in enumerate(streams)
    ]
    joined = op.join("pair", orders, payments, emit_mode="complete")
    return op.map("record", joined, lambda pair: count.message(pair[0].encode(), pair[0], pair[1][1]))


count = Count()
dataflow = Dataflow("rates")
op.output("output", job(dataflow), KafkaSink([SETTINGS["bootstrap"]], SETTINGS["output"]))
with tempfile.TemporaryDirectory(prefix="flowbridge-bench-bytewax-") as folder:
    init_db_dir(folder, 1)
    cli_main(dataflow, recovery_config=RecoveryConfig(folder), epoch_interval=_SNAPSHOTS)
    count.progress.extend()  # the last output counts, too
print(
    json.dumps(
        {
            "rate": count.progress.rate(),
            "per_core": count.progress.per_core(),
            "made": count.made,
            "version": version("bytewax"),
        }
    )
)
