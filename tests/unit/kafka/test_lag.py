"""The promises of the lag: it is measured now and then, and its age is that of the first record not committed."""

from __future__ import annotations

from bridge.core.event import SECOND, Micros
from bridge.kafka.lag import LagMeter
from bridge.kafka.log import Committed, Partition, Record, TopicSpec
from bridge.kafka.memory.log import MemoryBroker, MemoryLog
from bridge.kafka.observer import Unobserved

FIRST, SECOND_ONE = Partition("orders", 0), Partition("orders", 1)
BEGIN: Micros = 1_700_000_000 * SECOND


class Told(Unobserved):
    """What the meter has told."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], int] = {}
        self.seconds: dict[tuple[str, int], float] = {}

    def lag(self, topic: str, partition: int, records: int) -> None:
        self.records[topic, partition] = records

    def lag_seconds(self, topic: str, partition: int, seconds: float) -> None:
        self.seconds[topic, partition] = seconds

    def forget_lag(self, topic: str, partition: int) -> None:
        self.records.pop((topic, partition), None)
        self.seconds.pop((topic, partition), None)


class Bed:
    """A topic of two partitions, a clock, and a meter."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.broker = MemoryBroker(clock=lambda: self.now // 1000)
        self.broker.create(TopicSpec("orders", 2))
        self.log = MemoryLog(self.broker)
        self.told = Told()
        self.meter = LagMeter(self.log.admin(), self.told, lambda: self.now, lambda: self.now)

    def publish(self, partition: int, *ages: int) -> None:
        """Append records that are so many seconds old."""
        for age in ages:
            self.broker.append("orders", partition, None, b"v", timestamp=(self.now - age * SECOND) // 1000)

    def records(self, partition: Partition, start: int) -> list[Record]:
        end = self.log.admin().end_offsets([partition])[partition]
        return [record for some in self.log.reader().read(partition, start, end) for record in some]

    def measure(self, first: int, second: int, queue: list[Record]) -> bool:
        return self.meter.measure({FIRST: Committed(first, ""), SECOND_ONE: Committed(second, "")}, queue)


def test_lag_is_measured_every_ten_seconds() -> None:
    bed = Bed()
    bed.publish(0, 0)
    bed.now += 9 * SECOND
    assert not bed.measure(0, 0, [])
    assert bed.told.records == {}
    bed.now += SECOND
    assert bed.measure(0, 0, [])
    assert bed.told.records == {FIRST: 1, SECOND_ONE: 0}
    assert not bed.measure(0, 0, [])


def test_the_age_is_that_of_the_first_record_that_is_not_committed_whether_it_waits_or_comes_with_a_poll() -> None:
    bed = Bed()
    bed.now += 10 * SECOND
    bed.publish(0, 90, 40, 5)
    bed.publish(1, 30, 20)
    assert bed.measure(1, 1, bed.records(FIRST, 1))
    assert bed.told.records == {FIRST: 2, SECOND_ONE: 1}
    assert bed.told.seconds == {FIRST: 40.0}
    bed.meter.hear(bed.records(SECOND_ONE, 1))
    assert bed.told.seconds == {FIRST: 40.0, SECOND_ONE: 20.0}
    bed.now += 10 * SECOND
    assert bed.measure(1, 2, [])  # the first is still where it was, and its record does not come again
    assert bed.told.seconds == {FIRST: 50.0, SECOND_ONE: 0.0}
    bed.now += 10 * SECOND
    assert bed.measure(2, 2, bed.records(FIRST, 2))
    assert bed.told.seconds == {FIRST: 25.0, SECOND_ONE: 0.0}
    bed.meter.forget(FIRST)
    assert bed.told.seconds == {SECOND_ONE: 0.0}


def test_a_record_of_the_future_has_no_age() -> None:
    bed = Bed()
    bed.now += 10 * SECOND
    bed.publish(0, -600)
    assert bed.measure(0, 0, bed.records(FIRST, 0))
    assert bed.told.seconds == {FIRST: 0.0, SECOND_ONE: 0.0}


def test_polls_are_searched_for_a_second_after_a_measurement_and_then_no_more() -> None:
    bed = Bed()
    bed.now += 10 * SECOND
    bed.publish(0, 5)
    assert bed.measure(0, 0, [])
    bed.now += 2 * SECOND
    bed.meter.hear(bed.records(FIRST, 0))
    assert bed.told.seconds == {SECOND_ONE: 0.0}
