"""Jobs of Flink, Quix Streams and Bytewax that are killed in the middle: each source record's run exists exactly once.

The jobs are the programs of docs/publishing.md. Each reads a topic of its own in three parts. SIGKILL ends all of its
processes at once while the events of the second part are written but not yet committed.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest
from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # missing in its __all__

from e2e.installation import DEADLINE, parameters
from servers.process import ServerError, ServerProcess
from servers.topics import make_topics, remove_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation
    from frameworks.environments import Environment

PROGRAMS = Path(__file__).parents[2] / "docs" / "examples" / "publishing"
PARTITIONS = 3
PART = 80
"""Events of one of the three parts of a story."""
JOB_SECONDS = 120.0
"""For a job to start and write; Flink takes 15 to 20 on an idle machine."""


class Case(NamedTuple):
    """What a program reads and publishes.

    Attributes:
        source: The topic that it reads.
        name: The events' name.
        trigger: The trigger of these events.
        reference: The field of a source record that says which it is.
        published: The fields that make the program publish an event.
        ignored: The fields that make it publish none.

    """

    source: str
    name: str
    trigger: str
    reference: str
    published: dict[str, Any]
    ignored: dict[str, Any]


WHEN = {"customer": "c-7", "ordered_at": "2026-01-31T12:00:00.5Z"}
FLINK_TABLE = Case(
    "orders", "order.large", "flink-table", "order_id", {**WHEN, "amount": "12.50"}, {**WHEN, "amount": "1.00"}
)
FLINK_STREAM = Case("refunds", "order.refunded", "flink-stream", "refund_id", {"customer": "c-7"}, {})
QUIX = Case(
    "payments",
    "payment.declined",
    "quix",
    "payment_id",
    {"customer": "c-7", "status": "declined"},
    {"customer": "c-7", "status": "paid"},
)
BYTEWAX = Case("readings", "sensor.hot", "bytewax", "reading_id", {"sensor": "s-1", "celsius": 90}, {"celsius": 20})
CASES = (FLINK_TABLE, FLINK_STREAM, QUIX, BYTEWAX)


@pytest.fixture(scope="module")
def bridge(installation: Installation) -> Iterator[BridgeProcess]:
    """A bridge with a trigger for each program, and the topics, which are new."""
    topics = {topic for case in CASES for topic in (case.source, case.name)}
    remove_topics(installation.bootstrap, *topics)  # of another module's programs
    make_topics(installation.bootstrap, *topics, partitions=PARTITIONS)
    installation.create_template("take-event", reference=None)
    installation.write_triggers("\n---\n".join(_trigger(case) for case in CASES))
    with installation.process() as process:
        installation.wait_triggers(*(case.trigger for case in CASES))
        yield process


def _trigger(case: Case) -> str:
    return f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {case.trigger}}}
spec:
  events: [{{name: {case.name}, as: it}}]
  run:
    workflowTemplate: take-event
    parameters: {{reference: it.payload.{case.reference}}}
"""


