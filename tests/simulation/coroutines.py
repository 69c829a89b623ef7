"""Work that can stand still in the middle and go on later, while others take their turns.

Each piece of work is a greenlet: it has a stack of its own and no thread, so only one runs at any time, and the order
is the scheduler's alone: a seed goes the same way every time, whatever the operating system does.
"""

from __future__ import annotations

from collections.abc import Callable

from greenlet import greenlet


class KilledError(BaseException):
    """The process was killed here; nobody handles that."""


class Coroutine:
    """One piece of work with a stack of its own.

    Args:
        work: What to do; whatever it raises, :meth:`resume` raises.

    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._stack = greenlet(work)
        self._is_killed = False

    @property
    def is_over(self) -> bool:
        """Tell whether it has come to its end."""
        return self._stack.dead

    def resume(self) -> None:
        """Let it go on until it pauses or ends."""
        self._stack.parent = greenlet.getcurrent()
        self._stack.switch()

    def pause(self) -> None:
        """Stand still, inside the coroutine, until resumed.

        Raises:
            KilledError: It will never go on.

        """
        parent = self._stack.parent
        parent.switch()
        if self._is_killed:
            raise KilledError

    def kill(self) -> None:
        """Let it end where it stands."""
        self._is_killed = True
        self.resume()
