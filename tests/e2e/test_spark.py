"""Rows of Spark become runs, each exactly once: by Spark's own Kafka sink, and by the data source ``flowbridge``.

Spark's tasks fail and run again, run twice at once, or lose their driver. What a task has published by then is in
Kafka, so these tests also make sure that there are more records than rows.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.installation import parameters
from flowbridge_sdk import event_id
from flowbridge_sdk.codec import Decoder
from frameworks import golden
from servers.loopback import free_port
from servers.process import ServerProcess, wait_for
from servers.topics import make_topics, record_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation
    from frameworks.environments import Environment
    from servers.choice import AnyKafka

PROGRAMS = Path(__file__).parents[1] / "frameworks" / "spark"
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "publishing"
WAYS = ("kafka", "flowbridge")
ROWS = 200
FILES, LINES = 5, 40
NAMES = [f"spark.{rows_of}.{way}" for rows_of in ("rate", "files") for way in WAYS]
EXAMPLE_NAMES = {"kafka": "order.created", "flowbridge": "order.shipped"}
pytestmark = pytest.mark.timeout(1200)

SECONDS = 300.0
"""For a program that takes ten on an idle machine."""


@pytest.fixture(scope="module")
def bridge(installation: Installation) -> Iterator[BridgeProcess]:
    """A bridge with a trigger for each query."""
    installation.create_template("row", n=None)
    names = [*NAMES, *EXAMPLE_NAMES.values()]
    installation.write_triggers("\n---\n".join(_trigger(name) for name in names))
    with installation.process() as process:
        installation.wait_triggers(*(name.replace(".", "-") for name in names))
        yield process


def _trigger(name: str) -> str:
    column = "n" if name in NAMES else "order_id"
    return f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name.replace(".", "-")}}}
spec:
  startFrom: earliest
  events: [{{name: {name}, parameters: {{n: {column}}}}}]
  run: {{workflowTemplate: row}}
"""


