"""Records of ours that cannot be read: damaged, written by somebody else, or beyond what this version's codec takes.

Such a record is set aside, once, with an alert; what stands around it goes on. To stop would help nobody, since the
next owner of the partition would stop at the same record.

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


class Unreadable:
    """Gives the alert.

    Args:
        observer: Counts them.

    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def found(self, topic: str, place: str, error: RecordError, outcome: str) -> None:
        """Give the alert for one record.

        Args:
            topic: Its topic.
            place: Where it stands there.
            error: Why it cannot be read.
            outcome: What is done about it.

        """
        self._observer.unreadable(topic)
        logger.error(
            "%s %s cannot be read: %s. %s. Look who writes to this topic beside Flowbridge",
            topic,
            place,
            error,
            outcome,
        )
