"""The options of the data source ``flowbridge``, read and checked on the driver.

==============================  ====================================================================================
option                          meaning
==============================  ====================================================================================
``kafka.bootstrap.servers``     Kafka's addresses; else FLOWBRIDGE_BOOTSTRAP_SERVERS of the driver
``kafka.PROPERTY``              any property of librdkafka
``name``                        the event's name; required
``key``, ``time``, ``source``   a column each
``id``                          the columns that identify the event, with commas between
``idScope``                     ``global``, or ``batch`` if the columns of ``id`` are unique only within a batch
``exclude``                     columns that are left out of the payload, with commas between
``defaultSource``               the source of events that name none; else FLOWBRIDGE_SOURCE of the driver
``schemas``                     files and folders of typed schemas on the driver; else FLOWBRIDGE_SCHEMAS
``schemaRegistryUrl``           a schema registry; else FLOWBRIDGE_SCHEMA_REGISTRY_URL of the driver
``sharedTopics``                ``BEGINNING*=TOPIC`` with commas between; else FLOWBRIDGE_SHARED_TOPICS of the driver
``batchDone``                   the name of an event that is published when a batch is done
``batchDoneId``                 its id; required in a batch job, where Spark has no number for the batch
==============================  ====================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowbridge_sdk.delivery.buffer import Buffer
from flowbridge_sdk.delivery.settings import PublisherSettings
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.errors import SettingsError
from flowbridge_sdk.schemas import EventSchemas
from flowbridge_sdk.spark.columns import EventColumns

_OWN = (
    "name",
    "key",
    "time",
    "id",
    "idScope",
    "source",
    "exclude",
    "defaultSource",
    "schemas",
    "schemaRegistryUrl",
    "sharedTopics",
    "batchDone",
    "batchDoneId",
)
_KAFKA = "kafka."
_OF_SPARK = ("checkpointlocation", "queryname")  # Spark hands a query's own options to its sink
_DEFAULTS = {"queue.buffering.max.messages": 10_000, "queue.buffering.max.kbytes": 65_536, "linger.ms": 5}
"""An executor has little memory outside of its JVM, and librdkafka's buffer may take 1 GiB. A small buffer also stays
in the processor's cache: with librdkafka's 100,000 messages an event costs nearly twice the processor time."""


@dataclass(frozen=True)
class SinkOptions:
    """What the data source does; it goes from the driver to the executors.

    Attributes:
        columns: The columns of the event.
        settings: The publisher's settings.
        encoder: The encoder, without a schema registry.
        batch_done: The name of the event that a finished batch publishes; empty for none.
        batch_done_id: Its id; empty in a streaming query, where it derives from the batch.

    """

    columns: EventColumns
    settings: PublisherSettings = field(repr=False)
    encoder: EventEncoder
    batch_done: str
    batch_done_id: str

    @classmethod
    def of(
        cls,
        options: Mapping[str, str],
        schema: Mapping[str, Any],
        *,
        streaming: bool,
        environment: Mapping[str, str] = os.environ,
    ) -> SinkOptions:
        """Read the options.

        Args:
            options: The options of a DataFrame's writer; letter case does not count.
            schema: The schema of the DataFrame, as in ``df.schema.jsonValue()``.
            streaming: Whether a streaming query writes.
            environment: The variables of the driver.

        Raises:
            SettingsError: An option is unknown, missing or wrong.
            SchemaError: A typed schema cannot be used.

        """
        given = {name.lower(): text for name, text in options.items() if name.lower() not in _OF_SPARK}
        own = {name: given.pop(name.lower(), "") for name in _OWN}
        kafka: dict[str, Any] = {
            name.removeprefix(_KAFKA): text for name, text in given.items() if name.startswith(_KAFKA)
        }
        unknown = [name for name in given if not name.startswith(_KAFKA)]
        if "path" in unknown:
            raise SettingsError(
                "path: the data source writes to Kafka and takes no path; call save() or start() without one"
            )
        if unknown:
            raise SettingsError(
                f"unknown option {', '.join(unknown)}; the options are {', '.join(_OWN)} and kafka.PROPERTY"
            )
        if not own["name"]:
            raise SettingsError(
                'name: expected the name of the event, found none; add .option("name", "order.created")'
            )
        if own["batchDone"] and not (streaming or own["batchDoneId"]):
            raise SettingsError(
                "batchDoneId: expected the id of the event batchDone, found none. A job that runs again has to give "
                "the same id, such as the date of its data"
            )
        if own["batchDoneId"] and (streaming or not own["batchDone"]):
            raise SettingsError(
                "batchDoneId: expected only in a batch job with batchDone; a streaming query derives the id from its "
                "batch"
            )
        named = {
            "FLOWBRIDGE_SCHEMAS": own["schemas"],
            "FLOWBRIDGE_SCHEMA_REGISTRY_URL": own["schemaRegistryUrl"],
            "FLOWBRIDGE_SHARED_TOPICS": own["sharedTopics"],
        }
        around = {**environment, **{variable: text for variable, text in named.items() if text}}
        settings = PublisherSettings.of(None, {**_DEFAULTS, **kafka}, own["defaultSource"] or None, around)
        Buffer(settings.kafka, settings.delivery_timeout_s, None).close()  # Kafka's client checks its properties
        encoder = EventEncoder(
            settings.source,
            schemas=EventSchemas.from_setting(settings.schemas),
            shared_topics=settings.shared_topics,
        )
        for name in filter(None, (own["name"], own["batchDone"])):
            encoder.topic_for(name)
        columns = EventColumns.of(
            schema,
            own["name"],
            key=own["key"] or None,
            time=own["time"] or None,
            id=_listed(own["id"]),
            id_scope=own["idScope"] or "global",
            source=own["source"] or None,
            exclude=_listed(own["exclude"]),
            encoder=encoder,
            registry=bool(settings.registry_url),
        )
        return cls(columns, settings, encoder, own["batchDone"], own["batchDoneId"])

    def encoder_here(self) -> EventEncoder:
        """Return the encoder for this process, which has its own connection to a schema registry."""
        return connected(self.encoder, self.settings.registry_url)


def connected(encoder: EventEncoder, registry_url: str) -> EventEncoder:
    """Return an encoder with a schema registry; the encoder itself if the address is empty."""
    if not registry_url:
        return encoder
    from flowbridge_sdk.registry import Registry  # noqa: PLC0415 - its packages are an optional extra

    return encoder.with_registry(Registry(registry_url))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