class Job(ServerProcess):
    """A program in a framework's environment. A context manager: started on entering, killed on leaving."""

    def __init__(
        self, installation: Installation, environment: Environment, folder: Path, command: list[str], **variables: str
    ) -> None:
        settings = {"FLOWBRIDGE_BOOTSTRAP_SERVERS": installation.bootstrap, **variables}
        words = [f"{name}={text}" for name, text in environment.variables(settings).items()]
        super().__init__("job", ["env", "-i", f"--chdir={folder}", *words, *command], folder / "job.log")

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """End all of its processes at once."""
        if self.running:
            self.signal_all(signal.SIGKILL)
        super().kill()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition while the job runs."""
        try:
            self.wait_until(condition, JOB_SECONDS)
        except ServerError as error:
            raise AssertionError(f"{what}: {error}") from error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Story:
    """The source records of a case, and the events that came of them."""

    def __init__(self, installation: Installation, case: Case) -> None:
        self._installation = installation
        self._case = case
        self._admin = AdminClient({"bootstrap.servers": installation.bootstrap})
        self._produced = 0
        self.expected: set[str] = set()

    def produce(self, number: int) -> None:
        """Produce source records of so many events, and as many others if the program tells them apart."""
        producer = Producer({"bootstrap.servers": self._installation.bootstrap})
        for fields in (self._case.published, self._case.ignored):
            for _ in range(number if fields else 0):
                reference = f"r-{self._produced}"
                self._produced += 1
                record = json.dumps({self._case.reference: reference, **fields})
                producer.produce(self._case.source, record, key=reference)
                if fields is self._case.published:
                    self.expected.add(reference)
        assert producer.flush(30) == 0

    def ids(self) -> list[str]:
        """Return the ids of all committed events on the topic."""
        settings = {"bootstrap.servers": self._installation.bootstrap, "group.id": f"story-{self._case.name}"}
        consumer = Consumer(
            {
                **settings,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        try:
            consumer.assign([TopicPartition(self._case.name, partition, 0) for partition in range(PARTITIONS)])
            ids: list[str] = []
            ended: set[int | None] = set()
            while len(ended) < PARTITIONS:
                for message in consumer.consume(1000, 0.05):
                    if message.error() is None:
                        headers: Any = message.headers()
                        ids.append(dict(headers)["ce_id"].decode())
                    else:
                        ended.add(message.partition())
            return ids
        finally:
            consumer.close()

    def open_events(self) -> int:
        """Return how many events of open transactions are on the topic."""
        ends = []
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
            latest = {
                TopicPartition(self._case.name, partition): OffsetSpec.latest() for partition in range(PARTITIONS)
            }
            found = self._admin.list_offsets(latest, isolation_level=level, request_timeout=10)
            ends.append(sum(future.result().offset for future in found.values()))
        return ends[1] - ends[0]

    def is_written(self) -> bool:
        """Return whether each source record's event is committed."""
        return len(set(self.ids())) >= len(self.expected)

    def kill_in_a_transaction(self, job: Job) -> int:
        """Produce a part, and kill a job while its events are in an open transaction; return how many.

        A job may begin and commit between two looks. Then the next part is produced.
        """
        while True:
            self.produce(PART)
            job.wait(lambda: self.open_events() > 0 or self.is_written(), "events of a transaction")
            job.signal_all(signal.SIGSTOP)  # it may have committed since: look again while it cannot
            if (open_events := self.open_events()) > 0:
                job.kill()
                return open_events
            job.signal_all(signal.SIGCONT)

    def assert_each_run_exists_once(self) -> None:
        """Wait for the runs of all events, and until no event is left that could make another."""
        self._installation.wait_workflows(self._case.trigger, len(self.expected))
        self._installation.wait_processed()
        workflows = self._installation.workflows(self._case.trigger)
        assert sorted(parameters(workflow)["reference"] for workflow in workflows) == sorted(self.expected)
        assert self._installation.dead_letters(self._case.name) == []


def _flink(
    installation: Installation, flink: Environment, folder: Path, program: str, checkpoint: Path | None = None
) -> Job:
    (home,) = flink.python.parents[1].glob("lib/python*/site-packages/pyflink")
    (jar,) = flink.jars
    restore = ["--fromSavepoint", str(checkpoint)] if checkpoint else []
    options = [f"-Dexecution.checkpointing.dir=file://{folder}/checkpoints", "-Dparallelism.default=1"]
    interpreters = ["-pyexec", str(flink.python), "-pyclientexec", str(flink.python)]
    command = ["bash", str(home / "bin" / "flink"), "run", "--target", "local", *options, *restore]
    command += [*interpreters, "--jarfile", str(jar), "--python", str(PROGRAMS / program)]
    return Job(installation, flink, folder, command, FLINK_LOG_DIR=str(folder))


def _last_checkpoint(folder: Path) -> Path:
    complete = [metadata.parent for metadata in (folder / "checkpoints").glob("*/chk-*/_metadata")]
    return max(complete, key=lambda checkpoint: int(checkpoint.name.removeprefix("chk-")))


