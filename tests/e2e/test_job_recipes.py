"""The recipes of docs/publishing.md for jobs run as they stand there: work that runs again adds no Workflow.

Schedulers are installed ones, the outbox is a database, and the step of Argo is what Argo's own code makes of it.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition

from e2e.installation import DEADLINE, parameters
from flowbridge_sdk.codec import Decoder
from servers.argo import substituted_by_argo
from servers.process import wait_for
from servers.topics import end_offsets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation
    from frameworks.environments import Environment

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "examples" / "publishing"
FRAMEWORKS = ROOT / "tests" / "frameworks"
SCHEDULERS = ("airflow", "dagster", "prefect", "argo")
TRIGGER = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events:
    - name: {event}
      as: it
      where: {where}
  run:
    workflowTemplate: take
    parameters: {{value: it.payload.{field}}}
"""
ORDERS = 30
START_SECONDS = 240.0
"""Within which a scheduler has started and run its first task: a minute on an idle machine whose caches are cold."""


class Topic:
    """Reads what is in the topic of an event: ids and payloads of one source, again and again from the beginning."""

    def __init__(self, bootstrap: str, name: str, source: str) -> None:
        self._bootstrap = bootstrap
        self._settings = {"bootstrap.servers": bootstrap, "group.id": f"recipes-{name}", "log_level": 0}
        self._name = name
        self._source = source.encode()

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the id and the payload of each event that is there now."""
        consumer = Consumer({**self._settings, "enable.auto.commit": False})
        try:
            ends = end_offsets(self._bootstrap, self._name)
            left = sum(ends.values())
            consumer.assign([TopicPartition(self._name, partition, 0) for partition in ends])
            records: list[Any] = []
            while len(records) < left:
                records += [record for record in consumer.consume(left, timeout=10) if record.error() is None]
        finally:
            consumer.close()
        ours = [(dict(record.headers()), record.value()) for record in records]
        return [
            (headers["ce_id"].decode(), Decoder().decode(self._name, value, list(headers.items())))
            for headers, value in ours
            if headers["ce_source"] == self._source
        ]


@pytest.fixture(scope="module")
def bridge(installation: Installation) -> Iterator[BridgeProcess]:
    """A bridge with a trigger for each recipe."""
    installation.create_template("take", value=None)
    triggers = {
        name: TRIGGER.format(
            name=name,
            event="report.finished",
            where=f"event.source == '{name}' && payload.outcome == 'succeeded'",
            field="rows",
        )
        for name in SCHEDULERS
    }
    triggers["outbox"] = TRIGGER.format(
        name="outbox", event="order.placed", where="event.source == 'shop'", field="order_id"
    )
    triggers["debezium"] = TRIGGER.format(
        name="debezium", event="order.shipped", where="event.source == 'shop'", field="order_id"
    )
    triggers["ended"] = TRIGGER.format(
        name="ended", event="daily-report.ended", where="payload.status == 'Succeeded'", field="status"
    )
    triggers["flows"] = TRIGGER.format(
        name="flows", event="reports.done", where="payload.outcome == 'succeeded'", field="outcome"
    )
    installation.write_triggers("\n---\n".join(triggers.values()))
    with installation.process() as process:
        installation.wait_triggers(*triggers)
        yield process


@pytest.mark.usefixtures("bridge")
def test_a_task_of_airflow_that_is_retried_and_run_again_makes_one_workflow(
    airflow: Environment, installation: Installation, tmp_path: Path
) -> None:
    subprocess.run(
        [str(airflow.python.parent / "airflow"), "db", "migrate"],
        env=airflow.variables(_settings("airflow", installation, tmp_path)),
        check=True,
        capture_output=True,
        timeout=START_SECONDS,
    )
    _run_twice("airflow", airflow, installation, tmp_path)


@pytest.mark.usefixtures("bridge")
def test_an_asset_of_dagster_that_is_retried_and_run_again_makes_one_workflow(
    dagster: Environment, installation: Installation, tmp_path: Path
) -> None:
    _run_twice("dagster", dagster, installation, tmp_path)


@pytest.mark.usefixtures("bridge")
def test_a_task_and_a_flow_of_prefect_that_are_run_again_make_one_workflow_each(
    prefect: Environment, installation: Installation, tmp_path: Path
) -> None:
    _run_twice("prefect", prefect, installation, tmp_path)
    flows = Topic(installation.bootstrap, "reports.done", "prefect").events()
    assert [payload["outcome"] for _, payload in flows] == ["succeeded", "succeeded"]
    assert len({id_ for id_, _ in flows}) == 1
    assert len(installation.wait_workflows("flows", 1)) == 1


def _settings(scheduler: str, installation: Installation, folder: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(RECIPES)]),
        "FLOWBRIDGE_BOOTSTRAP_SERVERS": installation.bootstrap,
        "FLOWBRIDGE_SOURCE": scheduler,
        "REPORT_FILE": str(folder / "report.json"),
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(RECIPES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "DAGSTER_HOME": str(folder),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PREFECT_HOME": str(folder),
        "DO_NOT_TRACK": "1",
    }


def _run_twice(scheduler: str, environment: Environment, installation: Installation, folder: Path) -> None:
    """Run the recipe until its task has succeeded after a failure, then the same run again; look at what came of it."""
    variables = environment.variables(_settings(scheduler, installation, folder))
    topic = Topic(installation.bootstrap, "report.finished", scheduler)
    with (folder / "log").open("w") as log:
        command = [str(environment.python), str(FRAMEWORKS / scheduler / "run_twice.py")]
        jobs = subprocess.Popen(command, env=variables, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(
                lambda: bool(topic.events()) or jobs.poll() is not None, START_SECONDS, "the event of the failed task"
            )
            (folder / "report.json").write_text("[1, 2, 3]")  # the next attempt finds it
            jobs.wait(START_SECONDS)
        finally:
            jobs.kill()
            jobs.wait()
    assert jobs.returncode == 0, (folder / "log").read_text()[-4000:]

    events = topic.events()
    failed = [(id_, payload) for id_, payload in events if payload["outcome"] == "failed"]
    succeeded = [(id_, payload) for id_, payload in events if payload["outcome"] == "succeeded"]
    assert failed[0][1]["error_type"] == "FileNotFoundError"
    assert "report.json" in failed[0][1]["error_text"]
    assert failed[0][1]["attempt"] == 1
    assert succeeded[0][1]["attempt"] == 1 + len(failed)
    assert len(succeeded) == 2  # the task, and the same task of the same run again
    assert len({id_ for id_, _ in failed}) == len({id_ for id_, _ in succeeded}) == 1
    assert {payload["run"] for _, payload in events} == {events[0][1]["run"]}
    installation.wait_processed()
    (workflow,) = installation.wait_workflows(scheduler, 1)
    assert parameters(workflow) == {"value": "3"}


@pytest.mark.usefixtures("bridge")
def test_a_relay_killed_between_sending_and_deleting_makes_one_workflow_a_row(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    outbox: Any = import_module("outbox")
    file = tmp_path / "shop.db"
    shop = sqlite3.connect(file, isolation_level=None)
    shop.execute(outbox.TABLE)
    shop.execute("CREATE TABLE orders (id VARCHAR(10))")
    for number in range(ORDERS):
        shop.execute("BEGIN")
        shop.execute("INSERT INTO orders VALUES (?)", (f"o-{number}",))
        outbox.add_event(shop, "order.placed", {"order_id": f"o-{number}"}, key=f"c-{number % 3}")
        shop.execute("ROLLBACK" if number % 10 == 9 else "COMMIT")
    placed = {id_ for (id_,) in shop.execute("SELECT id FROM orders")}
    assert len(placed) == ORDERS * 9 // 10

    topic = Topic(installation.bootstrap, "order.placed", "shop")
    command = [sys.executable, str(RECIPES / "outbox.py"), str(file)]
    variables = {**os.environ, "FLOWBRIDGE_BOOTSTRAP_SERVERS": installation.bootstrap}
    shop.execute("BEGIN IMMEDIATE")  # no other connection can delete
    relay = subprocess.Popen(command, env=variables)
    wait_for(lambda: len(topic.events()) == len(placed), DEADLINE, "the events of all rows")
    relay.kill()
    relay.wait()
    shop.execute("COMMIT")
    assert shop.execute("SELECT COUNT(*) FROM outbox").fetchone() == (len(placed),)

    relay = subprocess.Popen(command, env=variables)
    try:
        wait_for(lambda: shop.execute("SELECT COUNT(*) FROM outbox").fetchone() == (0,), DEADLINE, "an empty outbox")
    finally:
        relay.kill()
        relay.wait()
    assert Counter(id_ for id_, _ in topic.events()).most_common()[-1][1] == 2  # each was sent twice
    installation.wait_processed()
    runs = [parameters(workflow)["value"] for workflow in installation.wait_workflows("outbox", len(placed))]
    assert sorted(runs) == sorted(placed)


@pytest.mark.usefixtures("bridge")
def test_a_record_as_debeziums_router_makes_it_of_a_row_starts_one_run(installation: Installation) -> None:
    row = {
        "event_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "name": "order.shipped",
        "source": "shop",
        "happened": "2026-01-31T12:00:00Z",
        "content_type": "application/json",
    }
    page = (ROOT / "docs" / "publishing.md").read_text()
    (placement,) = re.findall(r"additional\.placement=(.*)", page)
    headers = {header: row[column] for column, _, header in (part.split(":") for part in placement.split(","))}
    assert len(headers) == len(row)
    producer = Producer({"bootstrap.servers": installation.bootstrap})
    for _ in range(2):  # Debezium repeats what it sent after its last commit
        record: dict[str, Any] = {"headers": [("id", row["event_id"]), *headers.items()]}
        producer.produce(row["name"], '{"order_id": "o-7"}', "c-7", **record)
    assert producer.flush(DEADLINE) == 0
    installation.wait_processed()
    (workflow,) = installation.wait_workflows("debezium", 1)
    assert parameters(workflow) == {"value": "o-7"}
    events = Topic(installation.bootstrap, "order.shipped", "shop").events()
    assert events == [(row["event_id"], {"order_id": "o-7"})] * 2


@pytest.mark.usefixtures("bridge", "argo")
def test_a_step_of_argo_publishes_the_same_event_when_it_is_tried_again(
    installation: Installation, tmp_path: Path
) -> None:
    manifest = yaml.safe_load((RECIPES / "argo-step.yaml").read_text())
    templates = {template["name"]: template for template in manifest["spec"]["templates"]}
    assert {manifest["spec"]["entrypoint"], manifest["spec"]["onExit"]} <= templates.keys()
    (tmp_path / "report.py").write_text((RECIPES / "argo_report.py").read_text())
    (tmp_path / "report.json").write_text("[1, 2]")
    runs = []
    for retries in ("0", "1"):
        variables = {"workflow.uid": "uid-7", "workflow.status": "Succeeded", "retries": retries}
        for name in ("report", "tell"):
            container = substituted_by_argo(templates[name]["container"], variables, {})
            assert "{{" not in json.dumps(container)
            environment = {variable["name"]: variable["value"] for variable in container["env"]}
            environment |= {"FLOWBRIDGE_BOOTSTRAP_SERVERS": installation.bootstrap, "FLOWBRIDGE_SOURCE": "argo"}
            environment |= {"REPORT_FILE": str(tmp_path / "report.json"), "PATH": f"{Path(sys.executable).parent}"}
            command = [*container["command"], *container.get("args", [])]
            runs.append(
                subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
            )
    assert [run.returncode for run in runs] == [0] * 4, [run.stderr for run in runs]
    events = Topic(installation.bootstrap, "report.finished", "argo").events()
    assert [payload["attempt"] for _, payload in events] == [1, 2]
    assert len({id_ for id_, _ in events}) == 1
    told = Topic(installation.bootstrap, "daily-report.ended", "argo").events()
    assert [id_ for id_, _ in told] == ["uid-7-Succeeded"] * 2
    installation.wait_processed()
    for trigger, value in (("argo", "2"), ("ended", "Succeeded")):
        (workflow,) = installation.wait_workflows(trigger, 1)
        assert parameters(workflow) == {"value": value}
