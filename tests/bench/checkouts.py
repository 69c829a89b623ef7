"""The code of another revision, set up in a folder of its own while it is measured."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
"""The folder of this checkout."""


class RevisionError(ValueError):
    """There is no such revision, or it cannot be set up; the text says why."""


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Yield a folder that is set up with the code of a revision.

    Args:
        revision: What git calls it (a commit, branch or tag), or the folder of a checkout that is set up. The worktree
            of a revision is in a temporary folder, and is removed afterwards.

    Raises:
        RevisionError: There is no such revision, or it cannot be set up.

    """
    if (Path(revision) / ".venv").is_dir():
        yield Path(revision).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="flowbridge-revision-") as temporary:
        folder = Path(temporary).resolve() / "checkout"
        _run(["git", "worktree", "add", "--quiet", "--detach", str(folder), revision], ROOT)
        try:
            _run([find_uv_bin(), "sync", "--locked", "--quiet", "--python", sys.executable], folder)
            yield folder
        finally:
            _run(["git", "worktree", "remove", "--force", str(folder)], ROOT)


def _run(command: list[str], folder: Path) -> None:
    # the environment of this checkout is not that of the other one
    environment = {name: text for name, text in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RevisionError(f"{' '.join(command[:3])} failed: {done.stderr.strip()}")
