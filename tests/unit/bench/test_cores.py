"""Each measured client runs on a core of its own, though the bench itself keeps to those of the servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench import cores

TESTS = Path(__file__).parents[2]
BENCH = """
import json, os, subprocess, sys
from bench.cores import CLIENT, SERVERS, pin_self
CHILD = "import json; from bench.cores import CLIENT, SERVERS; print(json.dumps([sorted(CLIENT), sorted(SERVERS)]))"
pin_self(SERVERS)
print(json.dumps([sorted(CLIENT), sorted(SERVERS)]), flush=True)
subprocess.run([sys.executable, "-c", CHILD], check=True)
"""


def test_a_client_has_the_core_that_the_bench_keeps_away_from() -> None:
    environment = {name: value for name, value in os.environ.items() if name != cores.SETTING}
    done = subprocess.run(
        [sys.executable, "-c", BENCH],
        env={**environment, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    of_bench, of_client = [json.loads(line) for line in done.stdout.splitlines()]
    assert of_client == of_bench
    is_shared = bool(set(of_client[0]) & set(of_client[1]))
    assert is_shared == (len(os.sched_getaffinity(0)) == 1)
