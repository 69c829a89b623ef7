"""What only real brokers show of the log, and what is left of it on the embedded one."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.kafka.confluent.embedded import PARTITIONS, EmbeddedBroker
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Committed, Partition
from contract.log_beds import KafkaBed, Membership, take, until
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.choice import AnyKafka

ZOMBIE = Path(__file__).with_name("zombie_member.py")


@pytest.fixture
def bed(kafka: AnyKafka) -> Iterator[KafkaBed]:
    made = KafkaBed(kafka.bootstrap)
    yield made
    made.close()


@pytest.fixture
def embedded() -> Iterator[ConfluentLog]:
    broker = EmbeddedBroker()
    yield ConfluentLog({"bootstrap.servers": broker.bootstrap}, embedded=True)
    broker.close()


def test_a_member_stopped_in_a_transaction_cannot_commit_when_it_goes_on(kafka: AnyKafka, bed: KafkaBed) -> None:
    topic, output, group = bed.topic(), bed.topic(), f"g{uuid.uuid4().hex[:10]}"
    bed.publish(topic, 0, None, b"in", 0)
    command = [sys.executable, str(ZOMBIE), kafka.bootstrap, group, topic, output]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as zombie:
        assert zombie.stdin is not None
        assert zombie.stdout is not None
        try:
            assert zombie.stdout.readline() == "written\n"
            zombie.send_signal(signal.SIGSTOP)
            heir = Membership()
            consumer = bed.consumer(group, [topic], heir)
            seen = until(lambda: bool(heir.owned), "the heir to take over", consumer)
            seen += take(consumer, 1 - len(seen))
            assert [record.value for record in seen] == [b"in"]
            bed.log().admin().fence(group)  # as an heir does before it restores
            zombie.send_signal(signal.SIGCONT)
            zombie.stdin.write("go on\n")
            zombie.stdin.flush()
            assert zombie.stdout.readline() == "FencedError\n"
        finally:
            zombie.kill()
    place = Partition(output, 0)
    end = bed.log().admin().end_offsets([place])[place]
    assert [batch for batch in bed.log().reader().read(place, 0, end) if batch] == []
    assert bed.log().admin().committed(group, [Partition(topic, 0)], stable=True) == {}


def test_the_internal_topics_are_created_as_they_are_checked(bed: KafkaBed) -> None:
    topics = InternalTopics(f"i{uuid.uuid4().hex[:8]}.", partitions=2)
    admin = bed.log().admin()
    topics.ensure(admin)
    topics.ensure(admin)
    assert admin.topics()[topics.triggers] == 1
    assert admin.topics()[topics.arrivals] == 2


def test_records_and_offsets_flow_on_the_embedded_broker(embedded: ConfluentLog) -> None:
    admin = embedded.admin()
    topics = InternalTopics(partitions=PARTITIONS)
    topics.ensure(admin)
    member = Membership()
    consumer = embedded.consumer("g")
    consumer.subscribe([topics.runs], member)
    producer = embedded.producer("w")
    producer.init()
    producer.begin()
    producer.send(topics.runs, 1, b"k", b"v", [("h", b"1")])
    producer.commit()
    (record,) = take(consumer, 1)
    assert (record.partition, record.key, record.value) == (1, b"k", b"v")
    place = Partition(topics.runs, 1)
    end = consumer.positions()[place]
    producer.begin()
    producer.send_offsets({place: Committed(end, "text")}, consumer.metadata())
    producer.commit()
    assert admin.committed("g", [place], stable=False)[place].offset == end
    assert admin.end_offsets([place])[place] >= 1
    reader = embedded.reader()
    assert [r.value for batch in reader.read(place, 0, end) for r in batch] == [b"v"]
    reader.close()
    producer.close()
    consumer.close()
    admin.close()


def test_an_admin_that_is_closed_ends_though_somebody_still_refers_to_it(kafka: AnyKafka) -> None:
    tasks = Path("/proc/self/task")
    before = set(tasks.iterdir())  # some are of clients that earlier tests closed, and end at any time
    admins = [ConfluentLog({"bootstrap.servers": kafka.bootstrap}).admin() for _ in range(5)]
    for admin in admins:
        admin.topics()
    of_admins = set(tasks.iterdir()) - before
    assert len(of_admins) >= len(admins)
    for admin in admins:
        admin.close()
    wait_for(lambda: not of_admins & set(tasks.iterdir()), 20, "the clients' threads to end")
