"""The line above the table says how the interpreter was built, because that changes every rate."""

from __future__ import annotations

import platform

import pytest

from bench.circumstances import interpreter

PLAIN = {
    "CONFIG_ARGS": "'--prefix=/opt/python' '--enable-shared'",
    "PY_CFLAGS": "-O3 -Wall",
    "PGO_PROF_USE_FLAG": "-fprofile-use -fprofile-correction",  # what would be, if it were asked for
}


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (PLAIN, "without PGO and without LTO"),
        ({"CONFIG_ARGS": "'--enable-optimizations' '--with-lto=full'"}, "with PGO and with LTO"),
        ({"CONFIG_ARGS": "'--enable-optimizations' '--with-lto=no'"}, "with PGO and without LTO"),
        ({**PLAIN, "PY_CFLAGS_NODIST": "-fprofile-use -flto=auto -g"}, "with PGO and with LTO"),
    ],
)
def test_the_interpreter_is_named_with_its_optimizations(build: dict[str, object], said: str) -> None:
    version = f"{platform.python_implementation()} {platform.python_version()}"
    assert interpreter(build) == f"{version} ({said}, by its build's options)"
