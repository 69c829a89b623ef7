"""What both Workflow APIs promise: the one in memory, and the one on a real API server."""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.create_attempt import (
    Confirmation,
    Dead,
    Done,
    NameOwner,
    RefusedForNow,
    Retry,
    WaitReason,
    attempt,
    confirm,
)
from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, MemoryWorkflowApi
from bridge.argo.workflow import MANAGED, RUN_KEY, SeenWorkflow, TemplateParameter, Workflow
from bridge.cluster.responses import Answer, Unknown, Unreachable
from bridge.cluster.watch import Away, Change, Listing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.choice import AnyKubernetes

OURS, THEIRS = "k" * 52, "t" * 52
TIMEOUT = 10.0
FINALIZER = "flowbridge.dev/test"


class Cluster(ABC):
    """What the tests do to a cluster, behind the back of the API under test."""

    api: WorkflowApi
    namespace: str

    @abstractmethod
    def add_template(self, name: str, required: list[str], defaults: list[str], ttl: int | None) -> None: ...

    @abstractmethod
    def fill_quota(self) -> None:
        """Let the namespace take no further Workflow."""

    @abstractmethod
    def delete(self, name: str, *, held: bool) -> None: ...

    @abstractmethod
    def run(self, name: str, phase: str) -> None:
        """Bring a Workflow into a phase, as Argo does."""

    @abstractmethod
    def unreachable(self) -> WorkflowApi:
        """Return an API to which no connection can be made."""

    @abstractmethod
    def losing(self, *, applied: bool) -> WorkflowApi:
        """Return an API whose next create gets no answer, and is applied or not."""

    def manifest(self, name: str = "refresh-1", run_key: str | None = OURS) -> dict[str, Any]:
        annotations = {} if run_key is None else {RUN_KEY: run_key}
        parameters = [{"name": "rows", "value": "7"}, {"name": "note", "value": 'é "quoted" {\\u007b'}]
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": name, "namespace": self.namespace, "annotations": annotations, "labels": {"a": "b"}},
            "spec": {"workflowTemplateRef": {"name": "refresh"}, "arguments": {"parameters": parameters}},
        }

    def given(self, name: str = "refresh-1", run_key: str | None = OURS, **labels: str) -> dict[str, Any]:
        manifest = self.manifest(name, run_key)
        manifest["metadata"]["labels"] |= labels
        response = self.api.create(manifest, timeout=TIMEOUT)
        assert isinstance(response, Answer)
        assert response.status == 201
        return manifest


class MemoryCluster(Cluster):
    def __init__(self) -> None:
        self.namespace = "ml"
        self.memory = MemoryWorkflowApi(namespaces=["ml"])
        self.api = self.memory

    def add_template(self, name: str, required: list[str], defaults: list[str], ttl: int | None) -> None:
        self.memory.add_template(self.namespace, name, required, defaults=defaults, ttl=ttl)

    def fill_quota(self) -> None:
        self.memory.set_quota(self.namespace, len(self.memory.workflows(self.namespace)))

    def delete(self, name: str, *, held: bool) -> None:
        self.memory.delete(self.namespace, name, held=held)

    def run(self, name: str, phase: str) -> None:
        self.memory.finish(self.namespace, name, phase)

    def unreachable(self) -> WorkflowApi:
        self.memory.cut()
        return self.memory

    def losing(self, *, applied: bool) -> WorkflowApi:
        self.memory.fail_next(LOST_ANSWER if applied else LOST_REQUEST)
        return self.memory


