"""Unreadable records of internal topics: damaged, written by another program, or of an unknown codec.

Such a record is set aside with an alert, and everything around it goes on. A process that stopped instead would stop at
every restart, and so would the next owner of the partition.

==================================================== ===================================================================
where it stands                                      what is done besides the alert
==================================================== ===================================================================
``arrivals``, ``runs``                               it is a dead letter, and is passed
``windows``                                          its window is restored without it
``ledger``                                           its run counts as ended: it is never created a second time
a format that a newer version wrote, anywhere        the process stops: it would decide without what it cannot read
==================================================== ===================================================================
"""

from __future__ import annotations

import logging

from bridge.kafka.observer import Observer
from bridge.kafka.records import RecordError

logger = logging.getLogger(__name__)


def set_aside(observer: Observer, topic: str, place: str, error: RecordError, outcome: str) -> None:
    """Give the alert for one record: an ERROR in the log, and a count.

    Args:
        observer: Counts it.
        topic: Its topic.
        place: Where it stands there.
        error: Why it cannot be read.
        outcome: What is done about it.

    """
    observer.unreadable(topic)
    logger.error(
        "%s %s cannot be read: %s. %s. Find out what else writes to this topic than Flowbridge",
        topic,
        place,
        error,
        outcome,
    )
