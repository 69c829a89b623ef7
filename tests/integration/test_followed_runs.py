"""5,000 running Workflows are followed on a real API server that restarts: with few requests, and no end is missed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.argo.workflow import MANAGED, RUN_KEY
from bridge.cluster.api_server import ApiServer
from bridge.cluster.config import cluster_client
from bridge.cluster.responses import Answer
from bridge.core.runs.run import RunPhase
from bridge.kafka.records import LEDGER_ENTRY
from bridge.stages.stage_thread import steady_clock
from bridge.stages.submitter.ledger.followed_runs import FollowedRuns
from servers.kubernetes import KubernetesServer
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

NUMBER = 5_000
RIGHT_WITHIN = 10.0  # seconds
NAMESPACE = "followed"
_PATH = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflows"
_AT_ONCE = 8


def manifest(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": f"run-{number}",
            "namespace": NAMESPACE,
            "labels": MANAGED,
            "annotations": {RUN_KEY: f"key-{number}"},
        },
        "spec": {"workflowTemplateRef": {"name": "template"}},
    }


def entry(number: int) -> bytes:
    fields = {"state": "done", "at": 0, "trigger": "a/b", "reason": "created", "attempts": 1, "since": 0, "run": None}
    return LEDGER_ENTRY.encode({**fields, "workflow": f"{NAMESPACE}/run-{number}"})


def test_the_ends_of_5000_runs_are_right_within_10_s_of_a_restart_of_the_api_server(
    monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    asked: list[str] = []
    send = ApiServer._sent

    def counted(self: ApiServer, method: str, path: str, *rest: Any) -> Any:
        if method == "GET":
            asked.append("watch" if "watch=true" in path else "list")
        return send(self, method, path, *rest)

    with KubernetesServer() as server, ThreadPoolExecutor(_AT_ONCE) as pool:
        server.create_namespace(NAMESPACE)
        writer = ApiServer(cluster_client(str(server.kubeconfig), context=None, connections=_AT_ONCE))

        def end(number: int) -> None:
            body = {
                "metadata": {"labels": {"workflows.argoproj.io/phase": "Failed" if number % 7 == 0 else "Succeeded"}}
            }
            answer = writer.patch(f"{_PATH}/run-{number}", body)
            assert isinstance(answer, Answer)
            assert answer.status == HTTPStatus.OK

        answers = list(pool.map(lambda number: writer.post(_PATH, manifest(number)), range(NUMBER)))
        assert {getattr(answer, "status", answer) for answer in answers} == {HTTPStatus.CREATED}
        monkeypatch.setattr(ApiServer, "_sent", counted)
        followed = FollowedRuns(KubernetesWorkflowApi(str(server.kubeconfig)), NUMBER, steady_clock)
        began = time.monotonic()
        for number in range(NUMBER):
            followed.follow(f"key-{number}", 0, entry(number))
        ends: dict[str, RunPhase] = {}

        def look() -> int:
            followed.look()
            for ended in followed.take_ended(NUMBER):
                assert ended.run_key not in ends
                ends[ended.run_key] = ended.phase
            return len(ends)

        list(pool.map(end, range(NUMBER // 2)))
        wait_for(lambda: look() == NUMBER // 2, 60, "the first half")
        server.restart()
        list(pool.map(end, range(NUMBER // 2, NUMBER - 1)))
        last = time.monotonic()
        end(NUMBER - 1)
        wait_for(lambda: look() == NUMBER, 60, "all ends")
        seconds = time.monotonic() - last
        followed.stop()
    assert seconds < RIGHT_WITHIN
    assert ends == {
        f"key-{number}": RunPhase.FAILED if number % 7 == 0 else RunPhase.SUCCEEDED for number in range(NUMBER)
    }
    pages = NUMBER // 500 + 1
    tries = time.monotonic() - began  # one a second while the API server is away
    assert asked.count("list") <= 3 * pages + tries
    assert asked.count("watch") <= 5 + tries
    record_property(
        "figures",
        f"the last of {NUMBER} ends was seen {seconds:.2f} s after it, "
        f"with {asked.count('list')} list and {asked.count('watch')} watch requests in {tries:.0f} s",
    )
    print(f"{seconds:.2f} s; {asked.count('list')} lists, {asked.count('watch')} watches in {tries:.0f} s")
