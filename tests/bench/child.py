"""A measured client as a process of its own, pinned to one core: ``python -m bench.child NAME``, settings on stdin.

What it measured comes back as one JSON object on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.cores import CLIENT, pin_self

_CLIENTS = {
    "consume": "bench.clients.consuming:consume_events",
    "consume-arrivals": "bench.clients.consuming:consume_arrivals",
    "arrivals": "bench.clients.stages:fill_arrivals",
    "stage": "bench.clients.stages:run_stage",
    "submitter": "bench.clients.creating:submit_runs",
    "creates": "bench.clients.creating:create_bare",
    "compare": "bench.clients.comparing:compare",
    "plan": "bench.clients.planning:plan_replay",
    "publish": "bench.clients.publishing:publish",
    "produce": "bench.clients.publishing:produce",
    "footprint": "bench.clients.publishing:footprint",
    "restore": "bench.clients.restoring:restore",
    "complete": "bench.clients.completing:complete",
}
_SECONDS = 600


class ChildError(RuntimeError):
    """A measured client failed; the text is what it wrote."""


def measured(name: str, checkout: Path | None = None, /, **settings: Any) -> dict[str, Any]:
    """Run a client to its end and return what it measured.

    Args:
        name: The client's.
        checkout: Another checkout, set up with ``make setup``, whose code the client is; this one without.
        settings: The client's.

    Raises:
        ChildError: It failed.

    """
    done = subprocess.run(
        [str(checkout / ".venv/bin/python") if checkout else sys.executable, "-m", "bench.child", name],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout / "tests")} if checkout else None,
        input=json.dumps(settings),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ChildError(f"client {name} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Be the client that the first argument names."""
    pin_self(CLIENT)
    module, _, function = _CLIENTS[sys.argv[1]].partition(":")
    client = getattr(import_module(module), function)
    print(json.dumps(client(**json.load(sys.stdin))))


if __name__ == "__main__":
    main()
