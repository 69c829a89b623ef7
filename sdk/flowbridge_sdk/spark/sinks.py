"""The two ways from a DataFrame to Kafka: columns for Spark's own Kafka sink, and a Python data source.

Both encode on the executors, a batch of Arrow at a time. A task that runs again encodes the same events, with the same
ids. Spark's sinks are at-least-once, and the bridge drops the duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark import TaskContext
from pyspark.sql.datasource import DataSource, DataSourceArrowWriter, DataSourceStreamWriter, WriterCommitMessage

from flowbridge_sdk.delivery.buffer import Buffer
from flowbridge_sdk.delivery.settings import PublisherSettings
from flowbridge_sdk.encoder import EventEncoder
from flowbridge_sdk.errors import PublishError, SettingsError
from flowbridge_sdk.ids import event_id
from flowbridge_sdk.spark.batches import RowEncoder, StreamBatch
from flowbridge_sdk.spark.columns import EventColumns
from flowbridge_sdk.spark.options import SinkOptions, connected

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

_KAFKA_COLUMNS = "topic string, key binary, value binary, headers array<struct<key: string, value: binary>>"


def to_kafka_columns(
    df: DataFrame,
    name: str,
    encoder: EventEncoder | None = None,
    *,
    key: str | None = None,
    time: str | None = None,
    id: str | Sequence[str] | None = None,  # noqa: A002 - the attribute's name in CloudEvents
    id_scope: str = "global",
    source: str | None = None,
    exclude: Iterable[str] = (),
    registry_url: str = "",
) -> DataFrame:
    """Return the events of a DataFrame's rows as the columns of Spark's Kafka sink: topic, key, value and headers.

    It works for batch and streaming DataFrames, and collects nothing. The columns become the payload. ``key``,
    ``time``, ``id`` and ``source`` name columns, which are also part of the payload unless ``exclude`` names them.

    Args:
        df: The rows.
        name: The event's name.
        encoder: An encoder without a schema registry; else one with the driver's settings.
        key: The column of the key, of type string, binary or an integer. A null is no key.
        time: The column that says when the event happened, of type timestamp; else the moment of encoding.
        id: The column, or columns, that identify an event and are the same when a task runs again. One column of type
            string or an integer is the id itself; others are hashed by ``event_id``. Without it the DataFrame must have
            the columns ``topic``, ``partition`` and ``offset`` of Spark's Kafka source.
        id_scope: ``batch`` if ``id`` is unique only within a batch of a streaming query; its id is part of the hash.
        source: The column of the ``source`` attribute, of type string; else the encoder's source, as for a null.
        exclude: Columns that are left out of the payload.
        registry_url: A schema registry, which each worker process asks.

    Raises:
        SettingsError: A column is missing or has a type that cannot be used, or there is no usable id.
        BadNameError: The name cannot be a topic's.

    """
    encoder = EventEncoder() if encoder is None else encoder
    if encoder.has_registry:
        raise SettingsError(
            "encoder: expected one without a schema registry, since workers cannot share its connection; "
            "pass registry_url, and each worker makes its own"
        )
    encoder.topic_for(name)
    columns = EventColumns.of(
        df.schema.jsonValue(),
        name,
        key=key,
        time=time,
        id=id,
        id_scope=id_scope,
        source=source,
        exclude=exclude,
        encoder=encoder,
        registry=bool(registry_url),
    )

    def encode(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = RowEncoder(columns, connected(encoder, registry_url), _stream_batch())
        for batch in batches:
            yield rows.encode(batch).as_kafka_columns()

    return df.mapInArrow(encode, _KAFKA_COLUMNS)


class FlowbridgeDataSource(DataSource):
    """The data source ``flowbridge``: ``spark.dataSource.register(FlowbridgeDataSource)``.

    It writes only, in batch jobs (``df.write.format("flowbridge").mode("append")``) and in streaming queries. The
    options stand in ``flowbridge_sdk.spark.options``. A worker process has one buffer, which it shares between tasks.
    A task ends once Kafka has acknowledged all of its events, and fails if it did not.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "flowbridge"

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:  # noqa: FBT001 - Spark's signature
        """Return the writer of a batch job.

        Raises:
            SettingsError: An option is wrong.

        """
        if overwrite:
            raise SettingsError('mode: expected append, found overwrite; events cannot be overwritten: .mode("append")')
        return _BatchWriter(SinkOptions.of(self.options, schema.jsonValue(), streaming=False))

    def streamWriter(self, schema: StructType, overwrite: bool) -> DataSourceStreamWriter:  # noqa: N802, FBT001 - Spark's signature
        """Return the writer of a streaming query.

        Raises:
            SettingsError: An option is wrong.

        """
        if overwrite:
            raise SettingsError(
                "outputMode: expected append or update, found complete, which publishes all rows again in each batch"
            )
        return _StreamWriter(SinkOptions.of(self.options, schema.jsonValue(), streaming=True))


