"""Columns and options of Spark's jobs are checked before anything runs, and their errors say what to write instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flowbridge_sdk import BadNameError, EventEncoder, SettingsError
from flowbridge_sdk.spark.columns import EventColumns
from flowbridge_sdk.spark.options import SinkOptions

COLUMNS: dict[str, Any] = {
    "order_id": "string",
    "number": "long",
    "customer": "varchar(20)",
    "amount": "decimal(10,2)",
    "at": "timestamp",
    "day": "date",
    "local": "timestamp_ntz",
    "share": "double",
    "lines": {"type": "array", "elementType": "long", "containsNull": True},
}
KAFKA = {"topic": "string", "partition": "integer", "offset": "long", "value": "binary"}
PAID = """{
  "type": "record", "name": "Paid",
  "fields": [{"name": "amount", "type": "double"}, {"name": "note", "type": "string", "default": ""}]
}"""


def schema(**columns: Any) -> dict[str, Any]:
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in columns.items()]
    return {"type": "struct", "fields": fields}


def chosen(columns: dict[str, Any], **more: Any) -> EventColumns:
    given: dict[str, Any] = {
        "exclude": [name for name in ("local",) if name in columns],
        "encoder": EventEncoder("shop"),
    } | more
    return EventColumns.of(schema(**columns), "paid", **given)


def test_named_columns_stay_in_the_payload_unless_they_are_excluded() -> None:
    columns = {"order_id": "string", "customer": "string", "amount": "double"}
    assert chosen(columns, id="order_id", key="customer").payload == ("order_id", "customer", "amount")
    assert chosen(columns, id="order_id", key="customer", exclude=["customer"]).payload == ("order_id", "amount")
    assert chosen(columns, id="order_id", exclude="customer").payload == ("order_id", "amount")


@pytest.mark.parametrize(
    ("id_", "scope", "is_text"),
    [
        ("order_id", "global", True),
        ("number", "global", True),
        ("customer", "global", True),
        ("order_id", "batch", False),
        ("day", "global", False),
        (["order_id", "day"], "global", False),
    ],
)
def test_one_column_of_text_or_an_integer_is_the_id_itself_and_others_are_hashed(
    id_: str | list[str], scope: str, *, is_text: bool
) -> None:
    assert chosen(COLUMNS, id=id_, id_scope=scope).id_is_text == is_text


def test_rows_of_a_kafka_source_are_known_by_their_place() -> None:
    columns = chosen(KAFKA, exclude=["topic"])
    assert (columns.id, columns.id_of_kafka) == (("topic", "partition", "offset"), True)
    assert not chosen(KAFKA, id="value").id_of_kafka


@pytest.mark.parametrize("missing", ["topic", "partition", "offset"])
def test_without_a_usable_id_an_id_column_is_asked_for(missing: str) -> None:
    rest = {name: kind for name, kind in KAFKA.items() if name != missing}
    for columns in (rest, {**rest, missing: "double"}):
        with pytest.raises(SettingsError, match="id: expected a column that identifies each event, found none"):
            chosen(columns)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"key": "custumer"}, "key: expected a column, found 'custumer'; the columns are order_id, number, customer"),
        ({"id": ["order_id", "x"]}, "id: expected a column, found 'x'"),
        ({"exclude": ["x"]}, "exclude: expected a column, found 'x'"),
        (
            {"key": "share"},
            "key: expected a column of type string, binary or an integer, found share of type double; cast",
        ),
        ({"time": "day"}, "time: expected a column of type timestamp, found day of type date"),
        ({"time": "local"}, "time: expected a column of type timestamp, found local of type timestamp_ntz"),
        ({"source": "number"}, "source: expected a column of type string, found number of type long"),
        ({"id": "share"}, "id: expected a column of type string, an integer, .*, found share of type double"),
        ({"id": "lines"}, "id: expected a column of type .*, found lines of type array<long>"),
        ({"id_scope": "row"}, "id_scope: expected global or batch, found 'row'"),
        (
            {"exclude": []},
            "column local: found type timestamp_ntz; a timestamp without a time zone needs a typed schema",
        ),
    ],
)
def test_a_column_that_cannot_be_used_is_named(more: dict[str, Any], error: str) -> None:
    with pytest.raises(SettingsError, match=error):
        chosen(COLUMNS, **{"id": "order_id", **more})


def _struct(**fields: Any) -> dict[str, Any]:
    return schema(**fields)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("interval day to second", r"column x: found type interval day to second; a payload cannot hold it"),
        ("variant", r"column x: found type variant"),
        (_struct(a={"type": "array", "elementType": "variant"}), r"column x\.a\[\]: found type variant"),
        (
            _struct(m={"type": "map", "keyType": "long", "valueType": "long"}),
            r"column x\.m: expected a map with keys of type string, found map<long,long>; cast the keys",
        ),
        ({"type": "map", "keyType": "string", "valueType": "variant"}, r"column x\[\]: found type variant"),
        ({"type": "udt", "class": "x", "sqlType": "long"}, r"column x: found a user-defined type"),
    ],
)
def test_a_type_that_no_payload_holds_is_refused_with_its_path(kind: Any, error: str) -> None:
    columns = {"order_id": "string", "x": kind}
    with pytest.raises(SettingsError, match=error):
        chosen(columns, id="order_id")
    assert chosen(columns, id="order_id", exclude=["x"]).payload == ("order_id",)


def test_two_columns_of_one_name_are_refused() -> None:
    twice = {"type": "struct", "fields": [*schema(a="long")["fields"], *schema(a="long")["fields"]]}
    with pytest.raises(SettingsError, match="expected columns with different names, found a more than once"):
        EventColumns.of(twice, "paid", id="a", encoder=EventEncoder("shop"))


def test_columns_have_to_be_the_fields_of_a_typed_schema(tmp_path: Path) -> None:
    (tmp_path / "paid.avsc").write_text(PAID)
    encoder = EventEncoder("shop", schemas=tmp_path)
    columns = {"order_id": "string", "amount": "double", "local": "timestamp_ntz"}
    fitting = {"id": "order_id", "exclude": ["order_id", "local"], "encoder": encoder}
    assert chosen(columns, **fitting).payload == ("amount",)
    with pytest.raises(
        SettingsError, match=r"paid\.avsc: the schema has no field for the columns order_id, local; leave"
    ):
        chosen(columns, **{**fitting, "exclude": []})
    with pytest.raises(SettingsError, match=r"paid\.avsc: the schema's fields amount have no column and no default"):
        chosen(columns, **{**fitting, "exclude": ["order_id", "local", "amount"]})


BROKER = {"kafka.bootstrap.servers": "127.0.0.1:9092"}
ROWS = schema(order_id="string", at="timestamp", amount="double")


def options(*, streaming: bool = False, **given: str) -> SinkOptions:
    named = {**BROKER, "name": "paid", "id": "order_id", **given}
    return SinkOptions.of(named, ROWS, streaming=streaming, environment={})


def test_options_are_read_whatever_their_letter_case() -> None:
    read = options(KEY="order_id", Time="at", EXCLUDE="at , order_id", DefaultSource="shop", checkpointLocation="/x")
    assert read.columns.payload == ("amount",)
    assert (read.columns.key, read.columns.time, read.encoder.source) == ("order_id", "at", "shop")
    assert read.settings.kafka["bootstrap.servers"] == "127.0.0.1:9092"


def test_options_of_kafka_go_to_the_client_and_bound_its_buffer() -> None:
    assert options().settings.kafka["queue.buffering.max.kbytes"] == 65_536
    given: Any = {"kafka.queue.buffering.max.kbytes": "2000", "kafka.compression.type": "none"}
    read = options(**given)
    assert (read.settings.kafka["queue.buffering.max.kbytes"], read.settings.kafka["compression.type"]) == (
        "2000",
        "none",
    )


def test_what_no_option_says_comes_from_the_drivers_environment(tmp_path: Path) -> None:
    (tmp_path / "paid.avsc").write_text(PAID)
    environment = {
        "FLOWBRIDGE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FLOWBRIDGE_SOURCE": "billing",
        "FLOWBRIDGE_SCHEMAS": str(tmp_path),
        "FLOWBRIDGE_SHARED_TOPICS": "pa*=payments",
    }
    named = {"name": "paid", "id": "order_id", "exclude": "order_id,at"}
    read = SinkOptions.of(named, ROWS, streaming=False, environment=environment)
    assert (read.encoder.source, read.encoder.topic_for("paid")) == ("billing", "payments")
    assert read.encoder.schema_of("paid") is not None
    other = SinkOptions.of({**named, "sharedTopics": "p*=others"}, ROWS, streaming=False, environment=environment)
    assert other.encoder.topic_for("paid") == "others"


@pytest.mark.parametrize(
    ("given", "streaming", "error"),
    [
        ({"name": ""}, False, "name: expected the name of the event, found none"),
        ({"kee": "order_id"}, False, "unknown option kee; the options are name, key, time, id, idScope"),
        ({"path": "/x"}, False, "path: the data source writes to Kafka and takes no path"),
        ({"kafka.bootstrap.servers": ""}, False, "no Kafka is named"),
        ({"kafka.no.such": "1"}, False, 'No such configuration property: "no.such"'),
        ({"batchDone": "done"}, False, "batchDoneId: expected the id of the event batchDone, found none"),
        ({"batchDone": "done", "batchDoneId": "x"}, True, "batchDoneId: expected only in a batch job with batchDone"),
        ({"batchDoneId": "x"}, False, "batchDoneId: expected only in a batch job with batchDone"),
        ({"sharedTopics": "x"}, False, "shared topics: found x="),
        ({"key": "nope"}, False, "key: expected a column, found 'nope'"),
        ({"idScope": "row"}, False, "id_scope: expected global or batch"),
    ],
)
def test_a_wrong_option_is_named(given: Any, error: str, *, streaming: bool) -> None:
    with pytest.raises(SettingsError, match=error):
        options(streaming=streaming, **given)


def test_without_spark_an_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['pyspark'] = None\nfrom flowbridge_sdk.spark import to_kafka_columns"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "(pyspark is missing): pip install 'flowbridge-sdk[spark]'" in done.stderr.splitlines()[-1]


def test_a_name_that_no_topic_has_is_refused() -> None:
    with pytest.raises(BadNameError):
        options(name="a\nb")
    with pytest.raises(BadNameError):
        options(batchDone="a\nb", batchDoneId="x")
