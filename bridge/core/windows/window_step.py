"""The result of a rule as a value: a :class:`Step` has the new window and the decisions about its arrivals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bridge.core.decision import Decision, Reason
from bridge.core.event import Micros, time_text
from bridge.core.trigger import Trigger
from bridge.core.windows.window import Arrival, Frame, Match, Pending, Spent, Window

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs


KEPT_FOR_EVIDENCE = 64
"""A decision keeps a window of at most this many arrivals, so that its evidence can be made when somebody looks.

A batch may make thousands of decisions about one window, and each would keep the window as it was then.
"""


class Step(NamedTuple):
    """The result of applying an arrival or a tick to a window.

    Attributes:
        window: The window afterwards.
        decisions: The decision about each event that the step ended or kept.
        kept: The new arrival, if it waits now, for others or for an absence.
        spent: Arrivals that have left (or never entered) the window, with the identities to remember.
        match: The match, if there is one.
        frame: The calendar window that the match is of.
        ended_early: That window ends before its time, because its trigger changed; later events are another match.
        waits_for_absence: The match that waits for an absence from now on.
        through: Of a dead man's switch: it has been watched up to here.

    """

    window: Window
    decisions: tuple[Decision, ...]
    kept: Arrival | None = None
    spent: tuple[tuple[Arrival, Spent], ...] = ()
    match: Match | None = None
    frame: Frame | None = None
    waits_for_absence: Pending | None = None
    through: Micros | None = None
    ended_early: bool = False


class RemovedArrivals:
    """Arrivals that leave a window in one step, each with its decision.

    Attributes:
        decisions: The decisions so far.
        spent: The arrivals so far, with the identities to remember.

    """

    def __init__(self, trigger: Trigger, key: str) -> None:
        self._trigger = trigger
        self.key = key
        self.decisions: list[Decision] = []
        self.spent: list[tuple[Arrival, Spent]] = []

    def remove(
        self,
        arrivals: Iterable[Arrival],
        reason: Reason,
        evidence: Mapping[str, str],
        until: Micros,
        fate: Reason | None = None,
    ) -> None:
        """Let arrivals leave for one reason; their identities are remembered until a tick at ``until``.

        Args:
            arrivals: The arrivals that leave.
            reason: The decision.
            evidence: The values that it rests on.
            until: When they are forgotten.
            fate: The fate that is remembered, if it is not the reason.

        """
        trigger, slots, key = self._trigger.identity, self._trigger.slots, self.key
        for arrival in arrivals:
            self.spent.append((arrival, _new_tuple(Spent, (arrival.time, arrival.offset, until, fate or reason))))
            fields = (reason, trigger, slots[arrival.slot].variable, arrival.event, key, evidence)
            self.decisions.append(_new_tuple(Decision, fields))

    def step(self, window: Window, new: Arrival | None = None) -> Step:
        """Return the step: ``window`` without the arrivals that left. ``new`` was not in it yet."""
        left = window.without([arrival for arrival, _ in self.spent if arrival is not new])
        return Step(left, tuple(self.decisions), spent=tuple(self.spent))


def decide(trigger: Trigger, key: str, arrival: Arrival, reason: Reason, evidence: Mapping[str, str]) -> Decision:
    """Return a decision about an arrival."""
    return Decision(reason, trigger.identity, trigger.slots[arrival.slot].variable, arrival.event, key, evidence)


def with_evidence(step: Step, evidence: Mapping[str, str]) -> tuple[Decision, ...]:
    """Return the decisions of a step, the ``matched`` ones with this evidence as well."""
    decisions: list[Decision] = []
    for decision in step.decisions:
        reason, trigger, slot, event, key, own = decision
        if reason is Reason.MATCHED:
            more = {**own, **evidence} if own else evidence
            decision = _new_tuple(Decision, (reason, trigger, slot, event, key, more))  # noqa: PLW2901 - of this kind
        decisions.append(decision)
    return tuple(decisions)


def is_closed(end: Micros, new: Arrival, ticked: Micros | None) -> bool:
    """Tell whether an arrival comes too late for a window, a group or a boundary that ends at ``end``."""
    return new.reached > end or (ticked is not None and ticked >= end)


def refuse_arrival(
    trigger: Trigger, window: Window, key: str, new: Arrival, reason: Reason, evidence: Mapping[str, str]
) -> Step:
    """Return the step of an arrival that never enters its window, and whose identity is remembered."""
    spent = Spent(*new.age, new.reached + trigger.dedupe, reason)
    return Step(window, (decide(trigger, key, new, reason, evidence),), spent=((new, spent),))


def over_bound(trigger: Trigger, window: Window, key: str, new: Arrival, bound: int) -> Step:
    """Return the step of an arrival that its window has no room for."""
    return Step(window, (decide(trigger, key, new, Reason.OVER_BOUND, {"bound": str(bound)}),))


def missing(trigger: Trigger, slots: Iterable[tuple[Arrival, ...]], one_more_at: int = -1) -> str:
    """Return the slots that these arrivals do not fill, for people; one more arrival counts at ``one_more_at``."""
    texts = []
    for index, (slot, arrivals) in enumerate(zip(trigger.slots, slots, strict=True)):
        lacking = slot.count - len(arrivals) - (index == one_more_at)
        if lacking > 0 and not slot.absent:
            texts.append(slot.variable if slot.count == 1 else f"{slot.variable} ({lacking} of {slot.count})")
    return ", ".join(texts)


def frame_text(frame: Frame) -> str:
    """Return a calendar window for people."""
    return f"{time_text(frame[0])}/{time_text(frame[1])}"


def events_text(arrivals: Iterable[Arrival]) -> str:
    """Return the events of some arrivals for people: the first three of them, and how many more there are."""
    texts = [arrival.event.text() for arrival in arrivals]
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""  # noqa: PLR2004 - as the docstring says
    return ", ".join(texts[:3]) + more
