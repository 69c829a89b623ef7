"""What a run of the bench was measured with: the date, the interpreter, the cores and the load of the machine."""

from __future__ import annotations

import os
import platform
import sysconfig
import time
from collections.abc import Mapping

from bench.cores import CLIENT, SERVERS

_OPTIONS = {"PGO": ("--enable-optimizations", "-fprofile-use"), "LTO": ("--with-lto", "-flto")}
"""Kinds of optimization, with the option of ``configure`` and the flag of the compiler that each is asked for by."""

_RECORDED = ("CONFIG_ARGS", "PY_CFLAGS", "PY_CFLAGS_NODIST", "PY_CORE_CFLAGS", "PY_LDFLAGS_NODIST", "OPT")
"""The build's variables that name what was in use; others name what would be."""


def circumstances() -> str:
    """Return the line above the table."""
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    cores = f"clients on core {min(CLIENT)}, servers on {', '.join(map(str, sorted(SERVERS)))}"
    return f"{time.strftime('%Y-%m-%d')}, {interpreter(sysconfig.get_config_vars())}, {cores}, load before {load}"


def interpreter(build: Mapping[str, object]) -> str:
    """Return the name and version of this interpreter, and how it was optimized.

    Args:
        build: The variables of its build. Some distributions optimize without recording it here.

    """
    words = " ".join(str(build.get(name, "")) for name in _RECORDED).replace("'", " ").split()
    asked = [
        f"with {kind}"
        if any(word.split("=")[0] in names and word.split("=")[-1] != "no" for word in words)
        else f"without {kind}"
        for kind, names in _OPTIONS.items()
    ]
    version = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{version} ({' and '.join(asked)}, by its build's options)"
