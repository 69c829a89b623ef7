"""The test bed keeps its promises: what later tests rest on is tried here on its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kubernetes import client
from urllib3.exceptions import HTTPError

from bridge.argo.memory import MemoryWorkflowApi
from bridge.cli.checks.templates import template_findings
from bridge.triggers.sources.folder import TriggerFolder
from servers import standing
from servers.cache import cached
from servers.cluster import client_of
from servers.kafka import KafkaServer
from servers.kubernetes import KubernetesServer
from servers.process import ServerError, ServerProcess, wait_for
from servers.proxy import Proxy
from servers.topics import make_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.choice import AnyKafka, AnyKubernetes

SECONDS = 20
ROOT = Path(__file__).parents[2]
WORKFLOW: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "refresh-1"},
    "spec": {"workflowTemplateRef": {"name": "refresh"}, "arguments": {"parameters": [{"name": "n", "value": "1"}]}},
}


def new_topic(bootstrap: str) -> str:
    topic = f"test.{uuid.uuid4().hex[:12]}"
    make_topics(bootstrap, topic)
    return topic


def values_in(bootstrap: str, topic: str) -> list[bytes | None]:
    """Return the values of all committed records, in order."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "test", "isolation.level": "read_committed"}
    consumer = Consumer(settings | {"enable.partition.eof": True, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes | None] = []
    try:
        while True:
            message = consumer.poll(SECONDS)
            assert message is not None, "nothing came, not even the partition's end"
            if message.error():
                return values
            values.append(message.value())
    finally:
        consumer.close()


def in_transaction(bootstrap: str, topic: str, values: list[bytes], *, commit: bool) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topic}-writer"})
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(SECONDS)
    if commit:
        producer.commit_transaction(SECONDS)
    else:
        producer.abort_transaction(SECONDS)


@contextmanager
def workflows(kubeconfig: Path) -> Iterator[client.CustomObjectsApi]:
    with client_of(kubeconfig) as api:
        yield client.CustomObjectsApi(api)


def kind(namespace: str) -> dict[str, Any]:
    return {"group": "argoproj.io", "version": "v1alpha1", "namespace": namespace, "_request_timeout": SECONDS}


def test_kafka_shows_what_was_committed_and_hides_what_was_aborted(kafka: AnyKafka) -> None:
    topic = new_topic(kafka.bootstrap)
    in_transaction(kafka.bootstrap, topic, [b"never"], commit=False)
    in_transaction(kafka.bootstrap, topic, [b"one", b"two"], commit=True)
    assert values_in(kafka.bootstrap, topic) == [b"one", b"two"]


@pytest.mark.servers
def test_kafka_keeps_port_and_data_through_a_restart_and_a_kill() -> None:
    with KafkaServer() as server:
        topic = new_topic(server.bootstrap)
        in_transaction(server.bootstrap, topic, [b"one"], commit=True)
        server.restart()
        in_transaction(server.bootstrap, topic, [b"two"], commit=True)
        server.kill()
        assert not server.running
        server.start()
        assert values_in(server.bootstrap, topic) == [b"one", b"two"]


@pytest.mark.servers
def test_kafka_that_is_paused_answers_nobody_until_it_goes_on() -> None:
    with KafkaServer() as server:
        server.pause()
        with socket.create_connection(("127.0.0.1", int(server.bootstrap.rpartition(":")[2])), timeout=1) as knocking:
            knocking.sendall(bytes.fromhex("0000000a00120000000000010000"))  # ApiVersions, version 0
            with pytest.raises(TimeoutError):
                knocking.recv(4)
            server.resume()
            knocking.settimeout(SECONDS)
            assert len(knocking.recv(4)) == 4


def test_a_workflow_is_read_back_as_it_was_created(kubernetes: AnyKubernetes, namespace: str) -> None:
    with workflows(kubernetes.kubeconfig) as api:
        api.create_namespaced_custom_object(plural="workflows", body=WORKFLOW, **kind(namespace))
        read: Any = api.get_namespaced_custom_object(plural="workflows", name="refresh-1", **kind(namespace))
    assert read["spec"] == WORKFLOW["spec"]
    assert read["metadata"]["uid"]


