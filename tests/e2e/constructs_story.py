"""All stories at once, around one crash: five acts, and between the second and the fourth a bridge that is dead.

The outage is longer than every short window. Then two others go on, the router after the matcher: whatever is overdue
meets events that came in time and are still in Kafka. What came of it is read as its users read it: Workflows from
the API server, decisions from the topic ``decisions``.

Nothing here is short for a machine that is slow: whether the first acts came in time is looked at, and if they did
not, the stories tell nothing (:class:`TooSlowError`) and are to be told anew, with a longer outage.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from bridge.kafka.records import CLOCK, DECISION, kind_of
from e2e import constructs_switch
from e2e.constructs import BACK, DOWN, FIRST, LAST, SLOTS, TEMPLATE, THEN, UNDISTURBED, Construct, Plan
from e2e.constructs_any_window import SENSITIVE, any_window
from e2e.constructs_runs import LIMITED, runs
from e2e.installation import DEADLINE
from kinds import KINDS
from servers.process import wait_for

if TYPE_CHECKING:
    from e2e.bridge_process import BridgeProcess
    from e2e.constructs_switch import Heartbeats
    from e2e.installation import Installation, Manifest

NOT_FINAL = {"waiting", "retrying"}

_IN_FORCE = timedelta(seconds=8)  # in which triggers are on an idle machine
_MARGIN = 14  # seconds: so much less than the outage the shortest window may take
_SETTINGS = {"FLOWBRIDGE_EVENT_TOPIC_PARTITIONS": "1", "FLOWBRIDGE_SENSITIVE": SENSITIVE}


class TooSlowError(Exception):
    """What was to come in time came too late: the machine is slower than the windows are long."""


def constructs(plan: Plan) -> dict[str, Construct]:
    """Return all stories by the names of their triggers."""
    of_kinds = [construct for kind in KINDS.values() for construct in kind.constructs(plan)]
    return {construct.name: construct for construct in (*of_kinds, *any_window(plan), *runs(plan))}


class Story:
    """What is published, when the bridge dies and comes back, and what came of it. A context manager.

    Args:
        installation: Of its own; nothing of it runs.
        outage: For how many seconds the bridge is dead.

    Attributes:
        installation: Where it happens.
        began: When the stories began.
        constructs: The stories.
        beats: Those of the dead man's switch.
        processes: All that ran; the first was killed.

    """

    constructs: dict[str, Construct]
    beats: Heartbeats
    began: datetime

    def __init__(self, installation: Installation, outage: int) -> None:
        """Nothing has happened yet."""
        self.installation = installation
        self.processes: list[BridgeProcess] = []
        self._outage = outage
        self._stack = ExitStack()
        self._plan = Plan(datetime.now(UTC), outage)
        self._ends = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def happen(self) -> None:
        """Let everything happen, up to the last act; what ends by itself may end later.

        Raises:
            TooSlowError: The first acts did not come in time.

        """
        bridge = self._start("first")
        self._set_up()
        self.began = datetime.now(UTC).replace(microsecond=0)
        self._act(FIRST)
        self._act(THEN)
        self._wait_started()
        bridge.kill()
        self._publish(DOWN)
        self._check_pace(min(self.began, self._plan.begins))
        over = max(self._plan.begins, datetime.now(UTC)) + timedelta(seconds=self._outage)
        time.sleep((over - datetime.now(UTC)).total_seconds())  # the outage is to last
        self._come_back()
        self._act(BACK)
        self._act(LAST)
        self._ends = time.monotonic() + DEADLINE + self._outage + LIMITED.total_seconds()

    def decisions(self, trigger: str) -> list[Manifest]:
        """Return the decisions about a trigger."""
        return [decision for decision in self._all_decisions() if _name(decision) == trigger]

    def wait_final(self, trigger: str, number: int) -> list[Manifest]:
        """Return the decisions about a trigger once so many of them are final, or when that takes too long."""
        decided: list[Manifest] = []

        def are_made() -> bool:
            nonlocal decided
            decided = self.decisions(trigger)
            return sum(decision["reason"] not in NOT_FINAL for decision in decided) >= number

        with suppress(TimeoutError):  # what there is tells more
            wait_for(are_made, self._ends - time.monotonic(), "the decisions")
        return decided

    # -- the acts ------------------------------------------------------------------------------------------------------

    def _start(self, name: str, **settings: str) -> BridgeProcess:
        process = self.installation.process(name, **_SETTINGS, **settings)
        self._stack.enter_context(process)
        self.processes.append(process)
        process.wait_ready()
        return process

    def _set_up(self) -> None:
        """Let the switch be in force and armed, with heartbeats for as long as that takes; then all other triggers.

        Windows that lie in the past close as if the stories began as planned.
        """
        self.installation.create_template(TEMPLATE, **dict.fromkeys(SLOTS, "none"))
        self.installation.write_triggers(constructs_switch.trigger(self._plan.short(less=12)), "switch.yaml")
        watched = self._wait_armed()
        self._plan = Plan((datetime.now(UTC) + _IN_FORCE).replace(microsecond=0), self._outage)
        self.beats = constructs_switch.heartbeats(watched, self._plan)
        self._beat(self.beats.before)
        self._check_pace(watched)
        self.constructs = constructs(self._plan)
        texts = [construct.trigger() for construct in self.constructs.values()]
        self.installation.write_triggers("---\n".join(texts), "constructs.yaml")
        self.installation.wait_triggers(constructs_switch.NAME, *self.constructs)

    def _wait_armed(self) -> datetime:
        """Wait for the tick that arms the switch, and return when the first window begins that it watches."""
        watched: list[int] = []

        def is_armed() -> bool:
            values = [record for record in self.installation.records("windows") if kind_of(record) == CLOCK.name]
            watched[:] = [found for value in values if (found := CLOCK.decode(value)["through"]) is not None]
            return bool(watched)

        wait_for(is_armed, DEADLINE, "the switch to be armed")
        return datetime.fromtimestamp(watched[0] / 1_000_000, UTC)

    def _check_pace(self, since: datetime) -> None:
        if datetime.now(UTC) > since + timedelta(seconds=self._outage - _MARGIN):
            raise TooSlowError(f"more than {self._outage - _MARGIN} s since {since.isoformat()}")

    def _wait_started(self) -> None:
        """Wait until the run has started whose deadline the outage is to outlast."""
        with suppress(TimeoutError):  # then it has taken too long, and that is looked at
            self.installation.wait_workflows("start-deadline", 1, self._outage)

    def _come_back(self) -> None:
        """Let a matcher wait for its router, with all that is overdue, until it has shown that its time goes on."""
        self._start("back", FLOWBRIDGE_STAGES="controller,matcher,submitter")
        self._wait_decisions({(UNDISTURBED, "matched", "a-1")})
        self._start("router", FLOWBRIDGE_STAGES="router")
        self.installation.wait_processed()
        with suppress(TimeoutError):  # each test tells what became of its own
            self._wait_decisions(
                {
                    (construct.name, *construct.closes)
                    for construct in self.constructs.values()
                    if construct.closes is not None
                }
            )

    def _act(self, act: int) -> None:
        self._publish(act)
        self.installation.wait_processed()

    def _publish(self, act: int) -> None:
        with self.installation.publisher() as publisher:
            for construct in self.constructs.values():
                for event in construct.sent.get(act, ()):
                    name, payload = f"construct.{construct.name}.{event.slot}", {"key": event.key, **event.payload}
                    publisher.publish(name, payload, key=event.key, id=event.id, time=event.time(self.began))
        if act == DOWN:
            self._beat(self.beats.down)

    def _beat(self, moments: list[datetime]) -> None:
        with self.installation.publisher() as publisher:
            for moment in moments:
                publisher.publish(constructs_switch.EVENT, {}, id=moment.isoformat(), time=moment)

    def _wait_decisions(self, wanted: set[tuple[str, str, str]]) -> None:
        """Wait for decisions: trigger, reason, id of an event."""

        def are_made() -> bool:
            return wanted <= {
                (_name(decision), decision["reason"], decision["id"]) for decision in self._all_decisions()
            }

        wait_for(are_made, DEADLINE, f"the decisions {sorted(wanted)}")

    def _all_decisions(self) -> list[Manifest]:
        return [DECISION.decode(value) for value in self.installation.records("decisions")]


def _name(decision: Manifest) -> str:
    trigger: str = decision["trigger"]
    return trigger.partition("/")[2]
