"""A bound on calls that do not keep their own.

``send_offsets_to_transaction`` of librdkafka 2.16 ignores its timeout and may never return when the group's
coordinator goes and comes while it waits (librdkafka's issues 5456 and 5511). A stage must not stand still for that.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from bridge.kafka.log import LogError

if TYPE_CHECKING:
    from collections.abc import Callable


class StuckError(LogError):
    """A call that has not come back, and perhaps never will: its client is to be left alone."""


def within(seconds: float, call: Callable[[], None]) -> None:
    """Do ``call`` in a thread of its own, and wait for it at most so long; a call that is stuck keeps its thread.

    Raises:
        StuckError: It has not come back in time.
        Exception: What the call raised.

    """
    outcome: SimpleQueue[Exception | None] = SimpleQueue()

    def work() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  (raised again, where somebody waits for it)
            outcome.put(error)
        else:
            outcome.put(None)

    threading.Thread(target=work, name="bounded-call", daemon=True).start()  # a daemon: it never holds up the end
    try:
        error = outcome.get(timeout=seconds)
    except Empty:
        raise StuckError(f"no answer from Kafka's client within {seconds:g} s, which is over its own limit") from None
    if error is not None:
        raise error
