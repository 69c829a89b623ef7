"""Send announcements: the events about runs, in the transaction that writes the entry of the ledger.

They are ordinary events, as the SDK encodes them. Their payload is the generic one, so each reader of events reads them
without a schema file. The topics are internal ones: ``run`` creates and checks them at its start. All announcements of
a trigger are in the partition of its runs, in the order in which the ledger got them.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.core.definition import Definition
from bridge.core.runs.announcement import announcement
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.outbox import Outbox
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.shared.run_records import decode_facts
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.schemas import EventSchemas


class Announcements:
    """Announces runs.

    Args:
        topics: The internal topics.
        definition_of: Returns the definition of a hash, which says what is sensitive; None for one that is not known.

    """

    def __init__(self, topics: InternalTopics, definition_of: Callable[[str], Definition | None]) -> None:
        self._prefix = topics.prefix
        self._definition_of = definition_of
        self._encoder = EventEncoder(f"{topics.prefix}submitter", schemas=EventSchemas.of([]), shared_topics={})

    def send(self, run_key: str, partition: int, entry: bytes, out: Outbox) -> None:
        """Send the announcement of a final entry, if it makes one.

        The values of a trigger whose definition is not known are hidden, as those of sensitive fields.

        Args:
            run_key: The key of the run.
            partition: The partition of the ledger.
            entry: The entry.
            out: The batch that writes it.

        Raises:
            RecordError: The entry cannot be read.

        """
        fields = LEDGER_ENTRY.decode(entry)
        facts = decode_facts(fields["run"])
        if facts is None:  # an entry of 0.1.0
            return
        definition = self._definition_of(facts.definition_hash)
        made = announcement(
            self._prefix,
            run_key,
            fields,
            facts,
            hides_key=definition is None or definition.hides_key,
            hides_parameters=definition is None or bool(definition.trigger.sensitive),
        )
        if made is None:
            return
        record = self._encoder.encode(made.name, made.payload, key=fields["trigger"], id=made.id, time=made.time)
        out.send(record.topic, partition, record.key or b"", record.value, record.headers)
