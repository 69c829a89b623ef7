"""What a new owner of partitions does first: bring its state back from the log. How fast, and how large it then is."""

from __future__ import annotations

import ctypes
import gc
import time
from pathlib import Path

from bench.clients.progress import processor_seconds
from bench.clients.stages import collecting, dependencies
from bridge.argo.memory import MemoryWorkflowApi
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Partition
from bridge.stages.matcher.matcher import Matcher
from bridge.stages.process import open_loop
from bridge.stages.submitter.submitter import Submitter

_KB = 1024


def restore(*, stage: str, bootstrap: str, prefix: str, partitions: int, triggers: str) -> dict[str, float]:
    """Let a stage take all its partitions on.

    Returns:
        ``seconds`` that it took, ``cpu_seconds`` of processor time meanwhile, ``bytes`` that the process has grown by,
        and ``count`` of windows or entries.

    """
    around = dependencies(bootstrap, InternalTopics(prefix, partitions), triggers=triggers, api=MemoryWorkflowApi())
    collecting()
    loop = open_loop(stage, around)
    taker = loop._stage
    topic = around.topics.arrivals if stage == "matcher" else around.topics.runs
    taker.topics()  # reads the definitions
    before = resident()
    began, used = time.perf_counter(), processor_seconds()
    taker.take({Partition(topic, number): 0 for number in range(partitions)})
    seconds, spent = time.perf_counter() - began, processor_seconds() - used
    grown = resident() - before
    count = 0
    if isinstance(taker, Matcher):
        count = sum(window.open_windows for window in taker.windows.values())
    elif isinstance(taker, Submitter):
        count = sum(len(ledger.final) for ledger in taker.book.ledger.values())
    return {"seconds": seconds, "cpu_seconds": spent, "bytes": grown, "count": count}


def resident() -> int:
    """Return the bytes of memory that the process really needs: free ones are given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * _KB
    raise OSError("no VmRSS in /proc/self/status")
