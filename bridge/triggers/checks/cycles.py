"""Cycles of triggers: a run whose events start, by way of other triggers, the same run again, for ever.

A trigger is known to cause the events of ``run.emits``, and those that a Metaflow flow publishes when its steps finish
(``metaflow.PROJECT.BRANCH.FLOW.STEP``) where its WorkflowTemplate is that flow's. An event of an absent slot starts
nothing. What filters would stop is not known here: who knows that one does, leaves the event out of ``emits``.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from typing import NamedTuple

from bridge.core.trigger import Trigger
from bridge.triggers.errors import Origin, TriggerError
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

    What is in force unchanged comes first, so that it is always the new one that is refused; a trigger whose new form
    is refused keeps its old one.

    Args:
        in_force: What is in force now.
        wanted: What is to be, at most one of each identity.

    """
    before = {sourced.trigger.identity: sourced for sourced in in_force}
    graph = _Graph()
    kept: list[LoadedTrigger] = []
    errors: list[TriggerError] = []
    for wanted_item in sorted(wanted, key=lambda wanted_item: _precedence(wanted_item, before)):
        way = graph.add(wanted_item.trigger)
        if way:
            errors.append(_error(wanted_item, way))
            old = before.get(wanted_item.trigger.identity)
            if old is None or _is_alike(old.trigger, wanted_item.trigger) or graph.add(old.trigger):
                continue
            kept.append(old)
        else:
            kept.append(wanted_item)
    return sorted(kept, key=lambda loaded: loaded.trigger.identity), errors


def flow_templates(event: str) -> tuple[str, ...]:
    """Return the names that Metaflow gives the WorkflowTemplate of the flow that publishes ``event``.

    A name that begins with ``-`` is only the end of one: Metaflow shortens long names and puts a hash behind them.
    """
    found = _FLOW_EVENT.fullmatch(event)
    return _templates(found[1]) if found else ()


class _Graph:
    """Triggers among which there is no cycle."""

    def __init__(self) -> None:
        self._readers: dict[str, list[Trigger]] = defaultdict(list)
        self._flow_events: dict[str, set[str]] = defaultdict(set)

    def add(self, trigger: Trigger) -> list[Cause]:
        """Add a trigger, unless it closes a cycle: then return the way round, from it back to itself."""
        events = [slot.event for slot in trigger.slots if not slot.absent]
        for event in events:
            self._readers[event].append(trigger)
            for template in flow_templates(event):
                self._flow_events[template].add(event)
        way = self._way_round(trigger)
        if way:
            for event in events:
                self._readers[event].remove(trigger)
        return way

    def _way_round(self, trigger: Trigger) -> list[Cause]:
        """Return the shortest way from a trigger back to itself; empty if there is none."""
        reached: dict[str, tuple[Trigger, Cause]] = {}  # by trigger: who starts it, and by what
        at_last: deque[Trigger] = deque([trigger])
        while at_last:
            last = at_last.popleft()
            for cause in self._caused(last):
                if cause.trigger.identity not in reached:
                    reached[cause.trigger.identity] = (last, cause)
                    at_last.append(cause.trigger)
            if trigger.identity in reached:
                break
        way: list[Cause] = []
        at = trigger
        while trigger.identity in reached and (not way or at is not trigger):
            at, cause = reached[at.identity]
            way.append(cause)
        return way[::-1]

    def _caused(self, trigger: Trigger) -> Iterator[Cause]:
        template = trigger.run.template
        ends = [template[-length - 1 :] for length in _HASH_LENGTHS]
        events = {event for name in (template, *ends) for event in self._flow_events.get(name, ())}
        for event in sorted(events | set(trigger.run.emits)):
            for reader in self._readers.get(event, ()):
                yield Cause(event, reader)


@lru_cache(maxsize=10_000)
def _templates(flow: str) -> tuple[str, ...]:
    digest = b32encode(sha1(flow.encode(), usedforsecurity=False).digest()).decode().lower()
    former = re.sub(r"^[^A-Za-z0-9]+|[_@+]", "", flow).lower()
    names = {flow} if _PLAIN_NAME.fullmatch(flow) else {former, re.sub(r"[^a-z0-9]*\.[^a-z0-9]*", ".", former)}
    return (*sorted(names), *(f"-{digest[:length]}" for length in _HASH_LENGTHS))


def _precedence(trigger: LoadedTrigger, before: Mapping[str, LoadedTrigger]) -> tuple[bool, Origin, str]:
    """Return what orders triggers: those in force as they are, then by where they stand."""
    identity = trigger.trigger.identity
    is_new = identity not in before or not _is_alike(before[identity].trigger, trigger.trigger)
    return (is_new, trigger.origin, identity)


def _is_alike(trigger: Trigger, other: Trigger) -> bool:
    """Tell whether two triggers of one name are the same as far as cycles go, whatever settings have added."""
    return (trigger.slots, trigger.run) == (other.slots, other.run)


def _error(trigger: LoadedTrigger, way: Sequence[Cause]) -> TriggerError:
    start = trigger.trigger.identity
    steps = [f"{cause.event!r}, which starts {cause.trigger.identity}" for cause in way]
    found = f"it closes a cycle: {start} causes {', which causes '.join(steps)}"
    field = "spec.run.emits" if way[0].event in trigger.trigger.run.emits else "spec.events"
    right = "break it: let one of these read another event, or end with a run that does not emit"
    return TriggerError(trigger.origin, field, found, right, start)
