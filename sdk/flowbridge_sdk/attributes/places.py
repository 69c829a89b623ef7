"""Ids of events that are made from records of Kafka: ``topic/partition/offset``, the same whenever a record is read."""

from __future__ import annotations

from flowbridge_sdk.errors import BadAttributeError


class PlaceIds:
    """Gives each event the place of the record that it is made from.

    Two events that are made from one record would share an id, and Flowbridge would take the second for a repeat of the
    first. They follow each other directly, so one look back tells.

    Args:
        name: The events' name, for errors.

    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: object = None

    def take(self, topic: str, partition: int, offset: int, reading: object = None) -> str:
        """Return the id of the next event.

        Args:
            topic: The topic of its record.
            partition: The record's partition.
            offset: The record's offset.
            reading: What stands for this reading of the record, if the framework may read it again in this process;
                otherwise the place does.

        Raises:
            BadAttributeError: The event before was made from the same record.

        """
        mark = (topic, partition, offset) if reading is None else reading
        place = f"{topic}/{partition}/{offset}"
        if mark == self._last:
            raise BadAttributeError(
                f"event {self._name!r}: expected at most one event of each source record; found two of {place}, which "
                "would share the id. Name with `id` what tells them apart"
            )
        self._last = mark
        return place