@dataclass
class _Published(WriterCommitMessage):
    """What a task published.

    Attributes:
        rows: How many events.
        batch: The batch of the streaming query; None in a batch job.

    """

    rows: int
    batch: StreamBatch | None


class _Writer(DataSourceArrowWriter):
    """The writer of a job, also of a streaming one: before Spark 4.1 no other class is handed batches of Arrow."""

    def __init__(self, options: SinkOptions) -> None:
        self._options = options

    def write(self, iterator: Iterator[pa.RecordBatch]) -> _Published:
        """Publish a task's rows; return once Kafka has all of them."""
        batch, name = _stream_batch(), self._options.columns.name
        encoder = RowEncoder(self._options.columns, self._options.encoder_here(), batch)
        buffer = _buffer(self._options.settings)
        number = 0
        try:
            for rows in iterator:
                encoded = encoder.encode(rows)
                buffer.put_all(encoded.topic, encoded.as_records(), name)
                number += rows.num_rows
        except BaseException as error:
            try:  # the next task of this process has to find an empty buffer
                buffer.flush(None)
            except PublishError as undelivered:
                error.add_note(str(undelivered))
            raise
        buffer.flush(None)
        return _Published(number, batch)

    def publish_done(self, messages: list[WriterCommitMessage | None]) -> None:
        """Publish the event for the end of a batch, on the driver; a batch without tasks has none."""
        options, published = self._options, [message for message in messages if isinstance(message, _Published)]
        batch = next((message.batch for message in published if message.batch), None)
        if not options.batch_done or not published:
            return
        payload: dict[str, Any] = {
            "event": options.columns.name,
            "rows": sum(message.rows for message in published),
            "tasks": len(published),
        }
        id_ = options.batch_done_id
        if batch is not None:
            payload |= {"query": batch.query, "batch": batch.number}
            id_ = id_ or event_id(*batch)
        buffer = _buffer(options.settings)
        buffer.put(options.encoder_here().encode(options.batch_done, payload, id=id_), options.batch_done)
        buffer.flush(None)


class _BatchWriter(_Writer):
    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """End the job."""
        self.publish_done(messages)


class _StreamWriter(_Writer, DataSourceStreamWriter):
    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: ARG002, N803 - Spark's signature
        """End a micro-batch."""
        self.publish_done(messages)

    def abort(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: N803 - Spark's signature
        """Do nothing: the events of a batch that runs again have the same ids."""


_buffers: dict[str, Buffer] = {}


def _buffer(settings: PublisherSettings) -> Buffer:
    """Return the buffer of this process, which later tasks use again."""
    key = repr(sorted(settings.kafka.items()))
    if key not in _buffers:
        _buffers[key] = Buffer(settings.kafka, settings.delivery_timeout_s, None)
        _buffers[key].enter()  # each task flushes
    return _buffers[key]


def _stream_batch() -> StreamBatch | None:
    """Return the batch of the streaming query whose task this is; None in a batch job."""
    context = TaskContext.get()
    query = context and context.getLocalProperty("sql.streaming.queryId")
    number = context and context.getLocalProperty("streaming.sql.batchId")
    return StreamBatch(query, int(number)) if query and number else None
