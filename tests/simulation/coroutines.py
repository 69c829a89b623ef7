"""Work that can stand still in the middle and go on later, while others take their turns: coroutines made of threads.

Each coroutine has a thread of its own, but only one thread of the whole simulation runs at any time: who resumes a
coroutine waits until it pauses or ends, and who pauses waits until it is resumed. Both hand over through locks, so the
order is the scheduler's alone, and a seed goes the same way every time, whatever the operating system does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class KilledError(BaseException):
    """The process was killed here; nobody handles that."""


class Coroutine:
    """One piece of work on a thread of its own.

    Args:
        work: What to do; whatever it raises, :meth:`resume` raises.

    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._turn = _held()
        self._back = _held()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None
        self._is_killed = False
        self.is_over = False

    def resume(self) -> None:
        """Let it go on until it pauses or ends."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()
        self._back.acquire()
        if self.is_over:
            self._thread.join()
            if self._error is not None:
                raise self._error

    def pause(self) -> None:
        """Stand still, in the coroutine's own thread, until resumed.

        Raises:
            KilledError: It will never go on.

        """
        self._back.release()
        self._turn.acquire()
        if self._is_killed:
            raise KilledError

    def kill(self) -> None:
        """Let it end where it stands."""
        self._is_killed = True
        self.resume()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  (raised again where it is resumed)
            self._error = error
        self.is_over = True
        self._back.release()


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