@pytest.mark.parametrize("plural", ["workflows", "workflowtemplates", "sensors"])
def test_argos_kinds_are_served(kubernetes: AnyKubernetes, namespace: str, plural: str) -> None:
    with workflows(kubernetes.kubeconfig) as api:
        listed: Any = api.list_namespaced_custom_object(plural=plural, **kind(namespace))
    assert listed["items"] == []


def test_a_name_that_is_taken_is_a_conflict(kubernetes: AnyKubernetes, namespace: str) -> None:
    with workflows(kubernetes.kubeconfig) as api:
        api.create_namespaced_custom_object(plural="workflows", body=WORKFLOW, **kind(namespace))
        with pytest.raises(client.ApiException) as conflict:
            api.create_namespaced_custom_object(plural="workflows", body=WORKFLOW, **kind(namespace))
    assert conflict.value.status == 409


def test_a_service_account_may_do_what_its_role_says_and_is_refused_a_secret(
    kubernetes: AnyKubernetes,
    namespace: str,
) -> None:
    with kubernetes.api() as admin:
        rules = [{"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["create", "get"]}]
        rbac = client.RbacAuthorizationV1Api(admin)
        allowed: Any = {"metadata": {"name": "bridge"}, "rules": rules}
        rbac.create_namespaced_role(namespace, allowed)
        subject = {"kind": "ServiceAccount", "name": "bridge", "namespace": namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "bridge"}
        binding: Any = {"metadata": {"name": "bridge"}, "roleRef": role, "subjects": [subject]}
        rbac.create_namespaced_role_binding(namespace, binding)
        secret: Any = {"metadata": {"name": "password"}, "stringData": {"password": "none"}}
        client.CoreV1Api(admin).create_namespaced_secret(namespace, secret)
    token = kubernetes.service_account_token(namespace, "bridge")
    kubeconfig = kubernetes.kubeconfig_for(token, namespace=namespace)
    with workflows(kubeconfig) as api:
        api.create_namespaced_custom_object(plural="workflows", body=WORKFLOW, **kind(namespace))
        with pytest.raises(client.ApiException) as refused:
            client.CoreV1Api(api.api_client).read_namespaced_secret("password", namespace)
    assert refused.value.status == 403
    assert "cannot get resource" in str(refused.value.body)


@pytest.mark.servers
def test_kubernetes_keeps_its_objects_through_a_kill() -> None:
    with KubernetesServer() as server:
        server.create_namespace("lasting")
        with workflows(server.kubeconfig) as api:
            api.create_namespaced_custom_object(plural="workflows", body=WORKFLOW, **kind("lasting"))
        server.kill()
        assert not server.running
        server.start()
        with workflows(server.kubeconfig) as api:
            assert api.get_namespaced_custom_object(plural="workflows", name="refresh-1", **kind("lasting"))


def test_a_cut_proxy_takes_the_api_server_away_and_a_restored_one_gives_it_back(
    kubernetes: AnyKubernetes,
    namespace: str,
) -> None:
    token = kubernetes.service_account_token(namespace, "nobody")
    with Proxy(kubernetes.url.removeprefix("https://")) as proxy:
        kubeconfig = kubernetes.kubeconfig_for(token, url=f"https://{proxy.address}")
        with client_of(kubeconfig) as api:
            assert user_of(api) == f"system:serviceaccount:{namespace}:nobody"
            proxy.cut()
            with pytest.raises(HTTPError, match=r"refused|reset"):
                user_of(api)
            proxy.restore()
            assert user_of(api) == f"system:serviceaccount:{namespace}:nobody"


def user_of(api: client.ApiClient) -> str:
    whoever_asks: Any = {}
    review: Any = client.AuthenticationV1Api(api).create_self_subject_review(whoever_asks, _request_timeout=SECONDS)
    return str(review.status.user_info.username)


@contextmanager
def echo_server() -> Iterator[str]:
    """Sends back what it gets, one thread a connection."""

    def echo(connection: socket.socket) -> None:
        try:
            while chunk := connection.recv(1024):
                connection.sendall(chunk)
        except OSError:
            pass
        finally:
            connection.close()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(SECONDS)


def test_a_stalled_proxy_holds_bytes_back_and_then_delivers_them() -> None:
    with (
        echo_server() as target,
        Proxy(target) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS) as connection,
    ):
        connection.sendall(b"one")
        assert connection.recv(16) == b"one"
        proxy.stall()
        connection.sendall(b"two")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(16)
        proxy.restore()
        connection.settimeout(SECONDS)
        assert connection.recv(16) == b"two"


def test_a_cut_proxy_resets_connections_and_refuses_new_ones() -> None:
    with echo_server() as target, Proxy(target) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS) as connection:
            connection.sendall(b"one")
            assert connection.recv(16) == b"one"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                connection.recv(16)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS)


