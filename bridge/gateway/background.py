"""Blocking calls to Kafka in daemon threads, outside the event loop. The end of the process does not wait for them.

Kafka's client waits up to 15 s for a broker that is away, and cannot be told to stop. A thread of asyncio's own would
keep the process for as long, after everything held was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def run_in_background(work: Callable[[], T]) -> asyncio.Future[T]:
    """Return the result of ``work``, or raise its exception. If the caller is cancelled, the work goes on."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type] # without an error it is work's own

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="gateway-asks", daemon=True).start()
    return answer
