"""Events that say that a job has ended: for tasks of Airflow, Dagster and Prefect, steps of Argo, and cron.

``@publishes("report.done")`` above a function, or ``with JobEvent("report.done") as event:`` around a block, publishes
one event when the work ends, and returns when Kafka has acknowledged it. Its id is made from the run and the outcome.
So work that runs again adds no event, and a failure that a retry mends has published two: ``failed`` and ``succeeded``.

The run is what its scheduler calls so, and stays the same when the scheduler tries again:

===============  =====================================================================================================
scheduler        the run
===============  =====================================================================================================
Airflow          the DAG, the task, the DAG run and the map index, of the current context
Dagster          the run (of a retry or a re-execution the first one), the op or asset, and the key of a dynamic output
Prefect, a flow  the flow run
Prefect, a task  the flow run, the task and its arguments; outside of a flow the task run
any other        the variable FLOWBRIDGE_RUN; in an indexed Job of Kubernetes also the pod's index
===============  =====================================================================================================

Where none of these is there, ``run`` has to say it: an error asks for it before the work begins.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import sys
from contextlib import nullcontext
from contextvars import ContextVar, Token
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import wraps
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, Self, TypeAlias, TypeVar, cast
from uuid import UUID

from flowbridge_sdk.attributes.checked import key_of, text_of
from flowbridge_sdk.avro.misfit import described
from flowbridge_sdk.delivery.settings import says_local
from flowbridge_sdk.errors import BadPayloadError, PublishError, SettingsError, UnknownRunError
from flowbridge_sdk.event import process_publisher
from flowbridge_sdk.ids import IdPart, event_id
from flowbridge_sdk.publisher import Publisher
from flowbridge_sdk.topics import topic_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

RunParts: TypeAlias = IdPart | tuple[IdPart, ...]
"""What identifies a run: a value, or several."""

TEXT_LIMIT = 1000
"""Characters of an error's text, of its type and of a run in the payload."""

_OWN = ("outcome", "run", "attempt", "started", "ended", "error_type", "error_text")
_RUN, _ATTEMPT, _INDEX = "FLOWBRIDGE_RUN", "FLOWBRIDGE_ATTEMPT", "JOB_COMPLETION_INDEX"
_REMEMBERED = 1000
_NO_END = {
    "airflow.AirflowRescheduleException",
    "airflow.AirflowSkipException",
    "airflow.DownstreamTasksSkipped",
    "airflow.TaskAwaitingInput",
    "airflow.TaskDeferred",
    "prefect.PrefectSignal",
}
"""Exceptions by which a task tells its scheduler that it is skipped, or goes on later."""


class Run(NamedTuple):
    """A run of a job.

    Attributes:
        parts: What identifies it.
        attempt: Which attempt this is, from 1; None where that is not known.

    """

    parts: tuple[IdPart, ...]
    attempt: int | None

    def __str__(self) -> str:
        return "/".join(map(str, self.parts))


