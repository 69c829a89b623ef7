"""Publish each hot reading of the topic ``readings`` as the event ``sensor.hot``, with Bytewax."""

import json
import os
from dataclasses import replace

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSource
from bytewax.dataflow import Dataflow

from flowbridge_sdk import EventEncoder
from flowbridge_sdk.bytewax import SINK_CONFIG, SinkMessages

KAFKA = os.environ["FLOWBRIDGE_BOOTSTRAP_SERVERS"].split(",")
HOT = 80

flow = Dataflow("hot-readings")
messages = op.input("readings", flow, KafkaSource(KAFKA, ["readings"]))
readings = op.map("parse", messages, lambda message: replace(message, value=json.loads(message.value)))
hot = op.filter("hot", readings, lambda message: message.value["celsius"] > HOT)
encode = SinkMessages("sensor.hot", key=lambda message: message.value["sensor"], encoder=EventEncoder("hot-readings"))
op.output("events", op.map("encode", hot, encode), KafkaSink(KAFKA, topic=None, add_config=SINK_CONFIG))