def test_a_server_does_not_outlive_a_process_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from servers.process import ServerProcess\n"
        "server = ServerProcess('sleeper', ['sleep', '600'], pathlib.Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)  # it lives
        parent.send_signal(signal.SIGKILL)
        parent.wait(SECONDS)
        wait_for(lambda: ended(pid), SECONDS, f"process {pid} to end")


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_server_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    server = ServerProcess("sleeper", ["sleep", "600"], tmp_path / "log")
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join(SECONDS)
    try:
        assert server.running
        with pytest.raises(ServerError, match="runs already"):
            server.start()
    finally:
        server.stop(SECONDS)
    assert not server.running


def test_a_server_that_ends_while_it_starts_shows_its_log(tmp_path: Path) -> None:
    server = ServerProcess("broken", ["sh", "-c", "echo no such disk; exit 3"], tmp_path / "log")
    server.start()
    with pytest.raises(ServerError, match="no such disk"):
        server.wait_until(lambda: False, SECONDS)


def test_a_build_that_fails_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBRIDGE_TEST_CACHE", str(tmp_path))

    def half(folder: Path) -> None:
        (folder / "half").touch()
        raise ServerError("the disk is full")

    def whole(folder: Path) -> None:
        (folder / "whole").touch()

    with pytest.raises(ServerError):
        cached("thing", [b"1"], half)
    built = cached("thing", [b"1"], whole)
    assert [path.name for path in built.iterdir()] == ["whole"]
    assert cached("thing", [b"1"], half) == built
    assert cached("thing", [b"2"], whole) != built


LASTING = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


def _started_by_hand(mark: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", LASTING, str(mark)])
    wait_for(mark.exists, SECONDS, "the program to run")
    mark.unlink()
    return process


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of standing servers of the test's own."""
    folder = tmp_path / ".cluster"
    folder.mkdir()
    monkeypatch.setattr(standing, "_FOLDER", folder)
    monkeypatch.setattr(standing, "_STATE", folder / "state.json")
    return folder


def _remember(cluster: Path, process: subprocess.Popen[bytes]) -> None:
    program = standing.Program(
        "Kafka", process.pid, standing._started(process.pid) or 0, standing._command(process.pid)
    )
    state = asdict(standing.Standing("127.0.0.1:1", "kubeconfig", (program,)))
    (cluster / "state.json").write_text(json.dumps(state))


def test_cluster_down_stops_a_server_that_a_person_started_again_by_the_same_command(cluster: Path) -> None:
    first = _started_by_hand(cluster / "mark")
    _remember(cluster, first)
    first.kill()
    first.wait()
    second = _started_by_hand(cluster / "mark")
    assert standing.take_down() == ["Kafka"]
    assert second.wait(SECONDS) == -signal.SIGTERM
    assert not cluster.exists()


def test_cluster_down_removes_nothing_that_another_process_still_uses(cluster: Path) -> None:
    other = _started_by_hand(cluster / "mark")
    try:
        with pytest.raises(ServerError, match=f"still used by {other.pid} "):
            standing.take_down()
        assert cluster.exists()
    finally:
        other.kill()
        other.wait()
    assert standing.take_down() == []


def test_every_trigger_of_the_docs_has_a_template_that_fits(tmp_path: Path) -> None:
    api = MemoryWorkflowApi()
    for body in standing.example_templates():
        parameters = body["spec"]["arguments"]["parameters"]
        required = [parameter["name"] for parameter in parameters if "value" not in parameter]
        defaults = [parameter["name"] for parameter in parameters if "value" in parameter]
        api.add_namespace(body["metadata"]["namespace"])
        api.add_template(body["metadata"]["namespace"], body["metadata"]["name"], required, defaults=defaults)
    for page in (ROOT / "README.md", *(ROOT / "docs" / "triggers").glob("*.md")):
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            (tmp_path / "trigger.yaml").write_text(text)
            loaded = TriggerFolder([tmp_path], standing.NAMESPACE).read().loaded
            assert list(template_findings(loaded, api)) == [], page
