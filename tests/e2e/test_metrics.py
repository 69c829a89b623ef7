"""A bridge on real servers tells what waits: old windows, lag in seconds, open dead letters, replays in progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import Producer

from e2e.bridge_process import FLOWBRIDGE, in_environment
from e2e.installation import DEADLINE
from e2e.replay_bed import Bed
from servers.process import ServerProcess, wait_for

if TYPE_CHECKING:
    from e2e.installation import Installation

ORDERS = 30
"""Runs of a replay that sends one a second: it is in progress while the metrics are looked at."""


def test_a_running_bridge_tells_what_waits(installation: Installation) -> None:
    installation.create_template("ship", order=None)
    with installation.process() as bridge:
        bed = Bed(installation)
        bed.ship("ship")
        bed.pair("pair")
        topic = f"{bed.names}order"
        bed.publish("order", *({"order": f"o-{number}"} for number in range(ORDERS)))
        begin = time.time()
        bed.publish("part", {"pair": "p-1"})
        producer = Producer({"bootstrap.servers": installation.bootstrap})
        producer.produce(topic, b"no event")
        assert producer.flush(DEADLINE) == 0
        installation.wait_decisions(bridge, "ship", created=ORDERS)
        bed.ship("late")
        words = ["replay", "--trigger", "late", "--from", "earliest", "--name", "slow", "--rate", "1", "--yes"]
        command = [*in_environment(installation.environment), str(FLOWBRIDGE), *words]
        replay = ServerProcess("replay", command, installation.folder / "replay.log")
        replay.start()
        try:
            done, running = "flowbridge_replay_done_runs", ("slow", "running")
            wait_for(lambda: installation.samples(bridge, done).get(running, 0) > 0, DEADLINE, "progress of the replay")
        finally:
            replay.kill()
        assert installation.samples(bridge, "flowbridge_replay_planned_runs") == {running: ORDERS}
        letters = "flowbridge_open_dead_letters"
        wait_for(lambda: installation.samples(bridge, letters) == {("undecodable",): 1}, DEADLINE, "the letter")

        identity = f"{installation.namespace}/pair"
        oldest = installation.samples(bridge, "flowbridge_oldest_window_timestamp_seconds")
        assert oldest.keys() == {(identity,)}
        assert begin - 15 < oldest[identity,] <= time.time()
        assert installation.samples(bridge, "flowbridge_overdue_windows_seconds") == {(): 0}
        seconds = installation.samples(bridge, "flowbridge_lag_seconds")
        assert {value for (_, name), value in seconds.items() if name == topic} == {0}
        assert seconds.keys() == installation.samples(bridge, "flowbridge_lag").keys()