@pytest.fixture(scope="module")
def cluster(spark: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two workers with addresses of their own, as Spark runs no second attempt on a task's host."""
    folder = tmp_path_factory.mktemp("cluster")
    log = folder / "cluster.log"
    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    home = spark.python.parents[1] / "lib" / f"python{'.'.join(_version(spark))}" / "site-packages" / "pyspark"
    deploy = "org.apache.spark.deploy"

    def node(name: str, kind: str, *arguments: str, host: str) -> ServerProcess:
        settings = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": host, "SPARK_NO_DAEMONIZE": "1"}
        ui = ["--host", host, "--webui-port", "0"]
        command = [
            *_environment(spark, settings),
            str(home / "bin" / "spark-class"),
            f"{deploy}.{kind}",
            *ui,
            *arguments,
        ]
        return ServerProcess(name, command, log)

    with ExitStack() as stack:
        nodes = [node("master", "master.Master", "--port", str(port), host="127.0.0.1")]
        for number in (2, 3):
            own = ["--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"work-{number}"), address]
            nodes.append(node(f"worker {number}", "worker.Worker", *own, host=f"127.0.0.{number}"))
        for each in nodes:
            each.start()
            stack.callback(each.stop, 10)
        registered = re.compile(r"Registering worker")
        wait_for(lambda: len(registered.findall(log.read_text())) == 2, 60, "the workers")
        yield address


def _version(spark: Environment) -> tuple[str, str]:
    folder = next((spark.python.parents[1] / "lib").glob("python3.*"))
    major, minor = folder.name.removeprefix("python").split(".")
    return major, minor


def _environment(spark: Environment, more: dict[str, str] | None = None) -> list[str]:
    local = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(spark.python), **(more or {})}
    return ["env", "-i", *(f"{name}={value}" for name, value in spark.variables(local).items())]


def _program(spark: Environment, file: Path, folder: Path, settings: dict[str, Any], **more: str) -> ServerProcess:
    jars = [str(jar) for jar in spark.jars]
    command = [*_environment(spark, dict(more)), str(spark.python), str(file), json.dumps({"jars": jars, **settings})]
    return ServerProcess(file.name, command, folder / f"{file.stem}.log")


def _is_once_each(installation: Installation, bridge: BridgeProcess, name: str, rows: set[str]) -> None:
    """Assert that there is a run for each row and no other, although rows were published more than once."""
    trigger = name.replace(".", "-")
    records = record_count(installation.bootstrap, name)
    assert records > len(rows), "the trouble published nothing twice"
    installation.wait_workflows(trigger, len(rows), SECONDS)
    installation.wait_decisions(bridge, trigger, matched=records)
    installation.wait_processed()
    counts = Counter(parameters(workflow)["n"] for workflow in installation.workflows(trigger))
    assert counts == dict.fromkeys(rows, 1)


def test_a_task_that_fails_and_one_that_is_overtaken_add_no_run(
    spark: Environment, cluster: str, installation: Installation, bridge: BridgeProcess, tmp_path: Path
) -> None:
    for way in WAYS:
        (tmp_path / way).mkdir()
    soon = {"": "true", ".interval": "100ms", ".quantile": "0.5", ".multiplier": "1.1", ".minTaskRuntime": "200ms"}
    settings = {
        "bootstrap": installation.bootstrap,
        "master": cluster,
        "spark": {f"spark.speculation{name}": value for name, value in soon.items()},
        "source": "rates",
        "rows_of": "rate",
        "rows": ROWS,
        "folder": str(tmp_path),
    }
    _program(spark, PROGRAMS / "stream.py", tmp_path, settings).run(2 * SECONDS)
    for way in WAYS:
        markers = {marker.name for marker in (tmp_path / way).iterdir()}
        assert markers == {"checkpoint", "failed", "slow", "overtaken"}
        _is_once_each(installation, bridge, f"spark.rate.{way}", {str(number) for number in range(ROWS)})


def test_a_driver_that_is_killed_and_restarted_from_its_checkpoint_adds_no_run(
    spark: Environment, installation: Installation, bridge: BridgeProcess, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(FILES):
        lines = [_line(number * LINES + line) for line in range(LINES)]
        (files / f"{number}.json").write_text("\n".join(map(json.dumps, lines)))
        os.utime(files / f"{number}.json", (number, number))  # the source reads the oldest first
    for way in WAYS:
        (tmp_path / way).mkdir()
        (tmp_path / way / "hold").touch()
    done = "spark.files.flowbridge.done"
    make_topics(installation.bootstrap, done, partitions=2)
    names = [f"spark.files.{way}" for way in WAYS]
    settings = {
        "bootstrap": installation.bootstrap,
        "source": "files",
        "rows_of": "files",
        "rows": FILES * LINES,
        "files": str(files),
        "folder": str(tmp_path),
    }
    first = _program(spark, PROGRAMS / "stream.py", tmp_path, settings)
    first.start()
    try:  # both are in their second batch
        first.wait_until(lambda: all(record_count(installation.bootstrap, name) > LINES for name in names), SECONDS)
    finally:
        os.killpg(os.getpgid(first.pid), signal.SIGKILL)  # the driver's JVM as well
        first.kill()
    for way, name in zip(WAYS, names, strict=True):
        assert LINES < record_count(installation.bootstrap, name) < 2 * LINES
        (tmp_path / way / "hold").unlink()
    _program(spark, PROGRAMS / "stream.py", tmp_path, settings).run(SECONDS)
    for name in names:
        _is_once_each(installation, bridge, name, {str(number) for number in range(FILES * LINES)})
    _is_done_for_each_batch(installation.bootstrap, done, tmp_path / "flowbridge")


def _line(number: int) -> dict[str, Any]:
    at = f"2026-01-31T12:00:00.{number:06d}Z"
    return {"n": number, "customer": f"c-{number % 7}", "at": at, "parts": [{"x": number / 4}, {"x": None}]}


def _is_done_for_each_batch(bootstrap: str, topic: str, folder: Path) -> None:
    query = json.loads((folder / "checkpoint" / "metadata").read_text())["id"]
    found = {}
    for record in golden.read_all(bootstrap, topic, FILES):
        payload = Decoder().decode(topic, record.value())
        assert dict(record.headers())["ce_id"].decode() == event_id(query, payload["batch"])
        found[payload["batch"]] = payload
    expected = {"event": topic.removesuffix(".done"), "rows": LINES, "tasks": 1, "query": query}
    assert found == {number: {**expected, "batch": number} for number in range(FILES)}


def test_the_golden_event_and_one_of_each_type_have_their_bytes(
    spark: Environment, kafka: AnyKafka, tmp_path: Path
) -> None:
    every = "spark.every"
    make_topics(kafka.bootstrap, golden.NAME, every, partitions=2)
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / f"{golden.NAME}.avsc").write_text(golden.SCHEMA)
    before = record_count(kafka.bootstrap, golden.NAME)  # other frameworks write to this topic, too
    settings = {"bootstrap": kafka.bootstrap, "source": golden.SOURCE, "every": every}
    settings["schemas"] = str(tmp_path / "schemas")
    _program(spark, PROGRAMS / "golden.py", tmp_path, settings).run(SECONDS)
    records = golden.read_all(kafka.bootstrap, golden.NAME, before + len(WAYS))
    assert len(records) == before + len(WAYS)
    records.sort(key=lambda record: record.offset())  # all have one key, so one partition
    for record in records[-len(WAYS) :]:
        assert (record.topic(), record.key(), record.value(), record.headers()) == golden.RECORD[:4]
    first, second = golden.read_all(kafka.bootstrap, every, len(WAYS))
    assert first.value() == second.value()
    assert Decoder().decode(every, first.value()) == {
        "id": "e-1",
        "b": True,
        "byte": 7,
        "short": 8,
        "i": -9,
        "l": 10,
        "f": 0.5,
        "d": 0.25,
        "dec": Decimal("1.50"),
        "bin": b"\x00\xff",
        "day": date(2026, 1, 31).isoformat(),
        "at": datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC),
        "none": None,
        "s": {"a": 1, "m": {"x": [1, None]}},
        "list": [{"t": "é"}],
        "days": {"k": "2026-01-31"},
    }


