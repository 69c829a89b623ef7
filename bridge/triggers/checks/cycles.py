"""Cycles of triggers: the events of a run start, through other triggers, the same run again without end.

A trigger is known to cause the events of ``run.emits``. If its WorkflowTemplate is that of a Metaflow flow, it also
causes the events that the flow publishes when its steps finish (``metaflow.PROJECT.BRANCH.FLOW.STEP``). An event of an
absent slot starts nothing. This check does not know which events a filter stops. The owner of a trigger whose filter
breaks the cycle leaves the event out of ``emits``.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections import defaultdict, deque
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1
from typing import NamedTuple

from bridge.core.trigger import Trigger
from bridge.triggers.errors import TriggerError
from bridge.triggers.resources import LoadedTrigger

_FLOW_EVENT = re.compile(r"metaflow\.(.+)\.[^.]+")
_PLAIN_NAME = re.compile(r"[a-z]([a-z0-9.\-]*[a-z0-9])?")
_HASH_LENGTHS = (5, 8)  # of Metaflow's names beyond 45 characters (today), and beyond 253 (until 2.16)


class Cause(NamedTuple):
    """An event by which one trigger's run starts another trigger's."""

    event: str
    trigger: Trigger


def without_cycles(
    in_force: Sequence[LoadedTrigger], wanted: Sequence[LoadedTrigger]
) -> tuple[list[LoadedTrigger], list[TriggerError]]:
    """Return the triggers that may be in force together, and an error for each that would close a cycle.

    Triggers that are in force unchanged come first, so that always the new trigger is refused. A trigger whose new form
    is refused keeps its old form.

    Args:
        in_force: The triggers in force now.
        wanted: The triggers that should be in force, at most one of each identity.

    """
    before = {loaded.trigger.identity: loaded for loaded in in_force}
    unchanged: list[LoadedTrigger] = []
    changed: list[LoadedTrigger] = []
    for loaded in sorted(wanted, key=lambda loaded: (loaded.origin, loaded.trigger.identity)):
        old = before.get(loaded.trigger.identity)
        is_unchanged = old is not None and _is_alike(old.trigger, loaded.trigger)
        (unchanged if is_unchanged else changed).append(loaded)
    graph = _Graph()
    kept: list[LoadedTrigger] = []
    errors: list[TriggerError] = []
    for loaded in (*unchanged, *changed):
        identity = loaded.trigger.identity
        way = graph.add(loaded.trigger)
        if not way:
            kept.append(loaded)
            continue
        steps = [f"{cause.event!r}, which starts {cause.trigger.identity}" for cause in way]
        found = f"it closes a cycle: {identity} causes {', which causes '.join(steps)}"
        field = "spec.run.emits" if way[0].event in loaded.trigger.run.emits else "spec.events"
        expected = "break it: let one of these read another event, or end with a run that does not emit"
        errors.append(TriggerError(loaded.origin, field, found, expected, identity))
        old = before.get(identity)
        if old is not None and not _is_alike(old.trigger, loaded.trigger) and not graph.add(old.trigger):
            kept.append(old)
    return sorted(kept, key=lambda loaded: loaded.trigger.identity), errors


def flow_templates(event: str) -> tuple[str, ...]:
    """Return the names that Metaflow may give the WorkflowTemplate of the flow that publishes ``event``.

    A name that begins with ``-`` is only the end of a name, because Metaflow shortens long names and appends a hash.
    """
    match = _FLOW_EVENT.fullmatch(event)
    return _templates(match[1]) if match else ()


class _Graph:
    """Triggers among which there is no cycle."""

    def __init__(self) -> None:
        self._readers: dict[str, list[Trigger]] = defaultdict(list)
        self._flow_events: dict[str, set[str]] = defaultdict(set)

    def add(self, trigger: Trigger) -> list[Cause]:
        """Add a trigger. If it closes a cycle, do not add it, and return the shortest way from it back to itself."""
        events = [slot.event for slot in trigger.slots if not slot.absent]
        for event in events:
            self._readers[event].append(trigger)
            for template in flow_templates(event):
                self._flow_events[template].add(event)
        # A search in breadth finds the shortest way back.
        reached: dict[str, tuple[Trigger, Cause]] = {}  # by identity: the trigger that starts it, and by which event
        frontier: deque[Trigger] = deque([trigger])
        while frontier:
            last = frontier.popleft()
            ends = [last.run.template[-length - 1 :] for length in _HASH_LENGTHS]
            caused = {event for name in (last.run.template, *ends) for event in self._flow_events.get(name, ())}
            for event in sorted(caused | set(last.run.emits)):
                for reader in self._readers.get(event, ()):
                    if reader.identity not in reached:
                        reached[reader.identity] = (last, Cause(event, reader))
                        frontier.append(reader)
            if trigger.identity in reached:
                break
        way: list[Cause] = []
        at = trigger
        while trigger.identity in reached and (not way or at is not trigger):
            at, cause = reached[at.identity]
            way.append(cause)
        if way:
            for event in events:
                self._readers[event].remove(trigger)
        return way[::-1]


@lru_cache(maxsize=10_000)
def _templates(flow: str) -> tuple[str, ...]:
    digest = b32encode(sha1(flow.encode(), usedforsecurity=False).digest()).decode().lower()
    former = re.sub(r"^[^A-Za-z0-9]+|[_@+]", "", flow).lower()
    names = {flow} if _PLAIN_NAME.fullmatch(flow) else {former, re.sub(r"[^a-z0-9]*\.[^a-z0-9]*", ".", former)}
    return (*sorted(names), *(f"-{digest[:length]}" for length in _HASH_LENGTHS))


def _is_alike(trigger: Trigger, other: Trigger) -> bool:
    """Return True if two triggers of one name have the same slots and run. Nothing else matters for cycles."""
    return (trigger.slots, trigger.run) == (other.slots, other.run)
