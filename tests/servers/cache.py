"""Builds that are made once on a machine: whole or not there, whatever is killed in between.

A build goes into a folder of its own and is renamed to its final name as its last step, under a file lock that the
kernel drops with its holder. Its name carries a hash of everything that it is made from, so that another version of
a pom or a go.mod is another folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_KEY_LENGTH = 16  # hex digits, 64 bits: a handful of versions live side by side


def cache_folder() -> Path:
    """Return where builds are kept: ``FLOWBRIDGE_TEST_CACHE``, else ``~/.cache/flowbridge-test``."""
    return Path(os.environ.get("FLOWBRIDGE_TEST_CACHE") or "~/.cache/flowbridge-test").expanduser().absolute()


def cached(name: str, inputs: Iterable[bytes], build: Callable[[Path], None]) -> Path:
    """Return the folder that ``build`` has filled, now or on an earlier day.

    Args:
        name: What is built; the first part of the folder's name.
        inputs: Everything that the result depends on.
        build: Fills the empty folder that it is given. What it raises leaves nothing behind.

    """
    root = cache_folder()
    target = root / f"{name}-{_key(inputs)}"
    if target.is_dir():
        return target
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root / f"{name}.lock"):
        if not target.is_dir():  # another process may have built it while we waited
            _remove_what_killed_builds_left(root, name)
            part = Path(tempfile.mkdtemp(dir=root, prefix=_part_prefix(name)))
            try:
                build(part)
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return target


def _key(inputs: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for content in inputs:
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:_KEY_LENGTH]


def _part_prefix(name: str) -> str:
    return f".{name}.part-"


def _remove_what_killed_builds_left(root: Path, name: str) -> None:
    for left in root.glob(f"{_part_prefix(name)}*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
