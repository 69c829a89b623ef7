"""What the tests run in the environment of Quix Streams: the golden event, what is refused, and the SDK's publisher.

Arguments: ``golden`` or ``refusals``, Kafka's addresses, the topic of the application's input.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime

from quixstreams import Application
from quixstreams.dataframe import StreamingDataFrame

from flowbridge_sdk import EventEncoder, FlowbridgeError, Publisher
from flowbridge_sdk.quix import publish
from frameworks import golden


def application(bootstrap: str, topic: str) -> tuple[Application, StreamingDataFrame]:
    """Return an application, and the stream of its input."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=topic,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
    )
    return app, app.dataframe(app.topic(topic))


def write_golden(bootstrap: str, topic: str) -> None:
    """Publish the one message of the input as the golden event, and one event by a publisher."""
    app, stream = application(bootstrap, topic)
    publish(
        app,
        stream.apply(lambda value: value["fields"]),
        golden.NAME,
        key=lambda _: golden.KEY,
        id=lambda _: golden.ID,
        time=lambda _: golden.TIME,
        encoder=EventEncoder(golden.SOURCE),
    )
    app.run(count=1)
    with Publisher(bootstrap, source=golden.SOURCE) as publisher:
        publisher.publish(f"{topic}.published", golden.FIELDS, id=golden.ID)


def show_refusals(bootstrap: str, topic: str) -> None:
    """Print how the values of a stream are refused, a line each."""
    for change, arguments in (
        (lambda stream: stream.apply(lambda value: [value, value], expand=True), {}),
        (lambda stream: stream.apply(lambda _: None), {}),
        (lambda stream: stream.apply(lambda _: [1]), {}),
        (lambda stream: stream, {"id": lambda _: None}),
        (lambda stream: stream, {"key": lambda _: 7}),
        (lambda stream: stream, {"time": lambda _: datetime(2026, 1, 31)}),  # noqa: DTZ001 - this is the fault
    ):
        app, stream = application(bootstrap, topic)
        publish(app, change(stream), golden.NAME, **arguments)
        try:
            app.run(count=1)
        except FlowbridgeError as refused:
            print(json.dumps(str(refused)), flush=True)


if __name__ == "__main__":
    {"golden": write_golden, "refusals": show_refusals}[sys.argv[1]](*sys.argv[2:])
