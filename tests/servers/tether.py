"""Becomes the given command, tied to the thread that started it: the kernel kills it when that one ends.

``python tether.py PARENT_PID COMMAND...``. PR_SET_PDEATHSIG survives exec, so the command keeps it and has this
process' pid. Done here and not in ``preexec_fn``: Python code between fork and exec of a process with threads can
deadlock. Imports nothing of ours and runs with ``-I -S``, which makes it start in about 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie, make sure that there still is somebody to be tied to, and become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")
    os.execvp(command[0], command)  # noqa: S606 - becoming the command, without a shell, is the purpose


if __name__ == "__main__":
    main()
