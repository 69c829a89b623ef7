"""Environments of the streaming frameworks: a virtual environment each, since they cannot share one, and their jars.

A framework is a folder here: ``requirements.txt`` pins every package (compiled from ``requirements.in``), and
``pom.xml``, where there is one, names what Maven copies into ``jars``. The SDK of this checkout is on their path.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from uv import find_uv_bin

from servers.builds import need, run, say
from servers.cache import cached

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent
"""The folder that has a folder for each framework."""

_SDK = ROOT.parents[1] / "sdk"


class Environment(NamedTuple):
    """Where a framework is installed.

    Attributes:
        python: Its interpreter.
        jars: Its jars; an empty list without a ``pom.xml``.

    """

    python: Path
    jars: list[Path]

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the variables of a program that runs there: with the SDK on its path, and without FLOWBRIDGE_*."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWBRIDGE_", "PYTHON"))}
        path = f"{self.python.parent}{os.pathsep}{own.get('PATH', '')}"
        return {**own, "PATH": path, "PYTHONPATH": str(_SDK), **(more or {})}


def environment(framework: str) -> Environment:
    """Return the environment of a framework, built on first use (minutes) and kept by its versions.

    Args:
        framework: The name of its folder.

    Raises:
        ServerError: Maven or Java is missing, or something could not be fetched.

    """
    folder = ROOT / framework
    requirements, pom = folder / "requirements.txt", folder / "pom.xml"
    inputs = [file.read_bytes() for file in (requirements, pom) if file.exists()]

    def build(target: Path) -> None:
        say(f"installing {framework} (a minute or two, once)")
        run(
            [find_uv_bin(), "venv", "--quiet", "--relocatable", "--python", sys.executable, str(target / "venv")],
            folder,
        )
        install = [find_uv_bin(), "pip", "install", "--quiet", "--python", str(target / "venv" / "bin" / "python")]
        run([*install, "--requirement", str(requirements)], folder)
        if pom.exists():
            need("java", "a Java runtime, version 17 or later")
            need("mvn", "Apache Maven")
            goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target / 'jars'}"]
            run(["mvn", "--quiet", "--batch-mode", "--file", str(pom), *goal], folder)

    target = cached(framework, [str(sys.version_info[:2]).encode(), *inputs], build)
    return Environment(target / "venv" / "bin" / "python", sorted((target / "jars").glob("*.jar")))
