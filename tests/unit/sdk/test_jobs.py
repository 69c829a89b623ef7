"""A job publishes how it ended: once for each run and outcome, durably, and never over its own exception."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import uuid
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from flowbridge_sdk import (
    BadPayloadError,
    JobEvent,
    NotDeliveredError,
    Publisher,
    SettingsError,
    UnknownRunError,
    event_id,
    publishes,
)
from flowbridge_sdk import event as event_module
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.jobs import TEXT_LIMIT
from frameworks.golden import read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPATIENT = {"delivery.timeout.ms": 300, "linger.ms": 0}
VARIABLES = ("FLOWBRIDGE_RUN", "FLOWBRIDGE_ATTEMPT", "FLOWBRIDGE_LOCAL", "JOB_COMPLETION_INDEX", "AIRFLOW_CTX_DAG_ID")


@pytest.fixture
def name(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An event of the test's own, which the environment's publisher sends to the broker."""
    for variable in (*VARIABLES, "ARGO_NODE_ID", "ARGO_TEMPLATE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("FLOWBRIDGE_BOOTSTRAP_SERVERS", bootstrap)
    monkeypatch.setattr(event_module.process_publisher, "_publisher", None)
    yield f"job.{uuid.uuid4().hex}"
    if (publisher := event_module.process_publisher._publisher) is not None:
        publisher.close()


def published(bootstrap: str, name: str, number: int) -> list[dict[str, Any]]:
    """Return the payloads of the only ``number`` events of a name, with their ids and keys."""
    records = read_all(bootstrap, name, number)
    assert len(records) == number
    found = []
    for record in sorted(records, key=lambda record: dict(record.headers())["ce_time"]):
        payload = Decoder().decode(name, record.value())
        found.append({**payload, "id": dict(record.headers())["ce_id"].decode(), "key": record.key().decode()})
    return found


def test_a_success_says_when_the_job_ran_and_what_it_added(bootstrap: str, name: str) -> None:
    before = datetime.now(UTC)
    with JobEvent(name, run=("nightly", 7)) as event:
        event.add_to_payload("rows", 3)
        within = datetime.now(UTC)
    (found,) = published(bootstrap, name, 1)
    assert before <= found.pop("started") <= within <= found.pop("ended") <= datetime.now(UTC)
    assert found == {
        "outcome": "succeeded",
        "run": "given/nightly/7",
        "attempt": None,
        "error_type": None,
        "error_text": None,
        "rows": 3,
        "id": event_id("job", "given", "nightly", 7, None, "succeeded"),
        "key": "given/nightly/7",
    }


def test_a_failure_that_a_retry_mends_is_two_events_and_a_repeat_of_either_is_none(bootstrap: str, name: str) -> None:
    def attempt(problem: str) -> None:
        with JobEvent(name, run="r"):
            if problem:
                raise OSError(problem)

    for problem in ("disk full", "disk gone"):
        with pytest.raises(OSError, match=problem):
            attempt(problem)
    attempt("")
    attempt("")
    found = published(bootstrap, name, 4)
    assert [event["outcome"] for event in found] == ["failed", "failed", "succeeded", "succeeded"]
    assert [event["error_text"] for event in found] == ["disk full", "disk gone", None, None]
    assert found[0]["error_type"] == "OSError"
    failed, again, succeeded, repeated = (event["id"] for event in found)
    assert (failed, succeeded) == (again, repeated)
    assert failed != succeeded


def test_parts_of_one_run_are_events_of_their_own(bootstrap: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    for table in ("a", "b"):
        with JobEvent(name, run="r", part=table):
            pass
    assert len({event["id"] for event in published(bootstrap, name, 2)}) == 2
    assert not caplog.records


def test_a_second_success_of_one_attempt_is_warned_of(name: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with JobEvent(name, run="r"):
            assert not caplog.records
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "pass `part`" in record.message


def test_a_decorated_function_keeps_its_result_its_name_and_its_arguments(bootstrap: str, name: str) -> None:
    @publishes(name, run=lambda day, **_: ("report", str(day)), part=lambda *_, shop: shop)
    def report(day: date, *, shop: str) -> str:
        """Make a report."""
        JobEvent.current().add_to_payload("shop", shop)
        return f"{shop} on {day}"

    assert report(date(2026, 1, 31), shop="nz") == "nz on 2026-01-31"
    assert (report.__name__, report.__doc__) == ("report", "Make a report.")
    (found,) = published(bootstrap, name, 1)
    assert (found["shop"], found["run"]) == ("nz", "given/report/2026-01-31")
    assert found["id"] == event_id("job", "given", "report", "2026-01-31", "nz", "succeeded")


def test_a_coroutine_function_publishes_while_others_run(bootstrap: str, name: str) -> None:
    @publishes(name, run="r")
    async def work(*, fail: bool) -> int:
        await asyncio.sleep(0)
        JobEvent.current().add_to_payload("fails", fail)
        if fail:
            raise ValueError("no")
        return 5

    async def main() -> None:
        assert await work(fail=False) == 5
        with pytest.raises(ValueError, match="no"):
            await work(fail=True)

    asyncio.run(main())
    assert [event["fails"] for event in published(bootstrap, name, 2)] == [False, True]


def test_a_cancelled_coroutine_has_failed(bootstrap: str, name: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(0.01):
            async with JobEvent(name, run="r"):
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    (found,) = published(bootstrap, name, 1)
    assert (found["outcome"], found["error_type"]) == ("failed", "asyncio.exceptions.CancelledError")


@pytest.mark.parametrize(
    ("end", "outcome", "kind"),
    [
        (SystemExit(), "succeeded", None),
        (SystemExit(0), "succeeded", None),
        (SystemExit(3), "failed", "SystemExit"),
        (SystemExit("no data"), "failed", "SystemExit"),
        (KeyboardInterrupt(), "failed", "KeyboardInterrupt"),
    ],
)
def test_an_exit_is_judged_by_its_code(
    bootstrap: str, name: str, end: BaseException, outcome: str, kind: str | None
) -> None:
    with pytest.raises(type(end)), JobEvent(name, run="r"):
        raise end
    (found,) = published(bootstrap, name, 1)
    assert (found["outcome"], found["error_type"]) == (outcome, kind)


def test_an_errors_text_is_bounded_and_never_breaks_the_event(bootstrap: str, name: str) -> None:
    class WorseError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    for error in (ValueError("x" * 5000), ValueError("half \ud800 a character"), WorseError()):
        with pytest.raises(type(error)) as raised, JobEvent(name, run="r"):
            raise error
        assert not hasattr(raised.value, "__notes__")
    texts = [event["error_text"] for event in published(bootstrap, name, 3)]
    assert len(texts[0]) == TEXT_LIMIT
    assert texts[1:] == ["half ? a character", "its text cannot be read: RuntimeError"]


@pytest.mark.parametrize(
    ("module", "kind", "base"),
    [
        ("airflow.sdk.exceptions", "AirflowSkipException", Exception),
        ("airflow.sdk.exceptions", "TaskDeferred", BaseException),
        ("prefect.exceptions", "PrefectSignal", BaseException),
    ],
)
def test_a_task_that_has_not_ended_has_no_event(
    bootstrap: str, name: str, module: str, kind: str, base: type[BaseException]
) -> None:
    signal = type(kind, (base,), {"__module__": module})
    for error in (signal(), type("Own", (signal,), {})()):
        with pytest.raises(signal), JobEvent(name, run="r"):
            raise error
    with JobEvent(name, run="r"):
        pass
    (found,) = published(bootstrap, name, 1)
    assert found["outcome"] == "succeeded"


# -- refused before the work -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "its run is not known.*pass `run`, such as the day"),
        ({"AIRFLOW_CTX_DAG_ID": "etl"}, r"does not hold the map index.*\{\{ ti.map_index \}\}"),
        ({"ARGO_NODE_ID": "n"}, r"\{\{workflow.uid\}\}"),
        ({"JOB_COMPLETION_INDEX": "0"}, "batch.kubernetes.io/controller-uid"),
        ({"FLOWBRIDGE_RUN": "{{workflow.uid}}/report"}, "was not filled in"),
        ({"FLOWBRIDGE_RUN": "$(JOB_UID)"}, "was not filled in"),
    ],
)
def test_a_job_without_a_run_does_not_begin(
    name: str, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for variable, text in environment.items():
        monkeypatch.setenv(variable, text)
    began = []

    @publishes(name)
    def work() -> None:
        began.append(True)

    with pytest.raises(UnknownRunError, match=message):
        work()
    assert not began


@pytest.mark.parametrize("run", ["", (), ("day", ""), ("day", None)])
def test_a_run_with_nothing_in_it_is_refused(name: str, run: Any) -> None:
    with pytest.raises(UnknownRunError, match="expected a value, or several, found"), JobEvent(name, run=run):
        pytest.fail("the work began")


def test_a_function_that_returns_no_run_is_refused(name: str) -> None:
    with pytest.raises(UnknownRunError, match="found None"):
        publishes(name, run=lambda: None)(lambda: pytest.fail("the work began"))()


def test_the_environment_names_a_run_its_attempt_and_its_index(
    bootstrap: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWBRIDGE_RUN", "uid-1/report")
    monkeypatch.setenv("FLOWBRIDGE_ATTEMPT", "2")
    for index in ("", "0", "1"):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", index)
        with JobEvent(name):
            pass
    found = published(bootstrap, name, 3)
    assert {event["attempt"] for event in found} == {3}
    runs = [f"environment/uid-1/report{index}" for index in ("", "/0", "/1")]
    assert [event["run"] for event in found] == runs
    assert len({event["id"] for event in found}) == 3
    monkeypatch.setenv("FLOWBRIDGE_ATTEMPT", "second")
    with pytest.raises(SettingsError, match="FLOWBRIDGE_ATTEMPT: expected a number"), JobEvent(name):
        pytest.fail("the work began")


def test_without_kafka_the_work_does_not_begin_unless_the_run_is_local(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("FLOWBRIDGE_BOOTSTRAP_SERVERS")
    with pytest.raises(SettingsError, match="no Kafka is named"), JobEvent(name, run="r"):
        pytest.fail("the work began")
    monkeypatch.setenv("FLOWBRIDGE_LOCAL", "1")
    with caplog.at_level(logging.INFO), JobEvent(name):
        JobEvent.current().add_to_payload("rows", 1)
    assert "will not be published" in caplog.text


def test_a_publisher_that_would_not_raise_is_refused(bootstrap: str, name: str) -> None:
    with (
        Publisher(bootstrap, on_failure=lambda _: None) as publisher,
        pytest.raises(SettingsError, match="on_failure"),
        JobEvent(name, run="r", publisher=publisher),
    ):
        pytest.fail("the work began")
    wrong: Any = bootstrap
    with pytest.raises(SettingsError, match="expected a Publisher"), JobEvent(name, run="r", publisher=wrong):
        pytest.fail("the work began")


def test_a_field_of_the_events_own_is_refused(name: str) -> None:
    with pytest.raises(BadPayloadError, match=r"field outcome: found a str 'fine'.*use another name"):
        JobEvent(name, run="r").add_to_payload("outcome", "fine")


def test_outside_of_a_job_there_is_no_event() -> None:
    with pytest.raises(LookupError, match="no job event is open here"):
        JobEvent.current()


def test_what_is_no_plain_function_is_refused() -> None:
    def rows() -> Iterator[int]:
        yield 1

    async def batches() -> Any:
        yield 1

    for generator in (rows, batches):
        with pytest.raises(TypeError, match=f"{generator.__name__} is a generator"):
            publishes("job.done")(generator)
    with pytest.raises(TypeError, match="below the decorator of the scheduler"):
        publishes("job.done")(functools.partial(print))


def test_a_function_that_returns_work_that_has_not_run_fails(bootstrap: str, name: str) -> None:
    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="which has not run yet"):
        publishes(name, run="r")(lambda: iter(rows()))()
    (found,) = published(bootstrap, name, 1)
    assert found["outcome"] == "failed"


# -- Kafka -------------------------------------------------------------------------------------------------------------


def test_a_success_that_kafka_does_not_acknowledge_fails_the_job(away: str) -> None:
    with Publisher(away, config=IMPATIENT) as publisher:
        with pytest.raises(NotDeliveredError) as raised, JobEvent("job.done", run="r", publisher=publisher):
            pass
        (failure,) = raised.value.failures
        assert failure.id == event_id("job", "given", "r", None, "succeeded")


def test_a_failure_is_raised_over_one_of_kafka_with_a_note(away: str) -> None:
    with (
        Publisher(away, config=IMPATIENT) as publisher,
        pytest.raises(ValueError, match="bad data") as raised,
        JobEvent("job.done", run="r", publisher=publisher),
    ):
        raise ValueError("bad data")
    (note,) = raised.value.__notes__
    assert re.match(r"event job\.done was not published: 1 events were not delivered", note)


def test_a_job_that_lost_its_own_events_has_failed(bootstrap: str, name: str) -> None:
    with Publisher(bootstrap) as publisher:
        publisher.publish(f"{name}.row")
        publisher._buffer._failures._noted += 1  # as if it had not arrived
        with pytest.raises(NotDeliveredError), JobEvent(name, run="r", publisher=publisher):
            pass
    (found,) = published(bootstrap, name, 1)
    assert (found["outcome"], found["error_type"]) == ("failed", "flowbridge_sdk.errors.NotDeliveredError")
