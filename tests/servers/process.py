"""A server as an operating-system process: started, paused, stopped within bounds, and never left behind.

Servers that belong to a test run are *tethered* (see tether.py): the kernel kills them when the thread that started
them ends, even if pytest is killed with SIGKILL. A test's own thread may end long before the server should, so all
are started from one thread that lives as long as this process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TETHER = Path(__file__).with_name("tether.py")
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starts-servers")
_POLL_SECONDS = 0.03
_PAUSE_SECONDS = 10.0
_SHOWN_LINES = 25


class ServerError(RuntimeError):
    """A server could not be built, started or reached; the text says which, and shows the end of its log."""


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until ``condition`` holds, asking every few milliseconds.

    Raises:
        TimeoutError: It did not within ``seconds``; the text names ``what`` was waited for.

    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(_POLL_SECONDS)


class ServerProcess:
    """One program and its log file. Not running until ``start``; may be started again after it ended.

    Attributes:
        name: What a person calls it.
        command: Program and arguments.
        log: Where its output goes, appended.
        tethered: Whether it dies with this process.

    """

    def __init__(self, name: str, command: Sequence[str], log: Path, *, tethered: bool = True) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.tethered = tethered
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the program itself.

        Raises:
            ServerError: It was never started.

        """
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, in a session of its own, so that a Ctrl-C at the terminal does not reach it.

        Raises:
            ServerError: It runs already.

        """
        if self.running:
            raise ServerError(f"{self.name} runs already, with pid {self.pid}")
        self._process = _STARTER.submit(self._spawn).result()

    def run(self, seconds: float) -> None:
        """Run it to its end.

        Raises:
            ServerError: It failed, or did not end within ``seconds`` (and was killed).

        """
        self.start()
        process = self._process
        try:
            code = process.wait(seconds) if process else None
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"{self.name} did not end within {seconds} s:\n{self._tail()}") from None
        if code != 0:
            raise ServerError(f"{self.name} failed with exit code {code}:\n{self._tail()}")

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for ``ready``.

        Raises:
            ServerError: It ended before, or was not ready within ``seconds``.

        """
        try:
            wait_for(lambda: not self.running or ready(), seconds, f"{self.name} to be ready")
        except TimeoutError as error:
            raise ServerError(f"{error}. The end of {self.log}:\n{self._tail()}") from None
        if not self.running:
            raise ServerError(f"{self.name} ended while it started. The end of {self.log}:\n{self._tail()}")

    def stop(self, seconds: float) -> None:
        """Ask it to end (SIGTERM), and after ``seconds`` make it (SIGKILL). Also if it is paused or gone."""
        if self._process is None:
            return
        self._process.terminate()
        self.resume()  # a stopped process takes a SIGTERM only when it goes on
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP) and wait until it is: its connections stay open and nothing answers.

        Raises:
            ServerError: It does not run.

        """
        if not self.running:
            raise ServerError(f"{self.name} has ended, so it cannot be paused. The end of {self.log}:\n{self._tail()}")
        self._signal(signal.SIGSTOP)
        wait_for(self._stopped_or_gone, _PAUSE_SECONDS, f"{self.name} to pause")  # a busy machine takes its time

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)  # does nothing to a process that has ended

    def _stopped_or_gone(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is not None or not self.running

    def _spawn(self) -> subprocess.Popen[bytes]:
        tether = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid())]
        command = [*tether, *self.command] if self.tethered else self.command
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_SHOWN_LINES:])
