"""The end of a process that still has events in its buffer.

=================================  ====================================================================================
the process                        its unclosed publishers
=================================  ====================================================================================
ends by itself or by an exception  are flushed by ``atexit``; a loss makes the exit code ``LOST_EXIT_CODE``
a child of ``multiprocessing``     are flushed by its finalizers (it ends by ``os._exit``), also after the SIGTERM with
                                   which a pool ends its workers
any other forked child             wait for Kafka in ``publish`` itself: the end by ``os._exit`` cannot be noticed
=================================  ====================================================================================
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

LOST_EXIT_CODE = 75
"""How a process exits that lost events of a publisher that was never closed (EX_TEMPFAIL of sysexits.h)."""

_LAST = -1000  # the priority of multiprocessing's last finalizer
_DEAF_S = 0.1  # after so long the main thread is interrupted again


class _Ending:
    """The state of this process's end.

    It hangs on the module ``sys``, which the interpreter clears last. There alone the exit code can be set without
    cutting off other ``atexit`` functions.
    """

    def __init__(self) -> None:
        self.forked = False
        self.guarded = False  # by a finalizer of multiprocessing
        self.ending = False
        self.terminated = False
        self.exit_code = 0
        self.handler: Callable[[int, FrameType | None], None] | None = None  # of SIGTERM, if it is ours
        self.pipe: tuple[int, int] | None = None  # reports signals to the thread that interrupts a deaf main thread

    def __del__(self, _exit: Callable[[int], NoReturn] = os._exit) -> None:
        if self.exit_code:
            _exit(self.exit_code)

    def after_fork(self) -> None:
        """Forget the state of the parent, to which our handler and our pipe belong."""
        self.let_go()
        if self.pipe is not None:
            if (used := signal.set_wakeup_fd(-1)) != self.pipe[1]:  # an event loop's, by now
                signal.set_wakeup_fd(used)
            for end in self.pipe:
                os.close(end)
        self.pipe = None
        self.guarded = self.ending = self.terminated = False
        self.exit_code = 0
        self.forked = True

    def let_go(self) -> None:
        """Let the next SIGTERM end the process at once."""
        if self.handler is not None and signal.getsignal(signal.SIGTERM) is self.handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.handler = None


_ending = _Ending()
sys._flowbridge_ending = _ending  # type: ignore[attr-defined]  # noqa: SLF001 - see _Ending


class _Forking(threading.local):
    """The fork that a thread is in the middle of.

    Python forgets a signal that reaches the child before its handlers are renewed, so SIGTERM waits until they are.

    Attributes:
        mask: The signals that the thread has blocked otherwise; None outside of a fork.

    """

    mask: set[int] | None = None

    def begin(self) -> None:
        """Let SIGTERM wait, if its handler is ours."""
        if _ending.handler is not None:
            self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def end(self) -> None:
        """Let it come."""
        if self.mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
            self.mask = None

    def end_in_child(self) -> None:
        """Let it come, by its default: it ends the process."""
        _ending.after_fork()
        self.end()


_forking = _Forking()
os.register_at_fork(before=_forking.begin, after_in_parent=_forking.end, after_in_child=_forking.end_in_child)


def is_forked() -> bool:
    """Return whether this process was forked from one that had imported the SDK."""
    return _ending.forked


def events_were_lost() -> None:
    """Make this process exit with ``LOST_EXIT_CODE``, unless it ends by an exception, whose exit code stays."""
    if getattr(sys, "last_value", None) is None:
        _ending.exit_code = LOST_EXIT_CODE


def flushes_at_end(flush: Callable[[], None]) -> bool:
    """Return whether the end of this process flushes its unclosed publishers, and arrange that where it is needed.

    Args:
        flush: Flushes all publishers.

    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is None:
        return not _ending.forked
    process: Any = sys.modules["multiprocessing.process"]
    if process.parent_process() is not None:
        return _guard(util, flush)

    def guard_again(ending: _Ending) -> None:
        ending.guarded = False
        _guard(util, flush)

    # a child that is spawned imports the job's module before it has a parent; a fork server's then forgets finalizers
    util.register_after_fork(_ending, guard_again)
    if getattr(process.current_process(), "_inheriting", False):
        return _guard(util, flush)
    return not _ending.forked


def _guard(util: Any, flush: Callable[[], None]) -> bool:
    if not _ending.guarded:
        try:
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                handler = partial(_terminate, util, flush)
                signal.signal(signal.SIGTERM, handler)
                _ending.handler = handler
                _watch_for_deaf_main_thread()
        except ValueError:  # not the main thread
            return False
        util.Finalize(None, _end_child, (flush,), exitpriority=_LAST)
        _ending.guarded = True
    return True


def _terminate(util: Any, flush: Callable[[], None], _number: int, frame: FrameType | None) -> None:
    if _forking.mask is not None:  # an exception would be lost here
        again = threading.Timer(_DEAF_S, os.kill, (os.getpid(), signal.SIGTERM))
        again.daemon = True
        again.start()
        return
    _ending.terminated = True
    if _ending.ending:
        return  # its events are being sent already, and that has a bound
    while frame is not None:
        if frame.f_code is util._exit_function.__code__:  # noqa: SLF001 - no public function tells this
            _end_child(flush, at_once=True)  # an exception would leave the finalizers, among them the one that flushes
        frame = frame.f_back
    sys.exit(128 + signal.SIGTERM)


def _watch_for_deaf_main_thread() -> None:
    """Have a SIGTERM interrupt the main thread until its handler has run.

    Python runs handlers in the main thread, between two steps of it. A signal that comes just before that thread
    blocks, as a pool's idle worker does, would wait until the call returns, which may be never.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    if (former := signal.set_wakeup_fd(writer, warn_on_full_buffer=False)) != -1:  # an event loop gets signals itself
        signal.set_wakeup_fd(former)
        os.close(reader)
        os.close(writer)
        return
    _ending.pipe = reader, writer

    def interrupt() -> None:
        while os.read(reader, 1) != bytes([signal.SIGTERM]):
            pass
        while not _ending.terminated:
            time.sleep(_DEAF_S)
            if not _ending.terminated:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=interrupt, name="flowbridge-sigterm", daemon=True).start()


def _end_child(flush: Callable[[], None], *, at_once: bool = False) -> None:
    """Flush, and see to the exit code.

    Args:
        flush: Flushes all publishers.
        at_once: The process ends here, whatever else it has still to do.

    """
    _ending.ending = True
    flush()
    _ending.let_go()
    if _ending.exit_code and (at_once or sys.version_info >= (3, 13)):  # there the exit code is settled before this
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(_ending.exit_code)
    error = sys.exc_info()[1]
    ends_well = error is None or (isinstance(error, SystemExit) and not error.code)
    lost, _ending.exit_code = _ending.exit_code, 0
    if lost and (ends_well or _ending.terminated):
        raise SystemExit(lost)
    if _ending.terminated:  # ends as its parent expects of a process that it terminated
        os.kill(os.getpid(), signal.SIGTERM)
