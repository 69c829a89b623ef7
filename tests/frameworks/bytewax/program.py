"""What the tests run in Bytewax's environment: the golden event, what is refused, and a topic that is not there.

Arguments: ``golden``, ``refusals`` or ``undelivered``, Kafka's addresses, the topic that is not there.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main

from flowbridge_sdk import EventEncoder, FlowbridgeError
from flowbridge_sdk.bytewax import SINK_CONFIG, SinkMessages
from frameworks import golden


def write(bootstrap: str, encode: SinkMessages, **config: Any) -> None:
    """Write one item, whose payload is the golden event's."""
    flow = Dataflow("golden")
    items = op.input("items", flow, TestingSource([golden.FIELDS]))
    sink = KafkaSink([bootstrap], topic=None, add_config={**SINK_CONFIG, **config})
    op.output("events", op.map("encode", items, encode), sink)
    run_main(flow)


def write_golden(bootstrap: str, _: str) -> None:
    """Write the golden event."""
    encode = SinkMessages(
        golden.NAME,
        key=lambda _: golden.KEY,
        id=lambda _: golden.ID,
        time=lambda _: golden.TIME,
        encoder=EventEncoder(golden.SOURCE),
    )
    write(bootstrap, encode)


def fail_to_deliver(bootstrap: str, topic: str) -> None:
    """Write to a topic that is not there, so nothing is delivered."""
    config = {"delivery.timeout.ms": 2_000, "topic.metadata.propagation.max.ms": 500}
    write(bootstrap, SinkMessages(topic, id=lambda _: golden.ID), **config)


def show_refusals(_bootstrap: str, _topic: str) -> None:
    """Print how items are refused, a line each."""
    message = KafkaSourceMessage(b"c-7", golden.FIELDS, topic="orders", partition=2, offset=17, timestamp=(1, 1))
    for items, arguments in (
        ([golden.FIELDS], {}),
        ([message, message], {}),
        ([KafkaSourceMessage(None, None, topic="orders", partition=2, offset=18)], {}),
        ([KafkaSourceMessage(None, b"{}", topic="orders", partition=2, offset=19)], {}),
        ([message], {"id": lambda _: None}),
        ([message], {"key": lambda _: 7}),
        ([message], {"time": lambda _: datetime(2026, 1, 31)}),  # noqa: DTZ001 - this is the fault
    ):
        encode = SinkMessages(golden.NAME, **arguments)
        try:
            for item in items:
                encode(item)
        except FlowbridgeError as refused:
            print(json.dumps(str(refused)), flush=True)


if __name__ == "__main__":
    programs = {"golden": write_golden, "refusals": show_refusals, "undelivered": fail_to_deliver}
    programs[sys.argv[1]](*sys.argv[2:])
