"""What matchers have to decide: the reference matcher, and real windows that never crashed, over the same log.

Both follow the commits of the matchers' group, record by record. The reference (:mod:`kinds`) says which
decisions and runs have to be. The real windows that were never dropped, restored or aborted say what each matcher has
to hold in memory: after each commit, and after each restore.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from bridge.core.decision import Reason
from bridge.core.event import EventIdentity
from bridge.core.windows.window import Arrival
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Committed, Partition, Record
from bridge.kafka.observer import Unobserved
from bridge.kafka.outbox import Outbox
from bridge.kafka.ownership import read_note
from bridge.kafka.records import ARRIVAL, RETIRING, TICK
from bridge.settings.groups import WindowSettings
from bridge.stages.matcher.matcher import Matcher
from bridge.stages.matcher.ticks import TickPlanner
from bridge.stages.matcher.window_records import decode_retiring
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from flowbridge_sdk.codec import Decoder
from simulation.history import History
from simulation.reference_windows import Condition, ReferenceWindows
from simulation.routing_check import Asked, Decided
from simulation.routing_check import Place as RecordPlace
from simulation.trigger_log import Known, TriggerLog


class WrongStateError(AssertionError):
    """A matcher holds other windows than one that never crashed."""


Sent = tuple[str, int, bytes | None]
"""Topic, partition and value of a record."""


class MatchingCheck:
    """Follows the commits of the matchers.

    Attributes:
        runs: Each run that has to be asked for.
        decisions: Each decision that has to be made.

    """

    def __init__(
        self, topics: InternalTopics, history: History, triggers: TriggerLog, settings: WindowSettings
    ) -> None:
        self._topics = topics
        self._history = history
        self._triggers = triggers
        self._committed: dict[Partition, int] = {}
        self._reference: dict[int, ReferenceWindows] = {}
        self._settings = settings
        self._retiring: dict[Partition, tuple[Condition, ...]] = {}
        self._unbroken = _Unbroken(topics, settings)
        self.runs: Counter[Asked] = Counter()
        self.decisions: Counter[Decided] = Counter()

    def follow(
        self,
        committed: dict[Partition, Committed],
        definitions: Definitions | None,
        written: Iterable[Sent],
        poison: Collection[RecordPlace],
    ) -> None:
        """Take note of what the matchers' group has committed now.

        Args:
            committed: The group's offsets.
            definitions: Those of the matcher that committed, as they are at this moment.
            written: Topic, partition and value of what was committed with them.
            poison: The arrivals that were set aside with it.

        """
        for place, note in committed.items():
            before = self._committed.get(place, 0)
            if note.offset != before:
                self._committed[place] = note.offset
                records = self._history.between(place, before, note.offset)
                self._set_aside([record for record in records if (*place, record.offset) in poison])
                records = [record for record in records if (*place, record.offset) not in poison]
                retiring = self._retiring.pop(place, None)
                self._apply(place, records, self._triggers.at(read_note(note).triggers), retiring)
                if definitions is not None:
                    self._unbroken.apply(place.number, records, definitions, retiring)
        for topic, partition, value in written:
            if topic == self._topics.windows and value is not None and value.startswith(RETIRING.prefix):
                place = Partition(self._topics.arrivals, partition)
                self._begin_retirement(place, decode_retiring(value), committed[place])

    def _set_aside(self, records: list[Record]) -> None:
        for record in records:
            fields = ARRIVAL.decode(record.value or b"")
            slot = self._triggers.whole().definitions[fields["definition"]].trigger.slots[fields["slot"]]
            event = EventIdentity(slot.event, fields["source"], fields["id"])
            self.decisions[Decided(fields["trigger"], slot.variable, event, Reason.POISON)] += 1

    def _begin_retirement(self, place: Partition, found: tuple[Condition, ...], committed: Committed) -> None:
        """Hold what a tick is said to retire, from its first slice on, against what was in force then."""
        tick = TICK.decode(self._history.between(place, committed.offset, 2**62)[0].value or b"")
        now = _retired(tick, self._triggers.at(read_note(committed).triggers))
        expected = self._retiring.setdefault(place, now)
        if found != expected:
            raise WrongStateError(f"a tick at {place} {committed.offset} retires {found}, not {expected}")

    def _apply(
        self, place: Partition, records: list[Record], known: Known, retiring: tuple[Condition, ...] | None
    ) -> None:
        reference = self._reference.setdefault(place.number, ReferenceWindows(self._triggers, self._settings))
        for record in records:
            value = record.value or b""
            if value.startswith(TICK.prefix):
                tick = TICK.decode(value)
                reference.tick(tick, _retired(tick, known) if retiring is None else retiring)
                retiring = None  # it was of the tick that stood at the committed offset
                continue
            fields = ARRIVAL.decode(value)
            hash_ = fields["definition"]
            definition = known.definitions.get(hash_) or self._triggers.whole().definitions[hash_]
            arrival = _arrival(fields, record, definition.trigger.slots[fields["slot"]].event)
            reference.arrive(definition, fields["key"], arrival)
        self.runs.update(reference.asked)
        self.decisions.update(reference.decided)
        reference.asked, reference.decided = [], []

    def compare(self, who: str, windows: dict[int, WindowStore]) -> None:
        """Hold the windows of a matcher against those that never crashed at the same offset.

        Raises:
            WrongStateError: They differ.

        """
        for partition, found in windows.items():
            place = Partition(self._topics.arrivals, partition)
            if self._is_mid_tick(place):
                continue
            expected = self._unbroken.windows(partition)
            if found.contents() != expected.contents():
                raise WrongStateError(
                    f"{who} holds other windows of partition {partition} than one that never crashed at "
                    f"{self._committed.get(place, 0)}:\n  found    {found.contents()}\n  expected {expected.contents()}"
                )

    def waiting(self) -> Iterator[str]:
        """Yield what a matcher has to hold now, at the committed offsets; a dead man's switch watches for ever."""
        for windows in self._unbroken.all_windows():
            for place in windows.contents().remembered:
                if not self._triggers.condition(place.window.condition_hash).trigger.is_switch:
                    yield str(place)

    def _is_mid_tick(self, place: Partition) -> bool:
        """Tell whether a tick stands at the committed offset, of which slices may have been ended."""
        offset = self._committed.get(place, 0)
        behind = self._history.between(place, offset, 2**62)
        return bool(behind) and (behind[0].value or b"").startswith(TICK.prefix)


