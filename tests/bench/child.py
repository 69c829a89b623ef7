"""A measured client as a process of its own, pinned to one core: ``python -m bench.child NAME``, settings on stdin.

What it measured comes back as one JSON object on stdout. Another revision's client is asked in the same way. So names,
settings and results stay as they are: ``rate``, records a second, and ``per_core``, records a second of the processor
time of all threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.cores import CLIENT, on_cores, pin_self

TESTS = Path(__file__).parents[1]
"""The folder from which ``bench`` is imported."""

_CLIENTS = {
    "consume": "bench.clients.consuming:consume_events",
    "consume-arrivals": "bench.clients.consuming:consume_arrivals",
    "arrivals": "bench.clients.stages:fill_arrivals",
    "stage": "bench.clients.stages:run_stage",
    "submitter": "bench.clients.creating:submit_runs",
    "hold": "bench.clients.holding:hold_runs",
    "creates": "bench.clients.creating:create_bare",
    "compare": "bench.clients.comparing:compare",
    "plan": "bench.clients.planning:plan_replay",
    "publish": "bench.clients.publishing:publish",
    "produce": "bench.clients.publishing:produce",
    "footprint": "bench.clients.publishing:footprint",
    "restore": "bench.clients.restoring:restore",
    "complete": "bench.clients.completing:complete",
    "spin": "bench.clients.spinning:spin",
}
_SECONDS = 600


class ChildError(RuntimeError):
    """A measured client failed; the text is what it wrote."""


def measured(name: str, checkout: Path | None = None, /, **settings: Any) -> dict[str, Any]:
    """Run a client to its end and return what it measured.

    Args:
        name: The client's.
        checkout: Another checkout that is set up, whose code the client runs; this one without.
        settings: The client's.

    Raises:
        ChildError: It failed.

    """
    python = str(checkout / ".venv/bin/python") if checkout else sys.executable
    environment = {**os.environ, "PYTHONPATH": str(bench_for(name, checkout) if checkout else TESTS)}
    return run_pinned(f"client {name}", [python, "-m", "bench.child", name], settings, environment, checkout)


def run_pinned(
    what: str,
    command: list[str],
    settings: object,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Run a program on the clients' core; return the JSON object that is the last line of its output.

    Args:
        what: What a person calls it.
        command: The program and its arguments.
        settings: Its settings, which it reads as JSON from stdin.
        environment: Its environment; that of the bench if not given.
        folder: Where it runs; where the bench runs if not given.

    Raises:
        ChildError: It failed.

    """
    done = subprocess.run(
        [*on_cores(CLIENT), *command],  # revisions whose bench confuses the cores start on the right one, too
        cwd=folder,
        env=environment,
        input=json.dumps(settings),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ChildError(f"{what} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def bench_for(name: str, checkout: Path) -> Path:
    """Return the folder with the bench that runs a client on another checkout.

    The checkout's own bench knows the checkout's own code. This bench stands in where that one lacks the client.
    """
    own = checkout / "tests"
    child = own / "bench" / "child.py"
    return own if child.exists() and f'"{name}": ' in child.read_text() else TESTS


def main() -> None:
    """Be the client that the first argument names."""
    pin_self(CLIENT)
    module, _, function = _CLIENTS[sys.argv[1]].partition(":")
    client = getattr(import_module(module), function)
    print(json.dumps(client(**json.load(sys.stdin))))


if __name__ == "__main__":
    main()
