"""Windows as they come back from the changelog."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from bridge.core.decision import Reason
from bridge.core.step import deadline
from bridge.core.window import Arrival
from bridge.kafka.log import Admin, Partition, Reader
from bridge.kafka.records import SPENT, WAITING, RecordError
from bridge.stages.definitions import Definitions
from bridge.stages.windows import Timer, WindowKey, Windows, decode_spent, decode_waiting


def read_changelog(reader: Reader, admin: Admin, partition: Partition) -> list[bytes]:
    """Return the last value of each key of a compacted partition, tombstones left out.

    The former owner has been fenced: nothing of it is open, and the true end is what it committed.
    """
    end = admin.end_offsets([partition])[partition]
    last: dict[bytes, bytes] = {}
    for records in reader.read(partition, 0, end):
        for record in records:
            if record.key is None:
                continue
            if record.value is None:
                last.pop(record.key, None)
            else:
                last[record.key] = record.value
    return list(last.values())


def restore_windows(values: Iterable[bytes], definitions: Definitions) -> Windows:
    """Return the windows that a changelog's values describe."""
    windows = Windows()
    waiting: list[tuple[WindowKey, Arrival]] = []
    for value in values:
        if value.startswith(WAITING.prefix):
            waiting.append(decode_waiting(value))
        elif value.startswith(SPENT.prefix):
            _restore_spent(windows, value, definitions)
        else:
            raise RecordError("a record of the windows' changelog is of no kind that this version knows")
    for key, arrival in sorted(waiting, key=lambda one: one[1]):  # in order, so that each is appended to its slot
        trigger = definitions.conditions[key.condition].trigger
        windows.open[key] = windows.window(key, len(trigger.slots)).with_arrival(arrival)
        windows.remembered[key, arrival.slot, arrival.event] = arrival
        timer = Timer(deadline(trigger, arrival), key.key, arrival.slot, arrival.event)
        windows.timers.setdefault(key[:2], []).append(timer)
    for heap in windows.timers.values():
        heapq.heapify(heap)
    return windows


def _restore_spent(windows: Windows, value: bytes, definitions: Definitions) -> None:
    key, slot, event, spent = decode_spent(value)
    windows.remembered[key, slot, event] = spent
    windows.timers.setdefault(key[:2], []).append(Timer(spent.until, key.key, slot, event))
    trigger = definitions.conditions[key.condition].trigger
    if spent.fate is not Reason.MATCHED or trigger.collect != "latest":
        return
    window = windows.window(key, len(trigger.slots))
    mark = window.marks[slot]
    if mark is None or mark < (spent.time, spent.offset):
        windows.open[key] = window.with_mark(slot, (spent.time, spent.offset))
