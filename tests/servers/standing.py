"""Servers for a person: they stay when the command that started them has ended, until they are taken down.

What is needed to find them again stands in ``.cluster/state.json``. A pid is used only while the process behind it
is the very one that was started: pids come back, and somebody else's process is not ours to end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from kubernetes import client

from servers.kafka import RUN_FAST, KafkaServer
from servers.kubernetes import KubernetesServer
from servers.process import ServerError, wait_for

NAMESPACE = "demo"
TEMPLATE = "refresh-model"
"""The WorkflowTemplate of ``example.yaml``, created in the namespace."""

_EXAMPLE = Path(__file__).with_name("example.yaml")
_STOP_SECONDS = 10.0
_FOLDER = Path(__file__).parents[2] / ".cluster"
_STATE = _FOLDER / "state.json"
_START_TIME_FIELD = 19  # of /proc/PID/stat behind the program's name: "starttime", in ticks since the machine booted


@dataclass(frozen=True)
class Program:
    """A process that was started here.

    Attributes:
        name: What a person calls it.
        pid: Its pid.
        started: When it started, in the kernel's ticks; with the pid, what no other process shares.

    """

    name: str
    pid: int
    started: int

    def runs(self) -> bool:
        """Return whether the pid still belongs to the process that was started."""
        return _started(self.pid) == self.started


@dataclass(frozen=True)
class Standing:
    """The servers of a person.

    Attributes:
        bootstrap: Kafka's address.
        kubeconfig: Path of the administrator's kubeconfig.
        programs: In the order in which they are to be stopped.

    """

    bootstrap: str
    kubeconfig: str
    programs: tuple[Program, ...]


def standing() -> Standing | None:
    """Return the servers that were started and whose programs all run, or None."""
    known = _known()
    return known if known and all(program.runs() for program in known.programs) else None


def stand_up() -> Standing:
    """Return the servers that stand, or start them. A start that fails leaves nothing behind.

    Raises:
        ServerError: They cannot be built or started.

    """
    already = standing()
    if already is not None:
        return already
    take_down()  # what is left of an earlier one
    kafka = KafkaServer(_FOLDER / "kafka", java_options=RUN_FAST, tethered=False)
    kubernetes = KubernetesServer(_FOLDER / "kubernetes", tethered=False)
    try:
        kafka.start()
        kubernetes.start()
        _create_example(kubernetes)
        result = _described(kafka, kubernetes)
        _STATE.write_text(json.dumps(asdict(result), indent=2) + "\n")
    except BaseException:
        kubernetes.stop()
        kafka.stop()
        raise
    return result


def take_down() -> list[str]:
    """Stop what runs of the standing servers, remove their data, and return the names of what was stopped."""
    known = _known()
    running = [program for program in known.programs if program.runs()] if known else []
    for program in running:
        _end(program)
    shutil.rmtree(_FOLDER, ignore_errors=True)
    return [program.name for program in running]


def _known() -> Standing | None:
    try:
        state = json.loads(_STATE.read_text())
        programs = tuple(Program(**program) for program in state["programs"])
        return Standing(state["bootstrap"], state["kubeconfig"], programs)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{_STATE} cannot be read ({error}); end the servers by hand and remove {_FOLDER}") from None


def _described(kafka: KafkaServer, kubernetes: KubernetesServer) -> Standing:
    etcd, apiserver = kubernetes.pids
    pids = {"kube-apiserver": apiserver, "etcd": etcd, "Kafka": kafka.pid}  # the API server before its etcd
    programs = tuple(Program(name, pid, _started(pid) or 0) for name, pid in pids.items())
    return Standing(kafka.bootstrap, str(kubernetes.kubeconfig), programs)


def _create_example(kubernetes: KubernetesServer) -> None:
    kubernetes.create_namespace(NAMESPACE)
    body = yaml.safe_load(_EXAMPLE.read_text())
    with kubernetes.api() as api:
        arguments = ("argoproj.io", "v1alpha1", NAMESPACE, "workflowtemplates", body)
        client.CustomObjectsApi(api).create_namespaced_custom_object(*arguments, _request_timeout=10)


def _end(program: Program) -> None:
    with suppress(ProcessLookupError):
        os.kill(program.pid, signal.SIGTERM)
    with suppress(TimeoutError):
        wait_for(lambda: not program.runs(), _STOP_SECONDS, program.name)
    if program.runs():
        os.kill(program.pid, signal.SIGKILL)
        wait_for(lambda: not program.runs(), _STOP_SECONDS, f"{program.name} to end")


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    return None if state in "ZX" else int(fields[_START_TIME_FIELD - 1])