class RealCluster(Cluster):
    def __init__(self, server: AnyKubernetes, namespace: str, stack: ExitStack) -> None:
        from kubernetes.client import CoreV1Api, CustomObjectsApi  # noqa: PLC0415  (a run without servers does without)

        self.namespace = namespace
        self.api = KubernetesWorkflowApi(str(server.kubeconfig))
        stack.callback(self.api.close)
        admin = stack.enter_context(server.api())
        self._core, self._objects = CoreV1Api(admin), CustomObjectsApi(admin)
        self._server, self._stack = server, stack

    def add_template(self, name: str, required: list[str], defaults: list[str], ttl: int | None) -> None:
        parameters = [{"name": each} for each in required] + [{"name": each, "value": ""} for each in defaults]
        spec: dict[str, Any] = {"arguments": {"parameters": parameters}}
        if ttl is not None:
            spec["ttlStrategy"] = {"secondsAfterCompletion": ttl * 2, "secondsAfterSuccess": ttl}
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTemplate",
            "metadata": {"name": name},
            "spec": spec,
        }
        self._objects.create_namespaced_custom_object(*self._place("workflowtemplates"), body)

    def fill_quota(self) -> None:
        hard = {"count/workflows.argoproj.io": "0"}
        body: Any = {"metadata": {"name": "full"}, "spec": {"hard": hard}}
        self._core.create_namespaced_resource_quota(self.namespace, body)
        counted = {"status": {"hard": hard, "used": hard}}  # the part of a controller that does not run here
        self._core.patch_namespaced_resource_quota_status("full", self.namespace, counted)
        wait_for(lambda: "exceeded quota" in _text(self.api.create(self.manifest("probe"), timeout=TIMEOUT)))

    def delete(self, name: str, *, held: bool) -> None:
        if held:
            body = {"metadata": {"finalizers": [FINALIZER]}}
            self._objects.patch_namespaced_custom_object(*self._place("workflows"), name, body)
        self._objects.delete_namespaced_custom_object(*self._place("workflows"), name)

    def run(self, name: str, phase: str) -> None:
        body = {"metadata": {"labels": {"workflows.argoproj.io/phase": phase}}, "status": {"phase": phase}}
        self._objects.patch_namespaced_custom_object(*self._place("workflows"), name, body)

    def unreachable(self) -> WorkflowApi:
        return self._through("http://127.0.0.1:1")  # port 1 is nobody's

    def losing(self, *, applied: bool) -> WorkflowApi:
        return self._through(self._stack.enter_context(_losing_server(self.api, applied=applied)))

    def _through(self, url: str) -> WorkflowApi:
        api = KubernetesWorkflowApi(str(self._server.kubeconfig_for("none", url=url)))
        self._stack.callback(api.close)
        return api

    def _place(self, plural: str) -> tuple[str, str, str, str]:
        return "argoproj.io", "v1alpha1", self.namespace, plural


