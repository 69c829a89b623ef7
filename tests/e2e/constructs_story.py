"""All stories at once, around one crash: five acts, and between the second and the fourth a bridge that is dead.

The outage is longer than every short window. Then two others go on, the router after the matcher: whatever is overdue
meets events that came in time and are still in Kafka. What came of it is read as its users read it: Workflows from
the API server, decisions from the topic ``decisions``.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from bridge.kafka.records import CLOCK, DECISION, kind_of
from e2e import constructs_switch
from e2e.constructs import BACK, DOWN, FIRST, LAST, OVER, SLOTS, TEMPLATE, THEN, Construct
from e2e.constructs_calendar import calendar
from e2e.constructs_gathering import UNDISTURBED, gathering
from e2e.constructs_runs import runs
from e2e.constructs_sliding import sliding
from e2e.constructs_switch import heartbeats
from e2e.installation import DEADLINE
from servers.process import wait_for

if TYPE_CHECKING:
    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation, Manifest

NOT_FINAL = {"waiting", "retrying"}

_IN_FORCE = timedelta(seconds=8)  # in which triggers are
_PATIENCE = 40.0  # the dead man's switch takes 20 on an idle machine, all others less


def constructs(began: datetime) -> dict[str, Construct]:
    """Return all stories that begin at a moment, by the names of their triggers."""
    return {one.name: one for one in (*sliding(began), *calendar(began), *gathering(), *runs())}


class Story:
    """What is published, when the bridge dies and comes back, and what came of it. A context manager.

    Attributes:
        began: When the stories began.
        constructs: The stories.
        beats: Those of the dead man's switch.
        at_crash: How many Workflows each trigger had when the bridge died.
        back: The processes that went on after the crash.

    """

    def __init__(self, installation: Installation) -> None:
        """Nothing has happened yet."""
        self._installation = installation
        self._stack = ExitStack()
        self._published: Counter[tuple[str, str]] = Counter()
        self.began = datetime.now(UTC)
        self.constructs: dict[str, Construct] = {}
        self.beats = heartbeats(self.began)
        self.at_crash: Counter[str] = Counter()
        self.back: list[BridgeProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def happen(self) -> None:
        """Let everything happen, up to the last act; what ends by itself may end later."""
        bridge = self._start("first")
        self._arm_switch()
        planned = (datetime.now(UTC) + _IN_FORCE).replace(microsecond=0)
        self._set_up(planned)
        self.began = datetime.now(UTC).replace(microsecond=0)
        self.beats = heartbeats(self.began)
        self._act(FIRST)
        self._act(THEN)
        over = max(planned, datetime.now(UTC)) + timedelta(seconds=OVER)
        bridge.kill()
        self.at_crash = Counter(trigger_of(one) for one in self._installation.workflows())
        self._publish(DOWN)
        time.sleep(max(0.0, (over - datetime.now(UTC)).total_seconds()))  # the outage is to last
        self._come_back()
        self._act(BACK)
        self._act(LAST)

    def decisions(self, trigger: str) -> list[Manifest]:
        """Return the decisions about a trigger."""
        return [one for one in self._all_decisions() if _name(one) == trigger]

    def wait_final(self, trigger: str, number: int) -> list[Manifest]:
        """Return the decisions about a trigger once so many of them are final, or when that takes too long."""
        decided: list[Manifest] = []

        def are_made() -> bool:
            nonlocal decided
            decided = self.decisions(trigger)
            return sum(one["reason"] not in NOT_FINAL for one in decided) >= number

        with suppress(TimeoutError):  # what there is tells more
            wait_for(are_made, _PATIENCE, "the decisions")
        return decided

    # -- the acts ------------------------------------------------------------------------------------------------------

    def _start(self, name: str, **settings: str) -> BridgeProcess:
        process = self._installation.process(name, FLOWBRIDGE_EVENT_TOPIC_PARTITIONS="1", **settings)
        self._stack.enter_context(process)
        process.wait_ready()
        return process

    def _come_back(self) -> None:
        """Let a matcher wait for its router, with all that is overdue, until it has shown that its time goes on."""
        self.back.append(self._start("back", FLOWBRIDGE_STAGES="controller,matcher,submitter"))
        self._wait_decisions({(UNDISTURBED, "matched", "a-1")})
        self.back.append(self._start("router", FLOWBRIDGE_STAGES="router"))
        self._wait_decided()
        with suppress(TimeoutError):  # each test tells what became of its own
            self._wait_decisions(
                {(one.name, *one.closes) for one in self.constructs.values() if one.closes is not None}
            )

    def _arm_switch(self) -> None:
        """Let the switch be in force, and wait for the tick that arms it: a window that begins after it counts."""
        self._installation.create_template(TEMPLATE, **dict.fromkeys(SLOTS))
        self._installation.write_triggers(constructs_switch.TRIGGER, "switch.yaml")

        def is_armed() -> bool:
            values = [one for one in self._installation.records("windows") if kind_of(one) == CLOCK.name]
            return any(CLOCK.decode(one)["through"] is not None for one in values)

        wait_for(is_armed, DEADLINE, "the switch to be armed")

    def _set_up(self, planned: datetime) -> None:
        """Let all triggers be in force; windows that lie in the past close as if the stories began at a moment."""
        self.constructs = constructs(planned)
        texts = [one.trigger() for one in self.constructs.values()]
        self._installation.write_triggers("---\n".join(texts), "constructs.yaml")
        self._installation.wait_triggers(constructs_switch.NAME, *self.constructs)

    def _act(self, act: int) -> None:
        self._publish(act)
        self._wait_decided()

    def _publish(self, act: int) -> None:
        beats = {FIRST: self.beats.first, DOWN: self.beats.down}.get(act, [])
        with self._installation.publisher() as publisher:
            for construct in self.constructs.values():
                for one in construct.sent.get(act, ()):
                    name, payload = f"construct.{construct.name}.{one.slot}", {"key": one.key, **one.payload}
                    publisher.publish(name, payload, key=one.key, id=one.id, time=one.time(self.began))
                    self._published[construct.name, one.id] += 1
            for moment in beats:
                publisher.publish(constructs_switch.EVENT, {}, id=moment.isoformat(), time=moment)

    def _wait_decided(self) -> None:
        """Wait until whatever has been published is decided upon, as often as it was published."""
        wait_for(lambda: self._published <= self._decided(), DEADLINE, "all that was published to be decided upon")

    def _wait_decisions(self, wanted: set[tuple[str, str, str]]) -> None:
        """Wait for decisions: trigger, reason, id of an event."""

        def are_made() -> bool:
            return wanted <= {(_name(one), one["reason"], one["id"]) for one in self._all_decisions()}

        wait_for(are_made, _PATIENCE, f"the decisions {sorted(wanted)}")

    def _decided(self) -> Counter[tuple[str, str]]:
        return Counter((_name(one), one["id"]) for one in self._all_decisions() if one["id"])

    def _all_decisions(self) -> list[Manifest]:
        return [DECISION.decode(value) for value in self._installation.records("decisions")]


def trigger_of(workflow: Manifest) -> str:
    """Return the name of a Workflow's trigger."""
    trigger: str = workflow["metadata"]["annotations"]["flowbridge.dev/trigger"]
    return trigger.partition("/")[2]


def _name(decision: Manifest) -> str:
    trigger: str = decision["trigger"]
    return trigger.partition("/")[2]
