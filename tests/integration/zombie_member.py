"""A member that writes into a transaction, is stopped there, and tells what became of its commit."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.log import Committed, LogError, Partition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Taking:
    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Let go."""

    lost = revoked


if __name__ == "__main__":
    bootstrap, group, topic, output = sys.argv[1:]
    log = ConfluentLog({"bootstrap.servers": bootstrap})
    member = log.consumer(group)
    member.subscribe([topic], _Taking())
    while not member.poll(1.0):
        pass
    producer = log.producer(group)
    producer.init()
    producer.begin()
    producer.send(output, 0, None, b"zombie")
    metadata = member.metadata()
    admin = log.admin()
    while admin.end_offsets([Partition(output, 0)])[Partition(output, 0)] == 0:
        time.sleep(0.01)
    print("written", flush=True)
    sys.stdin.readline()  # it is stopped here
    try:
        producer.send_offsets({Partition(topic, 0): Committed(1, "")}, metadata)
        producer.commit()
    except LogError as error:
        print(type(error).__name__, flush=True)
    else:
        print("committed", flush=True)
    producer.close()
    member.close()