@pytest.mark.usefixtures("bridge")
def test_a_flink_job_is_killed_and_restored_from_its_checkpoint(
    installation: Installation, flink: Environment, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    story = Story(installation, FLINK_TABLE)
    story.produce(PART)
    with _flink(installation, flink, tmp_path, "flink_table.py") as job:
        job.wait(story.is_written, "the first part")
        open_events = story.kill_in_a_transaction(job)
    story.produce(PART)
    with _flink(installation, flink, tmp_path, "flink_table.py", _last_checkpoint(tmp_path)) as job:
        job.wait(story.is_written, "all parts")
        ids = story.ids()
        assert len(ids) == len(set(ids)) == len(story.expected)
        story.assert_each_run_exists_once()
    record_property("figures", f"{len(ids)} runs once each; {open_events} events in the transaction that was cut off")


@pytest.mark.usefixtures("bridge")
def test_a_flink_datastream_publishes(installation: Installation, flink: Environment, tmp_path: Path) -> None:
    story = Story(installation, FLINK_STREAM)
    story.produce(PART)
    with _flink(installation, flink, tmp_path, "flink_datastream.py") as job:
        job.wait(story.is_written, "the refunds")
        assert sorted(story.ids()) == sorted(story.expected)  # this program's ids are the refunds'
        story.assert_each_run_exists_once()


@pytest.mark.usefixtures("bridge")
def test_a_quix_application_is_killed_and_started_again(
    installation: Installation, quix: Environment, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    story = Story(installation, QUIX)
    story.produce(PART)
    command = [str(quix.python), str(PROGRAMS / "quix_streams.py")]
    with Job(installation, quix, tmp_path, command) as job:
        job.wait(story.is_written, "the first part")
        open_events = story.kill_in_a_transaction(job)
    story.produce(PART)
    with Job(installation, quix, tmp_path, command) as job:
        job.wait(story.is_written, "all parts")
        ids = story.ids()
        assert len(ids) == len(set(ids)) == len(story.expected)
        story.assert_each_run_exists_once()
    record_property("figures", f"{len(ids)} runs once each; {open_events} events in the transaction that was cut off")


@pytest.mark.usefixtures("bridge")
def test_a_bytewax_dataflow_is_killed_and_resumes_from_its_recovery_store(
    installation: Installation, bytewax: Environment, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    recovery = tmp_path / "recovery"
    recovery.mkdir()
    init = Job(installation, bytewax, tmp_path, [str(bytewax.python), "-m", "bytewax.recovery", str(recovery), "1"])
    init.run(DEADLINE)

    def dataflow(snapshot_seconds: int) -> Job:
        store = ["--recovery-directory", str(recovery), "--backup-interval", "0"]
        command = [str(bytewax.python), "-m", "bytewax.run", "bytewax_flow", *store]
        path = os.pathsep.join([bytewax.variables()["PYTHONPATH"], str(PROGRAMS)])
        return Job(
            installation,
            bytewax,
            tmp_path,
            [*command, "--snapshot-interval", str(snapshot_seconds)],
            PYTHONPATH=path,
        )

    def first_open_epoch() -> int:
        with closing(sqlite3.connect(recovery / "part-0.sqlite3")) as store:
            epochs = store.execute("SELECT worker_frontier FROM fronts ORDER BY ex_num DESC LIMIT 1").fetchall()
        return max((epoch for (epoch,) in epochs), default=0)

    story = Story(installation, BYTEWAX)
    story.produce(PART)
    with dataflow(1) as job:
        job.wait(story.is_written, "the first part")
        after = first_open_epoch() + 2
        job.wait(lambda: first_open_epoch() >= after, "the snapshot of the first part")
    first = story.ids()
    story.produce(PART)
    with dataflow(3600) as job:  # it takes no snapshot of the second part
        job.wait(story.is_written, "the second part")
    second = set(story.ids()) - set(first)
    story.produce(PART)
    with dataflow(1) as job:
        job.wait(story.is_written, "all parts")
        story.assert_each_run_exists_once()
    ids = story.ids()
    assert len(set(ids)) == 3 * PART
    # at least once: what came after the last snapshot was written again, with the ids of the first time
    assert {event_id for event_id in ids if ids.count(event_id) > 1} == second
    record_property("figures", f"{3 * PART} runs once each, of {len(ids)} events")
