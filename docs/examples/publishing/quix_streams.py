"""Publish each declined payment of the topic ``payments`` as the event ``payment.declined``, with Quix Streams."""

import os
import socket

from quixstreams import Application

from flowbridge_sdk import EventEncoder
from flowbridge_sdk.quix import publish

app = Application(
    broker_address=os.environ["FLOWBRIDGE_BOOTSTRAP_SERVERS"],
    consumer_group="declined-payments",
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    commit_interval=2.0,  # events are read once their transaction is committed
    consumer_extra_config={"session.timeout.ms": 10_000},  # until the partitions of a killed replica move
    producer_extra_config={
        "transactional.id": f"declined-payments-{socket.gethostname()}",  # each replica has its own, and keeps it
        "transaction.timeout.ms": 60_000,
        "partitioner": "murmur2_random",
        "message.max.bytes": 2 << 20,
    },
)
payments = app.dataframe(app.topic("payments", value_deserializer="json"))
declined = payments[payments["status"] == "declined"]
publish(
    app,
    declined,
    "payment.declined",
    key=lambda payment: payment["customer"],
    encoder=EventEncoder("declined-payments"),
)
app.run()
