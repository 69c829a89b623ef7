"""A group's member in a process of its own: says "owned" when it owns partitions, and polls until it is killed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bridge.kafka.confluent.log import ConfluentLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.kafka.log import Partition


class _Saying:
    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        print("owned", flush=True)
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Let go."""

    lost = revoked


if __name__ == "__main__":
    bootstrap, group, topic = sys.argv[1:]
    member = ConfluentLog({"bootstrap.servers": bootstrap}).consumer(group)
    member.subscribe([topic], _Saying())
    while True:
        member.poll(1.0)
