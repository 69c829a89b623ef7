"""The effects of a process on Kafka and the Workflow API, each with a hook right before and right after it.

What a hook does is what befalls the process there: it raises :class:`KilledError` for SIGKILL, lets the others go on
for a while for SIGSTOP, or raises what Kafka would answer. The ports behind are the real in-memory ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bridge.argo.api import PhaseWatch, Unavailable, WorkflowApi
from bridge.argo.memory import MemoryWorkflowApi
from bridge.argo.workflow import Workflow, WorkflowTemplate
from bridge.cluster.responses import Plain, Response
from bridge.kafka.log import (
    Admin,
    Committed,
    GroupConsumer,
    Headers,
    Log,
    Partition,
    RangeReader,
    Reader,
    Rebalance,
    Record,
    TransactionalProducer,
)
from bridge.kafka.memory.consumer import MemoryConsumer
from bridge.kafka.memory.log import MemoryLog
from bridge.kafka.memory.producer import MemoryProducer

Hook = Callable[[str], None]
"""Takes an effect: ``before commit``, ``after create``, …"""

EFFECTS = tuple(
    f"{moment} {effect}"
    for effect in ("poll", "send", "offsets", "commit", "abort", "create")
    for moment in ("before", "after")
)


class KilledError(BaseException):
    """The process was killed here; nobody handles that."""


class HookedProducer(TransactionalProducer):
    """A producer whose effects are seen."""

    def __init__(self, inner: MemoryProducer, hook: Hook) -> None:
        self._inner = inner
        self._hook = hook

    def init(self) -> None:
        self._inner.init()

    def begin(self) -> None:
        self._inner.begin()

    def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        self._hook("before send")
        self._inner.send(topic, partition, key, value, headers)
        self._hook("after send")

    def send_offsets(self, offsets: Mapping[Partition, Committed], metadata: Any) -> None:
        self._hook("before offsets")
        self._inner.send_offsets(offsets, metadata)
        self._hook("after offsets")

    def commit(self) -> None:
        self._hook("before commit")
        self._inner.commit()
        self._hook("after commit")

    def abort(self) -> None:
        self._hook("before abort")
        self._inner.abort()
        self._hook("after abort")

    def close(self) -> None:
        self._inner.close()


class HookedConsumer(GroupConsumer):
    """A consumer whose polls are seen."""

    def __init__(self, inner: MemoryConsumer, hook: Hook) -> None:
        self._inner = inner
        self._hook = hook

    def subscribe(self, topics: Iterable[str], rebalance: Rebalance) -> None:
        self._inner.subscribe(topics, rebalance)

    def poll(self, seconds: float, limit: int = 500) -> list[Record]:
        self._hook("before poll")
        records = self._inner.poll(seconds, limit)
        self._hook("after poll")
        return records

    def positions(self) -> dict[Partition, int]:
        return self._inner.positions()

    def seek(self, partition: Partition, offset: int) -> None:
        self._inner.seek(partition, offset)

    def pause(self, partitions: Iterable[Partition]) -> None:
        self._inner.pause(partitions)

    def resume(self, partitions: Iterable[Partition]) -> None:
        self._inner.resume(partitions)

    def metadata(self) -> Any:
        return self._inner.metadata()

    def close(self) -> None:
        self._inner.close()


class HookedLog(Log):
    """A process's connection to Kafka whose effects are seen."""

    def __init__(self, inner: MemoryLog, hook: Hook) -> None:
        self._inner = inner
        self._hook = hook

    def consumer(self, group: str, *, instance: str | None = None) -> GroupConsumer:
        return HookedConsumer(self._inner.consumer(group, instance=instance), self._hook)

    def producer(self, transactional_id: str) -> TransactionalProducer:
        return HookedProducer(self._inner.producer(transactional_id), self._hook)

    def reader(self, *, hidden: bool = False) -> Reader:
        return self._inner.reader(hidden=hidden)

    def ranges(self, starts: Mapping[Partition, int]) -> RangeReader:
        return self._inner.ranges(starts)

    def admin(self) -> Admin:
        return self._inner.admin()


class HookedApi(WorkflowApi):
    """The Workflow API as a process sees it; its creates are seen."""

    def __init__(self, inner: MemoryWorkflowApi, hook: Hook) -> None:
        self._inner = inner
        self._hook = hook

    def create(self, manifest: Plain, *, timeout: float) -> Response:
        self._hook("before create")
        response = self._inner.create(manifest, timeout=timeout)
        self._hook("after create")
        return response

    def find(self, namespace: str, name: str) -> Workflow | Unavailable | None:
        return self._inner.find(namespace, name)

    def template(self, namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        return self._inner.template(namespace, name)

    def phases(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str] | Unavailable:
        return self._inner.phases(namespace, selector)

    def watch_phases(self, namespace: str) -> PhaseWatch:
        return self._inner.watch_phases(namespace)

    def terminate(self, namespace: str, name: str) -> Response:
        return self._inner.terminate(namespace, name)

    def close(self) -> None:
        self._inner.close()
