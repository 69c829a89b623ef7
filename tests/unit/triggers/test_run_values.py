"""The promises of a run's limits, locks and emitted events as they are written."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.core.event import DAY, HOUR, MINUTE, SECOND
from bridge.core.trigger import RunLimits, Trigger
from bridge.triggers.compile import compile_trigger
from bridge.triggers.errors import path_text


def compiled(**run: Any) -> Any:
    head = {"apiVersion": "flowbridge.dev/v1", "kind": "Trigger", "metadata": {"name": "t"}}
    spec = {"events": [{"name": "a"}], "run": {"workflowTemplate": "w", **run}}
    return compile_trigger({**head, "spec": spec}, "default")


@pytest.mark.parametrize(
    ("limits", "plan"),
    [
        ({}, RunLimits()),
        ({"rate": "10/s"}, RunLimits(rate=10, per=SECOND)),
        ({"rate": " 100 / m"}, RunLimits(rate=100, per=MINUTE)),
        ({"rate": "5/h"}, RunLimits(rate=5, per=HOUR)),
        ({"rate": "1/d"}, RunLimits(rate=1, per=DAY)),
        ({"storm": {"count": 50, "within": "10m"}}, RunLimits(storm=50, storm_within=10 * MINUTE)),
        ({"rate": "2/s", "storm": {"count": 9, "within": "1m"}}, RunLimits(2, SECOND, 9, MINUTE)),
    ],
)
def test_limits_compile(limits: dict[str, Any], plan: RunLimits) -> None:
    assert compiled(limits=limits).run.limits == plan


def test_a_run_compiles_whole() -> None:
    locks = {"semaphores": [{"configMapKeyRef": {"name": "locks", "key": "gpu"}}], "mutexes": [{"name": "model"}]}
    trigger = compiled(startDeadline="2h", synchronization=locks, emits=["b", "c", "b"])
    assert trigger.run.start_deadline == 2 * HOUR
    assert trigger.run.emits == ("b", "c")
    assert trigger.run.synchronization == (
        '{"mutexes":[{"name":"model"}],"semaphores":[{"configMapKeyRef":{"key":"gpu","name":"locks"}}]}'
    )
    assert Trigger.from_json(trigger.to_json()) == trigger


@pytest.mark.parametrize("locks", [{"mutex": {"name": "m"}}, {"semaphore": {"configMapKeyRef": {"name": "n"}}}])
def test_the_locks_of_older_argo_are_taken_too(locks: dict[str, Any]) -> None:
    assert compiled(synchronization=locks).run.synchronization


RATE = "write how many in a second, minute, hour or day, as 10/s or 100/m: 1 to 10000"


@pytest.mark.parametrize(
    ("run", "error"),
    [
        ({"limits": {"rate": 10}}, f"spec.run.limits.rate: found 10; {RATE}"),
        ({"limits": {"rate": "0/s"}}, f"spec.run.limits.rate: found '0/s'; {RATE}"),
        ({"limits": {"rate": "10/w"}}, f"spec.run.limits.rate: found '10/w'; {RATE}"),
        ({"limits": {"rates": "1/s"}}, "spec.run.limits.rates: there is no such field; did you mean rate?"),
        ({"limits": {"storm": {"count": 5}}}, "spec.run.limits.storm.within: it is missing; write within: …"),
        (
            {"limits": {"storm": {"count": 0, "within": "1m"}}},
            "spec.run.limits.storm.count: found 0; write how many runs are not yet a storm, a number from 1 to 10000",
        ),
        (
            {"limits": {"storm": {"count": 1, "within": "0"}}},
            "spec.run.limits.storm.within: found '0'; write a duration above 0",
        ),
        ({"startDeadline": "0"}, "spec.run.startDeadline: found '0'; write a duration above 0"),
        (
            {"synchronization": []},
            "spec.run.synchronization: found a list; write it as in a Workflow: {mutexes: [{name: …}]}, or semaphores",
        ),
        (
            {"synchronization": {"locks": []}},
            "spec.run.synchronization: found 'locks'; known here are semaphores, mutexes, semaphore, mutex",
        ),
        (
            {"synchronization": {"mutexes": {"name": "m"}}},
            "spec.run.synchronization: found a mapping for mutexes; write a list of mappings, as in a Workflow",
        ),
        (
            {"synchronization": {"mutexes": ["m"]}},
            "spec.run.synchronization: found a list for mutexes; write a list of mappings, as in a Workflow",
        ),
        (
            {"synchronization": {"mutexes": [{"name": float("nan")}]}},
            "spec.run.synchronization: found a number that JSON does not know; write it as in a Workflow",
        ),
        ({"emits": "b"}, "spec.run.emits: found 'b'; write a list of events' names"),
        ({"emits": [""]}, "spec.run.emits: found an empty text; write a text"),
    ],
)
def test_a_bad_run_is_told_where_what_was_found_and_what_would_be_right(run: dict[str, Any], error: str) -> None:
    outcome = compiled(**run)
    assert [f"{path_text(path)}: {misfit}" for path, misfit in outcome] == [error]
