"""The slots that an event passes, of many that read its topic: looked up by its values where filters ask for some.

Many filters ask for a field's value: ``payload.country == "nz" && payload.amount > 100``. Without that value the filter
is not true, whatever the rest of it says. So the slots of a topic are indexed by such fields and values. The filters of
an event's values are evaluated, and those that ask for none.

All other slots have decided the event, too: ``filtered``. These decisions are not made one by one, since there may be
ten thousand of them for an event. A :class:`Rejection` stands for them, and makes them when somebody looks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from typing_extensions import override

from bridge.core.decision import Decision, Reason, RunDecision, RunReason
from bridge.core.definition import CompiledSlot, Definition
from bridge.core.event import Event
from bridge.core.expressions.equality import UNSURE, Equality, sought
from bridge.core.expressions.expression import Expression
from bridge.core.route import Accepted, keyed, route, unless_filtered, variables_of

Place = tuple[Definition, CompiledSlot]
"""A slot of a definition."""

_new_tuple = tuple.__new__  # a third of what calling a named tuple costs
_ALIKE = 2  # slots that ask for the same field before looking its value up is cheaper than evaluating their filters


class SlotFilters:
    """An index over the slots that read a topic.

    Args:
        places: The slots, in the order in which they decide.

    Attributes:
        places: The slots.
        always: The numbers of those that have to look at every event.
        most: How many slots an event can pass at most: all of ``always``, and for each field the largest number of
            slots that ask for one value.

    """

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = tuple(places)
        fields: dict[tuple[str, tuple[str, ...]], list[tuple[int, Equality]]] = defaultdict(list)
        for number, (definition, slot) in enumerate(places):
            equality = slot.where.equality if slot.where is not None else None
            if equality is not None and not definition.trigger.suspend:  # that decides before the filter
                fields[equality.field].append((number, equality))
        self._groups: list[tuple[tuple[str, tuple[str, ...]], dict[Any, list[int]], list[int]]] = []
        indexed: set[int] = set()
        for field, asking in fields.items():
            if len(asking) < _ALIKE:
                continue
            by_value: dict[Any, list[int]] = defaultdict(list)
            for number, equality in asking:
                for value in equality.values:
                    by_value[value].append(number)
            everyone = [number for number, _ in asking]
            self._groups.append((field, dict(by_value), everyone))
            indexed.update(everyone)
        self.always = [number for number in range(len(places)) if number not in indexed]
        alike = [max(map(len, by_value.values()), default=0) for _, by_value, _ in self._groups]
        self.most = len(self.always) + sum(alike)
        self._future = min([definition.trigger.future for definition, _ in places], default=0)
        self._by_payload = [  # filters that decide by the payload alone, where nothing decides before them
            None if slot.where is None or definition.trigger.suspend or "event" in slot.where.names else slot.where
            for definition, slot in places
        ]

    def routed(self, event: Event) -> list[tuple[int, Accepted | Decision]]:
        """Return the numbers of the slots that do not filter an event out, in their order, with what they decide.

        They decide as :func:`bridge.core.route.route` does.
        """
        found: list[tuple[int, Accepted | Decision]] = []
        routed: Accepted | Decision | None
        _, _, _, time, reached, _, payload, _ = event
        if time - reached > self._future:  # that may decide before the filter, as `suspend` does
            numbers: Sequence[int] = range(len(self.places))
            by_payload: Sequence[Expression | None] = [None] * len(self.places)
        else:
            numbers, by_payload = self.open_to(event), self._by_payload
        variables = {"payload": payload}
        for number in numbers:
            where, is_passed = by_payload[number], False
            if where is not None:
                known = where.shortcut(variables) if where.shortcut is not None else None
                is_passed = known if known is True or known is False else where.is_met(variables, known)
                if not is_passed:
                    continue
            definition, slot = self.places[number]
            if is_passed:
                routed = keyed(definition, slot, event, variables_of(slot, event))
            else:
                routed = unless_filtered(definition, slot, event)
            if routed is not None:
                found.append((number, routed))
        return found

    def open_to(self, event: Event) -> Sequence[int]:
        """Return the numbers of the slots that have to look at an event, in their order."""
        if not self._groups:
            return self.always
        if event.time - event.reached > self._future:  # that decides before the filter
            return range(len(self.places))
        found: list[int] = []
        for field, by_value, everyone in self._groups:
            value = sought(field, event)
            if value is UNSURE:
                found += everyone
            elif value in by_value:
                found += by_value[value]
        if not found:
            return self.always
        return sorted(self.always + found)


class Rejection(NamedTuple):
    """The decisions of the slots that filter an event out: ``filtered`` for each.

    Attributes:
        event: The event.
        others: The numbers of the slots that have decided it in another way.

    """

    event: Event
    others: Sequence[int]

    def decisions(self, filters: SlotFilters, numbers: Iterable[int]) -> Iterator[Decision]:
        """Make the decisions of some slots, as :func:`bridge.core.route.route` makes each; none for ``others``.

        Args:
            filters: The index that has rejected the event.
            numbers: The numbers of the slots.

        """
        others = set(self.others)
        for number in numbers:
            if number not in others:
                routed = route(*filters.places[number], self.event)
                if isinstance(routed, Accepted):
                    slot = filters.places[number][1].slot
                    raise TypeError(f"the index rejects an event that passes slot {slot.variable}: {slot.where}")
                yield routed


class Decisions(Sequence[Decision | RunDecision]):
    """The decisions of a batch: first those that were made, in order, then rejections, which are made when looked at.

    Attributes:
        made: The decisions that were made.
        rejections: The events that stand for decisions, by the index that has rejected them.

    """

    def __init__(self) -> None:
        self.made: list[Decision | RunDecision] = []
        self.rejections: dict[SlotFilters, list[Rejection]] = {}
        self._tally: Counter[tuple[str, str]] = Counter()
        self._tallied = 0
        self.append = self.made.append
        self.extend = self.made.extend

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.made or self.rejections)

    def reject(self, filters: SlotFilters, event: Event, others: Sequence[int] = ()) -> None:
        """Add the decisions of the slots that filter an event out.

        Args:
            filters: The index over the slots.
            event: The event.
            others: The numbers of the slots that have decided it in another way.

        """
        rejection = _new_tuple(Rejection, (event, others))
        rejections = self.rejections.get(filters)
        if rejections is None:
            self.rejections[filters] = [rejection]
        else:
            rejections.append(rejection)

    def tally(self) -> Counter[tuple[str, str]]:
        """Return how many were made of each trigger and reason, by the reason's text."""
        if self._tallied != len(self.made):
            self._tally = Counter([(decision.trigger, decision.reason._value_) for decision in self.made])
            self._tallied = len(self.made)
        return self._tally

    def reasons(self) -> Counter[Reason | RunReason]:
        """Return how many there are of each reason, without making any."""
        counts: Counter[Reason | RunReason] = Counter([decision.reason for decision in self.made])
        if self.rejections:
            counts[Reason.FILTERED] += len(self) - len(self.made)
        return counts

    @override
    def __len__(self) -> int:
        rejected = [
            len(rejections) * len(filters.places) - sum([len(others) for _, others in rejections])
            for filters, rejections in self.rejections.items()
        ]
        return len(self.made) + sum(rejected)

    @override
    def __iter__(self) -> Iterator[Decision | RunDecision]:
        yield from self.made
        for filters, rejections in self.rejections.items():
            for rejection in rejections:
                yield from rejection.decisions(filters, range(len(filters.places)))

    @override
    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]
