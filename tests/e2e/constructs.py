"""What a trigger can say, each thing as one trigger with the events of its story and the runs that it must bring.

All the stories happen at once, around one crash (:mod:`e2e.constructs_story`), in these acts:

=========  =========================================================================================================
``FIRST``  published while the bridge runs, each act processed before the next
``THEN``   the same
``DOWN``   published while the bridge is dead; they wait in Kafka until every short window is long over
``BACK``   published once the bridge is back and has worked off what waited
``LAST``   the same
=========  =========================================================================================================

Moments are seconds after the stories begin. What is short is over :attr:`Plan.outage` after that, while the bridge is
dead; so it holds what came in time, and nothing else, only if an outage lets no timer overtake an event.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from e2e.expected import ExpectedEvent, ExpectedRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FIRST, THEN, DOWN, BACK, LAST = range(5)

TEMPLATE = "construct"
SLOTS = ("a", "b", "c")

UNDISTURBED = "settle-alone"
"""Of its topic nothing waits in Kafka while the bridge is dead, so that its time goes on without a router."""

_GATHERS = {"session", "batch", "settle"}


class Plan(NamedTuple):
    """When the stories happen.

    Attributes:
        begins: When they are to begin.
        outage: For how many seconds the bridge is dead; what is short is over so long after the beginning.

    """

    begins: datetime
    outage: int

    def short(self, less: int = 0) -> str:
        """Return a duration that the outage outlasts by so many seconds."""
        return f"{self.outage - less}s"

    def grace_until_over(self, end: datetime) -> str:
        """Return the grace of a window that ended, so that it closes when everything does."""
        return f"{int((self.begins - end).total_seconds()) + self.outage}s"


@dataclass(frozen=True)
class Sent:
    """An event that is published.

    Attributes:
        id: Its id; its slot, a dash and a number.
        at: When it happened: seconds after the beginning, or a moment.
        key: Its correlation key.
        payload: What it carries besides its key.

    """

    id: str
    at: float | datetime = 0.0
    key: str = "k"
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slot(self) -> str:
        """The slot that it fills."""
        return self.id.partition("-")[0]

    def time(self, began: datetime) -> datetime:
        """Return when it happened, for stories that began at a moment."""
        return self.at if isinstance(self.at, datetime) else began + timedelta(seconds=self.at)


@dataclass(frozen=True)
class Match:
    """Events that have to run together.

    Attributes:
        ids: Of the events, by slot, and by event time in each.
        key: Their correlation key.
        frame: The calendar window that is their identity.
        run_id: What is their identity if ``run.id`` says it.

    """

    ids: str
    key: str = "k"
    frame: tuple[datetime, datetime] | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Construct:
    """One trigger and its story.

    Attributes:
        name: The trigger's name; ``construct.NAME.SLOT`` are its events.
        promise: What it has to show.
        slots: Its slots, each with what it says besides name and key.
        says: What its spec says besides ``events`` and ``run``.
        sent: Events by act.
        matches: Those that have to run.
        decided: What has to be decided of the events at last: ids by reason, as often as it is.
        waiting: Ids of those that still wait at the end.
        run: What its ``run`` says besides template and parameters.
        ran_already: How many runs are decided ``already-ran``.
        skipped: How many runs are skipped.
        closes: A reason and an id: what has to be decided before the act BACK.

    """

    name: str
    promise: str
    slots: Mapping[str, Mapping[str, Any]]
    says: Mapping[str, Any]
    sent: Mapping[int, Sequence[Sent]]
    matches: Sequence[Match] = ()
    decided: Mapping[str, str] = field(default_factory=dict)
    waiting: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)
    ran_already: int = 0
    skipped: int = 0
    closes: tuple[str, str] | None = None

    def trigger(self) -> str:
        """Return the trigger as somebody would write it."""
        events = [
            {"name": f"construct.{self.name}.{slot}", "as": slot, "key": "payload.key", **more}
            for slot, more in self.slots.items()
        ]
        given = {slot: self._value(slot) for slot in self._filled()}
        spec = {**self.says, "events": events, "run": {"workflowTemplate": TEMPLATE, "parameters": given, **self.run}}
        document = {"apiVersion": "flowbridge.dev/v1", "kind": "Trigger", "metadata": {"name": self.name}, "spec": spec}
        return yaml.safe_dump(document, sort_keys=False)

    def event(self, id_: str) -> Sent:
        """Return the event of an id."""
        return next(event for act in self.sent.values() for event in act if event.id == id_)

    def runs(self, began: datetime) -> Iterator[ExpectedRun]:
        """Yield the runs that there have to be, for stories that began at a moment."""
        for match in self.matches:
            ids = match.ids.split()
            given = {slot: [event_id for event_id in ids if event_id.startswith(f"{slot}-")] for slot in self._filled()}
            texts = {
                slot: json.dumps(there, separators=(",", ":")) if self._is_list(slot) else "".join(there) or "none"
                for slot, there in given.items()
            }
            events = [
                ExpectedEvent(self.event(event_id).slot, f"construct.{self.name}.{event_id[0]}", event_id)
                for event_id in ids
            ]
            newest = max(self.event(event_id).time(began) for event_id in ids)
            yield ExpectedRun(
                self.name,
                TEMPLATE,
                tuple(events),
                newest,
                texts,
                key=match.key,
                frame=match.frame,
                run_id=match.run_id,
                synchronization=self.run.get("synchronization"),
            )

    def decisions(self) -> Counter[tuple[str, str]]:
        """Return what has to be decided at last, and how often: reason and id of an event; reason alone of a run.

        A create may be under way when the bridge dies, which is found done then: ``created`` is ``already-ran``.
        """
        events = Counter((reason, event_id) for reason, ids in self.decided.items() for event_id in ids.split())
        runs = {"already-ran": len(self.matches) + self.ran_already, "skipped": self.skipped}
        return events + Counter({(reason, ""): number for reason, number in runs.items()})

    def _filled(self) -> list[str]:
        return [slot for slot, more in self.slots.items() if not more.get("absent")]

    def _is_list(self, slot: str) -> bool:
        kinds = _GATHERS & set(self.says.get("window", {}))
        return self.says.get("collect", "all" if kinds else "") == "all" or self.slots[slot].get("count", 1) > 1

    def _value(self, slot: str) -> str:
        return f"{slot}.map(e, e.id)" if self._is_list(slot) else f'{slot} != null ? {slot}.id : "none"'


def slots(*names: str) -> dict[str, Mapping[str, Any]]:
    """Return slots that say nothing more."""
    return {name: {} for name in names}
