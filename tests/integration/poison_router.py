"""A process with controller and router that dies at once when it decodes the order ``poison``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from bridge.argo.memory import MemoryWorkflowApi
from bridge.core.trigger import RunPlan, Slot, Trigger
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import TopicSpec
from bridge.stages.process import ProcessDependencies, open_loop
from bridge.triggers.errors import Origin
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from flowbridge_sdk.codec import Decoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.triggers.errors import TriggerError


class DeadlyDecoder(Decoder):
    """Ends the process as a fault in a C library, or the kernel, would: without a word."""

    def decode(self, topic: str, value: bytes | None, headers: Any = None) -> dict[str, Any]:
        """Decode, or die."""
        payload = super().decode(topic, value, headers)
        if payload["order"] == "poison":
            if sys.argv[4] == "exit":
                os._exit(139)
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        return payload


class OneTrigger(TriggerSource):
    """One trigger on the event that the test publishes."""

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return it."""
        del in_force
        plan = RunPlan("ship", "default", (("order", "order.payload.order"),))
        trigger = Trigger("default", "ship", (Slot(sys.argv[3], "order"),), plan, require=1)
        return Sources([LoadedTrigger(trigger, Origin("tests", 1))], ())

    def tell(self, errors: Sequence[TriggerError]) -> None:
        """Hear nothing."""


if __name__ == "__main__":
    bootstrap, prefix, event, _ = sys.argv[1:]
    topics = InternalTopics(prefix, 2, 1)
    around = ProcessDependencies(
        log=ConfluentLog({"bootstrap.servers": bootstrap}),
        api=MemoryWorkflowApi(),
        topics=topics,
        decoder=DeadlyDecoder,
        source=OneTrigger(),
        sink=lambda _, decisions: print(*sorted({str(decision.reason) for decision in decisions}), flush=True),
        member=str(os.getpid()),
        new_topic=lambda name: TopicSpec(name, 2, 1),
    )
    topics.ensure(around.log.admin())
    loops = [open_loop(stage, around) for stage in ("controller", "router")]
    for loop in loops:
        loop.open()
    stopped = threading.Event()

    def stop_at_the_end_of_input() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=stop_at_the_end_of_input, daemon=True).start()
    is_said = False
    while not stopped.is_set():
        for loop in loops:
            loop.step()
        if not is_said and any(place.topic == event for place in loops[1].owned):
            is_said = True
            print("owns", flush=True)
    for loop in loops:
        loop.close()
