"""Select the arrivals that fill the slots of a condition, by the preference of the rules.

Slots choose one after the other: each in slot order, or for ``latest`` with ``order: sequence`` from the last one
backwards. A slot takes its newest events (``first``: its oldest), and in a sequence those on the right side of its
neighbour: all events of a slot not after all of the next. A slot is left out only where exactly as many as required
are filled without it. Slots of one choice hold distinct events, so a slot leaves an event to another one that could
not be filled otherwise.

That last rule alone needs a search, and only where some event stands at two slots; the search asks before each step
whether the rest can still be filled, so that it does not wander.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from bridge.core.event import EventIdentity, Micros
from bridge.core.trigger import Trigger
from bridge.core.windows.window import Arrival, Match

Slots = Sequence[Sequence[Arrival]]


class Demand(NamedTuple):
    """A slot to fill.

    Attributes:
        slot: Its index.
        candidates: The arrivals that may fill it, the preferred first.
        need: How many are needed.
        is_begun: Whether some have been taken for it, so that it cannot be left out.

    """

    slot: int
    candidates: Sequence[Arrival]
    need: int
    is_begun: bool = False


def select(trigger: Trigger, slots: Slots) -> Match | None:
    """Return the best choice that fills exactly the required number of slots; None if there is none.

    Args:
        trigger: The trigger.
        slots: Candidates of each slot, oldest first. Any of them may be together.

    """
    backwards, is_ordered = trigger.collect == "latest", trigger.order == "sequence"
    filled = [
        (index, slot.count)
        for index, slot in enumerate(trigger.slots)
        if not slot.absent and len(slots[index]) >= slot.count
    ]
    if len(filled) < trigger.require:
        return None
    if len(filled) == trigger.require and not any(len(slots[index]) > count for index, count in filled):
        # There is nothing to choose.
        chosen = [arrival for index, _ in filled for arrival in slots[index]]
        if len({arrival.event for arrival in chosen}) < len(chosen):
            return None
        if is_ordered and any(
            slots[before][-1].time > slots[after][0].time for (before, _), (after, _) in pairwise(filled)
        ):
            return None
        taken = {index for index, _ in filled}
        return tuple([tuple(arrivals) if index in taken else () for index, arrivals in enumerate(slots)])
    demands = [Demand(index, slots[index][::-1] if backwards else slots[index], count) for index, count in filled]
    if is_ordered and backwards:
        demands.reverse()
    chooser = _Selection(is_ordered=is_ordered, backwards=backwards)
    # Only an event that stands at two slots makes a search necessary. None does where all slots ask for events of
    # different names, and their candidates have these names (`ce_type` may say anything).
    names = [trigger.slots[demand.slot].event for demand in demands]
    is_distinct = len(demands) == 1 or (
        len(set(names)) == len(names)
        and all(
            candidate.event.name == name
            for name, demand in zip(names, demands, strict=True)
            for candidate in demand.candidates
        )
    )
    if not is_distinct:
        events = {candidate.event for demand in demands for candidate in demand.candidates}
        is_distinct = len(events) == sum(len(demand.candidates) for demand in demands)
    if is_distinct:
        choice = chooser.greedy(demands, trigger.require)
    else:
        choice = chooser.search(demands, trigger.require, frozenset())
    if choice is None:
        return None
    return tuple(
        [tuple(sorted([arrival for arrival in choice if arrival.slot == index])) for index in range(len(slots))]
    )


def preference(trigger: Trigger, match: Match) -> list[tuple[bool, list[tuple[Micros, int]]]]:
    """Return the key by which choices are sorted, the best first: by slot, filled before left out, then by age."""
    backwards = trigger.collect == "latest"
    sign = -1 if backwards else 1
    ranks = [
        (not slot, [(sign * arrival.time, sign * arrival.offset) for arrival in (slot[::-1] if backwards else slot)])
        for slot in match
    ]
    return ranks[::-1] if backwards and trigger.order == "sequence" else ranks


class _Selection:
    """The search for the best choice.

    Args:
        is_ordered: Whether each slot has to stand on the right side of the one that chose before it.
        backwards: Whether that is the past.

    """

    def __init__(self, *, is_ordered: bool, backwards: bool) -> None:
        self._is_ordered = is_ordered
        self._backwards = backwards

    def greedy(self, demands: Sequence[Demand], missing: int) -> tuple[Arrival, ...] | None:
        """Return the best choice where no event stands at two slots: each slot takes the first that it may."""
        if not missing:
            return ()
        if len(demands) < missing:
            return None
        first, rest = demands[0], demands[1:]
        if len(first.candidates) >= first.need:
            taken = tuple(first.candidates[: first.need])
            others = self.greedy(self._beyond(taken[-1], rest), missing - 1)
            if others is not None:
                return (*taken, *others)
        return None if first.is_begun else self.greedy(rest, missing)

    def search(
        self, demands: Sequence[Demand], missing: int, taken: frozenset[EventIdentity]
    ) -> tuple[Arrival, ...] | None:
        """Return the best choice of distinct events, none of them ``taken``."""
        if not missing:
            return ()
        if len(demands) < missing:
            return None
        first, rest = demands[0], demands[1:]
        for at, candidate in enumerate(first.candidates):
            if candidate.event in taken:
                continue
            then, still = list(self._beyond(candidate, rest)), missing - 1
            if first.need > 1:
                then.insert(0, Demand(first.slot, first.candidates[at + 1 :], first.need - 1, is_begun=True))
                still = missing
            used = taken | {candidate.event}
            # Go on only if nothing speaks against filling the rest, so that the search does not wander.
            if self._is_ordered and self.greedy(then, still) is None:
                continue
            begun = [demand for demand in then if demand.is_begun]
            unbegun = [demand for demand in then if not demand.is_begun]
            if any(_all_filled([*begun, *some], used) for some in combinations(unbegun, still - len(begun))):
                others = self.search(then, still, used)
                if others is not None:
                    return (candidate, *others)
        return None if first.is_begun else self.search(rest, missing, taken)

    def _beyond(self, chosen: Arrival, demands: Sequence[Demand]) -> Sequence[Demand]:
        """Return the other demands, with the candidates that they may take after ``chosen`` is taken."""
        if not self._is_ordered:
            return demands
        left = []
        for demand in demands:
            if self._backwards:
                candidates = [candidate for candidate in demand.candidates if candidate.time <= chosen.time]
            else:
                candidates = [candidate for candidate in demand.candidates if candidate.time >= chosen.time]
            left.append(demand._replace(candidates=candidates))
        return left


def _all_filled(demands: Sequence[Demand], taken: frozenset[EventIdentity]) -> bool:
    """Tell whether all these slots can hold distinct events at once, none of them taken (augmenting paths)."""
    holder: dict[EventIdentity, int] = {}
    total = sum(demand.need for demand in demands)
    # A slot is never pushed further than by one event for each place to fill, so more candidates change nothing.
    near = [
        [candidate.event for candidate in demand.candidates if candidate.event not in taken][:total]
        for demand in demands
    ]

    def place(slot: int, tried: set[EventIdentity]) -> bool:
        for event in near[slot]:
            if event in tried:
                continue
            tried.add(event)
            if event not in holder or place(holder[event], tried):
                holder[event] = slot
                return True
        return False

    return all(place(slot, set()) for slot, demand in enumerate(demands) for _ in range(demand.need))