class _NoTicks(TickPlanner):
    """A planner that is never asked for a tick."""

    def __init__(self) -> None:
        """Plan nothing."""

    def hear(self, timestamp: int) -> None:
        """Ignore it."""


class _Unbroken:
    """The real matcher, which nothing ever befalls."""

    def __init__(self, topics: InternalTopics, settings: WindowSettings) -> None:
        decoder = EventDecoder(Decoder, lambda: 0)
        nothing: Any = None
        self._matcher = Matcher(
            nothing,
            topics,
            decoder,
            _NoTicks(),
            nothing,
            lambda: 0,
            lambda: 0,
            Unobserved(),
            settings,
        )
        self._matcher._next_tick = 2**63
        self._changelog = topics.windows

    def windows(self, partition: int) -> WindowStore:
        changelog = Partition(self._changelog, partition)
        return self._matcher.windows.setdefault(partition, WindowStore(changelog))

    def all_windows(self) -> Iterable[WindowStore]:
        return self._matcher.windows.values()

    def apply(
        self,
        partition: int,
        records: list[Record],
        definitions: Definitions,
        retiring: tuple[Condition, ...] | None,
    ) -> None:
        self._matcher._definitions = _AsTheyAre(definitions)  # type: ignore[assignment]  # the same but for reading on
        nowhere: Any = _Nowhere()
        self.windows(partition).keep_retiring(retiring, Outbox(nowhere))
        left = deque(records)
        while left:
            self._matcher.process(left, Outbox(nowhere))


class _AsTheyAre:
    """Definitions that read no further."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._definitions, name)

    def refresh(self) -> bool:
        return False


class _Nowhere:
    """A producer that sends nothing."""

    def send(self, *record: Any) -> None:
        """Send nothing."""


def _retired(tick: dict[str, Any], known: Known) -> tuple[Condition, ...]:
    """Return which of the conditions that a tick retires are not in force."""
    named = [(entry["trigger"], entry["condition"]) for entry in tick["retired"]]
    return tuple([condition for condition in named if not known.is_in_force(*condition)])


def _arrival(fields: dict[str, Any], record: Record, event: str) -> Arrival:
    return Arrival(
        fields["time"],
        record.offset,
        fields["slot"],
        EventIdentity(event, fields["source"], fields["id"]),
        min(fields["reached"], record.timestamp * 1000),
        fields["definition"],
        fields["event_key"],
        fields["value"],
    )