class JobEvent:
    """The event of a job, around its work: ``with`` in plain code, ``async with`` on asyncio.

    Work that ends by ``sys.exit()`` or ``sys.exit(0)`` has succeeded. Any other exception is a failure, Ctrl-C and
    a cancelled coroutine included. A task that its scheduler skips, reschedules or defers has no event.

    Args:
        name: The event's name.
        run: What identifies the run, a value or a tuple of values; the scheduler's run unless given.
        part: Tells events of one name in one run apart, as those of a loop.
        key: The event's key; the run unless given, so that the events of one run stay in order.
        source: The event's ``source`` attribute; the publisher's unless given.
        publisher: The publisher to use instead of the process's own, which is made from the environment. What it
            holds is flushed before the job counts as succeeded.

    Raises:
        UnknownRunError: On entry: the run is not known.
        SettingsError: On entry: Kafka is not named, or the publisher does not fit.
        RefusedError: On entry: the name, key or source cannot be sent.
        NotDeliveredError: At the end: Kafka did not acknowledge the event of a job that succeeded. A job that failed
            raises its own exception, and a note says the same.

    """

    def __init__(
        self,
        name: str,
        *,
        run: RunParts = None,
        part: IdPart = None,
        key: str | bytes | None = None,
        source: str | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        self._name = name
        self._run_given = run
        self._part = part
        self._key = key
        self._source = source
        self._publisher = publisher
        self._fields: dict[str, Any] = {}
        self._run: Run | None = None
        self._started = datetime.now(UTC)
        self._token: Token[JobEvent] | None = None

    @staticmethod
    def current() -> JobEvent:
        """Return the event of the job that runs here, to add fields to it.

        Raises:
            LookupError: No job that publishes runs here.

        """
        try:
            return _current.get()
        except LookupError:
            raise LookupError("no job event is open here: JobEvent.current() is for code inside of one") from None

    def add_to_payload(self, field: str, value: object) -> Self:
        """Set a field of the payload; returns the event, for the next call.

        Raises:
            BadPayloadError: The field is one of the event's own.

        """
        if field in _OWN:
            raise BadPayloadError(
                self._name, field, described(value), f"a job event sets {', '.join(_OWN)} itself; use another name"
            )
        self._fields[field] = value
        return self

    # -- before the work -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        topic_of(self._name)
        key_of(self._key)
        if self._source is not None:
            text_of("source", self._source)
        if self._publisher is None and says_local():
            _log.info("local run: event %s will not be published", self._name)
        else:
            self._run = _run_of(self._name, self._run_given)
            if self._publisher is None:
                with process_publisher.taken():
                    """It is made, and so reads its settings."""
            elif not isinstance(self._publisher, Publisher):
                raise SettingsError(
                    f"event {self._name!r}: expected a Publisher, on asyncio too, found {described(self._publisher)}; "
                    "or leave it out"
                )
            elif self._publisher.on_failure is not None:
                raise SettingsError(
                    f"event {self._name!r}: its publisher has an on_failure, so a lost event would not fail the job; "
                    "pass a publisher without one"
                )
        self._started = datetime.now(UTC)
        self._token = _current.set(self)
        return self

    async def __aenter__(self) -> Self:
        return self.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run = self._leave(error)
        if run is not None:
            self._publish(run, error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run = self._leave(error)
        if run is not None:
            await asyncio.to_thread(self._publish, run, error)  # waits for Kafka

    def _leave(self, error: BaseException | None) -> Run | None:
        """End the block; return the run whose end is an event, or None."""
        if self._token is not None:
            _current.reset(self._token)
        kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
        return None if kinds & _NO_END else self._run

    def _publish(self, run: Run, error: BaseException | None) -> None:
        """Publish the event, and wait until Kafka has acknowledged it."""
        if isinstance(error, SystemExit) and not error.code:
            error = None
        raised = error
        if error is None and self._publisher is not None:
            try:
                self._publisher.flush()
            except PublishError as lost:  # events of the job itself
                error = lost
        outcome, ended, text = "succeeded" if error is None else "failed", datetime.now(UTC), _short(str(run))
        identity = event_id("job", *run.parts, self._part, outcome)
        payload = {
            **self._fields,
            "outcome": outcome,
            "run": text,
            "attempt": run.attempt,
            "started": self._started,
            "ended": ended,
            "error_type": None if error is None else _short(_type_of(error)),
            "error_text": None if error is None else _short(_text_of(error)),
        }
        key = text if self._key is None else self._key
        try:
            with nullcontext(self._publisher) if self._publisher else process_publisher.taken() as through:
                through.publish(self._name, payload, key=key, id=identity, time=ended, source=self._source)
                through.flush()
        except Exception as undelivered:
            if error is None:
                raise
            error.add_note(f"event {self._name} was not published: {undelivered}")
        if error is None:
            success = self._name, self._source, identity, run.attempt
            if success in _succeeded:  # one attempt has succeeded twice: often a loop whose events need a `part`
                _log.warning(
                    "event %s was published before by this process, with the same id: it is no new event; "
                    "pass `part` to tell several events of one run apart",
                    self._name,
                )
            _succeeded[success] = None
            if len(_succeeded) > _REMEMBERED:
                _succeeded.pop(next(iter(_succeeded)), None)
        elif error is not raised:
            raise error


def publishes(
    name: str,
    *,
    run: RunParts | Callable[..., RunParts] = None,
    part: IdPart | Callable[..., IdPart] = None,
    key: str | bytes | None = None,
    source: str | None = None,
    publisher: Publisher | None = None,
) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return a decorator that publishes a ``JobEvent`` whenever the function, a coroutine function too, ends.

    It stands below the scheduler's own decorator. In the function, ``JobEvent.current()`` adds fields.

    Args:
        name: The event's name.
        run: As of ``JobEvent``, or a function that gets the call's arguments and returns it.
        part: As of ``JobEvent``, or such a function.
        key: The event's key.
        source: The event's ``source`` attribute.
        publisher: The publisher to use instead of the process's own.

    Raises:
        TypeError: What is decorated is no function, or a generator function, which has no end to wait for.

    """

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        if not inspect.isroutine(function):
            raise TypeError(
                f"@publishes({name!r}): expected a function, found {described(function)}; "
                "write @publishes below the decorator of the scheduler"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"@publishes({name!r}): {function.__qualname__} is a generator, which ends when its reader likes; "
                "put `with JobEvent(...)` around the loop that reads it"
            )

        def event(arguments: tuple[Any, ...], named: dict[str, Any]) -> JobEvent:
            of_run = run(*arguments, **named) if callable(run) else run
            if callable(run) and of_run is None:
                raise UnknownRunError(f"event {name!r}: its run: expected a value, found None")
            of_part = part(*arguments, **named) if callable(part) else part
            return JobEvent(name, run=of_run, part=of_part, key=key, source=source, publisher=publisher)

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaits(*arguments: _P.args, **named: _P.kwargs) -> Any:
                async with event(arguments, named):
                    return await function(*arguments, **named)

            return cast("Callable[_P, _T]", awaits)

        @wraps(function)
        def calls(*arguments: _P.args, **named: _P.kwargs) -> _T:
            with event(arguments, named):
                result = function(*arguments, **named)
                if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
                    raise TypeError(
                        f"@publishes({name!r}): {function.__qualname__} returned {described(result)}, "
                        "which has not run yet"
                    )
                return result  # type: ignore[no-any-return] # isgenerator and its like narrow it to Any

        return calls

    return decorate


_current: ContextVar[JobEvent] = ContextVar("flowbridge_job_event")
_succeeded: dict[tuple[str, str | None, str, int | None], None] = {}
"""What this process published, the oldest first: (name, source, id, attempt) of successes."""


# -- which run this is -------------------------------------------------------------------------------------------------


def _run_of(name: str, given: RunParts) -> Run:
    """Return the run that is given, or else the scheduler's.

    Raises:
        UnknownRunError: Neither is there, or a part is missing.

    """
    if given is not None:
        parts = given if isinstance(given, tuple) else (given,)
        if not parts or any(part is None or part == "" for part in parts):
            raise UnknownRunError(f"event {name!r}: its run: expected a value, or several, found {given!r}")
        event_id(*parts)  # raises if a part is of another type
        return Run(("given", *parts), None)
    return _airflow() or _dagster() or _prefect(name) or _from_environment(name)


def _airflow() -> Run | None:
    if "airflow" not in sys.modules:
        return None
    try:
        from airflow.sdk import get_current_context  # noqa: PLC0415 - only where Airflow runs
    except ImportError:  # Airflow 2
        from airflow.operators.python import get_current_context  # noqa: PLC0415 - the same
    try:
        task: Any = get_current_context()["ti"]
    except Exception:  # noqa: BLE001 - two versions of Airflow, two errors; both say that no task runs here
        return None
    return Run(("airflow", task.dag_id, task.task_id, task.run_id, task.map_index), task.try_number)


def _dagster() -> Run | None:
    if "dagster" not in sys.modules:
        return None
    from dagster import DagsterInvariantViolationError, OpExecutionContext  # noqa: PLC0415 - only where Dagster runs

    try:
        op: Any = OpExecutionContext.get()
    except DagsterInvariantViolationError:  # no op runs here
        return None
    first = op.run.root_run_id or op.run_id
    return Run(("dagster", first, str(op.op_handle), op.get_mapping_key() or ""), op.retry_number + 1)


def _prefect(name: str) -> Run | None:
    if "prefect" not in sys.modules:
        return None
    from prefect.runtime import flow_run, task_run  # noqa: PLC0415 - only where Prefect runs

    if task_run.id is None:
        return None if flow_run.id is None else Run(("prefect", flow_run.id), flow_run.run_count)
    if flow_run.id is None:
        return Run(("prefect", task_run.id), task_run.run_count)
    # the task run has a new id when the whole flow is tried again
    try:
        inputs = json.dumps(task_run.parameters, sort_keys=True, default=_argument)
    except (TypeError, ValueError) as error:
        raise UnknownRunError(
            f"event {name!r}: a task of Prefect is known again by its arguments, and those of {task_run.task_name} "
            f"have no text that is always the same ({error}); pass `run`"
        ) from None
    return Run(("prefect", flow_run.id, task_run.task_name, event_id(inputs)), task_run.run_count)


def _argument(value: object) -> str:
    if isinstance(value, date | time | Decimal | UUID | PurePath):
        return f"{type(value).__name__} {value}"
    raise TypeError(f"found {described(value)}")


def _from_environment(name: str) -> Run:
    run, attempt, index = (os.environ.get(variable, "") for variable in (_RUN, _ATTEMPT, _INDEX))
    if "{{" in run or "$(" in run:
        raise UnknownRunError(
            f"event {name!r}: expected a run in {_RUN}, found {run[:80]!r}, which was not filled in where it was set"
        )
    if run:
        if attempt and not attempt.isdecimal():
            raise SettingsError(f"{_ATTEMPT}: expected a number, from 0, found {attempt[:80]!r}")
        parts = ("environment", run, index) if index else ("environment", run)
        return Run(parts, int(attempt) + 1 if attempt else None)
    if "AIRFLOW_CTX_DAG_ID" in os.environ:
        remedy = (
            "this is a child process of an Airflow task, whose environment does not hold the map index; set "
            f"{_RUN} there to '{{{{ ti.dag_id }}}}/{{{{ ti.task_id }}}}/{{{{ run_id }}}}/{{{{ ti.map_index }}}}'"
        )
    elif "ARGO_NODE_ID" in os.environ or "ARGO_TEMPLATE" in os.environ:
        remedy = f"in Argo's template, set {_RUN} to '{{{{workflow.uid}}}}/NAME OF THE STEP'"
    elif index:
        remedy = f"in the Job's template, set {_RUN} from the label batch.kubernetes.io/controller-uid"
    else:
        remedy = f"pass `run`, such as the day that the job is for, or set {_RUN}"
    raise UnknownRunError(f"event {name!r}: its run is not known, so a repeat would be a new event; {remedy}")


# -- texts that fit a payload ------------------------------------------------------------------------------------------


def _type_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - an exception's own code may do anything
        return f"its text cannot be read: {_type_of(failure)}"


def _short(text: str) -> str:
    """Return a text that UTF-8 can carry, cut to ``TEXT_LIMIT`` characters."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 1]}…"
