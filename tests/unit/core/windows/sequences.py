"""Any trigger that makes sense, and any sequence of arrivals and ticks: what Hypothesis tries the rules with."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bridge.core.decision import Decision
from bridge.core.event import EventIdentity
from bridge.core.trigger import Collect, Trigger, WindowKind
from bridge.core.windows.window import Arrival, Spent
from kinds import KINDS
from kinds.reference import Outcome, Reference
from unit.core.stepping import Stepping, trigger_of

EXAMPLES = int(os.environ.get("FLOWBRIDGE_TEST_EXAMPLES", "600"))
"""Examples of the comparison, six times those of each promise that it implies; raise it for a long search."""

FAR = 1_000

compared = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
searched = settings(compared, max_examples=max(1, EXAMPLES // 6))


@dataclass(frozen=True)
class Came:
    """An event that came, and the indices of the slots whose filter it passes if they read it."""

    event: str
    time: int
    reached: int
    passes: str
    key: str


@dataclass(frozen=True)
class Tick:
    """Time that has safely come."""

    time: int


Happening = Came | Tick


@st.composite
def triggers(draw: st.DrawFn, kinds: tuple[WindowKind, ...] = tuple(KINDS)) -> Trigger:
    """Draw a trigger of any kind, of all that can be combined."""
    kind = KINDS[draw(st.sampled_from(kinds))]
    names = draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=3))
    words = [draw(st.sampled_from([f"{name}", f"{name}", f"{name}*2"])) for name in names]
    absent = draw(st.sampled_from([[], [], ["!a"], ["!b"]])) if kind.takes_absent else []
    at = draw(st.integers(0, len(words)))
    if kind.takes_only_absent and draw(st.integers(0, 9)) == 0:
        words, absent = [], ["!a"]  # a dead man's switch
    collects: list[Collect] = ["latest", "first", "all"] if kind.takes_all else ["latest", "first"]
    order: Literal["any", "sequence"] = draw(st.sampled_from(["any", "any", "sequence"]))
    return trigger_of(
        " ".join([*words[:at], *absent, *words[at:]]),
        require=draw(st.integers(1, len(words))) if words else 0,
        grace=draw(st.integers(0, 3)),
        dedupe=draw(st.integers(0, 12)),
        window=draw(kind.plans),
        order=order,
        collect=draw(st.sampled_from(collects)),
    )


def events(keys: str = "xy") -> st.SearchStrategy[Came]:
    """Draw an event that came."""
    return st.builds(
        Came,
        event=st.sampled_from(["a1", "b1", "a2", "b2", "a3", "b3", "a4", "b4", "a5", "b5"]),
        time=st.integers(0, 9),
        reached=st.integers(0, 12),
        passes=st.sampled_from(["0123", "0123", "0123", "02", "13", "012", "3", "1", "0"]),
        key=st.sampled_from(keys),
    )


happenings = st.lists(events("xxxy") | events("x") | st.builds(Tick, st.integers(0, 30)), max_size=14)


def arrivals_of(trigger: Trigger, came: Came, first_offset: int) -> list[Arrival]:
    """Return an arrival for each slot that reads the event and lets it pass, as the router sends them."""
    identity = EventIdentity(came.event[0], "shop", came.event)
    slots = [
        index for index, slot in enumerate(trigger.slots) if slot.event == came.event[0] and str(index) in came.passes
    ]
    return [
        Arrival(came.time, first_offset + at, slot, identity, came.reached, "", None, b"")
        for at, slot in enumerate(slots)
    ]


def key_of(trigger: Trigger, came: Came) -> str:
    """Return an event's key; a dead man's switch has none."""
    return "" if trigger.is_switch else came.key


def outcomes(trigger: Trigger, decisions: list[Decision] | tuple[Decision, ...]) -> Counter[Outcome]:
    """Return decisions as the reference gives them."""
    variables = [slot.variable for slot in trigger.slots]
    return Counter((decision.reason, variables.index(decision.slot), decision.event) for decision in decisions)


def assert_same_state(real: Stepping, naive: Reference) -> None:
    """Check that the rules hold what the reference holds."""
    windows = real.windows.items()
    waiting = {(key, arrival) for key, window in windows for slot in window.waiting for arrival in slot}
    assert waiting == set(naive.waiting)
    marks = {(key, slot): mark for key, window in windows for slot, mark in enumerate(window.marks) if mark is not None}
    assert marks == {place: (mark.time, mark.offset, until) for place, (mark, until) in naive.marks.items()}
    pending = {(key, match.match, match.until) for key, window in windows for match in window.pending}
    assert pending == {(match.key, match.choice, match.until) for match in naive.pending}
    cancelling = {(key, *age) for key, window in windows for age in window.cancelling}
    assert cancelling == {(key, age.time, age.offset) for key, age in naive.cancelling}
    assert {(key, frame) for key, window in windows for frame in window.fired} == naive.fired
    groups = {
        (key, group.oldest, group.newest, group.first, group.last) for key, window in windows for group in window.groups
    }
    assert groups == {
        (
            key,
            min(arrival.time for arrival in group),
            max(arrival.time for arrival in group),
            min(arrival.reached for arrival in group),
            max(arrival.reached for arrival in group),
        )
        for key, group in naive.groups
    }
    spent = {place: (held.until, held.fate) for place, held in real.held.items() if isinstance(held, Spent)}
    assert spent == {place: (known.until, known.fate) for place, known in naive.remembered.items()}
    assert real.clock.through == naive.through