@contextmanager
def _losing_server(api: WorkflowApi, *, applied: bool) -> Iterator[str]:
    """Take creates, pass them on to ``api`` or not, and close the connection without an answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            manifest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if applied:
                api.create(manifest, timeout=TIMEOUT)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def _text(response: object) -> str:
    return response.text() if isinstance(response, Answer) else ""


@pytest.fixture(params=["memory", pytest.param("kubernetes", marks=pytest.mark.servers)])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if request.param == "memory":
        yield MemoryCluster()
        return
    with ExitStack() as stack:
        server, namespace = request.getfixturevalue("kubernetes"), request.getfixturevalue("namespace")
        yield RealCluster(server, namespace, stack)


def test_a_created_workflow_is_found_whole(cluster: Cluster) -> None:
    manifest = cluster.given()
    found = cluster.api.find(cluster.namespace, "refresh-1")
    assert found is not None
    assert not isinstance(found, Unavailable)
    assert (found.namespace, found.name, found.run_key, found.terminating) == (
        cluster.namespace,
        "refresh-1",
        OURS,
        False,
    )
    assert found.manifest["spec"] == manifest["spec"]
    assert found.manifest["metadata"].items() >= manifest["metadata"].items()
    assert found.manifest["metadata"]["uid"]
    assert found.manifest["metadata"]["creationTimestamp"].endswith("Z")


def test_a_name_is_given_once(cluster: Cluster) -> None:
    cluster.given()
    again = cluster.api.create(cluster.manifest(run_key=THEIRS), timeout=TIMEOUT)
    assert isinstance(again, Answer)
    assert (again.status, again.reason, again.is_genuine) == (409, "AlreadyExists", True)
    assert "refresh-1" in again.message
    assert confirm(cluster.api, cluster.namespace, "refresh-1", OURS).standing is NameOwner.OURS


def test_of_many_creates_at_once_one_creates(cluster: Cluster) -> None:
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda _: attempt(cluster.api, cluster.manifest(), OURS), range(16)))
    assert sorted(outcomes, key=str) == [Done("already")] * 15 + [Done("created")]


def test_a_missing_namespace_is_said(cluster: Cluster) -> None:
    cluster.namespace = "not-there"
    response = cluster.api.create(cluster.manifest(), timeout=TIMEOUT)
    assert isinstance(response, Answer)
    assert (response.status, response.reason) == (404, "NotFound")
    assert "not-there" in response.message
    outcome = attempt(cluster.api, cluster.manifest(), OURS)
    assert isinstance(outcome, RefusedForNow)
    assert outcome.waits_for is WaitReason.MISSING
    assert outcome.needs_operator


def test_what_is_not_there_is_none(cluster: Cluster) -> None:
    assert cluster.api.find(cluster.namespace, "nothing") is None
    assert cluster.api.template(cluster.namespace, "nothing") is None
    assert cluster.api.find("not-there", "nothing") is None
    assert confirm(cluster.api, cluster.namespace, "nothing", OURS).standing is NameOwner.ABSENT


def test_a_template_tells_its_parameters_and_its_shortest_lifetime(cluster: Cluster) -> None:
    cluster.add_template("refresh", ["rows", "note"], ["region"], ttl=600)
    template = cluster.api.template(cluster.namespace, "refresh")
    assert template is not None
    assert not isinstance(template, Unavailable)
    assert (template.namespace, template.name, template.ttl) == (cluster.namespace, "refresh", 600.0)
    assert template.parameters == (
        TemplateParameter("rows", has_default=False),
        TemplateParameter("note", has_default=False),
        TemplateParameter("region", has_default=True),
    )


def test_a_bare_template_is_read_too(cluster: Cluster) -> None:
    cluster.add_template("bare", [], [], ttl=None)
    template = cluster.api.template(cluster.namespace, "bare")
    assert template is not None
    assert not isinstance(template, Unavailable)
    assert (template.parameters, template.ttl) == ((), None)


def test_an_impossible_name_is_refused_for_good(cluster: Cluster) -> None:
    outcome = attempt(cluster.api, cluster.manifest("Not_a_Name"), OURS)
    assert isinstance(outcome, Dead)
    assert outcome.reason.startswith("422 Invalid")
    assert "Not_a_Name" in outcome.reason


def test_a_repeated_create_is_done_already(cluster: Cluster) -> None:
    assert attempt(cluster.api, cluster.manifest(), OURS) == Done("created")
    assert attempt(cluster.api, cluster.manifest(), OURS) == Done("already")


@pytest.mark.parametrize("run_key", [THEIRS, None])
def test_a_foreign_workflow_of_that_name_is_never_taken_for_ours(cluster: Cluster, run_key: str | None) -> None:
    cluster.given(run_key=run_key)
    assert isinstance(attempt(cluster.api, cluster.manifest(), OURS), Dead)
    assert confirm(cluster.api, cluster.namespace, "refresh-1", OURS) == Confirmation(NameOwner.FOREIGN)


def test_our_workflow_counts_while_it_is_being_deleted(cluster: Cluster) -> None:
    cluster.given()
    cluster.delete("refresh-1", held=True)
    assert attempt(cluster.api, cluster.manifest(), OURS) == Done("already")
    assert confirm(cluster.api, cluster.namespace, "refresh-1", OURS) == Confirmation(NameOwner.OURS, terminating=True)


def test_a_foreign_name_that_is_being_deleted_is_waited_for(cluster: Cluster) -> None:
    cluster.given(run_key=THEIRS)
    cluster.delete("refresh-1", held=True)
    outcome = attempt(cluster.api, cluster.manifest(), OURS)
    assert isinstance(outcome, RefusedForNow)
    assert outcome.waits_for is WaitReason.NAME_TERMINATING


def test_a_deleted_name_is_free_again(cluster: Cluster) -> None:
    cluster.given(run_key=THEIRS)
    cluster.delete("refresh-1", held=False)
    assert attempt(cluster.api, cluster.manifest(), OURS) == Done("created")


def test_a_full_quota_parks_what_is_new_and_knows_what_is_there(cluster: Cluster) -> None:
    cluster.given()
    cluster.fill_quota()
    assert attempt(cluster.api, cluster.manifest(), OURS) == Done("already")
    outcome = attempt(cluster.api, cluster.manifest("refresh-2"), OURS)
    assert isinstance(outcome, RefusedForNow)
    assert outcome.waits_for is WaitReason.QUOTA
    assert not outcome.needs_operator


def test_no_connection_means_surely_not_sent(cluster: Cluster) -> None:
    api = cluster.unreachable()
    assert isinstance(api.create(cluster.manifest(), timeout=TIMEOUT), Unreachable)
    assert isinstance(api.find(cluster.namespace, "refresh-1"), Unavailable)
    assert isinstance(api.template(cluster.namespace, "refresh"), Unavailable)
    outcome = attempt(api, cluster.manifest(), OURS)
    assert isinstance(outcome, Retry)
    assert outcome.applied is False
    assert confirm(api, cluster.namespace, "refresh-1", OURS).standing is NameOwner.UNAVAILABLE


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_is_unknown_and_the_next_try_settles_it(cluster: Cluster, applied: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    lossy = cluster.losing(applied=applied)
    outcome = attempt(lossy, cluster.manifest(), OURS)
    assert isinstance(outcome, Retry)
    assert outcome.applied is None
    standing = NameOwner.OURS if applied else NameOwner.ABSENT
    assert confirm(cluster.api, cluster.namespace, "refresh-1", OURS).standing is standing
    assert attempt(cluster.api, cluster.manifest(), OURS) == Done("already" if applied else "created")


def test_an_unknown_outcome_is_a_value(cluster: Cluster) -> None:
    assert isinstance(cluster.losing(applied=False).create(cluster.manifest(), timeout=TIMEOUT), Unknown)


def test_phases_are_those_of_the_workflows_with_all_labels(cluster: Cluster) -> None:
    cluster.given("refresh-1", replay="gap", team="ml")
    cluster.given("refresh-2", replay="gap", team="ml")
    cluster.given("refresh-3", replay="gap", team="ml")
    cluster.given("other-replay", replay="day", team="ml")
    cluster.given("other-team", replay="gap", team="web")
    cluster.given("live", team="ml")
    cluster.run("refresh-2", "Succeeded")
    cluster.run("refresh-3", "Failed")
    phases = cluster.api.phases(cluster.namespace, {"replay": "gap", "team": "ml"})
    assert phases == {"refresh-1": "", "refresh-2": "Succeeded", "refresh-3": "Failed"}
    assert cluster.api.phases(cluster.namespace, {"replay": "none"}) == {}
    assert cluster.api.phases("not-there", {"replay": "gap"}) == {}


def test_a_watch_tells_the_phases_of_the_bridges_workflows_first_all_and_then_each_change(cluster: Cluster) -> None:
    cluster.given("refresh-1", **MANAGED)
    cluster.given("of-a-person")
    watch = cluster.api.watch_phases(cluster.namespace)

    def next_news() -> list[Any]:
        news: list[Any] = []

        def has_come() -> bool:
            taken = watch.take()
            news.extend(() if isinstance(taken, Away) else taken)
            return bool(news)

        wait_for(has_come)
        return news

    assert next_news() == [Listing([SeenWorkflow("refresh-1", OURS, "")], watch.lists_begun)]
    cluster.run("refresh-1", "Failed")
    assert next_news()[-1] == Change("put", SeenWorkflow("refresh-1", OURS, "Failed"))
    cluster.run("of-a-person", "Failed")
    cluster.delete("refresh-1", held=False)
    assert next_news() == [Change("deleted", SeenWorkflow("refresh-1", OURS, "Failed"))]
    begun = watch.lists_begun
    watch.list_again()
    assert next_news() == [Listing([], begun + 1)]
    watch.stop()


def test_phases_come_from_every_page(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.argo.kubernetes._PAGE", 2)
    for number in range(5):
        cluster.given(f"refresh-{number}", replay="gap")
    assert cluster.api.phases(cluster.namespace, {"replay": "gap"}) == {f"refresh-{number}": "" for number in range(5)}


def test_phases_of_a_value_with_a_comma_are_not_those_of_its_parts(cluster: Cluster) -> None:
    cluster.given("refresh-1", replay="gap", team="ml")
    assert cluster.api.phases(cluster.namespace, {"replay": "gap,team"}) == {}


def test_phases_name_a_workflow_that_is_being_deleted_but_no_deleted_one(cluster: Cluster) -> None:
    cluster.given("refresh-1")
    cluster.given("refresh-2")
    cluster.delete("refresh-1", held=True)
    cluster.delete("refresh-2", held=False)
    assert cluster.api.phases(cluster.namespace, {"a": "b"}) == {"refresh-1": ""}


def test_terminate_asks_argo_to_stop_that_workflow_and_changes_nothing_else(cluster: Cluster) -> None:
    spec = cluster.given("refresh-1")["spec"]
    cluster.given("refresh-2")
    for _ in range(2):  # a caller that got no answer asks again
        response = cluster.api.terminate(cluster.namespace, "refresh-1")
        assert isinstance(response, Answer)
        assert response.status == 200
    stopped, other = (cluster.api.find(cluster.namespace, name) for name in ("refresh-1", "refresh-2"))
    assert isinstance(stopped, Workflow)
    assert isinstance(other, Workflow)
    assert stopped.manifest["spec"] == {**spec, "shutdown": "Terminate"}
    assert stopped.run_key == OURS
    assert other.manifest["spec"] == spec


def test_terminate_says_that_there_is_no_such_workflow(cluster: Cluster) -> None:
    for namespace in (cluster.namespace, "not-there"):
        response = cluster.api.terminate(namespace, "nothing")
        assert isinstance(response, Answer)
        assert (response.status, response.reason, response.is_genuine) == (404, "NotFound", True)
        assert response.message == 'workflows.argoproj.io "nothing" not found'


def test_phases_and_terminate_without_a_connection_are_values(cluster: Cluster) -> None:
    cluster.given()
    api = cluster.unreachable()
    phases = api.phases(cluster.namespace, {"a": "b"})
    assert isinstance(phases, Unavailable)
    assert phases.passes
    assert isinstance(api.terminate(cluster.namespace, "refresh-1"), Unreachable)
