"""Try work in a child process, to find out whether it kills its process."""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable

logger = logging.getLogger(__name__)

_SECONDS = 5.0
_BUSY = 2.0  # seconds of CPU time: an endless computation takes them, a child that waits for a lock does not
_LOOK = 0.005


def survives(work: Callable[[], object]) -> bool:
    """Do some work in a child process; return False if it certainly kills.

    The child has only this thread, and all of the memory as it is now. The work may only compute: clients of Kafka and
    HTTP do not work in a child. If the work waits for such a client, the answer is True, because nothing is certain.

    Args:
        work: May end its process, or compute without end. An exception ends no process.

    """
    if not hasattr(os, "fork"):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child needs none of the others
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except Exception:  # noqa: BLE001  (the parent meets it, too, and reports it)
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        ended, status, _ = os.wait4(child, os.WNOHANG)
        if ended:
            logger.warning("a trial in a child process ended with %d", os.waitstatus_to_exitcode(status))
            return status == 0
        time.sleep(_LOOK)
    os.kill(child, signal.SIGKILL)
    _, _, usage = os.wait4(child, 0)
    logger.warning("a trial in a child process did not end; it computed for %.1f s", usage.ru_utime + usage.ru_stime)
    return usage.ru_utime + usage.ru_stime < _BUSY