def test_wrong_options_and_lost_events_fail_the_job_with_a_clear_error(
    spark: Environment, kafka: AnyKafka, tmp_path: Path
) -> None:
    make_topics(kafka.bootstrap, "spark.refused", "spark.refused.sunk", partitions=2)
    settings = {"bootstrap": kafka.bootstrap, "source": "shop", "checkpoint": str(tmp_path / "c")}
    settings["master"] = "local[1]"  # where a task has one attempt
    program = _program(spark, PROGRAMS / "errors.py", tmp_path, settings)
    program.run(SECONDS)
    printed = (tmp_path / "errors.log").read_text()
    found: dict[str, str] = json.loads(printed[printed.index('{"') :].splitlines()[0])
    expected = {
        "no id": "id: expected a column that identifies each event, found none",
        "no column": "key: expected a column, found 'nope'; the columns are n, x",
        "unknown option": "unknown option kee; the options are name, key",
        "overwrite": "mode: expected append, found overwrite",
        "complete": "outputMode: expected append or update, found complete",
        "stream": "time: expected a column of type timestamp, found n of type long",
        "id within a batch job": "id_scope=batch: expected a streaming query, found a batch job",
        "no such topic": "topic spark.absent does not exist, and the broker does not create it; create it",
        "refused row": "field x: found a float nan",
        "kafka sink: no id": "id: expected a column that identifies each event, found none",
        "kafka sink: refused row": "field x: found a float nan",
    }
    assert found.keys() == expected.keys()
    for case, text in expected.items():
        assert text in found[case], case
    assert "in the row of the event with the id 13" in found["refused row"]
    assert record_count(kafka.bootstrap, "spark.refused") == 10  # the batches of Arrow before it


@pytest.mark.usefixtures("bridge")
@pytest.mark.parametrize("way", WAYS)
def test_the_programs_of_the_page_publish_orders(
    way: str, spark: Environment, installation: Installation, tmp_path: Path
) -> None:
    name = EXAMPLE_NAMES[way]
    make_topics(installation.bootstrap, f"{name}.done", partitions=2)
    orders = tmp_path / "orders"
    orders.mkdir()
    lines = [
        {"order_id": f"o-{number}", "customer": "c-7", "amount": 12.5, "at": "2026-01-31T12:00:00Z"}
        for number in range(20)
    ]
    (orders / "1.json").write_text("\n".join(map(json.dumps, lines)))
    text = (EXAMPLES / f"spark_{'kafka_sink' if way == 'kafka' else 'data_source'}.py").read_text()
    for shown, real in {
        "localhost:9092": installation.bootstrap,
        "/data/orders": str(orders),
        "/data/checkpoints/orders": str(tmp_path / "checkpoint"),
    }.items():
        assert shown in text
        text = text.replace(shown, real)
    program = tmp_path / "program.py"
    program.write_text(text)
    jars = f"--jars {','.join(map(str, spark.jars))}" if way == "kafka" else ""  # without them there is no Kafka sink
    submit = f"--master local[2] --conf spark.ui.enabled=false {jars} pyspark-shell"
    _program(spark, program, tmp_path, {}, PYSPARK_SUBMIT_ARGS=submit).run(SECONDS)
    workflows = installation.wait_workflows(name.replace(".", "-"), len(lines), SECONDS)
    assert Counter(parameters(workflow)["n"] for workflow in workflows) == {line["order_id"]: 1 for line in lines}
