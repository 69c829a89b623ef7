"""A job of Quix Streams that the bench measures, in turns with Flowbridge's stages (bench/groups/peers.py).

It reads typed events from the beginning of their topics, and ends when it has committed all of them. Settings come as
JSON on stdin: Kafka's address, the job, the events' topics with the files of their schemas, the output topic, and how
many events there are. The speed, the number of output records and the version go to stdout.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import parse_schema
from quixstreams import Application
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.models import Deserializer, SerializationContext, Topic

from bench.clients.progress import Progress

SETTINGS = json.load(sys.stdin)
_BLOCK = 500
_SINGLE_OBJECT_PREFIX = 10
_HOUR = timedelta(hours=1)


class TypedEvents(Deserializer):  # type: ignore[misc] # it is not installed here
    """Decodes events of one schema, as the ceiling does."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._schema = parse_schema(json.loads(Path(file).read_text()))

    @property
    def split_values(self) -> bool:
        """A message is one event."""
        return False

    def __call__(self, value: bytes, ctx: SerializationContext) -> Any:  # noqa: ARG002 - it is passed by name
        body = BytesIO(value)
        body.seek(_SINGLE_OBJECT_PREFIX)
        return fastavro.schemaless_reader(body, self._schema, None)


class Count:
    """Counts the events that were processed and the output records, and ends the job after the last event."""

    def __init__(self, expected: int) -> None:
        self.progress = Progress()
        self.made = 0
        self._expected = expected
        self._seen = 0

    def processed(self, _topic: str, _partition: int, _offset: int) -> None:
        """Count one event."""
        self._seen += 1
        if self._seen % _BLOCK == 0 or self._seen == self._expected:
            self.progress.add(self._seen - self.progress.done)
            if self._seen == self._expected:
                app.stop()

    def map(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Make the output of one event."""
        self.made += 1
        return {"order": event["order_id"], "amount": event["amount"]}

    def merge(self, order: Mapping[str, Any], payment: Mapping[str, Any]) -> dict[str, Any]:
        """Make the output of a pair."""
        self.made += 1
        return {"order": order["order_id"], "amount": payment["amount"]}


def job(streams: list[StreamingDataFrame]) -> StreamingDataFrame:
    """Return the stream of the job that the settings name."""
    if SETTINGS["job"] == "filter":
        return streams[0].filter(lambda event: event["quantity"] > 0 and event["country"] == "nowhere")
    if SETTINGS["job"] == "map":
        return streams[0].apply(count.map)
    orders, payments = streams
    # one hour each way, as `within: 1h`; what is older than that is of no use
    return orders.join_interval(
        payments, how="inner", on_merge=count.merge, grace_ms=_HOUR, backward_ms=_HOUR, forward_ms=_HOUR
    )


def input_topic(name: str, file: str) -> Topic:
    """Return the topic of one event; its keys stay bytes."""
    return app.topic(name, key_deserializer="bytes", value_deserializer=TypedEvents(file))


count = Count(SETTINGS["count"])
with tempfile.TemporaryDirectory(prefix="flowbridge-bench-quix-") as folder:
    app = Application(
        broker_address=SETTINGS["bootstrap"],
        consumer_group=SETTINGS["output"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=folder,
        loglevel="ERROR",
        on_message_processed=count.processed,
    )
    inputs = [app.dataframe(input_topic(name, file)) for name, file in SETTINGS["schemas"].items()]
    job(inputs).to_topic(app.topic(SETTINGS["output"], key_serializer="bytes", value_serializer="json"))
    app.run()
    count.progress.extend()  # the last commit counts, too
print(
    json.dumps(
        {
            "rate": count.progress.rate(),
            "per_core": count.progress.per_core(),
            "made": count.made,
            "version": version("quixstreams"),
        }
    )
)
