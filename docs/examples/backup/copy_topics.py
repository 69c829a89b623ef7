"""Copy topics from one Kafka to another: a backup of an installation, and its way back.

``python copy_topics.py SOURCE TARGET PREFIX HOURS TOPIC…`` copies the internal topics with this prefix in the order in
which they have to be copied, and then the events of the last hours in the event topics that are named. The topics must
not exist on the target. Only committed records are copied, each into its partition, with its timestamp.
"""

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

STATE = ("windows", "arrivals", "runs", "ledger", "triggers", "holds")
"""What was decided is copied before what it rests on: a run that windows know is in `runs` or `ledger`."""

TIMESTAMPS = "message.timestamp.type"
SECONDS = 60.0


def settings_of(admin: AdminClient, topic: str) -> dict[str, str]:
    """Return the settings of a topic that differ from the defaults of its cluster."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource])[resource].result(SECONDS)
    return {name: entry.value for name, entry in entries.items() if not entry.is_default and entry.value is not None}


def copy(source: str, target: str, topic: str, hours: float | None = None) -> int:
    """Copy a topic, or what came in the last hours, and return the number of records."""
    there, here = AdminClient({"bootstrap.servers": source}), AdminClient({"bootstrap.servers": target})
    numbers = list(there.list_topics(topic, timeout=SECONDS).topics[topic].partitions)
    settings = settings_of(there, topic)
    # While records are copied, they keep their timestamps. Afterwards the broker stamps new records as before.
    new = NewTopic(topic, len(numbers), -1, config={**settings, TIMESTAMPS: "CreateTime"})
    here.create_topics([new])[topic].result(SECONDS)
    consumer = Consumer(
        {
            "bootstrap.servers": source,
            "group.id": f"copy-of-{topic}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    producer = Producer({"bootstrap.servers": target, "acks": "all", "enable.idempotence": True})
    places = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers]
    if hours is not None:
        since = round((time.time() - hours * 3600) * 1000)
        places = consumer.offsets_for_times([TopicPartition(topic, number, since) for number in numbers], SECONDS)
    consumer.assign(places)
    copied, ended = 0, set()
    while len(ended) < len(numbers):
        for message in consumer.consume(500, 1.0):
            error = message.error()
            if error is not None and error.name() != "_PARTITION_EOF":
                raise KafkaException(error)
            if error is not None:
                ended.add(message.partition())
                continue
            producer.produce(
                topic,
                message.value(),
                message.key(),
                message.partition(),
                timestamp=message.timestamp()[1],
                headers=message.headers(),
            )
            copied += 1
            producer.poll(0)
    if producer.flush(SECONDS):
        raise RuntimeError(f"{topic}: {target} did not take all records within {SECONDS:.0f} s")
    consumer.close()
    stamp = ConfigEntry(TIMESTAMPS, settings.get(TIMESTAMPS, "CreateTime"), incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[stamp])
    here.incremental_alter_configs([change])[change].result(SECONDS)
    return copied


if __name__ == "__main__":
    source_servers, target_servers, prefix, last_hours, *events = sys.argv[1:]
    for name in [prefix + state for state in STATE]:
        print(f"{name}: {copy(source_servers, target_servers, name)} records", flush=True)
    for name in events:
        print(f"{name}: {copy(source_servers, target_servers, name, float(last_hours))} records", flush=True)
