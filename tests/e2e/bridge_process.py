"""``flowbridge run`` as a process of its own, as an operator would run it: set by its environment, ended by signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from servers.loopback import HOST, free_port
from servers.process import ServerError, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

FLOWBRIDGE = Path(sys.executable).with_name("flowbridge")
"""The command, as it is installed beside the Python that runs the tests."""

DRAIN_SECONDS = 60.0
"""What a pod's grace period gives a bridge to end by itself."""

_READY_SECONDS = 90.0  # two to four on an idle machine
_ASK_SECONDS = 5.0


class Ending(NamedTuple):
    """How a process ended that was asked to. ``code`` is its exit code, ``seconds`` how long it took."""

    code: int
    seconds: float


class BridgeProcess(ServerProcess):
    """One ``flowbridge run``. A context manager: started on entering, killed on leaving if it still runs.

    ``start``, ``kill`` (SIGKILL), ``pause`` (SIGSTOP) and ``resume`` (SIGCONT) are those of every server of the tests;
    it is killed with them when pytest dies. After it ended it may be started again: the log goes on.

    Attributes:
        port: Where ``/livez``, ``/readyz`` and ``/metrics`` answer.

    """

    def __init__(self, environment: Mapping[str, str], log: Path, name: str = "bridge") -> None:
        """Choose a port; nothing runs yet.

        Args:
            environment: KUBECONFIG and FLOWBRIDGE_*; what else is set here reaches the process, FLOWBRIDGE_* does not.
            log: Where its output goes, appended.
            name: What a person calls it.

        """
        self.port = free_port()
        settings = {**environment, "FLOWBRIDGE_LISTEN": f"{HOST}:{self.port}"}
        super().__init__(name, [*in_environment(settings), str(FLOWBRIDGE), "run"], log)

    def wait_ready(self, seconds: float = _READY_SECONDS) -> None:
        """Wait until every stage of it has joined and restored.

        Raises:
            ServerError: It ended, or was not ready in time; the text shows the end of its log.

        """
        self.wait_until(self._is_ready, seconds)

    def terminate(self, seconds: float = DRAIN_SECONDS) -> Ending:
        """Ask it to end (SIGTERM) and return how it did.

        Raises:
            ServerError: It does not run, or did not end within ``seconds``.

        """
        process = self._process
        if process is None or not self.running:
            raise ServerError(f"{self.name} does not run")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.name} did not end within {seconds} s of SIGTERM:\n{self._tail()}") from None
        return Ending(code, time.monotonic() - began)

    def text(self) -> str:
        """Return all that it has logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def get(self, path: str) -> str:
        """Return what its console answers for a path such as ``/metrics``."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=_ASK_SECONDS) as answer:
            text: bytes = answer.read()
        return text.decode()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self.kill()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/readyz", timeout=_ASK_SECONDS) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except (urllib.error.URLError, OSError):
            return False


def flowbridge(environment: Mapping[str, str], *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command of ``flowbridge`` to its end.

    Raises:
        subprocess.TimeoutExpired: It did not end within ``seconds``, and was killed.

    """
    words = [*in_environment(environment), str(FLOWBRIDGE), *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)


def in_environment(settings: Mapping[str, str]) -> list[str]:
    """Return the words before a command that give it these settings, and no FLOWBRIDGE_* of whoever runs the tests."""
    inherited = [f"--unset={name}" for name in os.environ if name.startswith("FLOWBRIDGE_")]
    return ["env", *inherited, *(f"{name}={value}" for name, value in settings.items())]
