"""The controller: reads the sources of triggers, and writes the definitions in force to ``triggers``.

The owner of the one partition of ``triggers`` leads. A group with one partition elects its leader by itself. A source
may fail, be empty or be half written. A trigger is retired only when its source was read whole without it for the
length of the hold-off. Each topic that is new to the bridge gets its start offsets here, before any router reads it.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache

from bridge.core.event import SECOND, Micros
from bridge.core.trigger import Trigger
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import HIDDEN, MISSING, Admin, LogError, Partition, Record, TopicInfo, TopicSpec, UnansweredError
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import DEFINITION, IN_FORCE
from bridge.kafka.stage import Stage
from bridge.log_fields import about
from bridge.settings.groups import ControllerSettings
from bridge.stages.controller.open_letters import OpenLetters
from bridge.stages.shared.definitions import (
    Definitions,
    Start,
    definition_key,
    encode_start,
    errors_key,
    in_force_key,
    start_key,
)
from bridge.stages.shared.source_errors import by_place, encode_errors
from bridge.triggers.errors import Origin, TriggerError
from bridge.triggers.resources import LoadedTrigger
from bridge.triggers.sources.source import Sources, TriggerSource
from bridge.triggers.topic_mapping import internal_topic_error, topics_of

logger = logging.getLogger(__name__)

DEFINITION_LIMIT = 2 * 1024 * 1024
"""Bytes of a definition as it is written: half of the largest record, far more than people write."""

_TOPIC_ADVICE = (
    "put that right in Kafka, name the event otherwise, or let it share a topic (FLOWBRIDGE_SHARED_TOPICS); "
    "until then the events of this topic wait"
)
_TOPICS_PACE = 10 * SECOND  # between looks whether known topics are still the same


class Controller(Stage):
    """Trigger sources to definitions, on the stage loop.

    Args:
        definitions: The triggers as written so far.
        topics: The internal topics.
        admin: For event topics and their offsets.
        source: Where triggers come from.
        clock: The process's clock.
        pace: A steady clock, by which it waits.
        settings: How often it reads, and what it hides and creates. Sensitive fields become part of the definitions, so
            that every process that shows decisions knows them, also where nothing is set.
        new_topic: Makes the spec of an event topic to create; None where topics are not created.
        letters: Counts the dead letters that nothing was done with.

    """

    name = "controller"

    def __init__(
        self,
        definitions: Definitions,
        topics: InternalTopics,
        admin: Admin,
        source: TriggerSource,
        clock: Callable[[], Micros],
        pace: Callable[[], Micros],
        settings: ControllerSettings,
        new_topic: Callable[[str], TopicSpec] | None,
        letters: OpenLetters,
    ) -> None:
        self._definitions = definitions
        self._topics = topics
        self._admin = admin
        self._source = source
        self._clock = clock
        self._pace = pace
        self._reload = settings.reload
        self._hold_off = settings.hold_off
        self._sensitive = settings.sensitive
        self._topic_bound = settings.topic_bound
        self._new_topic = new_topic
        self._letters = letters
        self._leads = False
        self._next: Micros = 0
        self._next_topics: Micros = 0
        self._gone: dict[str, Micros] = {}
        self._refused: dict[str, str] = {}  # the error, by topic
        self._absent: set[str] = set()  # topics that this process does not create, looked for at each reading
        self._unbegun: set[str] = set()  # topics that exist, and whose starts cannot be asked for now
        self._said: frozenset[TriggerError] = frozenset()
        self._in_force: Mapping[str, LoadedTrigger] = {}
        self._known = -1  # the offset of `triggers` up to which these are known
        self._written: Sources | None = None  # the sources as last read, if nothing of them is left to write

    def topics(self) -> frozenset[str]:
        """Return the topic whose one owner leads."""
        return frozenset([self._topics.triggers])

    def applied(self) -> int:
        """Return the offset up to which ``triggers`` is known."""
        return self._definitions.offset

    def take(self, offsets: Mapping[Partition, int]) -> None:
        """Lead."""
        del offsets
        self._definitions.refresh(to_true_end=True)
        self._leads, self._next, self._next_topics, self._written = True, self._pace(), self._pace(), None

    def drop(self, partitions: Collection[Partition]) -> None:
        """Lead no longer."""
        del partitions
        self._leads = False
        self._letters.forget()
        self._gone.clear()
        self._source.rest()

    def measure(self) -> None:
        """Have open dead letters counted, by the leader alone."""
        if self._leads:
            self._letters.measure()

    def is_due(self, now: Micros) -> bool:
        """Return whether it is time to read the sources."""
        del now
        return self._leads and self._pace() >= self._next

    def patience(self) -> float:
        """Return the time until the next reading."""
        return min(1.0, max(0.0, (self._next - self._pace()) / SECOND)) if self._leads else super().patience()

    def process(self, records: deque[Record], out: Outbox) -> None:
        """Write the changes. The records read are the controller's own, and known from the definitions."""
        records.clear()
        now = self._clock()
        if not self.is_due(now):
            return
        self._next = self._pace() + self._reload
        looks_again = self._written is None or self._pace() >= self._next_topics
        if not looks_again and self._source.read(self._in_force) is self._written:
            return  # nothing else writes `triggers` while this process leads
        self._definitions.refresh(to_true_end=True)
        if self._known != self._definitions.offset:
            self._known = self._definitions.offset
            origins = self._definitions.origins
            self._in_force = {
                name: LoadedTrigger(definition.trigger, Origin.from_text(origins.get(definition.hash, "")))
                for name, definition in self._definitions.in_force.items()
            }
        sources = self._source.read(self._in_force)
        is_written, self._written = sources is self._written, None
        wanted, errors = [], list(sources.errors)
        prefix, announces = self._topics.prefix, self._topics.announces_runs
        for loaded in sources.triggers:
            error = None  # of what is written already
            if not is_written:
                error = internal_topic_error(loaded.trigger, prefix, loaded.origin, announces_runs=announces)
            if error is None:
                wanted.append(loaded)
            else:
                errors.append(error)
        self._begin_topics([loaded.trigger for loaded in wanted], now, out)
        if is_written and not (self._refused or self._unbegun or out.sent):
            self._written = sources
            return
        for loaded in wanted:
            # A trigger waits until all of its topics can be begun where it says.
            if self._unbegun.isdisjoint(topics_of(loaded.trigger)):
                error = self._define(loaded, now, out)
                errors += [error] if error is not None else []
        for name in self._definitions.in_force.keys() - {loaded.trigger.identity for loaded in wanted}:
            since = self._gone.setdefault(name, self._pace())
            if self._pace() - since >= self._hold_off:
                del self._gone[name]
                self._enforce(name, None, now, out)
                logger.info("trigger %s is retired: its source no longer holds it", name, extra=about(trigger=name))
        errors += [
            TriggerError(loaded.origin, "", self._refused[topic], _TOPIC_ADVICE, loaded.trigger.identity)
            for loaded in wanted
            for topic in topics_of(loaded.trigger)
            if topic in self._refused
        ]
        self._say(errors, now, out, complete=sources.complete)
        if not (errors or self._gone or self._unbegun or out.sent):
            self._written = sources

    def _say(self, errors: Sequence[TriggerError], now: Micros, out: Outbox, *, complete: bool) -> None:
        """Log new errors, tell the sources, and write the errors of each place where they have changed."""
        for error in errors:
            if error not in self._said:
                logger.error("%s", error, extra=about(trigger=error.trigger))
        self._said = frozenset(errors) | (frozenset() if complete else self._said)
        self._source.tell(errors)
        wrong, written = by_place(errors), self._definitions.errors
        for place in sorted(wrong.keys() | (written.keys() if complete else frozenset())):
            if place not in wrong:
                out.send(self._topics.triggers, 0, errors_key(place), None)
            elif wrong[place] != written.get(place):
                out.send(self._topics.triggers, 0, errors_key(place), encode_errors(place, wrong[place], now))

    # -- definitions ---------------------------------------------------------------------------------------------------

    def _define(self, loaded: LoadedTrigger, now: Micros, out: Outbox) -> TriggerError | None:
        """Put a trigger in force. If it is too large, return the error; its earlier definition stays in force."""
        trigger = _hiding(loaded.trigger, self._sensitive)
        self._gone.pop(trigger.identity, None)
        in_force = self._definitions.in_force.get(trigger.identity)
        is_in_force = in_force is not None and in_force.hash == trigger.definition_hash
        # A definition from another place is written again: as long as that place holds it, it stays in force.
        is_known = self._definitions.origins.get(trigger.definition_hash) == str(loaded.origin)
        if is_in_force and is_known:
            return None
        if not is_known:
            value = DEFINITION.encode(
                {
                    "trigger": trigger.identity,
                    "definition": trigger.definition_hash,
                    "condition": trigger.condition_hash,
                    "spec": json.dumps(trigger.to_json(), sort_keys=True, ensure_ascii=False),
                    "origin": str(loaded.origin),
                    "at": now,
                }
            )
            if len(value) > DEFINITION_LIMIT:
                wrong = f"the trigger takes {len(value)} bytes as a definition; {DEFINITION_LIMIT} is the limit"
                return TriggerError(loaded.origin, "", wrong, "write shorter texts in it", trigger.identity)
            out.send(self._topics.triggers, 0, definition_key(trigger.definition_hash), value)
        # Also where it is in force: 0.1.0 has to find it behind its definition, of which compaction keeps the newest.
        self._enforce(trigger.identity, trigger.definition_hash, now, out)
        if not is_in_force:
            fields = about(trigger=trigger.identity)
            logger.info("trigger %s is in force as written at %s", trigger.identity, loaded.origin, extra=fields)
        return None

    def _enforce(self, name: str, definition: str | None, now: Micros, out: Outbox) -> None:
        value = IN_FORCE.encode({"trigger": name, "definition": definition, "at": now})
        out.send(self._topics.triggers, 0, in_force_key(name), value)

    # -- topics --------------------------------------------------------------------------------------------------------

    def _begin_topics(self, triggers: Sequence[Trigger], now: Micros, out: Outbox) -> None:
        """Write the starts of topics that are new or recreated; delete those of topics that no trigger reads."""
        read = {topic for trigger in triggers for topic in topics_of(trigger)} | self._definitions.topics()
        starts = self._definitions.starts
        look_again = self._pace() >= self._next_topics
        unknown = read if look_again else read - starts.keys() - (self._refused.keys() - self._absent)
        if look_again:
            self._refused, self._unbegun, self._absent = {}, set(), set()
        if unknown:
            self._refused = {topic: wrong for topic, wrong in self._refused.items() if topic not in unknown}
            shared = {slot.shared_topic for trigger in triggers for slot in trigger.slots}
            existing, created = self._existing(unknown, shared)
            for topic in sorted(existing.keys() & unknown):
                try:
                    self._begin_topic(existing[topic], [] if topic in created else triggers, now, out)
                except UnansweredError as error:  # Kafka does not say where to begin: only its own triggers wait
                    self._refused[topic] = f"topic {topic} cannot be read yet: {error}"
                    self._unbegun.add(topic)
        for topic in starts.keys() - read:
            out.send(self._topics.triggers, 0, start_key(topic), None)
        if look_again:
            self._next_topics = self._pace() + _TOPICS_PACE

    def _existing(self, topics: set[str], shared: Collection[str | None]) -> tuple[dict[str, TopicInfo], Sequence[str]]:
        """Return the topics that exist or can be created, and the names of those that this call created.

        Raises:
            LogError: Kafka did not answer.

        """
        unreadable = self._admin.unreadable(topics)
        denied = [topic for topic, why in unreadable.items() if why != MISSING]
        self._refused |= {topic: f"topic {topic} cannot be read: {unreadable[topic]}" for topic in denied}
        hidden = {topic for topic, why in unreadable.items() if why == HIDDEN}
        self._unbegun |= hidden - self._definitions.starts.keys()
        existing = self._admin.describe(topics - hidden)
        missing = sorted(topics - hidden - existing.keys())
        if not missing:
            return existing, ()
        if self._new_topic is None:
            self._absent |= set(missing)
            self._refused |= {topic: f"topic {topic} does not exist" for topic in missing}
            return existing, ()
        refused: dict[str, str] = {}
        if own := [topic for topic in missing if topic not in shared]:
            count = len(self._admin.topics())
            why = (
                f"the cluster has {count} topics, and where it has {self._topic_bound} no more are created for events "
                "(raise FLOWBRIDGE_TOPIC_BOUND, or create the topic yourself)"
            )
            refused = dict.fromkeys(own[max(0, self._topic_bound - count) :], why)
        specs = [self._new_topic(topic) for topic in missing if topic not in refused]
        try:
            self._admin.create(specs)
        except LogError:  # one by one, so that the topics that Kafka refuses do not stop the others
            known = self._admin.topics()
            for spec in [wanted for wanted in specs if wanted.name not in known]:
                try:
                    self._admin.create([spec])
                except LogError as error:
                    refused[spec.name] = str(error)
        self._refused |= {topic: f"topic {topic} cannot be created: {why}" for topic, why in refused.items()}
        created = [topic for topic in missing if topic not in refused]
        if created:
            logger.info("created topics %s", ", ".join(created))
        return self._admin.describe(topics - hidden), created

    def _begin_topic(self, info: TopicInfo, triggers: Sequence[Trigger], now: Micros, out: Outbox) -> None:
        """Write the start of a topic that has none, or that was recreated.

        A topic begins at the earliest offsets that any of its triggers asks for. It begins at 0 if none asks.

        Raises:
            UnansweredError: Kafka does not say now where that is.

        """
        start, recreated = self._definitions.starts.get(info.name), False
        if start is None and info.name in self._definitions.topics():
            offsets = [0] * info.partitions  # it appeared after its trigger was in force, so all its records came later
        elif start is None:
            places = [Partition(info.name, number) for number in range(info.partitions)]
            asked: list[Mapping[Partition, int]] = []
            for start_from in {trigger.start_from for trigger in triggers if info.name in topics_of(trigger)}:
                if start_from == "earliest":
                    asked.append(self._admin.start_offsets(places))
                elif start_from == "now":
                    asked.append(self._admin.all_ends(places))
                else:
                    asked.append(self._admin.offsets_at(places, int(start_from) // 1000))
            offsets = [min((answer[place] for answer in asked), default=0) for place in places]
        elif info.id and start.topic_id and info.id != start.topic_id:
            logger.error("topic %s was deleted and created again: its unread records are lost", info.name)
            offsets, recreated = [0] * info.partitions, True
        else:
            return
        start = Start(info.id, tuple(offsets), 0, recreated)
        out.send(self._topics.triggers, 0, start_key(info.name), encode_start(info.name, start, now))


@lru_cache(maxsize=10_000)
def _hiding(trigger: Trigger, sensitive: tuple[str, ...]) -> Trigger:
    """Return a trigger whose decisions hide these fields, too. It is the same object each time, with its hash known."""
    return trigger.hiding(sensitive)
